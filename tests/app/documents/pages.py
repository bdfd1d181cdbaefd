"""Lines for the pages of ``make_pdf``: (x, y of the baseline, text, size of type)."""

from __future__ import annotations

from collections.abc import Sequence

Line = tuple[float, float, str, float]


def prose(x: float, y: float, lines: Sequence[str], *, size: float = 11, step: float = 14) -> list[Line]:
    """Lines of one paragraph, one under the other."""
    return [(x, y + n * step, line, size) for n, line in enumerate(lines)]


LONG = (
    "The lamp had burned all night on the shelf beside the old",
    "window and nobody in the house had thought of putting it",
    "out before the morning came over the hills and the birds",
    "began.",
)
OTHER = (
    "Much later, when the year was nearly over, they found that",
    "the oil had been changed for water and that the flame had",
    "been painted on the glass by somebody with a steady hand.",
)


def joined(lines: Sequence[str]) -> str:
    return " ".join(lines)
