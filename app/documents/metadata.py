"""What a document says of itself beside title and authors: year, identifiers, words. Knows no file format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from app.documents.canonical import is_wide
from app.documents.model import Document

FRONT = 6_000  # characters in which a document names itself; later on it cites others
YEARS = (1, 2199)

_ISBN = re.compile(
    r"\bISBN(?:[-\s]?1[03])?[:\s]*((?:97[89][-\s]?)?\d(?:[-\s]?\d){8}[-\s]?[\dXx])(?![-\s]?\d)", re.IGNORECASE
)
_BARE_ISBN = re.compile(r"(?:97[89])?\d{9}[\dX]")
_DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>{}|\\^`]+")
_ARXIV = re.compile(
    r"\barXiv:\s?((\d{2})(\d{2})\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/(\d{2})(\d{2})\d{3})(?:v\d+)?", re.IGNORECASE
)
_PUBLISHED = re.compile(
    r"(?:©|\(c\)|copyright|published|proceedings|appear in|first (?:edition|printing)|conference|symposium|"
    r"(?:SOSP|OSDI|NSDI|SIGMOD|VLDB|ICML|NeurIPS|NIPS|ICLR|ACL|EMNLP|CVPR|出版|初版))"
    r"[^\n]{0,60}?(?<!\d)((?:1[5-9]|20)\d\d)(?!\d)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")


def complete(document: Document) -> Document:
    """The document with what its first pages say, where its file's own metadata say nothing."""
    front = document.text[:FRONT]
    found = document.identifiers or identifiers(front)
    return replace(document, identifiers=found, year=document.year or year(front, found))


def count_words(text: str) -> int:
    """Words as a reader counts them; each character of Chinese, Japanese and Korean is one."""
    wide = sum(map(is_wide, text)) if not text.isascii() else 0
    if wide:
        wide = sum(character.isalnum() for character in text if is_wide(character))
        text = "".join(" " if is_wide(character) else character for character in text)
    return wide + sum(1 for _ in _WORD.finditer(text))


def identifiers(text: str) -> tuple[str, ...]:
    """``isbn:…``, ``doi:…`` and ``arxiv:…`` of a text in their order, at most one of each kind but ISBN."""
    found = [f"isbn:{isbn}" for match in _ISBN.finditer(text) if (isbn := valid_isbn(match[1]))]
    if match := _DOI.search(text):
        found.append(f"doi:{_trimmed(match[0]).lower()}")
    if match := _ARXIV.search(text):
        month = int(match[3] or match[5])
        if 1 <= month <= 12:
            found.append(f"arxiv:{match[1].lower()}")
    return tuple(dict.fromkeys(found))


def named(values: Iterable[str]) -> tuple[str, ...]:
    """Identifiers of fields that hold nothing else, such as ``urn:isbn:978…`` or a bare DOI."""
    found: list[str] = []
    for value in values:
        bare = re.sub(r"[-\s]", "", re.sub(r"^(?:urn:)?(?:isbn:?)", "", value.strip(), flags=re.IGNORECASE))
        if _BARE_ISBN.fullmatch(bare.upper()) and (isbn := valid_isbn(bare)):
            found.append(f"isbn:{isbn}")
        else:
            found += identifiers(value)
    return tuple(dict.fromkeys(found))


def valid_isbn(text: str) -> str | None:
    """Digits of an ISBN-13 or ISBN-10 without its hyphens, None where the check digit is wrong."""
    digits = re.sub(r"[-\s]", "", text).upper()
    if re.fullmatch(r"97[89]\d{10}", digits):
        return digits if sum(int(d) * (3 if n % 2 else 1) for n, d in enumerate(digits)) % 10 == 0 else None
    if re.fullmatch(r"\d{9}[\dX]", digits):
        return digits if sum((10 if d == "X" else int(d)) * (10 - n) for n, d in enumerate(digits)) % 11 == 0 else None
    return None


def year(text: str, known: Iterable[str] = ()) -> int | None:
    """The year in which a text says that it was published; an arXiv number tells it too."""
    if match := _PUBLISHED.search(text):
        return int(match[1])
    for name in known:
        if match := re.fullmatch(r"arxiv:(\d{2})\d{2}\.\d{4,5}", name):
            return 2000 + int(match[1])
    return None


def year_of(date: str | None) -> int | None:
    """The year of a date as metadata give it: ``1865``, ``2012-10-08``, ``October 2012``."""
    match = re.search(r"(?<!\d)(\d{4})(?!\d)", date or "")
    return int(match[1]) if match and YEARS[0] <= int(match[1]) <= YEARS[1] else None


def _trimmed(doi: str) -> str:
    doi = doi.rstrip(".,;:'’”\"")
    while doi.endswith((")", "]")) and doi.count("(") + doi.count("[") < doi.count(")") + doi.count("]"):
        doi = doi[:-1].rstrip(".,;:")
    return doi
