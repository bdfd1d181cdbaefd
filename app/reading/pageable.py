"""A document cut into sections for a page that shows a few of them at a time, never a whole book at once.

A section is some thousands of characters, cut between paragraphs; a paragraph that is longer by far is cut into pieces
at ends of lines or sentences. Sections do not depend on who reads, and are found again by number.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from app.documents.model import Chapter, Paragraph
from app.library.records import DocumentRecord
from app.library.store import Library

SECTION = 6_000  # characters: a few screens
# characters of a piece of a paragraph that is longer than a section
LONGEST = 4_000
_KEPT = 6
_END = re.compile(r"\n|[。！？；]|[.!?]\s|\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A paragraph, or a piece of a long one. level: of the heading it is, 0 for none; goes_on: the paragraph began
    in the block before."""

    start: int
    end: int
    level: int = 0
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Sectioned:
    """A document's text and its sections: ``starts[n]`` is where section n begins, the first at 0."""

    text: str
    starts: list[int]
    sections: list[list[Block]]

    def at(self, offset: int) -> int:
        """The number of the section in which an offset lies."""
        return max(0, bisect_right(self.starts, offset) - 1)


class Sectioner:
    """Cuts documents of a library, and keeps the last few."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._kept: OrderedDict[tuple[int, str], Sectioned] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, document: DocumentRecord) -> Sectioned:
        key = (document.id, document.text_sha256)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            text = self._library.text(document.text_sha256)
            made = self._kept[key] = sectioned(
                text, self._library.paragraphs(document.id), self._library.chapters(document.id)
            )
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return made


def sectioned(text: str, paragraphs: Sequence[Paragraph], chapters: Sequence[Chapter]) -> Sectioned:
    levels = {one.start: one.level for one in chapters}
    sections: list[list[Block]] = [[]]
    size = 0
    for part in paragraphs:
        level = levels.get(part.start, 0)
        # a heading longer than a few lines is a chapter that begins without one
        level = level if part.end - part.start <= 300 else 0
        for block in _blocks(text, part, level):
            length = block.end - block.start
            # a chapter begins a section where the one before is not tiny
            full = size + length > SECTION or (level == 1 and size > SECTION // 4)
            if sections[-1] and full and not (sections[-1][-1].level and size < SECTION):
                sections.append([])
                size = 0
            sections[-1].append(block)
            size += length
    sections = [one for one in sections if one]
    return Sectioned(text, [0, *(one[0].start for one in sections[1:])], sections)


def _blocks(text: str, part: Paragraph, level: int) -> list[Block]:
    if part.end - part.start <= LONGEST * 3 // 2:
        return [Block(start=part.start, end=part.end, level=level)]
    made, start = [], part.start
    while start < part.end:
        end = min(part.end, start + LONGEST)
        if end < part.end:
            ends = [found.end() for found in _END.finditer(text, start + LONGEST // 2, end)]
            end = ends[-1] if ends else end
        made.append(Block(start=start, end=end, goes_on=start > part.start))
        start = end
    return made
