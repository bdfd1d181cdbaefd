"""Attention of one head over a list of units on matrix tiles: as ``kernels.tiles.attend`` does it, for one row.

A tile has sixteen columns and a group at most eight queries: each takes two, the second for what the first has lost
of it as bfloat16, and their scores are added. Scores and softmax are float32, its weights bfloat16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from kernels.decode_row.primitives import as_float, exp, fetch, narrow, pointer, widen
from kernels.decode_row.table import (
    ADDRESS,
    BLOCKS,
    GROUP,
    HEAD,
    KIND,
    LAYER,
    MEANS,
    MEANS_HEAD,
    MEANS_LAYER,
    STEPS,
    STEPS_HALF,
    STEPS_HEAD,
    STEPS_LAYER,
    VALUES,
)
from kernels.jit import njit
from kernels.tiles import instructions as tile
from kernels.tiles import lanes
from kernels.tiles.attend import LOG2, NOTHING, STEP, add_values, copied, pack, scores_of

# queries of a group, at most
MOST = 8


@njit(nogil=True, error_model="numpy", cache=True)
def packed_bytes(kinds: int, heads: int, dim: int) -> int:
    """Bytes of the packed queries, which begin 64 bytes after a thread's room."""
    return heads * kinds * (dim // 32 * 1024)


@njit(nogil=True, error_model="numpy", cache=True)
def room(kinds: int, heads: int, dim: int) -> int:
    """Bytes that a thread needs to work in."""
    whole = 64 + packed_bytes(kinds, heads, dim) + dim * 64 + 3 * 64
    return int(whole + STEP * (1024 + 512 + 2 * 32 * dim) + STEP // 2 * dim * 64 + 1024)


@njit(nogil=True, error_model="numpy", cache=True)
def pack_heads(queries: Any, space: int) -> None:
    """Queries [kinds, kv_heads, group, dim], float32, as packed strips: once a layer, for every piece of it."""
    kinds, heads, group, dim = queries.shape
    target = space + 64
    scratch = target + packed_bytes(kinds, heads, dim)
    both = carray(pointer(scratch), (16, dim), np.uint16)
    both[:] = np.uint16(0)
    for head in range(heads):
        for kind in range(kinds):
            for member in range(group):
                for d in range(dim):
                    number = queries[kind, head, member, d]
                    high = narrow(number, both)
                    both[member, d] = high
                    both[MOST + member, d] = narrow(number - widen(high), both)
            pack(scratch, 16, dim, scratch, target)
            target += dim // 32 * 1024


@njit(nogil=True, error_model="numpy", cache=True)
def decoded(codes: int, steps: int, length: int, dim: int, target: int) -> int:
    """``length`` rows of int8 with a step and a centre a channel as a tile of bfloat16, the rest of its rows zero."""
    have = carray(pointer(codes), (length, dim), np.int8)
    step = carray(pointer(steps), (2, dim), np.float32)
    rows = carray(pointer(target), (16, dim), np.uint16)
    for row in range(length):
        for d in range(dim):
            rows[row, d] = narrow(np.float32(have[row, d]) * step[0, d] + step[1, d], rows)
    rows[length:] = np.uint16(0)
    return target


@njit(nogil=True, error_model="numpy", cache=True)
def tell(
    query: int, member: int, begin: int, tiles: int, unit_of: Any, weights: int, level: Any, peaks: Any, sums: Any
) -> None:
    """Sums of the weights of each of a step's tiles, which are LOOK keys, in a lane, relative to ``level``.

    A unit may have begun in an earlier step, relative to less: its sums there are made smaller.
    """
    pairs = carray(pointer(weights), (tiles * 8, 16), np.uint32)
    for number in range(tiles):
        unit = unit_of[begin + number]
        place = begin + number
        while place > 0 and unit_of[place - 1] == unit:
            place -= 1
        part = begin + number - place
        if part and peaks[query, unit] != level:
            fix = exp(peaks[query, unit] - level)
            for earlier in range(part):
                sums[query, unit, earlier] *= fix
        peaks[query, unit] = level
        total = np.float32(0)
        for pair in range(number * 8, number * 8 + 8):
            both = pairs[pair, member]
            total += as_float(both << np.uint32(16)) + as_float(both & np.uint32(0xFFFF0000))
        sums[query, unit, part] = total


@njit(nogil=True, error_model="numpy", cache=True)
def attend(
    configuration: int, layer: int, head: int, piece: int, runs: Any, queries: Any, units: Any, first: int, last: int,
    top: Any, mass: Any, acc: Any, watched: Any, peaks: Any, sums: Any, space: int,
) -> None:  # fmt: skip
    """The partial result of a head over units [first, last): top, mass [pieces, kv_heads, group]; acc: [..., dim].

    units: [most, 3]; watched, peaks, sums: as ``attending.attend`` has them; space: address of ``room`` bytes, on a
    cache line.
    """
    kinds, heads, group, dim = queries.shape
    strip_bytes, tile_bytes = dim // 32 * 1024, 32 * dim
    before = space
    packed = before + 64 + head * kinds * strip_bytes
    gathered = before + 64 + packed_bytes(kinds, heads, dim)
    tops = gathered + dim * 64
    totals = tops + 64
    new = totals + 64
    scores = new + 64
    weights = scores + STEP * 1024
    values = weights + STEP * 512
    spare_keys = values + STEP // 2 * dim * 64
    spare_values = spare_keys + STEP * tile_bytes
    carray(pointer(gathered), (dim * 16,), np.float32)[:] = np.float32(0)
    best = carray(pointer(tops), (16,), np.float32)
    whole = carray(pointer(totals), (16,), np.float32)
    latest = carray(pointer(new), (16,), np.float32)
    score = carray(pointer(scores), (STEP * 16, 16), np.float32)
    best[:] = NOTHING
    whole[:] = np.float32(0)
    most = 0
    for number in range(first, last):
        most += (units[number, 2] + 15) // 16
    key_tiles, value_tiles = np.empty(most, np.int64), np.empty(most, np.int64)
    lengths, kind_of, unit_of = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    # of int8 keys and values: where their steps are
    key_steps, value_steps = np.zeros(most, np.int64), np.zeros(most, np.int64)
    count = 0
    for number in range(first, last):
        run, start, keys = units[number, 0], np.int64(units[number, 1]), int(units[number, 2])
        size = 1 if runs[run, GROUP] else 2
        address = runs[run, ADDRESS] + size * (layer * runs[run, LAYER] + head * runs[run, HEAD] + start * dim)
        for at in range(0, keys, 16):
            key_tiles[count] = address + at * size * dim
            value_tiles[count] = key_tiles[count] + size * runs[run, VALUES]
            if runs[run, GROUP]:
                key_steps[count] = runs[run, STEPS] + 4 * (
                    layer * runs[run, STEPS_LAYER]
                    + head * runs[run, STEPS_HEAD]
                    + (start + at) // runs[run, GROUP] * 2 * dim
                )
                value_steps[count] = key_steps[count] + 4 * runs[run, STEPS_HALF]
            lengths[count] = min(16, keys - at)
            kind_of[count] = runs[run, KIND]
            unit_of[count] = number
            count += 1
    keys_here, values_here = np.empty(STEP, np.int64), np.empty(STEP, np.int64)
    for number in range(min(count, STEP)):
        fetch(key_tiles[number], tile_bytes)
        fetch(value_tiles[number], tile_bytes)
    tile.configured(before)
    tile.configure(configuration)
    begin = 0
    while begin < count:
        kind, end = int(kind_of[begin]), begin
        while end < count and end - begin < STEP and kind_of[end] == kind:
            end += 1
        for number in range(end, min(count, end + STEP)):
            fetch(key_tiles[number], tile_bytes)
            fetch(value_tiles[number], tile_bytes)
        tiles = end - begin
        for number in range(tiles):
            keys_here[number], values_here[number] = key_tiles[begin + number], value_tiles[begin + number]
            length, at = lengths[begin + number], number * tile_bytes
            if key_steps[begin + number]:
                keys_here[number] = decoded(
                    keys_here[number], key_steps[begin + number], length, dim, spare_keys + at
                )  # fmt: skip
                values_here[number] = decoded(
                    values_here[number], value_steps[begin + number], length, dim, spare_values + at
                )  # fmt: skip
            elif length < 16:
                keys_here[number] = copied(keys_here[number], length, dim, spare_keys + at)
                values_here[number] = copied(values_here[number], length, dim, spare_values + at)
        even = tiles + tiles % 2
        if even > tiles:
            # any keys will do: they are masked
            keys_here[tiles], values_here[tiles] = keys_here[0], values_here[0]
        for number in range(0, even, 2):
            for place in range(0, dim, 16):
                lanes.transpose_shorts(
                    values_here[number] + place * 2, values_here[number + 1] + place * 2, dim * 2,
                    values + (number // 2 * dim + place) * 64,
                )  # fmt: skip
        scores_of(scores, packed + kind * strip_bytes, keys_here, even, dim)
        lanes.fold(scores, even * 16)
        for number in range(tiles):
            if lengths[begin + number] < 16:
                score[number * 16 + lengths[begin + number] : number * 16 + 16] = NOTHING
        score[tiles * 16 : even * 16] = NOTHING
        latest[:] = best
        lanes.column_max(scores, even * 16, new)
        lanes.rescale(gathered, dim, totals, tops, new, LOG2)
        lanes.soften(scores, weights, even * 8, tops, totals, LOG2)
        add_values(gathered, weights, values, even // 2, dim)
        if watched.shape[0]:
            for member in range(group):
                if watched[head * group + member] != 0:
                    tell(head * group + member, member, begin, tiles, unit_of, weights, best[member], peaks, sums)
        begin = end
    tile.configure(before)
    found = carray(pointer(gathered), (dim, 16), np.float32)
    for member in range(group):
        top[piece, head, member] = best[member]
        mass[piece, head, member] = whole[member]
        for d in range(dim):
            acc[piece, head, member, d] = found[d, member]


@njit(nogil=True, error_model="numpy", cache=True)
def mean_of(runs: Any, layer: int, head: int, run: Any, block: Any, dim: int) -> Any:
    """Where a block's mean key is."""
    return runs[run, MEANS] + 2 * (layer * runs[run, MEANS_LAYER] + head * runs[run, MEANS_HEAD] + block * dim)


@njit(nogil=True, error_model="numpy", cache=True)
def score_blocks(
    configuration: int, layer: int, head: int, begin: int, end: int, runs: Any, queries: Any, places: Any, out: Any,
    space: int,
) -> None:  # fmt: skip
    """Logits of the mean key of blocks [begin, end): out [group, blocks]. places: [blocks, 2] (run, block).

    space: as ``attend`` has it.
    """
    kinds, heads, group, dim = queries.shape
    strip_bytes, tile_bytes = dim // 32 * 1024, 32 * dim
    before = space
    packed = before + 64 + head * kinds * strip_bytes
    scores = before + 64 + packed_bytes(kinds, heads, dim)
    turned = scores + STEP * 1024
    spare = turned + 1024
    lane = carray(pointer(turned), (16, 16), np.float32)
    tiles = np.empty(STEP, np.int64)
    firsts, lengths = np.empty(STEP, np.int64), np.empty(STEP, np.int64)
    tile.configured(before)
    tile.configure(configuration)
    place = begin
    while place < end:
        kind, count = runs[places[place, 0], KIND], 0
        while place < end and count < STEP and runs[places[place, 0], KIND] == kind:
            run, block = places[place, 0], places[place, 1]
            length = min(16, min(end - place, runs[run, BLOCKS] - block))
            address = mean_of(runs, layer, head, run, block, dim)
            ahead = place + STEP * 16
            if ahead < places.shape[0]:
                fetch(mean_of(runs, layer, head, places[ahead, 0], places[ahead, 1], dim), tile_bytes)
            if length < 16:
                address = copied(address, length, dim, spare + count * tile_bytes)
            tiles[count], firsts[count], lengths[count] = address, place, length
            place += length
            count += 1
        if count % 2:
            tiles[count] = tiles[0]
        scores_of(scores, packed + kind * strip_bytes, tiles, count + count % 2, dim)
        for number in range(count):
            # a key is a lane now, and a row the half of a query
            lanes.transpose(scores + number * 1024, 64, turned, 64)
            first, length = firsts[number], lengths[number]
            for member in range(group):
                for key in range(length):
                    out[member, first + key] = lane[member, key] + lane[MOST + member, key]
    tile.configure(before)
