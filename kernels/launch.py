"""How Triton kernels are cut for a card: tables instead of tuning at run time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from triton import knobs
from triton.runtime import driver

# the online softmax runs in base 2: scores are scaled by this, log-sum-exps divided by it
LOG2_E = 1.4426950408889634


class Launch(NamedTuple):
    """A program takes ``rows`` rows of queries and ``keys`` keys a step."""

    rows: int
    keys: int
    warps: int
    stages: int


# by (card, dim, bytes an element)
Table = Mapping[tuple[int, int, int], Launch]


def card() -> int:
    """90 for Hopper and large Blackwells, with 227 KiB of shared memory a block; 80 for all else, with 99 or more."""
    if knobs.runtime.interpret:
        return 80
    return 90 if driver.active.get_current_target().arch // 10 in (9, 10) else 80


def launch(table: Table, dim: int, dtype: torch.dtype) -> Launch:
    """The entry for heads of ``dim`` numbers of ``dtype``. Raises ValueError where the table has none."""
    found = table.get((card(), dim, dtype.itemsize))
    if found is None or not dtype.is_floating_point:
        known = sorted({(dim, size) for _, dim, size in table})
        raise ValueError(f"no Triton kernel for heads of {dim} in {dtype}, only for (dim, bytes) in {known}")
    return found
