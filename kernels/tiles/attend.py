"""One query block of one key head against spans of keys, wherever they lie: an online softmax over tiles.

Scores are taken the other way round, keys by queries: a block of keys is a tile as it lies, and a query a lane, so that
the softmax goes down columns. Products are of bfloat16, sums, scores and softmax in float32; the softmax's weights are
bfloat16 again, and their total is taken of what they then are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from kernels.decode_row.primitives import fetch, narrow, pointer
from kernels.jit import njit
from kernels.tiles import instructions as tile
from kernels.tiles import lanes

# tiles of 16 keys a step, as many as a query block has: their scores, keys and values fit the first cache
STEP = 8
NOTHING = np.float32(-1e30)
LOG2 = np.float32(1.4426950408889634)
LN2 = np.float64(0.6931471805599453)


@njit(nogil=True, error_model="numpy", cache=True)
def scores_of(scores: int, queries: int, keys: Any, tiles: int, dim: int) -> None:
    """scores[tile * 16 + key, 16 queries], float32. queries: a packed strip; keys: [tiles] addresses; tiles: even."""
    stride = dim * 2
    tile.load(4, queries, 64)
    tile.load(5, queries + 1024, 64)
    if dim == 64:
        for number in range(0, tiles, 2):
            first, second, place = keys[number], keys[number + 1], scores + number * 1024
            tile.zero(0)
            tile.zero(1)
            tile.load(2, first, stride)
            tile.load(3, second, stride)
            tile.dot(0, 2, 4)
            tile.dot(1, 3, 4)
            tile.load(6, first + 64, stride)
            tile.load(7, second + 64, stride)
            tile.dot(0, 6, 5)
            tile.dot(1, 7, 5)
            tile.store(0, place, 64)
            tile.store(1, place + 1024, 64)
    else:
        tile.load(6, queries + 2048, 64)
        tile.load(7, queries + 3072, 64)
        for number in range(tiles):
            first = keys[number]
            tile.zero(0)
            tile.load(2, first, stride)
            tile.load(3, first + 64, stride)
            tile.dot(0, 2, 4)
            tile.dot(0, 3, 5)
            tile.load(2, first + 128, stride)
            tile.load(3, first + 192, stride)
            tile.dot(0, 2, 6)
            tile.dot(0, 3, 7)
            tile.store(0, scores + number * 1024, 64)


@njit(nogil=True, error_model="numpy", cache=True)
def scores_of_next(
    scores: int, queries: int, keys: Any, tiles: int, dim: int, new: int, now: int, weights: int, top: int,
    total: int, factor: Any,
) -> None:  # fmt: skip
    """``scores_of`` one strip, whose largest go into ``new``, while the softmax of another, whose scores are at
    ``now``, goes its way.

    Tiles and lanes are different parts of a core, and one need not wait for the other. The rest is ``lanes.soften``'s.
    """
    stride = dim * 2
    tile.load(4, queries, 64)
    tile.load(5, queries + 1024, 64)
    if dim == 64:
        for number in range(0, tiles, 2):
            first, second, place = keys[number], keys[number + 1], scores + number * 1024
            tile.zero(0)
            tile.zero(1)
            tile.load(2, first, stride)
            tile.load(3, second, stride)
            tile.dot(0, 2, 4)
            tile.dot(1, 3, 4)
            tile.load(6, first + 64, stride)
            tile.load(7, second + 64, stride)
            tile.dot(0, 6, 5)
            tile.dot(1, 7, 5)
            lanes.soften(now + number * 1024, weights + number * 512, 16, top, total, factor)
            tile.store(0, place, 64)
            tile.store(1, place + 1024, 64)
            if number:
                lanes.column_max(place - 2048, 32, new)
        lanes.column_max(scores + (tiles - 2) * 1024, 32, new)
    else:
        tile.load(6, queries + 2048, 64)
        tile.load(7, queries + 3072, 64)
        for number in range(tiles):
            first = keys[number]
            tile.zero(0)
            tile.load(2, first, stride)
            tile.load(3, first + 64, stride)
            tile.dot(0, 2, 4)
            tile.dot(0, 3, 5)
            tile.load(2, first + 128, stride)
            tile.load(3, first + 192, stride)
            tile.dot(0, 2, 6)
            tile.dot(0, 3, 7)
            lanes.soften(now + number * 1024, weights + number * 512, 8, top, total, factor)
            tile.store(0, scores + number * 1024, 64)
            if number:
                lanes.column_max(scores + (number - 1) * 1024, 16, new)
        lanes.column_max(scores + (tiles - 1) * 1024, 16, new)


@njit(nogil=True, error_model="numpy", cache=True)
def add_values(sums: int, weights: int, values: int, pairs: int, dim: int) -> None:
    """sums[dim, 16 queries] += values[pair, dim, 32 keys] @ weights[pair, 32 keys, 16 queries]"""
    for begin in range(0, dim, 64):
        place = sums + begin * 64
        tile.load(0, place, 64)
        tile.load(1, place + 1024, 64)
        tile.load(2, place + 2048, 64)
        tile.load(3, place + 3072, 64)
        for number in range(pairs):
            value = values + (number * dim + begin) * 64
            tile.load(4, weights + number * 1024, 64)
            tile.load(5, value, 64)
            tile.dot(0, 5, 4)
            tile.load(6, value + 1024, 64)
            tile.dot(1, 6, 4)
            tile.load(7, value + 2048, 64)
            tile.dot(2, 7, 4)
            tile.load(5, value + 3072, 64)
            tile.dot(3, 5, 4)
        tile.store(0, place, 64)
        tile.store(1, place + 1024, 64)
        tile.store(2, place + 2048, 64)
        tile.store(3, place + 3072, 64)


@njit(nogil=True, error_model="numpy", cache=True)
def copied(source: int, rows: int, dim: int, target: int) -> int:
    """``rows`` rows of a tile, the rest of its sixteen zero."""
    have = carray(pointer(source), (rows * dim,), np.uint16)
    tile_rows = carray(pointer(target), (16 * dim,), np.uint16)
    tile_rows[: rows * dim] = have
    tile_rows[rows * dim :] = np.uint16(0)
    return target


@njit(nogil=True, error_model="numpy", cache=True)
def pack(queries: int, rows: int, dim: int, scratch: int, target: int) -> None:
    """Sixteen queries as the second factor of a product: target [dim / 32, 16 pairs of numbers, 16 queries]."""
    if rows < 16:
        queries = copied(queries, rows, dim, scratch)
    for begin in range(0, dim, 32):
        lanes.transpose(queries + begin * 2, dim * 2, target + begin * 32, 64)


@njit(nogil=True, error_model="numpy", cache=True)
def attend(
    configuration: int, queries: int, variants: int, variant_step: int, group: int, member_step: int, rows: int,
    dim: int, spans: Any, count: int, own_key: int, own_value: int, scale: float, out: int, lse: int, lse_step: int,
) -> None:  # fmt: skip
    """Rows attend to ``count`` spans and causally to their own keys.

    queries: address of bfloat16 [variants][group][rows, dim], the steps in bytes; spans: int64 [n, 4] of (address of
    keys, of values, how many, variant), rows of ``dim`` numbers one after another; own_key, own_value: of the rows
    themselves, met by the last variant, or 0 for the spans alone; out: where the result goes, with the members' steps
    of the queries; lse: where float32 [rows] go, a member each ``lse_step`` bytes, 0 for nowhere.
    """
    strips = (rows + 15) // 16
    total_strips = group * strips
    packed_bytes = dim // 32 * 1024
    tile_bytes = 32 * dim
    sizes = (
        64, variants * total_strips * packed_bytes, total_strips * dim * 64, total_strips * 64, total_strips * 64, 64,
        2 * STEP * 1024, STEP * 512, STEP // 2 * dim * 64, STEP * tile_bytes, STEP * tile_bytes, 1024,
    )  # fmt: skip
    whole = 64
    for size in sizes:
        whole += size
    space = np.empty(whole, np.uint8)
    before = (space.ctypes.data + 63) // 64 * 64
    packed = before + sizes[0]
    sums = packed + sizes[1]
    tops = sums + sizes[2]
    totals = tops + sizes[3]
    new = totals + sizes[4]
    scores = new + sizes[5]
    weights = scores + sizes[6]
    values = weights + sizes[7]
    spare_keys = values + sizes[8]
    spare_values = spare_keys + sizes[9]
    turned = spare_values + sizes[10]
    both = carray(pointer(scores), (2, STEP * 16, 16), np.float32)
    top = carray(pointer(tops), (total_strips, 16), np.float32)
    total = carray(pointer(totals), (total_strips, 16), np.float32)
    latest = carray(pointer(new), (16,), np.float32)
    carray(pointer(sums), (total_strips * dim * 16,), np.float32)[:] = np.float32(0)
    top[:] = NOTHING
    total[:] = np.float32(0)
    factor = np.float32(scale) * LOG2
    for variant in range(variants):
        for strip in range(total_strips):
            first = strip % strips * 16
            pack(
                queries + variant * variant_step + strip // strips * member_step + first * dim * 2,
                min(16, rows - first), dim, spare_keys, packed + (variant * total_strips + strip) * packed_bytes,
            )  # fmt: skip
    key_tiles = np.empty(STEP, np.int64)
    value_tiles = np.empty(STEP, np.int64)
    lengths = np.empty(STEP, np.int64)
    # whatever else this thread multiplies finds its tiles as it left them
    tile.configured(before)
    tile.configure(configuration)
    span, begin = 0, 0
    last = count if own_key else count - 1
    while span <= last:
        own = span == count
        variant = variants - 1 if own else spans[span, 3]
        tiles, full = 0, True
        # the tiles of a step: of one variant, and the own keys for themselves
        while tiles < STEP:
            if own:
                if begin >= rows:
                    span += 1
                    break
                key, value, length = own_key, own_value, rows - begin
            else:
                if span == count or spans[span, 3] != variant:
                    break
                key, value, length = spans[span, 0], spans[span, 1], spans[span, 2] - begin
            length = min(16, length)
            if length > 0:
                if not own and begin + (STEP + 1) * 16 <= spans[span, 2]:
                    fetch(key + (begin + STEP * 16) * dim * 2, tile_bytes)
                    fetch(value + (begin + STEP * 16) * dim * 2, tile_bytes)
                key_tiles[tiles] = key + begin * dim * 2
                value_tiles[tiles] = value + begin * dim * 2
                lengths[tiles] = length
                full = full and length == 16
                tiles += 1
            begin += 16
            if not own and begin >= spans[span, 2]:
                span += 1
                begin = 0
        if tiles % 2:
            # any keys will do: they are masked
            key_tiles[tiles], value_tiles[tiles], lengths[tiles] = key_tiles[0], value_tiles[0], 0
            full = False
            tiles += 1
        if not full:
            for number in range(tiles):
                if lengths[number] < 16:
                    key, value, at = key_tiles[number], value_tiles[number], number * tile_bytes
                    key_tiles[number] = copied(key, lengths[number], dim, spare_keys + at)
                    value_tiles[number] = copied(value, lengths[number], dim, spare_values + at)
        for number in range(0, tiles, 2):
            for place in range(0, dim, 16):
                lanes.transpose_shorts(
                    value_tiles[number] + place * 2, value_tiles[number + 1] + place * 2, dim * 2,
                    values + (number // 2 * dim + place) * 64,
                )  # fmt: skip
        for strip in range(total_strips):
            query, sum_at = packed + (variant * total_strips + strip) * packed_bytes, sums + strip * dim * 64
            top_at, total_at = tops + strip * 64, totals + strip * 64
            diagonal = strip % strips
            used = min(tiles, diagonal // 2 * 2 + 2) if own else tiles
            here, score = scores + strip % 2 * STEP * 1024, both[strip % 2]
            if own or strip == 0:
                scores_of(here, query, key_tiles, used, dim)
            if own:
                for key in range(16):
                    score[diagonal * 16 + key, :key] = NOTHING
                score[(diagonal + 1) * 16 : used * 16] = NOTHING
            if not full:
                for number in range(used):
                    score[number * 16 + lengths[number] : number * 16 + 16] = NOTHING
            if own or strip == 0 or not full:
                latest[:] = top[strip]
                lanes.column_max(here, used * 16, new)
            lanes.rescale(sum_at, dim, total_at, top_at, new, factor)
            if own or strip + 1 == total_strips:
                lanes.soften(here, weights, used * 8, top_at, total_at, factor)
            else:
                latest[:] = top[strip + 1]
                scores_of_next(
                    scores + (strip + 1) % 2 * STEP * 1024, query + packed_bytes, key_tiles, used, dim, new,
                    here, weights, top_at, total_at, factor,
                )  # fmt: skip
            add_values(sum_at, weights, values, used // 2, dim)
    tile.configure(before)
    rest = carray(pointer(turned), (16, 16), np.float32)
    for strip in range(total_strips):
        member, first = strip // strips, strip % strips * 16
        for row in range(min(16, rows - first)):
            latest[row] = np.float32(1) / total[strip, row]
        if lse:
            logs = carray(pointer(lse + member * lse_step), (rows,), np.float32)
            for row in range(min(16, rows - first)):
                logs[first + row] = np.float64(top[strip, row]) * scale + np.log(np.float64(total[strip, row]))
        result = carray(pointer(out + member * member_step), (rows, dim), np.uint16)
        for place in range(0, dim, 16):
            lanes.transpose(sums + (strip * dim + place) * 64, 64, turned, 64)
            for row in range(min(16, rows - first)):
                for d in range(16):
                    result[first + row, place + d] = narrow(rest[row, d] * latest[row], result)
    # Numba gives an array back after its last use, and does not see the addresses
    space[0] = 0


@njit(nogil=True, error_model="numpy", cache=True)
def attend_listed(
    configuration: int, queries: int, variants: int, variant_step: int, group: int, member_step: int, rows: int,
    dim: int, key: int, value: int, own: int, block: int, blocks: Any, edges: Any, short: Any, scale: float, out: int,
    lse: int, lse_step: int,
) -> None:  # fmt: skip
    """``attend`` for blocks of one run of keys.

    key, value: its addresses; own: the rows' first position in it; blocks: [n]; edges: [variants + 1], where in the
    list each variant begins; short: [m, 2], blocks with fewer keys than ``block`` and how many.
    """
    row_bytes = dim * 2
    spans = np.empty((blocks.shape[0], 4), np.int64)
    for variant in range(variants):
        for number in range(edges[variant], edges[variant + 1]):
            at = np.int64(blocks[number]) * block
            spans[number, 0], spans[number, 1] = key + at * row_bytes, value + at * row_bytes
            spans[number, 2], spans[number, 3] = block, variant
            for which in range(short.shape[0]):
                if short[which, 0] == blocks[number]:
                    spans[number, 2] = short[which, 1]
    attend(
        configuration, queries, variants, variant_step, group, member_step, rows, dim,
        spans, edges[variants], key + own * row_bytes, value + own * row_bytes, scale, out, lse, lse_step,
    )  # fmt: skip
