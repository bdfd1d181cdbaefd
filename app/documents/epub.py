"""EPUB 2 and 3: the package's spine in order, its metadata, and its contents as chapters.

Nothing is unpacked to disk: files are read from the archive by name, each and all together up to a limit.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lxml import etree

from app.documents import gutenberg, headings, language, metadata, naming, xhtml
from app.documents.archive import Archive
from app.documents.canonical import Block, Heading, assemble, one_line
from app.documents.model import Document
from app.errors import DocumentDamaged, DocumentEmpty, DocumentEncrypted, DocumentWithoutText

_FONT_OBFUSCATION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_EPUB_TYPE = "{http://www.idpf.org/2007/ops}type"
_TEXT_TYPES = ("application/xhtml+xml", "text/html", "application/xml", "text/xml", "text/x-oeb1-document")


@dataclass(frozen=True, slots=True)
class _Package:
    """What the package document says. items: id -> path, media type and properties of a manifest entry."""

    folder: str
    items: dict[str, tuple[str, str, str]]
    spine: list[str]
    ncx: str | None
    title: str
    authors: tuple[str, ...]
    language: str | None
    year: int | None
    identifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    title: str
    level: int
    path: str
    fragment: str


@dataclass(slots=True)
class _Book:
    """The paragraphs of all files. places: path and anchor ("" for its beginning) -> number of a paragraph."""

    paragraphs: list[str] = field(default_factory=list)
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    headings: list[tuple[int, int]] = field(default_factory=list)


def parse(path: Path, filename: str) -> Document:
    """Raises DocumentDamaged, DocumentEncrypted, DocumentWithoutText, DocumentEmpty."""
    with path.open("rb") as stream:
        archive = Archive(stream, filename, "EPUB")
        _refuse_drm(archive, filename)
        package = _package(archive, filename)
        navigation = next((path for path, _, properties in package.items.values() if "nav" in properties.split()), None)
        book = _read(archive, package, navigation)
        picture = _cover(archive, package)
        entries = _nav_entries(archive, navigation) or _ncx_entries(archive, package.ncx)
    if not book.paragraphs:
        if not package.spine:
            raise DocumentEmpty(filename)
        raise DocumentWithoutText(filename, len(package.spine))
    frame = gutenberg.find_frame(book.paragraphs)
    marks = _chapters(book, entries, package.title)
    blocks = [Block(text if frame.holds(n) else "") for n, text in enumerate(book.paragraphs)]
    if not any(block.text for block in blocks):
        raise DocumentEmpty(filename)
    if not marks:
        marks = headings.find([block.text for block in blocks])
    # what the contents say of the frame's own parts
    marks = [mark for mark in marks if frame.holds(mark.index) or frame.ranges[-1][1] == len(blocks)]
    first = next((one_line(book.paragraphs[n]) for n, _ in book.headings), "")
    found = assemble(
        blocks,
        marks,
        title=package.title or naming.tidy_title(frame.title or first) or naming.title_from_filename(filename),
        authors=package.authors or frame.authors,
        language=language.from_tag(package.language) or language.guess("\n\n".join(book.paragraphs)),
        format="epub",
    )
    return replace(found, year=package.year, identifiers=package.identifiers, cover=picture)


def _refuse_drm(archive: Archive, filename: str) -> None:
    """Obfuscated fonts are no lock; anything else that is encrypted is."""
    root = archive.tree("META-INF/encryption.xml")
    if root is None:
        return
    for data in _all(root, "encrypteddata"):
        method = next((e.get("Algorithm", "") for e in _all(data, "encryptionmethod")), "")
        if method not in _FONT_OBFUSCATION:
            raise DocumentEncrypted(filename)


def _package(archive: Archive, filename: str) -> _Package:
    container = archive.tree("META-INF/container.xml")
    if container is None:
        raise DocumentDamaged(filename, "it is no EPUB: META-INF/container.xml is missing")
    rootfiles = [e.get("full-path", "") for e in _all(container, "rootfile")]
    opf = next((name for name in rootfiles if name), None)
    root = archive.tree(opf) if opf else None
    if opf is None or root is None:
        raise DocumentDamaged(filename, "its package document is missing")
    folder = posixpath.dirname(opf)
    items: dict[str, tuple[str, str, str]] = {}
    for item in _all(root, "item"):
        path = _resolve(folder, item.get("href", ""))[0]
        if path and item.get("id"):
            items[item.get("id", "")] = (path, item.get("media-type", ""), item.get("properties", ""))
    spine_element = next(_all(root, "spine"), None)
    ncx_id = spine_element.get("toc") if spine_element is not None else None
    ncx = items[ncx_id][0] if ncx_id in items else None
    if ncx is None:
        ncx = next((path for path, media, _ in items.values() if media == "application/x-dtbncx+xml"), None)
    spine = [e.get("idref", "") for e in _all(root, "itemref") if e.get("idref") in items]
    return _Package(folder, items, spine, ncx, _title(root), _authors(root), _text_of(root, "language"), *_facts(root))


def _facts(root: etree._Element) -> tuple[int | None, tuple[str, ...]]:
    """Year of publication and identifiers."""
    dates = [(e.get("{http://www.idpf.org/2007/opf}event") or "publication", _visible(e)) for e in _all(root, "date")]
    published = next((text for event, text in dates if event == "publication"), None)
    return metadata.year_of(published), metadata.named(_visible(e) for e in _all(root, "identifier"))


def _cover(archive: Archive, package: _Package) -> bytes:
    """The picture that the package calls its cover, made small; b"" where it names none."""
    named = next((path for path, _, properties in package.items.values() if "cover-image" in properties.split()), None)
    if named is None:
        pictures = [(id, path) for id, (path, media, _) in package.items.items() if media.startswith("image/")]
        named = next((path for id, path in pictures if "cover" in id.lower() or "cover" in path.lower()), None)
    if named is None:
        return b""
    try:
        data = archive.read(named)
    except DocumentDamaged:
        # a text is not refused for its picture
        return b""
    # imported here: most EPUBs that are refused need no PyMuPDF
    from app.documents import cover

    return cover.of_image(data) if data else b""


def _read(archive: Archive, package: _Package, navigation: str | None) -> _Book:
    book = _Book()
    for item in package.spine:
        path, media, _ = package.items[item]
        if path == navigation or (path, "") in book.places or media not in _TEXT_TYPES:
            continue
        book.places[path, ""] = len(book.paragraphs)
        root = archive.tree(path)
        if root is None:
            continue
        flow = xhtml.flow(root)
        first = len(book.paragraphs)
        for anchor, index in flow.anchors.items():
            book.places[path, anchor] = first + index
        book.headings += [(first + index, level) for index, level in flow.headings]
        book.paragraphs += flow.paragraphs
    return book


def _chapters(book: _Book, entries: Sequence[_Entry], title: str) -> list[Heading]:
    """The contents of the book as chapters, or its headings where it has none that lead anywhere."""
    marks = []
    for entry in entries:
        index = book.places.get((entry.path, entry.fragment), book.places.get((entry.path, "")))
        if index is not None:
            marks.append(Heading(index=index, title=entry.title, level=entry.level))
    found = [(index, level, naming.tidy_title(book.paragraphs[index])) for index, level in book.headings]
    # the title page's heading is no chapter
    found = [heading for heading in found if headings.key(heading[2]) != headings.key(title)]
    if len(marks) < 2 and len(found) > len(marks):
        highest = min(level for _, level, _ in found)
        marks = [Heading(index=index, title=text, level=level - highest + 1) for index, level, text in found]
    # contents may be out of order (notes, plates): chapters follow the text
    marks.sort(key=lambda mark: mark.index)
    # an entry for the title page, which is a picture or a line
    for n, (mark, after) in enumerate(pairwise(marks)):
        size = sum(len(text) for text in book.paragraphs[mark.index : after.index])
        if n < 3 and headings.key(mark.title) == headings.key(title) and size <= 2 * len(title) + 200:
            marks[n] = replace(mark, kind="front")
    return marks


def _nav_entries(archive: Archive, path: str | None) -> list[_Entry]:
    """The entries of an EPUB 3 navigation document."""
    root = archive.tree(path) if path else None
    if root is None or path is None:
        return []
    navs = [
        e for e in _all(root, "nav") if "toc" in (e.get(_EPUB_TYPE) or e.get("role") or "").replace("doc-", "").split()
    ]
    lists = [child for nav in navs[:1] for child in nav if xhtml.local_name(child) == "ol"]
    return list(_list_entries(lists[0], posixpath.dirname(path), path)) if lists else []


def _list_entries(top: etree._Element, folder: str, path: str) -> Iterator[_Entry]:
    # entries without a link (a person, a date) are no chapters, but what stands below them is one level down
    stack: list[tuple[etree._Element, int]] = [(top, 0)]
    while stack:
        element, level = stack.pop()
        name = xhtml.local_name(element)
        if name == "a" and element.get("href"):
            target, fragment = _resolve(folder, element.get("href", ""), path)
            if (title := naming.tidy_title(_visible(element))) and target:
                yield _Entry(title, level, target, fragment)
        deeper = level + (name == "ol")
        stack.extend((child, deeper) for child in reversed(element))


def _ncx_entries(archive: Archive, path: str | None) -> list[_Entry]:
    """The entries of an EPUB 2 table of contents."""
    root = archive.tree(path) if path else None
    if root is None or path is None:
        return []
    entries = []
    stack: list[tuple[etree._Element, int]] = [(root, 0)]
    while stack:
        element, level = stack.pop()
        name = xhtml.local_name(element)
        if name in ("pagelist", "navlist"):
            continue
        if name == "navpoint":
            level += 1
            label = next((e for e in element if xhtml.local_name(e) == "navlabel"), None)
            content = next((e for e in element if xhtml.local_name(e) == "content"), None)
            title = naming.tidy_title(_visible(label)) if label is not None else ""
            target, fragment = (
                _resolve(posixpath.dirname(path), content.get("src", "")) if content is not None else ("", "")
            )
            if title and target:
                entries.append(_Entry(title, level, target, fragment))
        stack.extend((child, level) for child in reversed(element))
    return entries


def _resolve(folder: str, href: str, own: str = "") -> tuple[str, str]:
    """The path inside the archive and the fragment that a reference leads to; "" for one that leads outside."""
    try:
        parts = urlsplit(href.strip())
    except ValueError:
        return "", ""
    if parts.scheme or parts.netloc:
        return "", ""
    fragment = unquote(parts.fragment)
    if not parts.path:
        return own, fragment
    path = posixpath.normpath(posixpath.join(folder, unquote(parts.path)))
    return ("", "") if path.startswith(("../", "/")) or path == ".." else (path, fragment)


def _all(root: etree._Element, name: str) -> Iterator[etree._Element]:
    """Every element of that local name, whatever its namespace."""
    return (element for element in root.iter() if xhtml.local_name(element) == name)


def _visible(element: etree._Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _text_of(root: etree._Element, name: str) -> str | None:
    return next((text for e in _all(root, name) if (text := _visible(e))), None)


def _refinements(root: etree._Element, name: str) -> dict[str, str]:
    """EPUB 3: the property ``name`` of the elements that it refines, by their ids."""
    return {
        meta.get("refines", "").lstrip("#"): _visible(meta)
        for meta in _all(root, "meta")
        if meta.get("refines") and meta.get("property") == name
    }


def _title(root: etree._Element) -> str:
    kinds = _refinements(root, "title-type")
    titles = [(kinds.get(e.get("id", ""), "main"), naming.tidy_title(_visible(e))) for e in _all(root, "title")]
    titles = [(kind, title) for kind, title in titles if title]
    return next((title for kind, title in titles if kind == "main"), titles[0][1] if titles else "")


def _authors(root: etree._Element) -> tuple[str, ...]:
    roles = _refinements(root, "role")
    names = []
    for element in _all(root, "creator"):
        role = roles.get(element.get("id", "")) or next(
            (v for k, v in element.attrib.items() if k.endswith("role")), "aut"
        )
        if role == "aut" and (name := naming.tidy_name(re.sub(r"\s+", " ", _visible(element)))):
            names.append(name)
    return tuple(dict.fromkeys(names))
