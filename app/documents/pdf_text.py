"""Lines of a PDF to paragraphs: which line breaks are only there because a line, a column or a page was full."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Literal

from app.documents.canonical import Block, is_wide, join_lines
from app.documents.pdf_floats import NOTE_MARK, mark
from app.documents.pdf_lines import Line, PageLines, body_size

_WORD = re.compile(r"[^\W\d_]+(?:[-‐][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?:;。！？：；…][\"'”’»」』)\]]*$")
_BULLET = re.compile(r"(?:[•◦▪●–—]|\[\d{1,3}\]|\(?(?:\d{1,3}|[a-z])[.)])(?:\s|$)")
_NUMBERED = re.compile(r"(?:\d{1,2}(?:\.\d{1,2})*\.?|[A-H]\.?)(?:\s|$)")

_Break = Literal["join", "line", "paragraph"]


@dataclass(slots=True)
class PdfBlock(Block):
    """A paragraph with the look of its first line."""

    size: float = 0.0
    bold: bool = False
    role: str = "body"
    breaks: list[_Break] = field(default_factory=list)  # before each line
    lines: list[tuple[int, Line]] = field(default_factory=list)  # page number and line


@dataclass(slots=True)
class _Column:
    """Where the text of one column begins and ends."""

    left: float
    right: float


def paragraphs(pages: Sequence[PageLines]) -> list[PdfBlock]:
    """The paragraphs of the pages in order; each knows where in it a page begins."""
    words = _vocabulary(pages)
    pitch, body = _pitch(pages), body_size(pages)
    usual = _usual_widths(pages)
    done, floats = _flow([mark(page, body) for page in pages], usual, pitch, body)
    blocks = _placed(done, floats)
    for block in blocks:
        _fill(block, block.breaks, words)
    return blocks


def _flow(
    pages: Sequence[PageLines], usual: dict[int, float], pitch: float, body: float
) -> tuple[list[PdfBlock], list[tuple[int, PdfBlock]]]:
    """The paragraphs of the text, and what interrupts it, each with the number of the paragraph before it."""
    done: list[PdfBlock] = []
    floats: list[tuple[int, PdfBlock]] = []
    before: tuple[int, Line, _Column] | None = None
    aside: tuple[int, Line, _Column] | None = None
    for page in pages:
        columns, own = _columns(page, usual), _own_edges(page)
        between = False
        for line in page.lines:
            if not line.text:
                continue
            here = (page.number, line, own.get((line.block, line.column)) or columns[line.column])
            if line.role != "body":
                if _opens(aside, here):
                    floats.append((len(done) - 1, PdfBlock("", size=line.size, bold=line.bold, role=line.role)))
                block = floats[-1][1]
                block.breaks.append(_aside_break(aside, here) if block.lines else "paragraph")
                block.lines.append((page.number, line))
                aside, between = here, True
                continue
            kind = _break(before, here, pitch, body, between)
            if kind == "paragraph":
                done.append(PdfBlock("", size=line.size, bold=line.bold))
            done[-1].breaks.append(kind)
            done[-1].lines.append((page.number, line))
            before, aside, between = here, None, False
    return done, floats


def _opens(before: tuple[int, Line, _Column] | None, here: tuple[int, Line, _Column]) -> bool:
    """Whether a note, a caption or a figure's words begin here."""
    if before is None or before[0] != here[0] or before[1].role != here[1].role:
        return True
    a, b = before[1], here[1]
    if b.role == "note":
        return NOTE_MARK.match(b.text) is not None
    return b.role == "caption" and a.block != b.block


def _aside_break(before: tuple[int, Line, _Column] | None, here: tuple[int, Line, _Column]) -> _Break:
    # rows of a table and labels of a figure stay lines
    return "line" if before is None or here[1].role == "float" else "join"


def _placed(done: list[PdfBlock], floats: Sequence[tuple[int, PdfBlock]]) -> list[PdfBlock]:
    """All blocks in order: what interrupts a paragraph comes after it, on the page where it is printed.

    A paragraph that goes on over the page has it before itself, or is divided at the end of a sentence if it began
    on an earlier page: pages follow each other in the text.
    """
    after: dict[int, list[PdfBlock]] = {}
    ahead: dict[int, list[PdfBlock]] = {}
    inside: dict[int, list[PdfBlock]] = {}
    for index, block in floats:
        page = block.lines[0][0]
        if index < 0:
            ahead.setdefault(0, []).append(block)
        elif done[index].lines[-1][0] <= page:
            after.setdefault(index, []).append(block)
        elif done[index].lines[0][0] == page:
            ahead.setdefault(index, []).append(block)
        else:
            inside.setdefault(index, []).append(block)
    placed: list[PdfBlock] = []
    for index, block in enumerate(done):
        placed += ahead.get(index, [])
        for part in inside.get(index, []):
            first, rest = _divided(block, part.lines[0][0])
            placed += [first, part] if first.lines else [part]
            block = rest
        placed.append(block)
        placed += after.get(index, [])
    return [block for block in (placed if done else [block for _, block in floats]) if block.lines]


def _divided(block: PdfBlock, page: int) -> tuple[PdfBlock, PdfBlock]:
    """The lines up to the last that ends a sentence on this page, and the others."""
    on = [n for n, (number, _) in enumerate(block.lines) if number <= page]
    end = next(
        (n for n in reversed(on) if block.lines[n][0] == page and _SENTENCE_END.search(block.lines[n][1].text)),
        on[-1] if on else -1,
    )
    first = replace(block, lines=block.lines[: end + 1], breaks=block.breaks[: end + 1], pages=[])
    return first, replace(block, lines=block.lines[end + 1 :], breaks=block.breaks[end + 1 :], pages=[])


def _fill(block: PdfBlock, breaks: Sequence[_Break], words: frozenset[str]) -> None:
    """Join the lines of a block into its text."""
    text = ""
    page = None
    for (number, line), kind in zip(block.lines, breaks, strict=True):
        if kind == "line":
            text += "\n"
        elif text:
            text = _without_hyphen(text, line.text, words)
        if number != page:
            block.pages.append((len(text), number))
            page = number
        text += line.text
    block.text = text


def _without_hyphen(text: str, after: str, words: frozenset[str]) -> str:
    """The text, ready for the next line: with a space, or without the hyphen that only the line end put there."""
    if text[-1] in "-‐" and text[-2:-1].isalpha() and after[0].islower():
        first = _WORD.findall(text[-60:])[-1].rstrip("-‐")
        second = _WORD.match(after)[0]  # type: ignore[index]  # it begins with a letter
        joined = f"{first}{second}".lower()
        if joined in words:
            return text[:-1]
        whole = f"{first}-{second}".lower() in words
        compound = first.lower() in words and second.lower() in words and len(first) > 2
        return text if whole or compound else text[:-1]
    return text + join_lines(text, after)


def _vocabulary(pages: Sequence[PageLines]) -> frozenset[str]:
    """The words of the document as they stand inside lines, compounds with their hyphens."""
    words: set[str] = set()
    for page in pages:
        for line in page.lines:
            found = _WORD.findall(line.text)
            if line.text[-1:] in "-‐":
                found = found[:-1]
            words.update(word.lower() for word in found)
    return frozenset(words)


def _pitch(pages: Sequence[PageLines]) -> float:
    """The usual distance of two lines, in multiples of their size of type."""
    steps = []
    for page in pages[:200]:
        for a, b in pairwise(page.lines):
            if (
                a.text
                and b.text
                and a.column == b.column
                and abs(a.size - b.size) < 0.5
                and 0 < b.y0 - a.y0 < 4 * a.size
            ):
                steps.append((b.y0 - a.y0) / a.size)
    return median(steps) if steps else 1.2


def _columns(page: PageLines, usual: dict[int, float]) -> dict[int, _Column]:
    """The edges of each column of a page; a page of short lines takes the width that is usual in the document."""
    columns: dict[int, _Column] = {}
    for number in {line.column for line in page.lines}:
        lefts = sorted(line.x0 for line in page.lines if line.column == number and line.text)
        if lefts:
            left = lefts[len(lefts) // 10]
            columns[number] = _Column(left, max(left + usual.get(number, 0.0), _right(page, number)))
    return columns


def _right(page: PageLines, column: int) -> float:
    rights = sorted(line.x1 for line in page.lines if line.column == column and line.text)
    return rights[int(len(rights) * 0.9)]


def _usual_widths(pages: Sequence[PageLines]) -> dict[int, float]:
    """The median width of each column over all pages."""
    widths: dict[int, list[float]] = {}
    for page in pages:
        for number, column in _columns(page, {}).items():
            widths.setdefault(number, []).append(column.right - column.left)
    return {number: median(values) for number, values in widths.items()}


def _own_edges(page: PageLines) -> dict[tuple[int, int], _Column]:
    """The edges of blocks that are wrapped by a measure of their own, such as an abstract set narrower.

    Every line but the last is full by that measure, and most end at it or go on in the middle of a sentence: verse,
    code and tables do neither.
    """
    parts: dict[tuple[int, int], list[Line]] = {}
    for line in page.lines:
        if line.text:
            parts.setdefault((line.block, line.column), []).append(line)
    edges = {}
    for place, lines in parts.items():
        if len(lines) < 3 or any(_BULLET.match(line.text) for line in lines[1:]):
            continue
        edge = _Column(min(line.x0 for line in lines), max(line.x1 for line in lines))
        flush = sum(edge.right - line.x1 < 1.5 for line in lines[:-1])
        lower = sum(line.text[0].islower() for line in lines[1:])
        prose = 2 * lower >= len(lines) - 1 or (2 * flush >= len(lines) - 1 and len(lines) > 3)
        if prose and all(_is_full(a, b, edge) for a, b in pairwise(lines)):
            edges[place] = edge
    return edges


def _break(
    before: tuple[int, Line, _Column] | None,
    here: tuple[int, Line, _Column],
    pitch: float,
    body: float,
    between: bool = False,
) -> _Break:
    """What stands between two lines that follow each other, or would if nothing stood ``between`` them."""
    if before is None:
        return "paragraph"
    page, a, column = before
    next_page, b, next_column = here
    if abs(a.size - b.size) > 0.12 * max(a.size, b.size) or a.bold != b.bold:
        # a bold or large word inside a paragraph is no heading: a heading's line is not full
        small = abs(a.size - b.size) <= 0.12 * max(a.size, b.size)
        inside = small and a.size <= 1.15 * body and a.block == b.block
        return "join" if inside and _is_full(a, b, column) else "paragraph"
    full = _is_full(a, b, column)
    indented = b.x0 > next_column.left + 0.8 * b.size and b.x0 > a.x0 - column.left + next_column.left + 0.8 * b.size
    if a.column != b.column and 2 in (a.column, b.column):
        return "paragraph"
    if between or page != next_page or a.column != b.column or b.y0 < a.y0 - a.height:
        goes_on = full or (b.text[0].islower() and not _SENTENCE_END.search(a.text))
        return "join" if goes_on and not indented and not _BULLET.match(b.text) else "paragraph"
    if a.size > 1.15 * body:  # a heading of several lines, or several headings
        return "join" if b.y0 - a.y0 < 1.7 * a.size and not _NUMBERED.match(b.text) else "paragraph"
    if b.y0 - a.y0 > 1.3 * pitch * max(a.size, b.size):
        return "paragraph"
    if _BULLET.match(b.text) and (not full or a.block != b.block):
        return "line" if a.block == b.block else "paragraph"
    if full:
        ends = _SENTENCE_END.search(a.text) is not None
        return "paragraph" if ends and (indented or a.block != b.block) else "join"
    return "paragraph" if indented or a.block != b.block else "line"


def _is_full(a: Line, b: Line, column: _Column) -> bool:
    """Whether the first word of the next line had no room on this one."""
    per_character = (b.x1 - b.x0) / max(len(b.text), 1)
    word = 1 if is_wide(b.text[0]) else len(b.text.split(maxsplit=1)[0])
    return a.x1 + (word + 1) * per_character > column.right - 0.2 * a.size
