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
    """``lines[start:end]`` is the book itself."""

    start: int
    end: int
    title: str | None = None
    authors: tuple[str, ...] = ()
    language: str | None = None


def find_frame(lines: Sequence[str]) -> Frame:
    """The frame of a text given by its lines (or paragraphs); everything is the book if there is none."""
    marked = [n for n, line in enumerate(lines) if "utenberg" in line or "GUTENBERG" in line or "SMALL PRINT" in line]
    start, end = 0, len(lines)
    for n in marked:
        if _START.match(lines[n]) or _SMALL_PRINT.match(lines[n]):
            # the marker may be broken over lines: it goes on to its closing asterisks
            closing = next((m for m in range(n, min(n + 4, end)) if lines[m].rstrip().endswith("***")), n)
            start = closing + 1
            if _START.match(lines[n]):
                break
    for n in marked:
        if n >= start and (_END.match(lines[n]) or _LAST_WORDS.match(lines[n])):
            end = n
            break
    if start == 0 and not any(n < 40 for n in marked):
        return Frame(start=0, end=end)
    fields = _fields(lines[: start or 60])
    authors = split_authors(fields.get("author") or fields.get("authors") or "")
    return Frame(
        start=_after_credits(lines, start, end) if start else 0,
        end=end,
        title=fields.get("title"),
        authors=authors,
        language=fields.get("language"),
    )


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


def _after_credits(lines: Sequence[str], start: int, end: int) -> int:
    """Skip "Produced by …" at the top of the book: one paragraph, up to a blank line."""
    first = next((n for n in range(start, min(start + 12, end)) if lines[n].strip()), start)
    if first >= end or not _CREDIT.match(lines[first]):
        return start
    return next((n for n in range(first, min(first + 8, end)) if not lines[n].strip()), first + 1)
