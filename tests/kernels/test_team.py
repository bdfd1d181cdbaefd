"""A team's pieces are each taken once, whoever comes, and a phase ends when they are done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
from numba import njit

from kernels.decode_row.team import counters, done, join, take

PHASES = 300


@njit(nogil=True)
def work(tally: Any, members: int, me: int, found: Any, sums: Any) -> None:
    """Every piece counts itself; after each phase everyone adds up what all of them counted."""
    team = (tally.ctypes.data + 63) // 64 * 64
    for phase in range(found.shape[0]):
        pieces = phase % found.shape[1] + 1
        while True:
            number = take(team, members, me, phase, pieces)
            if number < 0:
                break
            found[phase, number] += number + 1
            done(team, members, phase)
        join(team, members, phase, pieces)
        sums[me, phase] = found[phase].sum()


@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.parametrize("there", [1, 2, 5])
def test_pieces_are_taken_once_and_seen_by_all(members: int, there: int) -> None:
    """Also by fewer threads than there are members: some may never come."""
    there = min(there, members)
    found, sums = np.zeros((PHASES, 37), np.int64), np.zeros((members, PHASES), np.int64)
    tally = np.zeros(counters(PHASES, members), np.int64)
    with ThreadPoolExecutor(there) as pool:
        for future in [pool.submit(work, tally, members, me, found, sums) for me in range(members - there, members)]:
            future.result()
    pieces = np.arange(PHASES) % 37 + 1
    assert (found == np.where(np.arange(37) < pieces[:, None], np.arange(1, 38), 0)).all()
    assert (sums[members - there :] == pieces * (pieces + 1) // 2).all()
