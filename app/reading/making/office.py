"""Headings, paragraphs, lists and tables as Markdown, Word, PDF and EPUB files. Knows no artefacts.

DOCX and EPUB are ZIP archives of a few short XML files, written here: no library of theirs is needed for so little.
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


def markdown(blocks: Sequence[Block]) -> str:
    out = []
    for block in blocks:
        match block:
            case Heading():
                out.append(f"{'#' * block.level} {_md(block.text)}")
            case Text():
                said = f"**{_md(block.text)}**" if block.strong else _md(block.text)
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
    return _MARKED.sub(r"\\\1", " ".join(text.split()))


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

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_DOCX = {
    "[Content_Types].xml": _HEAD + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'wordprocessingml.document.main+xml"/>'
    '<Override PartName="/word/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'wordprocessingml.styles+xml"/></Types>',
    "_rels/.rels": _HEAD
    + '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="word/document.xml"/></Relationships>',
    "word/_rels/document.xml.rels": _HEAD
    + '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" '
    'Target="styles.xml"/></Relationships>',
}


def docx(blocks: Sequence[Block], language: str) -> bytes:
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{n}"><w:name w:val="heading {n}"/><w:basedOn w:val="Normal"/>'
        f'<w:next w:val="Normal"/><w:pPr><w:keepNext/><w:spacing w:before="{360 - 60 * n}" w:after="120"/>'
        f'<w:outlineLvl w:val="{n - 1}"/></w:pPr><w:rPr><w:b/><w:sz w:val="{38 - 6 * n}"/></w:rPr></w:style>'
        for n in (1, 2, 3)
    )
    east = "zh-CN" if language == "zh" else "en-US"
    normal = (
        f'<w:docDefaults><w:rPrDefault><w:rPr><w:sz w:val="22"/><w:lang w:val="en-US" w:eastAsia="{east}"/></w:rPr>'
        "</w:rPrDefault></w:docDefaults>"
        '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/><w:pPr>'
        '<w:spacing w:after="120" w:line="276" w:lineRule="auto"/></w:pPr></w:style>'
    )
    body = "".join(_word(block) for block in blocks)
    edges = " ".join(f'w:{side}="1440"' for side in ("top", "right", "bottom", "left"))
    page = f'<w:sectPr><w:pgSz w:w="11906" w:h="16838"/><w:pgMar {edges}/></w:sectPr>'
    files = {
        **_DOCX,
        "word/styles.xml": f"{_HEAD}<w:styles {_W}>{normal}{styles}</w:styles>",
        "word/document.xml": f"{_HEAD}<w:document {_W}><w:body>{body}{page}</w:body></w:document>",
    }
    return _zipped(files)


def _word(block: Block) -> str:
    match block:
        case Heading():
            return f'<w:p><w:pPr><w:pStyle w:val="Heading{min(3, block.level)}"/></w:pPr>{_run(block.text)}</w:p>'
        case Text():
            lead = _run(block.lead + " ", "<w:b/>") if block.lead else ""
            place = _run(f" ({block.place})", '<w:i/><w:sz w:val="18"/>') if block.place else ""
            look = "<w:b/>" if block.strong else '<w:sz w:val="18"/>' if block.small else ""
            return f"<w:p>{lead}{_run(block.text, look)}{place}</w:p>"
        case Bullets():
            indent = '<w:pPr><w:ind w:left="400" w:hanging="200"/></w:pPr>'
            return "".join(f"<w:p>{indent}{_run('• ' + one)}</w:p>" for one in block.items)
        case Table():
            edge = "".join(
                f'<w:{side} w:val="single" w:sz="4" w:color="999999"/>'
                for side in ("top", "left", "bottom", "right", "insideH", "insideV")
            )
            rows = [(block.heads, "<w:b/>"), *((row, "") for row in block.rows)]
            cells = "".join(
                f"<w:tr>{''.join(f'<w:tc><w:tcPr/><w:p>{_run(one, look)}</w:p></w:tc>' for one in row)}</w:tr>"
                for row, look in rows
            )
            grid = "<w:gridCol/>" * len(block.heads)
            return (
                f'<w:tbl><w:tblPr><w:tblW w:w="5000" w:type="pct"/><w:tblBorders>{edge}</w:tblBorders></w:tblPr>'
                f"<w:tblGrid>{grid}</w:tblGrid>{cells}</w:tbl><w:p/>"
            )


def _run(text: str, look: str = "") -> str:
    lines = "<w:br/>".join(f'<w:t xml:space="preserve">{_x(line)}</w:t>' for line in text.split("\n"))
    return f"<w:r><w:rPr>{look}</w:rPr>{lines}</w:r>"


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
