"""How one query block's attention divides over blocks of keys, by their mean keys or largest logits, on tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from kernels.decode_row.primitives import fetch, pointer
from kernels.jit import njit
from kernels.tiles import instructions as tile
from kernels.tiles import lanes
from kernels.tiles.attend import LOG2, NOTHING, copied, pack, scores_of

# tiles of keys whose largest logits are taken at a time: they fit the first cache for every member of a group
KEY_TILES = 8


@njit(nogil=True, error_model="numpy", cache=True)
def variant_at(position: int, borders: Any) -> int:
    found = 0
    for number in range(1, borders.shape[0]):
        if borders[number] <= position:
            found = number
    return found


@njit(nogil=True, error_model="numpy", cache=True)
def run_scores(
    scores: int, packed: int, member: int, group: int, packed_bytes: int, keys: Any, tiles: int, size: int, first: int,
    borders: Any, dim: int,
) -> None:  # fmt: skip
    """``scores_of`` with the variant that each tile's position asks for; a tile is of 16 ``size`` positions."""
    begin = 0
    while begin < tiles:
        variant = variant_at(first + begin * 16 * size, borders)
        end = begin
        while end < tiles and variant_at(first + end * 16 * size, borders) == variant:
            end += 1
        # an odd run takes the next tile with it, which is scored again by its own variant
        even = end - begin + (end - begin) % 2
        strip = packed + (variant * group + member) * packed_bytes
        scores_of(scores + begin * 1024, strip, keys[begin:], even, dim)
        begin = end


@njit(nogil=True, error_model="numpy", cache=True)
def largest(
    found: int, found_step: int, packed: int, group: int, packed_bytes: int, key: int, lead: int, near: int,
    borders: Any, block: int, short: Any, dim: int, scratch: int,
) -> None:  # fmt: skip
    """found[member][block, 16 queries]: the largest logit of each block's keys, for the blocks ``lead`` to ``near``.

    found: float32, a member each ``found_step`` bytes; scratch: room for the scores of KEY_TILES + 1 tiles.
    """
    row_bytes, tiles_a_block = dim * 2, block // 16
    tiles = np.empty(KEY_TILES + 1, np.int64)
    step = KEY_TILES // tiles_a_block
    for begin in range(lead, near, step):
        end = min(near, begin + step)
        count = (end - begin) * tiles_a_block
        for number in range(KEY_TILES + 1):
            # an odd number of tiles takes one more, which is not looked at
            tiles[number] = key + (begin * block + min(number, count - 1) * 16) * row_bytes
        if end < near:
            fetch(key + end * block * row_bytes, min(step, near - end) * block * row_bytes)
        for member in range(group):
            run_scores(scratch, packed, member, group, packed_bytes, tiles, count, 1, begin * block, borders, dim)
            for number in range(short.shape[0]):
                if begin <= short[number, 0] < end:
                    behind = carray(
                        pointer(scratch + ((short[number, 0] - begin) * block + short[number, 1]) * 64),
                        (block - short[number, 1], 16), np.float32,
                    )  # fmt: skip
                    behind[:] = NOTHING
            place = found + member * found_step + begin * 64
            carray(pointer(place), ((end - begin) * 16,), np.float32)[:] = NOTHING
            for number in range(end - begin):
                lanes.column_max(scratch + number * block * 64, block, place + number * 64)


@njit(nogil=True, error_model="numpy", cache=True)
def shares(
    configuration: int, queries: int, variants: int, variant_step: int, group: int, member_step: int, rows: int,
    dim: int, stride: int, query_block: int, key: int, means: int, own: int, borders: Any, block: int, sink: int,
    local: int, empty: Any, short: Any, exact: bool, scale: float, out: Any, space: Any,
) -> int:  # fmt: skip
    """out[q, b]: the share of block b, averaged over every ``stride``-th row of query block q; the rest is left.

    The rows are at most 16 ``stride``: a tile has a lane for each that is looked at.
    queries: address of bfloat16 [variants][group][rows, dim], steps in bytes; key: of the first key; means: of the
    first block's mean; own: position of the first row; borders: [variants]; sink, local: tokens; empty: blocks; short:
    [m, 2], blocks with fewer keys and how many; exact: by the largest logit of a block, its mean is not looked at;
    space: uint8, to work in. Returns 0, or how large ``space`` has to be, and then nothing is done.
    """
    row_bytes, packed_bytes, tile_bytes = dim * 2, dim // 32 * 1024, 32 * dim
    sampled = (rows - stride // 2 + stride - 1) // stride
    lanes_each, count = query_block // stride, (rows + query_block - 1) // query_block
    # candidates of the last query block; those too near for the others are masked
    lead, near = sink // block, (own + (count - 1) * query_block - local) // block
    if sampled <= 0 or near <= lead:
        return 0
    far_tiles = (near + 15) // 16
    far_tiles += far_tiles % 2
    local_first = max(lead, (own - local) // block) * block
    sink_tiles = sink // 16
    near_tiles = sink_tiles + (own + rows - local_first + 15) // 16
    # one tile to spare: see run_scores
    far_step = (far_tiles + 2) * 1024
    sizes = (
        64, variants * group * packed_bytes, (group if exact else 1) * far_step, (near_tiles + 3) * 1024,
        far_tiles * 1024, 64, 64, 64, 2 * tile_bytes, (KEY_TILES + 2) * 1024,
    )  # fmt: skip
    whole = 64
    for size in sizes:
        whole += size
    if space.shape[0] < whole:
        return whole
    before = (space.ctypes.data + 63) // 64 * 64
    packed = before + sizes[0]
    far = packed + sizes[1]
    close = far + sizes[2]
    share = close + sizes[3]
    far_top = share + sizes[4]
    near_top = far_top + sizes[5]
    sums = near_top + sizes[6]
    spare = sums + sizes[7]
    far_keys = np.empty(far_tiles + 2, np.int64)
    for number in range(far_tiles + 2):
        # what lies behind the last is masked, and need not be there
        far_keys[number] = means + (number if number < (near + 15) // 16 else 0) * tile_bytes
    near_keys = np.empty(near_tiles + 3, np.int64)
    for number in range(near_tiles):
        place = number * 16 if number < sink_tiles else local_first + (number - sink_tiles) * 16
        near_keys[number] = key + place * row_bytes
    if (own + rows) % 16:
        near_keys[near_tiles - 1] = copied(near_keys[near_tiles - 1], (own + rows) % 16, dim, spare + tile_bytes)
    near_keys[near_tiles:] = near_keys[0]
    for variant in range(variants):
        for member in range(group):
            base = queries + variant * variant_step + member * member_step + stride // 2 * row_bytes
            for row in range(sampled):
                source = carray(pointer(base + row * stride * row_bytes), (dim,), np.uint16)
                carray(pointer(spare + row * row_bytes), (dim,), np.uint16)[:] = source
            carray(pointer(spare + sampled * row_bytes), ((16 - sampled) * dim,), np.uint16)[:] = np.uint16(0)
            pack(spare, 16, dim, spare, packed + (variant * group + member) * packed_bytes)
    near_scores = carray(pointer(close), ((near_tiles + 3) * 16, 16), np.float32)
    shared = carray(pointer(share), (far_tiles * 16, 16), np.float32)
    shared[:] = np.float32(0)
    top = carray(pointer(far_top), (16,), np.float32)
    level = carray(pointer(near_top), (16,), np.float32)
    total = carray(pointer(sums), (16,), np.float32)
    factor = np.float32(scale) * LOG2
    size_of = np.float32(0) if exact else np.float32(np.log2(np.float64(block)))
    even = near_tiles + near_tiles % 2
    tile.configured(before)
    tile.configure(configuration)
    if exact:
        largest(
            far, far_step, packed, group, packed_bytes, key, lead, near, borders, block, short, dim, spare + sizes[8]
        )  # fmt: skip
    for member in range(group):
        if not exact:
            run_scores(far, packed, member, group, packed_bytes, far_keys, far_tiles, block, 0, borders, dim)
        far_scores = carray(pointer(far), (far_tiles * 16, 16), np.float32)
        far_scores[:lead] = NOTHING
        far_scores[near:] = NOTHING
        for index in range(count - 1):
            first_near = max(lead, (own + index * query_block - local) // block)
            far_scores[first_near:near, index * lanes_each : (index + 1) * lanes_each] = NOTHING
        for number in range(empty.shape[0]):
            if empty[number] < near:
                far_scores[empty[number]] = NOTHING
        run_scores(close, packed, member, group, packed_bytes, near_keys, sink_tiles, 1, 0, borders, dim)
        run_scores(
            close + sink_tiles * 1024, packed, member, group, packed_bytes, near_keys[sink_tiles:],
            near_tiles - sink_tiles, 1, local_first, borders, dim,
        )  # fmt: skip
        for number in range(own - local_first, own + rows - local_first):
            # rows stand at stride // 2, stride // 2 + stride, ...: those before this key do not see it
            unseen = (number - (own - local_first) - stride // 2 + stride - 1) // stride
            near_scores[sink_tiles * 16 + number, : max(0, unseen)] = NOTHING
        near_scores[sink_tiles * 16 + own + rows - local_first :] = NOTHING
        for index in range(1, count):
            # what is near for the first query block and far for this one counts once
            gone = (own + index * query_block - local) // block * block - local_first
            lane = index * lanes_each
            near_scores[sink_tiles * 16 : sink_tiles * 16 + max(0, gone), lane : lane + lanes_each] = NOTHING
        top[:] = NOTHING
        level[:] = NOTHING
        lanes.column_max(far, far_tiles * 16, far_top)
        lanes.column_max(close, even * 16, near_top)
        for lane in range(16):
            level[lane] = max(top[lane] * factor + size_of, level[lane] * factor)
            top[lane] = level[lane] - size_of
        total[:] = np.float32(0)
        lanes.sum_powers(far, far_tiles * 16, far_top, sums, factor)
        lanes.sum_powers(close, even * 16, near_top, sums, factor)
        for lane in range(16):
            top[lane] = top[lane] + np.float32(np.log2(np.float64(total[lane]))) if lane < sampled else -NOTHING
        lanes.add_powers(far, far_tiles * 16, far_top, share, factor)
        if exact:
            far += far_step
    tile.configure(before)
    for index in range(count):
        begin, end = index * lanes_each, min(sampled, (index + 1) * lanes_each)
        if begin >= end:
            break
        for number in range(lead, (own + index * query_block - local) // block):
            whole_share = np.float32(0)
            for lane in range(begin, end):
                whole_share += shared[number, lane]
            out[index, number] = whole_share / np.float32((end - begin) * group)
    return 0
