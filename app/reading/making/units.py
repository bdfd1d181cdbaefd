"""A text as sentences, cut into windows that a model reads one at a time. Ranges count code points.

A unit is a sentence, or short neighbours of one paragraph together; headings stand alone. What a window shows depends
on the text and on the tokens allowed only, so that what was read of it for one template is found again for another.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.documents.model import Chapter, Paragraph

# characters: a unit of fewer is joined to the next, one of more is cut
LEAST, MOST = 60, 480
LEAST_WIDE, MOST_WIDE = 24, 200
# tokens before the first chapter that may be a title and a name
TITLE_PAGE = 120
# a window ends at a chapter's end if it is so full by then
FULL = 0.5

_END = re.compile(
    r"""(?:[.!?…]+["'”’»)\]_*]*(?=\s+["'“‘«(\[_*]*[A-Z0-9À-ÞΑ-ΩА-Я]) | [。．！？!?…]+[”’」』）》】]* )""", re.VERBOSE
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Rev|Capt|Col|Gen|No|Fig|Figs|Tab|Eq|Sec|vs|cf|al|e\.g|i\.e|pp?)|\b[A-Z])\.\Z"
)
_BREAK = re.compile(r"[,;:，；：、\s]")


@dataclass(frozen=True, slots=True)
class Unit:
    """``text[start:end]``; chapter: its ordinal from 0, -1 before the first; wide: Chinese, Japanese or Korean."""

    start: int
    end: int
    chapter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A part of one document that is read at once. title: of its chapter, or ""; tokens: about."""

    document: int
    title: str
    chapter: int
    units: tuple[Unit, ...]
    tokens: int

    @property
    def start(self) -> int:
        return self.units[0].start

    @property
    def end(self) -> int:
        return self.units[-1].end


def units(text: str, paragraphs: Sequence[Paragraph], chapters: Sequence[Chapter]) -> list[Unit]:
    """Of the body: contents, title pages, licences and indexes are left out."""
    starts = [chapter.start for chapter in chapters]
    found = []
    for paragraph in paragraphs:
        number = bisect_right(starts, paragraph.start) - 1
        if number >= 0 and not chapters[number].is_read and paragraph.start < chapters[number].end:
            continue
        found += [Unit(start, end, number) for start, end in sentences(text, paragraph.start, paragraph.end)]
    return found


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The units of one paragraph, without the spaces around them."""
    body = text[start:end]
    wide = sum(ord(character) >= 0x2E80 for character in body) * 2 > len(body)
    least, most = (LEAST_WIDE, MOST_WIDE) if wide else (LEAST, MOST)
    first = 0
    for match in _END.finditer(body):
        if match.end() - first < least or _ABBREVIATED.search(body[max(first, match.end() - 8) : match.end()]):
            continue
        if len(body) - match.end() < least // 2:
            break
        yield from _cut(text, start + first, start + match.end(), most)
        first = match.end()
    yield from _cut(text, start + first, end, most)


def _cut(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    while end - start > most:
        # at the last comma or space of the second half
        places = [match.end() for match in _BREAK.finditer(text, start + most // 2, start + most)]
        stop = places[-1] if places else start + most
        yield from _trimmed(text, start, stop)
        start = stop
    yield from _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    said = text[start:end]
    if said.strip():
        yield start + len(said) - len(said.lstrip()), start + len(said.rstrip())


def windows(
    document: int,
    text: str,
    found: Sequence[Unit],
    chapters: Sequence[Chapter],
    offsets: array[int],
    *,
    tokens: int,
    by_chapter: bool,
    only: str | None = None,
) -> list[Window]:
    """``offsets``: where the text's tokens begin; ``tokens``: what a window may take; ``only``: of units to show."""
    if only is not None:
        expression = re.compile(only)
        found = [unit for unit in found if expression.search(text, unit.start, unit.end)]
    made: list[Window] = []
    held: list[Unit] = []
    taken = 0

    def close() -> None:
        nonlocal held, taken
        if held:
            chapter = held[0].chapter
            title = chapters[chapter].title if chapter >= 0 and held[0].start < chapters[chapter].end else ""
            made.append(Window(document=document, title=title, chapter=chapter, units=tuple(held), tokens=taken))
        held, taken = [], 0

    for unit in found:
        size = bisect_left(offsets, unit.end) - bisect_right(offsets, unit.start) + 2
        crosses = bool(held) and unit.chapter != held[-1].chapter
        if taken + size > tokens or (crosses and (by_chapter or taken > FULL * tokens)):
            close()
        held.append(unit)
        taken += size
    close()
    if by_chapter:
        # a heading alone is no chapter, nor is a title page
        made = [one for one in made if len(one.units) > 1 and (one.chapter >= 0 or one.tokens > TITLE_PAGE)] or made
    return made


def spread(found: Sequence[Window], most: int | None) -> list[Window]:
    """At most so many, evenly from the first on."""
    if most is None or len(found) <= most:
        return list(found)
    return [found[n * len(found) // most] for n in range(most)]


def lines(text: str, window: Window) -> list[str]:
    """Its sentences, each on one line."""
    return [" ".join(text[unit.start : unit.end].split()) for unit in window.units]
