"""A saved web page or a book in one HTML file. Nothing that it refers to is fetched; scripts and pictures go."""

from __future__ import annotations

import codecs
import re

from lxml import etree

from app.documents import encoding as encodings
from app.documents import gutenberg, language, naming, outline, xhtml
from app.documents.canonical import Block, assemble, clean
from app.documents.model import Document
from app.errors import DocumentDamaged, DocumentEmpty, DocumentNotText

_HEAD = 4096
_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,300}?(?:charset|encoding)\s*=\s*["']?\s*([\w:.-]{2,40})""", re.IGNORECASE
)
_AUTHOR = frozenset(("author", "dc.creator", "citation_author", "dcterms.creator"))


def parse(data: bytes, filename: str, *, encoding: str | None = None) -> Document:
    """Raises DocumentNotText, DocumentEmpty, DocumentDamaged, EncodingWrong."""
    text = read(data, filename, encoding)
    try:
        root = xhtml.parse_html(text)
    except xhtml.NotMarkup as error:
        raise DocumentDamaged(filename, f"no HTML can be made of it: {error}") from None
    flow = xhtml.flow(root)
    frame = gutenberg.find_frame(flow.paragraphs)
    blocks = [block if frame.holds(n) else "" for n, block in enumerate(flow.paragraphs)]
    if not any(blocks):
        raise DocumentEmpty(filename)
    marked = [(index, level) for index, level in flow.headings if blocks[index]]
    top = next((blocks[index] for index, level in marked if level == 1), "")
    title = naming.tidy_title(frame.title or _title(root) or top) or naming.title_from_filename(filename)
    authors = frame.authors or tuple(
        dict.fromkeys(name for value in _authors(root) if (name := naming.tidy_name(value)))
    )
    return assemble(
        [Block(block) for block in blocks],
        outline.chapters(blocks, marked, title, authors),
        title=title,
        authors=authors,
        language=language.from_tag(frame.language or root.get("lang")) or language.guess("\n\n".join(blocks)),
        format="html",
    )


def read(data: bytes, filename: str, encoding: str | None = None) -> str:
    """The markup as text. An encoding that the page declares is believed where the bytes can be read by it."""
    declared = _CHARSET.search(data[:_HEAD])
    try:
        if encoding is None and declared and not data.startswith((b"\xff\xfe", b"\xfe\xff", codecs.BOM_UTF8)):
            encodings.refuse_binary(data[:_HEAD])
            if (text := _declared(data, declared[1].decode())) is not None:
                return text
        return encodings.decode(data, encoding, filename)
    except encodings.NotText:
        raise DocumentNotText(filename) from None


def _declared(data: bytes, name: str) -> str | None:
    # UTF-8 that reads without an error is UTF-8, whatever the page says: a program saved it anew
    # ISO 2022 is ASCII with escapes, and so always reads as UTF-8
    candidates = ["utf-8", encodings.usual_name(name)]
    for candidate in reversed(candidates) if name.lower().startswith("iso-2022") else candidates:
        try:
            return data.decode(candidate)
        except (LookupError, UnicodeDecodeError):
            continue
    return None


def _title(root: etree._Element) -> str:
    for element in root.iter("title"):
        return clean("".join(element.itertext()))
    return ""


def _authors(root: etree._Element) -> list[str]:
    return [e.get("content", "") for e in root.iter("meta") if (e.get("name") or "").lower() in _AUTHOR]
