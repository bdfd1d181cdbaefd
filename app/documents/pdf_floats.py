"""What stands on a page beside its running text: footnotes, captions, and the words of figures and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from app.documents.pdf_lines import Line, PageLines

NOTE_MARK = re.compile(r"[¹²³⁴-⁹⁰*†‡§¶]|\d{1,2}\s+\S")
_CAPTION = re.compile(
    r"(?:Fig(?:ure|\.)?|Table|Algorithm|Listing|Abbildung|Tabelle)\s*\d{1,3}(?:\.\d{1,3})*\s*[:.]|[图圖表]\s*\d{1,3}"
)
_SECTION = re.compile(r"(?:\d{1,2}(?:\.\d{1,2})*\.?|[A-H]\.?)\s+[A-Z]")
_ENDS = re.compile(r"[.!?:;][\"'”’)\]]*$")
_FEW = 8  # lines
_RAISED = re.compile(r"[¹²³⁴-⁹⁰]+\s*[^\W\d]")
_SMALL = 0.93  # of the text's size of type: notes are set smaller


def mark(page: PageLines, body: float) -> PageLines:
    """The page with the role of each line; ``body`` is the size of type of the document's text, in points."""
    roles = ["body"] * len(page.lines)
    for column in {line.column for line in page.lines}:
        _mark_notes(page.lines, column, body, roles)
    for index in range(len(page.lines)):
        if roles[index] == "body" and _begins_caption(page.lines, index):
            _mark_float(page, index, body, roles)
    lines = zip(page.lines, roles, strict=True)
    return replace(page, lines=tuple(line if role == "body" else replace(line, role=role) for line, role in lines))


def _mark_notes(lines: Sequence[Line], column: int, body: float, roles: list[str]) -> None:
    """The small lines at the foot of a column, from the first that begins with a mark on."""
    own = [index for index, line in enumerate(lines) if line.column == column and line.text]
    first = len(own)
    while first and lines[own[first - 1]].size < _SMALL * body:
        first -= 1
    begin = next((n for n in range(first, len(own)) if NOTE_MARK.match(lines[own[n]].text)), None)
    if begin is None:
        # notes in the size of the text: a raised number at the foot tells them
        raised = [n for n in range(max(0, len(own) - _FEW), len(own)) if _RAISED.match(lines[own[n]].text)]
        begin = next((n for n in raised if lines[own[n]].y0 > lines[own[n - 1]].y1 > 0), None)
    # a column of notes only is no text with notes
    if begin:
        for index in own[begin:]:
            roles[index] = "note"


def _begins_caption(lines: Sequence[Line], index: int) -> bool:
    line = lines[index]
    before = lines[index - 1] if index else None
    begins = before is None or before.block != line.block or before.column != line.column
    return begins and _CAPTION.match(line.text) is not None


def _mark_float(page: PageLines, index: int, body: float, roles: list[str]) -> None:
    """A caption with the words of its figure or table, which stand above it, or below a table's."""
    lines = page.lines
    caption = lines[index]
    last = index
    while last + 1 < len(lines) and _continues(lines[last], lines[last + 1]):
        last += 1
    for n in range(index, last + 1):
        roles[n] = "caption"
    across = caption.column == 2
    beside = [n for n, line in enumerate(lines) if line.text and (across or line.column in (caption.column, 2))]
    units: dict[tuple[int, int], list[int]] = {}
    for n in beside:
        if roles[n] == "body":
            units.setdefault((lines[n].block, lines[n].column), []).append(n)
    width = _width(page, caption.column)
    above = sorted(
        (unit for unit in units.values() if max(lines[n].y1 for n in unit) <= caption.y0 + 2),
        key=lambda unit: -max(lines[n].y1 for n in unit),
    )
    taken = _take(lines, above, width, body)
    if not taken and caption.text.startswith(("Tab", "表")):
        foot = lines[last].y1
        below = sorted(
            (unit for unit in units.values() if min(lines[n].y0 for n in unit) >= foot - 2),
            key=lambda unit: min(lines[n].y0 for n in unit),
        )
        taken = _take(lines, below, width, body)
    for n in taken:
        roles[n] = "float"


def _continues(a: Line, b: Line) -> bool:
    same = a.block == b.block and a.column == b.column and abs(a.size - b.size) < 0.6
    return same and 0 <= b.y0 - a.y0 < 1.5 * a.size


def _width(page: PageLines, column: int) -> float:
    own = sorted(line.x1 - line.x0 for line in page.lines if line.column == column and line.text)
    return own[int(len(own) * 0.9)] if own else page.width


def _take(lines: Sequence[Line], units: Sequence[Sequence[int]], width: float, body: float) -> list[int]:
    taken: list[int] = []
    for unit in units:
        if any(_is_text(lines[n], width, body) for n in unit):
            break
        taken += unit
    return taken


def _is_text(line: Line, width: float, body: float) -> bool:
    """Whether a line is of the running text or one of its headings rather than a label or a cell."""
    if line.size > 1.08 * body or (line.bold and _SECTION.match(line.text)):
        return True
    if abs(line.size - body) > 0.08 * body:
        return False
    wide = line.x1 - line.x0 > 0.62 * width
    return (wide and len(line.text.split()) > 3) or (len(line.text.split()) > 3 and _ENDS.search(line.text) is not None)
