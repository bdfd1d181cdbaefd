"""MOBI and AZW3 (KF8): the markup in a Palm database, in its own order, with its contents as chapters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from app.documents import gutenberg, headings, language, metadata, naming, outline, palm, xhtml
from app.documents.canonical import Block, Heading, assemble, clean, one_line
from app.documents.model import Document
from app.errors import DocumentDamaged, DocumentEmpty, DocumentEncrypted, DocumentWithoutText

_HEAD = re.compile(rb"<head\b.*?</head\s*>|<\?xml[^>]*>|<!DOCTYPE[^>]*>", re.IGNORECASE | re.DOTALL)
_FRAME = re.compile(rb"</?(?:html|body)\b[^>]*>", re.IGNORECASE)
_MARK = "lectern-place-"
_AUTHOR, _ISBN, _DATE, _TITLE, _LANGUAGE = 100, 104, 106, 503, 524
_POSITION, _LABEL, _DEPTH, _FRAGMENT = 1, 3, 4, 6


def parse(path: Path, filename: str) -> Document:
    """Raises DocumentDamaged, DocumentEncrypted, DocumentEmpty, DocumentWithoutText."""
    try:
        book = palm.read(path.read_bytes())
    except palm.PalmLocked:
        raise DocumentEncrypted(filename) from None
    except palm.PalmError as error:
        raise DocumentDamaged(filename, str(error)) from None
    entries = _contents(book)
    try:
        root = xhtml.parse_html(_decoded(_markup(book.text, [at for at, _, _ in entries]), book.encoding))
    except xhtml.NotMarkup as error:
        raise DocumentDamaged(filename, f"no HTML can be made of it: {error}") from None
    flow = xhtml.flow(root)
    frame = gutenberg.find_frame(flow.paragraphs)
    blocks = [block if frame.holds(n) else "" for n, block in enumerate(flow.paragraphs)]
    if not any(blocks):
        pictures = book.text.lower().count(b"<img")
        raise DocumentWithoutText(filename, pictures) if pictures else DocumentEmpty(filename)
    said = {kind: [_said(value, book.encoding) for value in values] for kind, values in book.fields.items()}
    title = naming.tidy_title(next(iter(said.get(_TITLE, [])), "") or _said(book.title, book.encoding))
    title = naming.tidy_title(frame.title) or title
    authors = tuple(dict.fromkeys(n for value in said.get(_AUTHOR, []) for n in naming.split_authors(value)))
    found = assemble(
        [Block(block) for block in blocks],
        _chapters(entries, flow, blocks, title, authors),
        title=title or naming.title_from_filename(filename),
        authors=authors or frame.authors,
        language=language.from_tag(next(iter(said.get(_LANGUAGE, [])), None)) or language.guess("\n\n".join(blocks)),
        format="mobi",
    )
    return replace(
        found,
        year=metadata.year_of(next(iter(said.get(_DATE, [])), None)),
        identifiers=metadata.named(said.get(_ISBN, [])),
        cover=_cover(book.cover),
    )


def _chapters(
    entries: Sequence[tuple[int, str, int]], flow: xhtml.Flow, blocks: Sequence[str], title: str, authors: Sequence[str]
) -> list[Heading]:
    """The contents of the book, or its headings where it has none."""
    marks = []
    for n, (_, name, level) in enumerate(entries):
        index = flow.anchors.get(f"{_MARK}{n}")
        if index is not None and index < len(blocks) and headings.key(name) != headings.key(title):
            marks.append(Heading(index=index, title=name, level=level))
    if len(marks) > 1:
        return sorted(marks, key=lambda mark: mark.index)
    marked = [(index, level) for index, level in flow.headings if blocks[index]]
    return outline.chapters(blocks, marked, title, authors)


def _contents(book: palm.Book) -> list[tuple[int, str, int]]:
    """Offset into the text, title and level of each entry of the contents, by offset."""
    starts = _fragment_starts(book)
    found = []
    for entry in book.contents:
        label = book.labels.get(next(iter(entry.tags.get(_LABEL, [])), -1), b"")
        name = naming.tidy_title(_said(label, book.encoding))
        place = entry.tags.get(_FRAGMENT, [])
        if len(place) == 2 and place[0] < len(starts):
            at = starts[place[0]] + place[1]
        else:
            at = next(iter(entry.tags.get(_POSITION, [])), -1)
        if name and 0 <= at <= len(book.text):
            found.append((at, name, min(next(iter(entry.tags.get(_DEPTH, [])), 0), 8) + 1))
    return sorted(found, key=lambda one: one[0])


def _fragment_starts(book: palm.Book) -> list[int]:
    """Where each fragment of a KF8 begins: they lie behind the skeleton of their file, one after another."""
    sizes = [place[1] if len(place := e.tags.get(6, [])) > 1 else 0 for e in book.fragments]
    starts: list[int] = []
    for skeleton in book.skeletons:
        place, count = skeleton.tags.get(6, []), next(iter(skeleton.tags.get(1, [])), 0)
        if len(place) < 2:
            return []
        own = sizes[len(starts) : len(starts) + count]
        starts += [place[0] + place[1] + before for before in accumulate(own[:-1], initial=0)] if own else []
    return starts


def _markup(text: bytes, places: Sequence[int]) -> bytes:
    """One page of all files of the book, with an anchor at each place."""
    parts: list[bytes] = []
    last = 0
    for n, place in enumerate(places):
        # a place inside a tag belongs before it
        opened, closed = text.rfind(b"<", last, place), text.rfind(b">", last, place)
        cut = opened if opened > closed else place
        parts += (text[last:cut], f'<a id="{_MARK}{n}"></a>'.encode())
        last = cut
    parts.append(text[last:])
    # a KF8 closes the body of each file before the fragments that belong into it
    return b"<html><body>" + _FRAME.sub(b" ", _HEAD.sub(b" ", b"".join(parts))) + b"</body></html>"


def _decoded(data: bytes, encoding: str) -> str:
    return data.decode(encoding, "replace")


def _said(data: bytes, encoding: str) -> str:
    return one_line(clean(data.decode(encoding, "replace")))


def _cover(data: bytes) -> bytes:
    if not data:
        return b""
    # imported here: a book without a picture needs no PyMuPDF
    from app.documents import cover

    return cover.of_image(data)
