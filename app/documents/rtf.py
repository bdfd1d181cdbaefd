"""RTF: its text by striprtf, line by line a paragraph; title and author from its ``\\info``."""

from __future__ import annotations

import re

from striprtf.striprtf import rtf_to_text

from app.documents import headings, language, naming
from app.documents.canonical import Block, assemble, clean, one_line
from app.documents.model import Document
from app.errors import DocumentDamaged, DocumentEmpty

_FIELD = r"\{\\%s\s((?:[^{}\\]|\\[^{}]|\\'[0-9a-f]{2}){1,600})\}"


def parse(data: bytes, filename: str) -> Document:
    """Raises DocumentDamaged, DocumentEmpty."""
    # RTF is ASCII; a byte beyond it is of the code page that the file names, written as an escape would be
    source = re.sub("[\x80-\xff]", lambda match: f"\\'{ord(match[0]):02x}", data.decode("latin-1").removeprefix("ï»¿"))
    try:
        text = clean(rtf_to_text(source, errors="replace"))
    except (ValueError, LookupError, IndexError, AttributeError, TypeError) as error:
        raise DocumentDamaged(filename, f"no text can be made of it: {type(error).__name__}: {error}") from None
    blocks = [block for line in text.split("\n") if (block := one_line(line.expandtabs(1).replace("|", " | ")))]
    if not blocks:
        raise DocumentEmpty(filename)
    creator = _info(source, "author")
    return assemble(
        [Block(block) for block in blocks],
        headings.find(blocks),
        title=naming.tidy_title(_info(source, "title")) or naming.title_from_filename(filename),
        authors=() if naming.is_filler(creator) else naming.split_authors(creator),
        language=language.guess("\n\n".join(blocks)),
        format="rtf",
    )


def _info(source: str, name: str) -> str:
    match = re.search(_FIELD % name, source[:65536])
    if match is None:
        return ""
    page = re.search(r"\\ansicpg\d+", source[:1000])
    return clean(rtf_to_text(rf"{{\rtf1\ansi{page[0] if page else ''} {match[1]}}}", errors="replace")).strip()
