"""Headings, paragraphs, lists and tables as Markdown, Word, PDF and EPUB files. Knows no artefacts.

An EPUB is a ZIP archive of a few short XML files, written here: no library of its own is needed for so little.
"""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

_MARKED = re.compile(r"([\\`*_\[\]<>|#])")
# what would begin a list: "- ", "1. "
_LIST = re.compile(r"^(\d*)([-+.)])(?=\s|$)")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
PNG_DPI = 192


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """lead: in bold before it; place: where it stands in a document, after it; small: of lesser importance."""

    text: str
    lead: str = ""
    place: str = ""
    strong: bool = False
    small: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Text | Bullets | Table


def markdown(blocks: Sequence[Block], *, breaks: bool = False) -> str:
    """breaks: lines of a paragraph stay lines."""
    out = []
    for block in blocks:
        match block:
            case Heading():
                out.append(f"{'#' * block.level} {_md(block.text)}")
            case Text():
                text = "\\\n".join(map(_md, block.text.splitlines())) if breaks else _md(block.text)
                said = f"**{text}**" if block.strong and text else text
                lead = f"**{_md(block.lead)}** " if block.lead else ""
                place = f" *({_md(block.place)})*" if block.place else ""
                out.append(f"{lead}{said}{place}".strip())
            case Bullets():
                out.append("\n".join(f"- {_md(one)}" for one in block.items))
            case Table():
                rows = [block.heads, ["---"] * len(block.heads), *block.rows]
                shown = [[one if n == 1 else _md(one) for one in row] for n, row in enumerate(rows)]
                out.append("\n".join(f"| {' | '.join(row)} |" for row in shown))
    return "\n\n".join(out) + "\n"


def _md(text: str) -> str:
    return _LIST.sub(r"\1\\\2", _MARKED.sub(r"\\\1", " ".join(text.split())))


def as_html(blocks: Sequence[Block]) -> str:
    """The body, as XHTML."""
    out = []
    for block in blocks:
        match block:
            case Heading():
                out.append(f"<h{block.level}>{_x(block.text)}</h{block.level}>")
            case Text():
                said = f"<b>{_x(block.text)}</b>" if block.strong else _x(block.text)
                lead = f"<b>{_x(block.lead)}</b> " if block.lead else ""
                place = f" <i>({_x(block.place)})</i>" if block.place else ""
                paragraphs = f"{lead}{said}{place}".replace("\n", "<br/>")
                out.append(f"<p>{f'<small>{paragraphs}</small>' if block.small else paragraphs}</p>")
            case Bullets():
                out.append(f"<ul>{''.join(f'<li>{_x(one)}</li>' for one in block.items)}</ul>")
            case Table():
                head = "".join(f"<th>{_x(one)}</th>" for one in block.heads)
                rows = "".join(f"<tr>{''.join(f'<td>{_x(one)}</td>' for one in row)}</tr>" for row in block.rows)
                out.append(f"<table><tr>{head}</tr>{rows}</table>")
    return "\n".join(out)


def _x(text: str) -> str:
    return html.escape(_NOT_XML.sub("", text), quote=True)


# Word


def docx(blocks: Sequence[Block], language: str) -> bytes:
    # imported here: only this format needs it
    from app.documents import write_docx

    title = next((one.text for one in blocks if isinstance(one, Heading)), "")
    return write_docx.docx(markdown(blocks, breaks=True), title=title, language=language)


# PDF and pictures

_CSS = (
    "body{font-family:sans-serif;font-size:10pt;line-height:1.4} h1{font-size:17pt} h2{font-size:13pt} "
    "small{color:#555} "
    "table{border-collapse:collapse} th,td{border:1px solid #999;padding:3px;font-size:8.5pt;text-align:left}"
)


def pdf(blocks: Sequence[Block], language: str) -> bytes:
    import pymupdf

    story = pymupdf.Story(html=as_html(blocks), user_css=_CSS)
    out = io.BytesIO()
    writer = pymupdf.DocumentWriter(out)
    paper = pymupdf.paper_rect("a4")
    room = pymupdf.Rect(54, 54, paper.width - 54, paper.height - 54)
    more = 1
    while more:
        page = writer.begin_page(paper)
        more, _ = story.place(room)
        story.draw(page)
        writer.end_page()
    writer.close()
    with pymupdf.open("pdf", out.getvalue()) as made:
        # a whole Chinese font is megabytes
        made.subset_fonts()
        return bytes(made.tobytes(garbage=4, deflate=True))


def png(svg: str) -> bytes:
    import pymupdf

    with pymupdf.open(stream=svg.encode(), filetype="svg") as drawn:
        return bytes(drawn[0].get_pixmap(dpi=PNG_DPI).tobytes("png"))


# EPUB


def epub(title: str, language: str, chapters: Sequence[tuple[str, Sequence[Block]]]) -> bytes:
    """An EPUB 3 book: (title, blocks) a chapter."""
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" '
        f'xmlns:epub="http://www.idpf.org/2007/ops" xml:lang="{language}">'
    )
    files = {}
    for number, (name, blocks) in enumerate(chapters, 1):
        files[f"OEBPS/{number}.xhtml"] = (
            f"{head}<head><title>{_x(name)}</title></head><body>{as_html(blocks)}</body></html>"
        )
    links = "".join(f'<li><a href="{n}.xhtml">{_x(name or str(n))}</a></li>' for n, (name, _) in enumerate(chapters, 1))
    files["OEBPS/nav.xhtml"] = (
        f'{head}<head><title>{_x(title)}</title></head><body><nav epub:type="toc"><ol>{links}</ol></nav></body></html>'
    )
    items = "".join(
        f'<item id="c{n}" href="{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(1, len(chapters) + 1)
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(1, len(chapters) + 1))
    id = uuid5(NAMESPACE_URL, title + str(len(files)))
    files["OEBPS/book.opf"] = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<package xmlns="http://www.idpf.org/2007/opf" version="3.0" '
        f'unique-identifier="id"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">'
        f"urn:uuid:{id}</dc:identifier><dc:title>{_x(title)}</dc:title><dc:language>{language}</dc:language>"
        f'<meta property="dcterms:modified">2000-01-01T00:00:00Z</meta></metadata><manifest>'
        f'<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>{items}</manifest>'
        f"<spine>{spine}</spine></package>"
    )
    container = (
        '<?xml version="1.0"?>\n<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
        "</container>"
    )
    return _zipped(
        {"mimetype": "application/epub+zip", "META-INF/container.xml": container, **files}, stored="mimetype"
    )


def _zipped(files: dict[str, str], stored: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if name == stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, text)
    return out.getvalue()
