"""Markdown as a DOCX, by python-docx: headings, paragraphs, emphasis, links, lists, quotations, code and tables.

The same Markdown gives the same bytes. No pictures; a link leads to http, https and mailto only. Control characters,
which XML cannot hold, are left out.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from docx import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Mm, Pt, RGBColor
from docx.text.paragraph import Paragraph
from markdown_it import MarkdownIt
from markdown_it.token import Token

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_WHEN = datetime(2000, 1, 1, tzinfo=UTC)
_MONO = "Courier New"
_INK = RGBColor(0x1A, 0x1A, 0x1A)
_LINK = RGBColor(0x1F, 0x4E, 0x79)
_SIZES = {1: 20, 2: 16, 3: 13, 4: 12, 5: 11, 6: 11}
_DEEPEST = 3  # Word's template numbers its lists' styles up to there
# fonts that Word for Windows and for the Mac both know, and LibreOffice replaces by its own: text, headings, quotations
_EAST = {
    "zh": ("SimSun", "SimHei", "KaiTi", "zh-CN"),
    "ja": ("MS Mincho", "MS Gothic", "MS Mincho", "ja-JP"),
    "ko": ("Batang", "Malgun Gothic", "Batang", "ko-KR"),
}


def docx(markdown: str, *, title: str = "", language: str = "en") -> bytes:
    """The file. title: what its properties say; a title in the text is a heading of the Markdown. language: ISO 639-1,
    for its spelling and its fonts."""
    document = Document()
    _dress(document, language)
    about = document.core_properties
    about.title, about.language = _text(title)[:255], language
    about.author, about.comments = "", ""
    about.created = about.modified = _WHEN
    _Writer(document).write(MarkdownIt("commonmark", {"html": False}).enable("table").parse(markdown))
    stream = io.BytesIO()
    document.save(stream)
    return _timeless(stream.getvalue())


def _dress(document: Any, language: str) -> None:
    """The template's styles in a book's manner, and with fonts for the language's script."""
    text, head, quote, tag = _EAST.get(language.split("-")[0], ("SimSun", "SimHei", "KaiTi", "zh-CN"))
    page = document.sections[0]
    page.page_width, page.page_height = Mm(210), Mm(297)
    page.left_margin = page.right_margin = Mm(28)
    page.top_margin = page.bottom_margin = Mm(25)
    styles = document.styles
    spoken = styles.element.find(".//" + qn("w:lang"))
    if spoken is not None:
        spoken.set(qn("w:val"), tag if language in _EAST else language)
        spoken.set(qn("w:eastAsia"), tag)
    styles.add_style("Code", WD_STYLE_TYPE.PARAGRAPH).base_style = styles["Normal"]
    _font(styles["Normal"], "Cambria", text)
    _font(styles["Code"], _MONO, text)
    styles["Code"].font.size = Pt(9.5)
    styles["Code"].paragraph_format.left_indent = Pt(14)
    _font(styles["Quote"], "Cambria", quote)
    styles["Quote"].paragraph_format.left_indent = Pt(28)
    # slanted ideographs are no italics: a quotation has another hand instead
    styles["Quote"].font.italic = language not in _EAST
    styles["Quote"].font.color.rgb = _INK
    for level, size in _SIZES.items():
        style = styles[f"Heading {level}"]
        _font(style, "Calibri", head)
        style.font.size, style.font.bold, style.font.italic, style.font.color.rgb = Pt(size), True, False, _INK


def _font(style: Any, western: str, eastern: str) -> None:
    style.font.name = western
    fonts = style.element.rPr.rFonts
    for name in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
        # a theme's font would go before the one that is named
        fonts.attrib.pop(qn(f"w:{name}"), None)
    fonts.set(qn("w:eastAsia"), eastern)


class _Writer:
    def __init__(self, document: Any) -> None:
        self.document = document
        self.lists: list[_List] = []
        self.quotes = 0

    def write(self, tokens: Sequence[Token]) -> None:
        heading = ""
        rows: list[list[Token]] = []
        in_table = False
        for token in tokens:
            kind = token.type
            if kind == "heading_open":
                heading = f"Heading {token.tag[1:]}"
            elif kind == "heading_close":
                heading = ""
            elif kind in ("bullet_list_open", "ordered_list_open"):
                start = int(token.attrGet("start") or 1) if kind.startswith("o") else None
                self.lists.append(_List(self.document, start, len(self.lists)))
            elif kind in ("bullet_list_close", "ordered_list_close"):
                self.lists.pop()
            elif kind == "list_item_open":
                self.lists[-1].fresh = True
            elif kind in ("blockquote_open", "blockquote_close"):
                self.quotes += 1 if kind.endswith("open") else -1
            elif kind in ("fence", "code_block"):
                _run(self.document.add_paragraph(style="Code"), token.content.rstrip("\n"))
            elif kind == "hr":
                self.document.add_paragraph("* * *").alignment = WD_ALIGN_PARAGRAPH.CENTER
            elif kind == "table_open":
                rows, in_table = [], True
            elif kind == "tr_open":
                rows.append([])
            elif kind == "table_close":
                in_table = False
                self._table(rows)
            elif kind == "inline" and in_table:
                rows[-1].append(token)
            elif kind == "inline":
                self._inline(self._paragraph(heading), token.children or [])

    def _paragraph(self, heading: str) -> Any:
        if heading:
            return self.document.add_paragraph(style=heading)
        if self.lists:
            return self.lists[-1].paragraph()
        return self.document.add_paragraph(style="Quote" if self.quotes else None)

    def _inline(self, paragraph: Any, tokens: Iterable[Token], *, bold: bool = False) -> None:
        strong = em = 0
        link: Any = None
        for token in tokens:
            kind = token.type
            if kind in ("strong_open", "strong_close"):
                strong += 1 if kind.endswith("open") else -1
            elif kind in ("em_open", "em_close"):
                em += 1 if kind.endswith("open") else -1
            elif kind == "link_open":
                link = _link(paragraph, str(token.attrGet("href") or ""))
            elif kind == "link_close":
                link = None
            else:
                # of a picture its caption
                text = {"softbreak": " ", "hardbreak": "\n"}.get(kind, token.content)
                if not text:
                    continue
                run = _run(paragraph, text)
                run.bold, run.italic = bool(strong) or bold or None, bool(em) or None
                if kind == "code_inline":
                    run.font.name = _MONO
                if link is not None:
                    run.font.color.rgb, run.font.underline = _LINK, True
                    link.append(run._r)

    def _table(self, rows: Sequence[Sequence[Token]]) -> None:
        wide = max(map(len, rows), default=0)
        if not wide:
            return
        table = self.document.add_table(rows=len(rows), cols=wide, style="Table Grid")
        for number, (row, cells) in enumerate(zip(table.rows, rows, strict=True)):
            for cell, token in zip(row.cells, cells, strict=False):
                # the first row is the head
                self._inline(cell.paragraphs[0], token.children or [], bold=number == 0)
        # what follows does not stick to the table
        self.document.add_paragraph().paragraph_format.space_after = Pt(0)


class _List:
    """A list that is open. start: its first number, None for bullets; depth: how many lists it stands in."""

    def __init__(self, document: Any, start: int | None, depth: int) -> None:
        self.document = document
        self.fresh = False
        deep = min(depth + 1, _DEEPEST)
        kind = "List Bullet" if start is None else "List Number"
        self.style = kind if deep == 1 else f"{kind} {deep}"
        self.more = "List Continue" if deep == 1 else f"List Continue {deep}"
        self.number = None if start is None else self._numbering(start)

    def _numbering(self, start: int) -> int:
        # a list of its own: the style alone would go on counting where the last one ended
        own = self.document.styles[self.style].element.pPr.numPr.numId.val
        numbering = self.document.part.numbering_part.numbering_definitions._numbering
        made = numbering.add_num(numbering.num_having_numId(own).abstractNumId.val)
        made.add_lvlOverride(ilvl=0).add_startOverride(start)
        return int(made.numId)

    def paragraph(self) -> Any:
        """The next one: with its mark where an item begins, without where an item has several."""
        fresh, self.fresh = self.fresh, False
        made = self.document.add_paragraph(style=self.style if fresh else self.more)
        if fresh and self.number is not None:
            numbered = made._p.get_or_add_pPr().get_or_add_numPr()
            numbered.get_or_add_ilvl().val, numbered.get_or_add_numId().val = 0, self.number
        return made


def _run(paragraph: Any, text: str) -> Any:
    # python-docx makes breaks of the line ends
    return paragraph.add_run(_text(text))


def _link(paragraph: Paragraph, address: str) -> Any:
    if not address.lower().startswith(("http://", "https://", "mailto:")):
        return None
    element = OxmlElement("w:hyperlink")
    element.set(qn("r:id"), paragraph.part.relate_to(_text(address), RELATIONSHIP_TYPE.HYPERLINK, is_external=True))
    paragraph._p.append(element)
    return element


def _timeless(data: bytes) -> bytes:
    """The same archive without the time at which it was written."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as made, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in made.namelist():
            info = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, made.read(name))
    return stream.getvalue()


def _text(text: str) -> str:
    return _NOT_XML.sub("", text)
