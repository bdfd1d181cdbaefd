"""How long a chunk takes, fitted while reading: for the time left, and for chunks that take equal time.

    t(L, x) = c + g L + b x + a (2 L x + x²)        x new tokens after L

as in Qwen2.5-1M's dynamic chunked prefill (arXiv 2501.15383, section 5), with the last term counting the pairs that
are attended to, which is 2 L x + x² only where attention is dense. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

# an older chunk counts less: other programs come and go
FADE = 0.8
# how much a fit is drawn towards what operations say, against one whole chunk's error
PRIOR = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One chunk. before, tokens: L and x; linear, attention: operations, at the speed of a large matrix product."""

    before: int
    tokens: int
    linear: float
    attention: float

    @property
    def whole(self) -> float:
        return self.linear + self.attention

    @property
    def terms(self) -> tuple[float, float, float, float]:
        return 1.0, float(self.before), self.linear, self.attention


class CostModel:
    """Seconds of a chunk, from the chunks seen so far. With few of them, or alike ones, operations decide."""

    def __init__(self) -> None:
        self._seen: list[tuple[Work, float]] = []
        self._fit: tuple[float, ...] | None = None

    @property
    def observations(self) -> int:
        return len(self._seen)

    def observe(self, work: Work, seconds: float) -> None:
        self._seen.append((work, max(seconds, 1e-6)))
        self._fit = None

    @property
    def coefficients(self) -> tuple[float, ...]:
        """c, g, b, a: seconds, a token before, an operation of products, one of attention. Never negative."""
        if self._fit is None:
            self._fit = _fitted([work for work, _ in self._seen], [seconds for _, seconds in self._seen])
        return self._fit

    def seconds(self, work: Work) -> float | None:
        """None before anything was seen."""
        if not self._seen:
            return None
        return sum(factor * term for factor, term in zip(self.coefficients, work.terms, strict=True))


def _fitted(works: Sequence[Work], seconds: Sequence[float]) -> tuple[float, ...]:
    """Least squares of relative errors, none negative, drawn towards one rate for all operations."""
    rate = sum(seconds) / sum(work.whole for work in works)
    terms, taken = np.array([work.terms for work in works]), np.array(seconds)
    weights = FADE ** np.arange(len(works) - 1, -1, -1) / taken
    # each unknown in units of what it would be if all time were its own
    units = taken.mean() / np.maximum(terms.mean(0), 1e-300)
    prior = np.array([0.0, 0.0, rate, rate]) / units
    rows = np.vstack([terms * units * weights[:, None], PRIOR * np.eye(4)])
    wanted = np.concatenate([taken * weights, PRIOR * prior])
    best: tuple[float, np.ndarray] | None = None
    # of four unknowns all choices of those that are not zero can be tried
    for count in range(1, 5):
        for chosen in combinations(range(4), count):
            found = np.linalg.lstsq(rows[:, chosen], wanted, rcond=None)[0]
            if (found < 0).any():
                continue
            whole = np.zeros(4)
            whole[list(chosen)] = found
            error = float(((rows @ whole - wanted) ** 2).sum())
            if best is None or error < best[0]:
                best = error, whole
    assert best is not None  # one rate for everything is never negative
    return tuple(float(value) for value in best[1] * units)
