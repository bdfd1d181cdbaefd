"""DOCX: the paragraphs of Word's XML in their order, headings by their styles, list numbers, footnotes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from app.documents import language, naming, outline
from app.documents.archive import Archive
from app.documents.canonical import Block, assemble, clean, one_line
from app.documents.docx_lists import Lists, attribute
from app.documents.model import Document
from app.documents.xhtml import local_name
from app.errors import DocumentDamaged, DocumentEmpty, DocumentWithoutText

# deleted text, fields' codes, the second copy of a drawing for old programs, the contents that Word made
_SKIPPED = frozenset(("del", "movefrom", "instrtext", "deltext", "fallback", "ppr", "rpr", "sdtpr", "sectpr", "tblpr"))
_STYLE = re.compile(r"(?:heading|überschrift|titre|标题|標題|見出し)\s*([1-9])", re.IGNORECASE)


def parse(path: Path, filename: str) -> Document:
    """Raises DocumentDamaged, DocumentEncrypted, DocumentEmpty, DocumentWithoutText."""
    with path.open("rb") as stream:
        archive = Archive(stream, filename, "DOCX")
        root = archive.tree("word/document.xml")
        if root is None:
            raise DocumentDamaged(filename, "it is no DOCX: word/document.xml is missing")
        styles = archive.tree("word/styles.xml")
        reader = _Reader(_levels(styles), _notes(archive), Lists(archive.tree("word/numbering.xml"), styles))
        core = archive.tree("docProps/core.xml")
        pictures = sum(name.startswith("word/media/") for name in archive.names)
    reader.read(root)
    if not reader.blocks:
        raise DocumentWithoutText(filename, pictures) if pictures else DocumentEmpty(filename)
    fields = {} if core is None else {local_name(e): clean("".join(e.itertext())).strip() for e in core}
    title = naming.tidy_title(reader.title or fields.get("title"))
    creator = fields.get("creator", "")
    authors = () if naming.is_filler(creator) else naming.split_authors(creator)
    return assemble(
        [Block(block) for block in reader.blocks],
        outline.chapters(reader.blocks, reader.headings, title, authors),
        title=title or naming.title_from_filename(filename),
        authors=authors,
        language=language.from_tag(fields.get("language")) or language.guess("\n\n".join(reader.blocks)),
        format="docx",
    )


def _is_number(text: str) -> bool:
    # "²" is a digit to Python, and no number
    return text.isascii() and text.isdigit()


def _levels(styles: etree._Element | None) -> dict[str, int]:
    """Style -> level of its heading from 1; 0 for the title's. A style without a level has that of its parent."""
    levels: dict[str, int] = {}
    parents: dict[str, str] = {}
    for style in styles if styles is not None else ():
        if local_name(style) != "style":
            continue
        id = attribute(style, "styleId")
        for element in style.iter():
            name, value = local_name(element), attribute(element, "val")
            if name == "outlinelvl" and _is_number(value) and int(value) < 9:
                levels[id] = int(value) + 1
            elif name == "name" and value.lower() == "title":
                levels[id] = 0
            elif name == "name" and (match := _STYLE.fullmatch(value)):
                levels[id] = int(match[1])
            elif name == "basedon":
                parents[id] = value
    for id in parents:
        above = id
        for _ in range(20):
            if above in levels or above not in parents:
                break
            above = parents[above]
        if above in levels and levels[above] > 0:
            levels.setdefault(id, levels[above])
    return levels


def _notes(archive: Archive) -> dict[str, str]:
    notes: dict[str, str] = {}
    for kind in ("footnote", "endnote"):
        root = archive.tree(f"word/{kind}s.xml")
        for note in root if root is not None else ():
            text = one_line(" ".join("".join(_pieces(p, [])) for p in note.iter() if local_name(p) == "p"))
            if text and not attribute(note, "type"):
                notes[f"{kind} {attribute(note, 'id')}"] = text
    return notes


class _Reader:
    def __init__(self, levels: dict[str, int], notes: dict[str, str], lists: Lists) -> None:
        self.blocks: list[str] = []
        self.headings: list[tuple[int, int]] = []
        self.title = ""
        self._levels = levels
        self._notes = notes
        self._lists = lists

    def read(self, root: etree._Element) -> None:
        stack = [root]
        while stack:
            element = stack.pop()
            name = local_name(element)
            if name == "p":
                self._paragraph(element)
            elif name == "tbl":
                self._table(element)
            elif name not in _SKIPPED and not (name == "sdt" and _is_contents(element)):
                stack.extend(reversed(element))

    def _paragraph(self, element: etree._Element) -> None:
        cited: list[str] = []
        lines = clean("".join(_pieces(element, cited))).split("\n")
        text = "\n".join(line for part in lines if (line := one_line(part.expandtabs(1))))
        # an empty paragraph is counted too
        mark = self._lists.mark(element)
        if text:
            style = next((attribute(e, "val") for e in element.iter() if local_name(e) == "pstyle"), "")
            own = next((attribute(e, "val") for e in element.iter() if local_name(e) == "outlinelvl"), "")
            if style.upper().startswith("TOC") and _is_number(style[3:]):
                return
            level = int(own) + 1 if _is_number(own) and int(own) < 9 else self._levels.get(style)
            if level == 0 and not self.title:
                self.title = one_line(text)
            elif level:
                self.headings.append((len(self.blocks), level))
            self.blocks.append(mark + text)
        self.blocks.extend(f"[{note}]" for key in cited if (note := self._notes.get(key)))

    def _table(self, table: etree._Element) -> None:
        rows = []
        for row in (e for e in table.iter() if local_name(e) == "tr"):
            cells = [
                one_line(clean(" ".join(map(self._inside_table, (p for p in cell.iter() if local_name(p) == "p")))))
                for cell in row
                if local_name(cell) == "tc"
            ]
            if any(cells):
                rows.append(" | ".join(cells))
        if rows:
            self.blocks.append("\n".join(rows))

    def _inside_table(self, paragraph: etree._Element) -> str:
        text = "".join(_pieces(paragraph, []))
        mark = self._lists.mark(paragraph)
        return mark + text if text.strip() else ""


def _is_contents(element: etree._Element) -> bool:
    return any(local_name(e) == "docpartgallery" and attribute(e, "val") == "Table of Contents" for e in element.iter())


def _pieces(paragraph: etree._Element, cited: list[str]) -> Iterator[str]:
    """The text of a paragraph piece by piece; the notes that it refers to are added to ``cited``."""
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        name = local_name(element)
        if name == "t":
            yield element.text or ""
        elif name == "tab":
            yield "\t"
        elif name in ("br", "cr"):
            yield "\n"
        elif name == "nobreakhyphen":
            yield "-"
        elif name in ("footnotereference", "endnotereference"):
            cited.append(f"{name.removesuffix('reference')} {attribute(element, 'id')}")
        elif name not in _SKIPPED:
            stack.extend(reversed(element))
