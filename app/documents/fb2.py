"""FictionBook 2: sections and their titles, notes at the back, pictures left out."""

from __future__ import annotations

from lxml import etree

from app.documents import language, naming, xhtml
from app.documents.canonical import Block, Heading, assemble, clean, one_line
from app.documents.model import Document, Kind
from app.documents.xhtml import local_name
from app.errors import DocumentDamaged, DocumentEmpty

_LINES = frozenset(("stanza",))  # whose children are lines of one paragraph
_PARAGRAPHS = frozenset(("p", "v", "subtitle", "text-author", "date"))


def parse(data: bytes, filename: str) -> Document:
    """Raises DocumentDamaged, DocumentEmpty."""
    try:
        root = xhtml.parse_tree(data)
    except xhtml.NotMarkup as error:
        raise DocumentDamaged(filename, f"no XML can be made of it: {error}") from None
    if local_name(root) != "fictionbook":
        raise DocumentDamaged(filename, "it is no FB2: its first element does not say so")
    blocks: list[str] = []
    marks: list[Heading] = []
    for body in (e for e in root if local_name(e) == "body"):
        notes = body.get("name") in ("notes", "footnotes", "comments")
        _read(body, blocks, marks, "back" if notes else None)
    if not blocks:
        raise DocumentEmpty(filename)
    about = next((e for e in root.iter() if local_name(e) == "title-info"), None)
    title = naming.tidy_title(_field(about, "book-title"))
    return assemble(
        [Block(block) for block in blocks],
        marks,
        title=title or (marks[0].title if marks else naming.title_from_filename(filename)),
        authors=_authors(about),
        language=language.from_tag(_field(about, "lang")) or language.guess("\n\n".join(blocks)),
        format="fb2",
    )


def _read(body: etree._Element, blocks: list[str], marks: list[Heading], kind: Kind | None) -> None:
    stack: list[tuple[etree._Element, int]] = [(child, 1) for child in reversed(body)]
    while stack:
        element, level = stack.pop()
        name = local_name(element)
        if name == "title":
            text = "\n".join(line for e in element if (line := _visible(e)))
            above = element.getparent()
            # a body's own title is the book's again, that of its notes a heading
            if text and (above is not body or kind):
                depth = max(level - 1, 1)
                title = naming.tidy_title(". ".join(line.rstrip(".") for line in text.split("\n")))
                marks.append(Heading(index=len(blocks), title=title, level=depth, kind=kind))
            if text:
                blocks.append(text)
        elif name in _LINES:
            if text := "\n".join(line for e in element if (line := _visible(e))):
                blocks.append(text)
        elif name in _PARAGRAPHS:
            if text := _visible(element):
                blocks.append(text)
        elif name == "table":
            rows = [" | ".join(_visible(cell) for cell in row) for row in element if local_name(row) == "tr"]
            if any(row.strip(" |") for row in rows):
                blocks.append("\n".join(rows))
        elif name:
            stack.extend((child, level + (name == "section")) for child in reversed(element))


def _visible(element: etree._Element) -> str:
    return one_line(clean("".join(element.itertext()))) if local_name(element) else ""


def _field(about: etree._Element | None, name: str) -> str:
    return next((_visible(e) for e in about if local_name(e) == name), "") if about is not None else ""


def _authors(about: etree._Element | None) -> tuple[str, ...]:
    names = []
    for author in about if about is not None else ():
        if local_name(author) == "author":
            parts = {local_name(e): _visible(e) for e in author}
            whole = " ".join(parts[p] for p in ("first-name", "middle-name", "last-name") if parts.get(p))
            names.append(naming.tidy_name(whole or parts.get("nickname", "")))
    return tuple(dict.fromkeys(name for name in names if name))
