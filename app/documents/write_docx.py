"""Markdown as a DOCX: headings, paragraphs, emphasis, lists, quotations, code and tables. No pictures, no links out.

The same Markdown gives the same bytes. Control characters, which XML cannot hold, are left out.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_WHEN = (2000, 1, 1, 0, 0, 0)
_STYLES = {
    "Title": ("Title", 40, True),
    "Heading1": ("heading 1", 32, True),
    "Heading2": ("heading 2", 28, True),
    "Heading3": ("heading 3", 24, True),
    "Heading4": ("heading 4", 22, True),
    "Heading5": ("heading 5", 22, True),
    "Heading6": ("heading 6", 22, True),
    "Quote": ("Quote", 22, False),
    "ListParagraph": ("List Paragraph", 22, False),
    "Code": ("Code", 20, False),
}
_INDENTED = {"Quote": 567, "ListParagraph": 567, "Code": 284}


@dataclass(frozen=True, slots=True)
class _Run:
    text: str
    bold: bool = False
    italic: bool = False
    code: bool = False


def docx(markdown: str, *, title: str = "", language: str = "en") -> bytes:
    """The file. title: what its properties say; a title in the text is a heading of the Markdown."""
    body = "".join(_blocks(MarkdownIt("commonmark", {"html": False}).enable("table").parse(markdown)))
    files = {
        "[Content_Types].xml": (
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/><Override '
            'PartName="/word/styles.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/><Override '
            'PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>'
            "</Types>"
        ),
        "_rels/.rels": (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
            'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
            'Target="word/document.xml"/><Relationship Id="r2" '
            'Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" '
            'Target="docProps/core.xml"/></Relationships>'
        ),
        "word/_rels/document.xml.rels": (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
            'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/>'
            "</Relationships>"
        ),
        "word/styles.xml": _styles(language),
        "word/document.xml": f'<w:document xmlns:w="{_W}"><w:body>{body}<w:sectPr/></w:body></w:document>',
        "docProps/core.xml": (
            '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{_text(title)}</dc:title></cp:coreProperties>'
        ),
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _WHEN)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>{content}'.encode())
    return stream.getvalue()


def _styles(language: str) -> str:
    made = [
        f'<w:styles xmlns:w="{_W}"><w:docDefaults><w:rPrDefault><w:rPr><w:sz w:val="22"/>'
        f'<w:lang w:val="{_text(language)}"/></w:rPr></w:rPrDefault><w:pPrDefault><w:pPr><w:spacing w:after="140" '
        'w:line="276" w:lineRule="auto"/></w:pPr></w:pPrDefault></w:docDefaults>'
        '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>'
    ]
    for id, (name, size, bold) in _STYLES.items():
        level = f'<w:outlineLvl w:val="{int(id[-1]) - 1}"/>' if id.startswith("Heading") else ""
        indent = f'<w:ind w:left="{_INDENTED[id]}"/>' if id in _INDENTED else ""
        font = '<w:rFonts w:ascii="Courier New" w:hAnsi="Courier New"/>' if id == "Code" else ""
        looks = f"{font}{'<w:b/>' if bold else ''}{'<w:i/>' if id == 'Quote' else ''}"
        made.append(
            f'<w:style w:type="paragraph" w:styleId="{id}"><w:name w:val="{name}"/><w:basedOn w:val="Normal"/>'
            f'<w:pPr>{indent}{level}</w:pPr><w:rPr>{looks}<w:sz w:val="{size}"/></w:rPr></w:style>'
        )
    return "".join([*made, "</w:styles>"])


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    lists: list[int | None] = []  # the next number of each open list, None for bullets
    quotes = 0
    lead = ""
    style = ""
    row: list[list[_Run]] | None = None
    rows: list[list[list[_Run]]] = []
    for token in tokens:
        kind = token.type
        if kind == "heading_open":
            style = f"Heading{token.tag[1:]}"
        elif kind in ("heading_close", "paragraph_close"):
            style = ""
        elif kind in ("bullet_list_open", "ordered_list_open"):
            lists.append(int(token.attrGet("start") or 1) if kind.startswith("o") else None)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif kind == "list_item_open":
            number = lists[-1]
            lead = "• " if number is None else f"{number}. "
            lists[-1] = None if number is None else number + 1
        elif kind in ("blockquote_open", "blockquote_close"):
            quotes += 1 if kind.endswith("open") else -1
        elif kind in ("fence", "code_block"):
            yield _paragraph([_Run(token.content.rstrip("\n"), code=True)], "Code")
        elif kind == "hr":
            yield _paragraph([_Run("* * *")], "")
        elif kind == "table_open":
            rows = []
        elif kind == "tr_open":
            row = []
        elif kind == "tr_close" and row is not None:
            rows.append(row)
            row = None
        elif kind == "table_close":
            yield _table(rows)
        elif kind == "inline":
            runs = list(_runs(token.children or []))
            if row is not None:
                row.append(runs)
                continue
            own = style or ("ListParagraph" if lists else "Quote" if quotes else "")
            if lead:
                runs.insert(0, _Run("  " * (len(lists) - 1) + lead))
                lead = ""
            yield _paragraph(runs, own)


def _runs(tokens: Iterable[Token]) -> Iterator[_Run]:
    bold = italic = 0
    for token in tokens:
        kind = token.type
        if kind in ("strong_open", "strong_close"):
            bold += 1 if kind.endswith("open") else -1
        elif kind in ("em_open", "em_close"):
            italic += 1 if kind.endswith("open") else -1
        elif kind == "softbreak":
            yield _Run(" ", bool(bold), bool(italic))
        elif kind == "hardbreak":
            yield _Run("\n", bool(bold), bool(italic))
        elif kind == "link_close":
            continue
        elif token.content:
            # of a picture its caption, of a link what is written there
            yield _Run(token.content, bool(bold), bool(italic), kind == "code_inline")


def _paragraph(runs: Sequence[_Run], style: str) -> str:
    looks = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{looks}{''.join(map(_run, runs))}</w:p>"


def _run(run: _Run) -> str:
    font = '<w:rFonts w:ascii="Courier New" w:hAnsi="Courier New"/>' if run.code else ""
    looks = f"{font}{'<w:b/>' if run.bold else ''}{'<w:i/>' if run.italic else ''}"
    lines = [f'<w:t xml:space="preserve">{_text(line)}</w:t>' for line in run.text.split("\n")]
    return f"<w:r>{f'<w:rPr>{looks}</w:rPr>' if looks else ''}{'<w:br/>'.join(lines)}</w:r>"


def _table(rows: Sequence[Sequence[Sequence[_Run]]]) -> str:
    sides = ("top", "left", "bottom", "right", "insideH", "insideV")
    borders = "".join(f'<w:{side} w:val="single" w:sz="4" w:color="A0A0A0"/>' for side in sides)
    grid = "".join('<w:gridCol w:w="2000"/>' for _ in range(max(map(len, rows), default=0)))
    body = "".join(
        f"<w:tr>{''.join(f'<w:tc>{_paragraph(cell, str())}</w:tc>' for cell in row)}</w:tr>" for row in rows if row
    )
    return (
        f"<w:tbl><w:tblPr><w:tblBorders>{borders}</w:tblBorders></w:tblPr><w:tblGrid>{grid}</w:tblGrid>{body}</w:tbl>"
    )


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("", text), {'"': "&quot;"})
