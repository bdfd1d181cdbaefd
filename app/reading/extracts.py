"""Cuts a text into extracts of a few hundred tokens: what is found, shown and read again.

An extract is whole paragraphs, short ones together, or whole sentences of a long one, within one chapter.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.documents.model import Chapter, Paragraph
from app.reading.folding import WIDE

# in signs, of which a Chinese or Japanese character counts as WIDTH: about 250 tokens of the embedded models
SIZE = 1000
MOST = 1400
WIDTH = 3
# where a long paragraph may be cut, behind the end of a sentence
_SENTENCE = re.compile(r"[.!?…]+[\"'”’)\]]*\s+|[。！？…．；]+[”」』’）\"]*|\n")


@dataclass(frozen=True, slots=True)
class Extract:
    """``text[start:end]``, code points."""

    start: int
    end: int


def extracts(text: str, paragraphs: Sequence[Paragraph], chapters: Sequence[Chapter]) -> list[Extract]:
    """Extracts in order; they do not overlap, and between them stands white space only."""
    borders = sorted({chapter.start for chapter in chapters})
    found: list[Extract] = []
    begin = end = size = 0
    for piece in _pieces(text, paragraphs):
        wide = measure(text, piece.start, piece.end)
        # a heading opens its chapter's first extract
        fresh = bisect_left(borders, begin + 1) != bisect_left(borders, piece.start + 1)
        if end > begin and (fresh or size + wide > MOST or size >= SIZE):
            found.append(Extract(begin, end))
            size = 0
        if size == 0:
            begin = piece.start
        end, size = piece.end, size + wide
    if end > begin and size:
        found.append(Extract(begin, end))
    return found


def measure(text: str, start: int, end: int) -> int:
    """The size of a piece in signs."""
    part = text[start:end]
    if part.isascii():
        return len(part)
    return len(part) + (WIDTH - 1) * sum(ord(character) >= WIDE for character in part)


def _pieces(text: str, paragraphs: Iterable[Paragraph]) -> Iterator[Extract]:
    for paragraph in paragraphs:
        if measure(text, paragraph.start, paragraph.end) <= MOST:
            yield Extract(paragraph.start, paragraph.end)
            continue
        begin = paragraph.start
        for cut in [*(one.end() for one in _SENTENCE.finditer(text, begin, paragraph.end)), paragraph.end]:
            # what no sentence ends in is cut anywhere
            while measure(text, begin, cut) > MOST:
                stop = begin + SIZE // (WIDTH if ord(text[begin]) >= WIDE else 1)
                yield Extract(begin, stop)
                begin = stop
            if cut > begin and (measure(text, begin, cut) >= SIZE // 2 or cut == paragraph.end):
                yield Extract(begin, cut)
                begin = cut
