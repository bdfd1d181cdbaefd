"""Finds a passage again in another version of its text, by its words and by what stood around it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

# characters kept from either side of a passage
AROUND = 48


def around(text: str, start: int, end: int) -> tuple[str, str]:
    """What stands before and after ``text[start:end]``: enough to tell it from its like."""
    return text[max(0, start - AROUND) : start], text[end : end + AROUND]


def find_again(
    text: str, quote: str, before: str, after: str, *, share: float, least: int = 4
) -> tuple[int, int] | None:
    """Where ``quote`` stands in ``text``, white space aside, or None.

    Of several places the one whose surroundings agree most; of those the one nearest to ``share`` (0 to 1) of the
    text. ``least``: a shorter quote needs a neighbour's word to be believed.
    """
    words = quote.split()
    if not words:
        return None
    pattern = re.compile(r"\s+".join(map(re.escape, words)))
    best: tuple[float, float, int, int] | None = None
    for found in pattern.finditer(text):
        agree = _common(text[max(0, found.start() - AROUND) : found.start()][::-1], before[::-1])
        agree += _common(text[found.end() : found.end() + AROUND], after)
        if agree == 0 and len(quote) < least:
            continue
        away = abs(found.start() / max(1, len(text)) - share)
        if best is None or (agree, -away) > best[:2]:
            best = (agree, -away, found.start(), found.end())
    return None if best is None else best[2:]


def floor(starts: Sequence[int], offset: int) -> int:
    """The last of ``starts`` that is not behind ``offset``; 0 before the first."""
    place = bisect_right(starts, offset)
    return starts[place - 1] if place else 0


def _common(one: str, other: str) -> int:
    """How many characters two texts share from their beginnings, white space aside."""
    count = 0
    for a, b in zip("".join(one.split()), "".join(other.split()), strict=False):
        if a != b:
            break
        count += 1
    return count
