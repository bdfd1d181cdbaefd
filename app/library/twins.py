"""Books that stand on a shelf twice: the same text, or much the same title and length."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher

from app.library.records import DocumentRecord

# two editions of a book differ by a preface; two volumes differ in their numbers
LENGTH = 0.15
LIKENESS = 0.88
LEAST = 3  # letters of a title that says something
_ARTICLES = re.compile(r"^(?:the|a|an|le|la|les|der|die|das)\s+")
_NUMBERS = re.compile(r"\d+|[一二三四五六七八九十百]+|\b[ivxlc]+\b|[上中下](?=[卷部册冊篇])")


def twins(document: DocumentRecord, others: Iterable[DocumentRecord]) -> list[DocumentRecord]:
    """Of ``others`` those that are likely the same book: the very text first, then by how near their lengths are."""
    found = []
    for other in others:
        if other.id == document.id:
            continue
        apart = abs(other.characters - document.characters) / max(other.characters, document.characters, 1)
        same = other.text_sha256 == document.text_sha256
        if same or (apart <= LENGTH and alike(document.title, other.title)):
            found.append((not same, apart, other.id, other))
    return [other for *_, other in sorted(found, key=lambda one: one[:3])]


def alike(first: str, second: str) -> bool:
    """Whether two titles name the same book; a subtitle that only one of them has does not matter, a number does."""
    a, b = _plain(first), _plain(second)
    short, long = sorted((_letters(a), _letters(b)), key=len)
    if len(short) < LEAST or _NUMBERS.findall(a) != _NUMBERS.findall(b):
        return False
    heads = {_letters(re.split(r"[:;—(（：]", one, maxsplit=1)[0]) for one in (a, b)}
    if len(heads) == 1 and len(next(iter(heads))) >= LEAST:
        return True
    return SequenceMatcher(None, short, long, autojunk=False).ratio() >= LIKENESS


def akin(first: str, second: str) -> bool:
    """Whether two titles, or names of files, are alike but for their numbers: those of parts, or of chapters so far."""
    a, b = (_letters(_NUMBERS.sub("", _plain(one))) for one in (first, second))
    return min(len(a), len(b)) >= LEAST and SequenceMatcher(None, a, b, autojunk=False).ratio() >= LIKENESS


def _plain(title: str) -> str:
    return _ARTICLES.sub("", unicodedata.normalize("NFKC", title).casefold().strip())


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)
