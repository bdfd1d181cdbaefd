"""Which keys a row attends to, as units: (run, first key, keys), each within one run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from kernels.decode_row.primitives import as_bits, exp, pointer, widen
from kernels.decode_row.table import BLOCKS, FAST, GROUP, KIND, LENGTH, MEANS, MEANS_HEAD, MEANS_LAYER, UNIT
from kernels.jit import njit


@njit(nogil=True, error_model="numpy", cache=True)
def whole_units(runs: Any, units: Any) -> int:
    """Every key of every run: units [most, 3] of (run, first key, keys); returns how many."""
    count = 0
    for run in range(runs.shape[0]):
        for first in range(0, runs[run, LENGTH], UNIT):
            units[count, 0], units[count, 1] = run, first
            units[count, 2] = min(UNIT, runs[run, LENGTH] - first)
            count += 1
    return count


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def score_blocks(
    layer: int, head: int, begin: int, end: int, runs: Any, queries: Any, like: Any, places: Any, scores: Any
) -> None:
    """Logits of the mean key of blocks [begin, end): scores [group, blocks]. places: [blocks, 2] (run, block)."""
    group, dim = queries.shape[2], queries.shape[3]
    size = like.itemsize
    for place in range(begin, end):
        run, block = places[place, 0], places[place, 1]
        address = runs[run, MEANS] + size * (layer * runs[run, MEANS_LAYER] + head * runs[run, MEANS_HEAD])
        mean = carray(pointer(address + size * block * dim), (dim,), like.dtype)
        for member in range(group):
            query = queries[runs[run, KIND], head, member]
            total = np.float32(0)
            for d in range(dim):
                total += query[d] * widen(mean[d])
            scores[member, place] = total


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def soften(scores: Any, begin: int, end: int, tops: Any, sums: Any) -> None:
    """Turn logits of blocks [begin, end) into exponentials relative to the largest of these: a part of a softmax.

    scores: [group, blocks]; tops, sums: [group], the largest and the sum of each.
    """
    for member in range(scores.shape[0]):
        part = scores[member, begin:end]
        top = np.float32(-1e30)
        for place in range(part.shape[0]):
            top = max(top, part[place])
        total = np.float32(0)
        for place in range(part.shape[0]):
            part[place] = exp(part[place] - top)
            total += part[place]
        tops[member], sums[member] = top, total


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def shares(scores: Any, tops: Any, sums: Any, size: int) -> Any:
    """Each block's share of the estimated mass, added up over the group: [blocks].

    scores: [group, blocks], as ``soften`` leaves parts of ``size`` blocks; tops, sums: [parts, group].
    """
    group, blocks = scores.shape
    share = np.zeros(blocks, np.float32)
    for member in range(group):
        top = np.float32(-1e30)
        for part in range(tops.shape[0]):
            top = max(top, tops[part, member])
        total = np.float32(0)
        for part in range(tops.shape[0]):
            total += exp(tops[part, member] - top) * sums[part, member]
        for part in range(tops.shape[0]):
            factor = exp(tops[part, member] - top) / total
            here, there = scores[member, part * size : (part + 1) * size], share[part * size : (part + 1) * size]
            for place in range(here.shape[0]):
                there[place] += here[place] * factor
    return share


@njit(nogil=True, error_model="numpy", cache=True)
def largest(numbers: Any, keep: int) -> tuple[Any, int]:
    """The ``keep``-th largest of float32 numbers, none negative, and how many are larger than it.

    They are ordered as their bits are, of which 11 are counted.
    """
    counts = np.zeros(2048, np.int64)
    for place in range(numbers.shape[0]):
        counts[as_bits(numbers[place]) >> np.uint32(20)] += 1
    above, bucket = 0, 2047
    while above + counts[bucket] < keep:
        above += counts[bucket]
        bucket -= 1
    alike = np.empty(counts[bucket], np.float32)
    count, low, high = 0, np.float32(np.inf), np.float32(0)
    for place in range(numbers.shape[0]):
        number = numbers[place]
        if as_bits(number) >> np.uint32(20) == np.uint32(bucket):
            alike[count] = number
            low, high = min(low, number), max(high, number)
            count += 1
    # many equal numbers, zeros for example, are what a partition is slow at
    if low == high:
        return low, above
    bar = np.partition(alike, count - (keep - above))[count - (keep - above)]
    for number in alike:
        above += number > bar
    return bar, above


@njit(nogil=True, error_model="numpy", cache=True)
def choose(share: Any, runs: Any, block: int, most: int, sink: int, local: int, units: Any) -> int:
    """The ``most`` blocks with the largest share of the estimated mass, and what is always attended to, as units.

    share: [blocks], changed; the first ``sink`` and the last ``local`` blocks are taken anyway.
    """
    blocks = share.shape[0]
    share[:sink] = np.float32(1e30)
    share[blocks - local :] = np.float32(1e30)
    keep = min(blocks, most + sink + local)
    bar, spare = np.float32(np.inf), 0
    if keep:
        bar, above = largest(share, keep)
        spare = keep - above
    count, place = 0, 0
    for run in range(runs.shape[0]):
        length = runs[run, LENGTH]
        if runs[run, BLOCKS] == 0:
            for first in range(0, length, UNIT):
                units[count, 0], units[count, 1], units[count, 2] = run, first, min(UNIT, length - first)
                count += 1
            continue
        end = -1  # of the unit at hand, if the next block may join it
        for number in range(runs[run, BLOCKS]):
            taken = share[place] > bar
            if share[place] == bar and spare > 0:
                taken = True
                spare -= 1
            place += 1
            if not taken:
                continue
            first = number * block
            keys = min(block, length - first)
            # a unit has one step a channel
            whole = runs[run, GROUP] == 0 or first % runs[run, GROUP] != 0
            if end == first and whole and units[count - 1, 2] + keys <= UNIT:
                units[count - 1, 2] += keys
            else:
                units[count, 0], units[count, 1], units[count, 2] = run, first, keys
                count += 1
            end = first + keys
    return count
