"""The frame that Project Gutenberg puts around a book: what it says of the book, and where it ends.

The header's ``Title:`` and ``Author:`` are kept; header, licence and markers do not belong to the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.documents.naming import split_authors

_HEADER_LINES = 400  # the longest headers known have about 300
_START = re.compile(r"\s*\*{3}\s*START OF (?:THE|THIS) PROJECT GUTENBERG", re.IGNORECASE)
_SMALL_PRINT = re.compile(r"\s*\*?(?:\*{3})?\s*END\s*\*?\s*THE SMALL PRINT", re.IGNORECASE)
_END = re.compile(r"\s*\*{3}\s*END OF (?:THE|THIS) PROJECT GUTENBERG", re.IGNORECASE)
_LAST_WORDS = re.compile(r"\s*End of (?:the |this )?Project Gutenberg", re.IGNORECASE)
_FIELD = re.compile(r"\s*(Title|Authors?|Language)\s*:\s*(\S.*)", re.IGNORECASE)
_OTHER_FIELD = re.compile(r"\s*[A-Z][\w ()\[\]]{2,40}:|\s*[\[*]")
_CREDIT = re.compile(
    r"\s*(?:E-?text |This e-?(?:text|book) was )?(?:Produced|Prepared|Transcribed|Scanned|Proofed)\b.{0,12}"
    r"\b(?:by|from)\b|\s*(?:Produced|Prepared) by\b|\s*An Anonymous Volunteer\b|\s*HTML version by\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """``ranges`` are the lines, from and to, of the book itself; of each book, where several are in one file.

    Title, authors and language are the header's; a file of several books has a title of its own.
    """

    ranges: tuple[tuple[int, int], ...]
    title: str | None = None
    authors: tuple[str, ...] = ()
    language: str | None = None

    def holds(self, line: int) -> bool:
        return any(start <= line < end for start, end in self.ranges)


def find_frame(lines: Sequence[str]) -> Frame:
    """The frame of a text given by its lines (or paragraphs); everything is the book if there is none."""
    marked = [n for n, line in enumerate(lines) if "utenberg" in line or "GUTENBERG" in line or "SMALL PRINT" in line]
    ranges: list[tuple[int, int]] = []
    start: int | None = None
    header = 0  # lines before the first book
    small_print = False
    for n in marked:
        begins = _START.match(lines[n]) is not None
        if begins or (start is None and _SMALL_PRINT.match(lines[n])):
            if start is not None and not small_print:
                ranges.append((start, n))
            start = _after_credits(lines, _after_marker(lines, n))
            small_print = not begins
            header = header or n
        elif start is not None and (_END.match(lines[n]) or _LAST_WORDS.match(lines[n])):
            ranges.append((start, n))
            start = None
    if start is not None:
        ranges.append((start, len(lines)))
    if not ranges:
        # without a header only what stands near the end can be the frame's
        last = max((n for n in marked if 2 * n > len(lines) and _LAST_WORDS.match(lines[n])), default=len(lines))
        ranges = [(0, last)]
        header = 60 if any(n < 40 for n in marked) else 0
    if len(ranges) > 1 or not header:
        return Frame(ranges=tuple(ranges))
    fields = _fields(lines[:header])
    return Frame(
        ranges=tuple(ranges),
        title=fields.get("title"),
        authors=split_authors(fields.get("author") or fields.get("authors") or ""),
        language=fields.get("language"),
    )


def _after_marker(lines: Sequence[str], marker: int) -> int:
    """The marker may be broken over lines: it goes on to its closing asterisks."""
    end = min(marker + 4, len(lines))
    return next((n for n in range(marker, end) if lines[n].rstrip().endswith("***")), marker) + 1


def _fields(header: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = None
    for line in header[:_HEADER_LINES]:
        if match := _FIELD.match(line):
            name = match[1].lower()
            found.setdefault(name, match[2].strip())
        elif name and line.strip() and not _OTHER_FIELD.match(line):
            found[name] += " " + line.strip()
        else:
            name = None
    return found


def _after_credits(lines: Sequence[str], start: int) -> int:
    """Skip "Produced by …" at the top of the book: one paragraph, up to a blank line."""
    end = len(lines)
    first = next((n for n in range(start, min(start + 12, end)) if lines[n].strip()), start)
    if first >= end or not _CREDIT.match(lines[first]):
        return start
    return next((n for n in range(first, min(first + 8, end)) if not lines[n].strip()), first + 1)
