"""The lines of a PDF in reading order, without page numbers and running heads. Knows no paragraphs.

Coordinates are points from the upper left corner of a page.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.documents.canonical import clean, one_line
from app.documents.mupdf import pymupdf
from app.documents.numerals import number

# ligatures are printed forms of letters: without the flag that keeps them they come as letters
TEXT_FLAGS = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
_BOLD = 16
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARGIN = 0.13  # of the page's height: where running heads and page numbers stand
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one column. size: of its type in points; block: MuPDF's number for what it took for a paragraph.

    role: "body", or "note", "caption" and "float" for what interrupts the text (``pdf_floats``).
    """

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    bold: bool
    block: int
    column: int = 0
    role: str = "body"

    @property
    def height(self) -> float:
        return max(self.y1 - self.y0, 0.1)


@dataclass(frozen=True, slots=True)
class PageLines:
    """The lines of the page ``number`` (from 1). ``pictures``: whether images or drawings stand on it."""

    number: int
    width: float
    height: float
    lines: tuple[Line, ...]


def read(document: pymupdf.Document) -> list[PageLines]:
    """All pages, their lines in reading order; blank lines are kept as lines of no text."""
    return in_order([_read_page(page, index + 1) for index, page in enumerate(document.pages())])


def in_order(pages: Sequence[PageLines]) -> list[PageLines]:
    """Pages whose lines stand as a file or a recognizer has them, in reading order, without running heads."""
    repeated = _running(pages)
    return [
        replace(
            page, lines=tuple(_in_order(page, [line for n, line in enumerate(page.lines) if (i, n) not in repeated]))
        )
        for i, page in enumerate(pages)
    ]


def _read_page(page: pymupdf.Page, number: int) -> PageLines:
    upright: list[Line] = []
    turned: list[Line] = []
    content: dict[str, Any] = page.get_text("dict", flags=TEXT_FLAGS)
    for block in content["blocks"]:
        for line in block.get("lines", ()):
            spans = line["spans"]
            x0, y0, x1, y1 = line["bbox"]
            inked = [span for span in spans if span["text"].strip()] or spans
            longest = max(inked, key=lambda span: len(span["text"]))
            text = clean("".join(_said(span, longest) for span in spans).translate(_LIGATURES))
            bold = all(span["flags"] & _BOLD or "bold" in span["font"].lower() for span in inked)
            direction = upright if line["dir"][0] > 0.9 or line["wmode"] == 1 else turned
            direction.append(Line(one_line(text), x0, y0, x1, y1, longest["size"], bold, block["number"]))
    # a stamp along the margin is not the text; a page set sideways is
    lines = upright if sum(len(line.text) for line in upright) >= sum(len(line.text) for line in turned) else turned
    return PageLines(number, page.rect.width, page.rect.height, tuple(lines))


def _said(span: dict[str, Any], longest: dict[str, Any]) -> str:
    # raised digits stay apart from the word or number they stand at: a note's mark, an exponent
    text: str = span["text"]
    raised = span["size"] < 0.85 * longest["size"] and span["origin"][1] < longest["origin"][1] - 0.1 * longest["size"]
    return text.translate(_RAISED) if raised and text.strip().isdecimal() else text


def _running(pages: Sequence[PageLines]) -> set[tuple[int, int]]:
    """(page, line) of page numbers and running heads: in a margin, the same at the same height on three pages.

    A line with a number counts as the same if the number goes up with the page; "Chapter 1", "Chapter 2" at the top
    of pages does not.
    """
    needed = min(_REPEATS, max(2, len(pages)))
    places: dict[tuple[str, int, int | None], list[tuple[int, int]]] = defaultdict(list)
    for index, page in enumerate(pages):
        for n, line in enumerate(page.lines):
            inside = _MARGIN * page.height < (line.y0 + line.y1) / 2 < (1 - _MARGIN) * page.height
            if inside or not line.text or len(line.text) > 150:
                continue
            height = round(line.y0 / 4)
            shape, offset = _shape(line.text, page.number)
            for near in (height - 1, height, height + 1):
                places[shape, near, offset].append((index, n))
                # a year stays as it is: "Proceedings of OSDI 2012"
                places[line.text, near, 0].append((index, n))
    return {place for found in places.values() if len({p for p, _ in found}) >= needed for place in found}


def _shape(text: str, page: int) -> tuple[str, int | None]:
    """A line with its number left out, and that number less the page's."""
    if (value := number(text)) is not None:
        return "#", value - page
    for match in reversed(list(re.finditer(r"\d+", text))):
        if len(match[0]) < 5 and (match.start() == 0 or match.end() == len(text)):
            return text[: match.start()] + "#" + text[match.end() :], int(match[0]) - page
    return text, None


def _in_order(page: PageLines, lines: list[Line]) -> list[Line]:
    """One column: as the file has it, which is how it was written. Two: each down in turn, between what spans both.

    Inside a column MuPDF's blocks go by their height on the page, and lines stay as they stand in their block.
    """
    gutter = _gutter(page, lines)
    if gutter is None:
        return _merged(lines)
    left, right = gutter
    placed = [replace(line, column=_column_of(line, left, right)) for line in lines if line.text]
    across = sorted(line.y0 for line in placed if line.column == 2)
    tops: dict[tuple[int, int], float] = {}
    for line in placed:
        part = (line.block, line.column)
        tops[part] = min(line.y0, tops.get(part, line.y0))

    def position(line: Line) -> tuple[int, int, float]:
        top = tops[line.block, line.column]
        above = bisect_left(across, top - 0.5)  # lines that span both columns and stand above
        return (above * 2 + (line.column == 2), line.column, top)

    return _merged(sorted(placed, key=position))


def _column_of(line: Line, left: float, right: float) -> int:
    """0 the left, 1 the right, 2 across both."""
    if line.x0 < left - 2 and line.x1 > right + 2:
        return 2
    return int(line.x0 >= (left + right) / 2)


def _gutter(page: PageLines, lines: Sequence[Line]) -> tuple[float, float] | None:
    """The white strip between two columns, or None: few lines cross the middle and both sides are well filled."""
    middle = page.width / 2
    wide = [line for line in lines if line.text and line.x1 - line.x0 > page.width * 0.2]
    west = sorted(line.x1 for line in wide if line.x1 < middle + page.width * 0.05 and line.x0 < middle * 0.8)
    east = sorted(line.x0 for line in wide if line.x0 > middle - page.width * 0.05)
    if min(len(west), len(east)) < 5 or (len(west) + len(east)) < 0.6 * len(wide):
        return None
    left, right = west[len(west) // 2], east[len(east) // 10]
    return (left, right) if left <= right else None


def _merged(lines: Iterable[Line]) -> list[Line]:
    """Pieces on one baseline ("1" and "Introduction", the parts of a formula) become one line."""
    merged: list[Line] = []
    for line in lines:
        before = merged[-1] if merged else None
        if before is not None and line.text and before.text and before.column == line.column:
            overlap = min(before.y1, line.y1) - max(before.y0, line.y0)
            near = -1 < line.x0 - before.x1 < 4 * max(before.size, line.size) or before.block == line.block
            # of two scripts at one letter the lower is set under the upper
            under = line.size < 0.8 * before.size and line.x0 > max(before.x0, before.x1 - 4 * before.size)
            beside = line.x0 >= before.x1 - 1 and near
            if overlap > 0.5 * min(before.height, line.height) and (beside or under):
                space = " " if line.x0 - before.x1 > 0.15 * before.size else ""
                longer = max(before, line, key=lambda part: len(part.text))
                merged[-1] = replace(
                    before,
                    text=before.text + space + line.text,
                    x1=max(before.x1, line.x1),
                    y0=min(before.y0, line.y0),
                    y1=max(before.y1, line.y1),
                    size=longer.size,
                    bold=before.bold and line.bold,
                )
                continue
        merged.append(line)
    return merged


def body_size(pages: Sequence[PageLines]) -> float:
    """The size of type that most letters are set in; 10 points if there are none."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size * 2) / 2] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 10.0
