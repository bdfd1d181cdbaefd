"""ODT: the paragraphs and headings of OpenDocument's content.xml; notes stand after what they belong to."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from app.documents import language, naming, outline
from app.documents.archive import Archive
from app.documents.canonical import Block, assemble, clean, one_line
from app.documents.docx_lists import attribute
from app.documents.model import Document
from app.documents.xhtml import local_name
from app.errors import DocumentDamaged, DocumentEmpty, DocumentEncrypted, DocumentWithoutText

_SKIPPED = frozenset(
    ("tracked-changes", "table-of-content", "alphabetical-index", "illustration-index", "annotation", "forms")
)


def parse(path: Path, filename: str) -> Document:
    """Raises DocumentDamaged, DocumentEncrypted, DocumentEmpty, DocumentWithoutText."""
    with path.open("rb") as stream:
        archive = Archive(stream, filename, "ODT")
        manifest = archive.tree("META-INF/manifest.xml")
        if manifest is not None and any(local_name(e) == "encryption-data" for e in manifest.iter()):
            raise DocumentEncrypted(filename)
        root = archive.tree("content.xml")
        if root is None:
            raise DocumentDamaged(filename, "it is no ODT: content.xml is missing")
        meta = archive.tree("meta.xml")
        pictures = sum(name.startswith("Pictures/") for name in archive.names)
    reader = _Reader()
    body = next((e for e in root.iter() if local_name(e) == "body"), root)
    reader.read(body)
    if not reader.blocks:
        raise DocumentWithoutText(filename, pictures) if pictures else DocumentEmpty(filename)
    fields = {} if meta is None else {local_name(e): clean("".join(e.itertext())).strip() for e in meta.iter()}
    title = naming.tidy_title(reader.title or fields.get("title"))
    creator = fields.get("initial-creator") or fields.get("creator") or ""
    authors = () if naming.is_filler(creator) else naming.split_authors(creator)
    return assemble(
        [Block(block) for block in reader.blocks],
        outline.chapters(reader.blocks, reader.headings, title, authors),
        title=title or naming.title_from_filename(filename),
        authors=authors,
        language=language.from_tag(fields.get("language")) or language.guess("\n\n".join(reader.blocks)),
        format="odt",
    )


class _Reader:
    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.headings: list[tuple[int, int]] = []
        self.title = ""

    def read(self, root: etree._Element) -> None:
        stack = [root]
        while stack:
            element = stack.pop()
            name = local_name(element)
            if name in ("p", "h"):
                self._paragraph(element, name == "h")
            elif name == "table":
                self._table(element)
            elif name not in _SKIPPED:
                stack.extend(reversed(element))

    def _paragraph(self, element: etree._Element, heading: bool) -> None:
        notes: list[str] = []
        text = _text(element, notes)
        if text:
            if heading:
                level = attribute(element, "outline-level")
                self.headings.append(
                    (len(self.blocks), int(level) if level.isascii() and level.isdigit() and int(level) else 1)
                )
            elif attribute(element, "style-name") == "Title" and not self.title:
                self.title = one_line(text)
            self.blocks.append(text)
        self.blocks.extend(f"[{note}]" for note in notes)

    def _table(self, table: etree._Element) -> None:
        rows = []
        for row in (e for e in table.iter() if local_name(e) == "table-row"):
            cells = [one_line(_text(cell, [])) for cell in row if local_name(cell) == "table-cell"]
            if any(cells):
                rows.append(" | ".join(cells))
        if rows:
            self.blocks.append("\n".join(rows))


def _text(root: etree._Element, notes: list[str]) -> str:
    """The text of a paragraph or a cell; its notes are added to ``notes``."""
    pieces: list[str] = []
    stack: list[etree._Element | str] = [*_inside(root)]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            # white space in the file is layout; spaces that count have an element
            pieces.append(" ".join(item.split()) if item.strip() else "")
            if item[:1].isspace():
                pieces.insert(-1, " ")
            if item[-1:].isspace() and item.strip():
                pieces.append(" ")
            continue
        name = local_name(item)
        if name == "note":
            body = next((e for e in item if local_name(e) == "note-body"), None)
            if body is not None and (note := one_line(_text(body, []))):
                notes.append(note)
        elif name == "s":
            pieces.append(" ")
        elif name == "tab":
            pieces.append("\t")
        elif name == "line-break":
            pieces.append("\n")
        elif name not in _SKIPPED:
            if name in ("p", "h"):
                pieces.append(" ")
            stack.extend(_inside(item))
    lines = clean("".join(pieces)).split("\n")
    return "\n".join(line for part in lines if (line := one_line(part.expandtabs(1))))


def _inside(element: etree._Element) -> list[etree._Element | str]:
    """Text, children and what stands after each, last first: for a stack."""
    items: list[etree._Element | str] = [element.text] if element.text else []
    for child in element:
        items.append(child)
        if child.tail:
            items.append(child.tail)
    return items[::-1]
