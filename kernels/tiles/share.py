"""How one query block's attention divides over blocks of keys, by their mean keys or largest logits, on tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from kernels.decode_row.primitives import fetch, pointer
from kernels.jit import njit
from kernels.tiles import instructions as tile
from kernels.tiles import lanes
from kernels.tiles.attend import LOG2, NOTHING, copied, scores_of

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
    found: int, found_step: int, packed: int, strips: int, packed_bytes: int, key: int, lead: int, near: int,
    borders: Any, block: int, short: Any, dim: int, scratch: int,
) -> None:  # fmt: skip
    """found[strip][block, 16 queries]: the largest logit of each block's keys, for the blocks ``lead`` to ``near``.

    found: float32, a strip each ``found_step`` bytes; scratch: room for the scores of KEY_TILES + 1 tiles.
    """
    row_bytes, tiles_a_block = dim * 2, block // 16
    tiles = np.empty(KEY_TILES + 1, np.int64)
    begin = lead
    while begin < near:
        variant = variant_at(begin * block, borders)
        end = min(near, begin + KEY_TILES // tiles_a_block)
        if variant + 1 < borders.shape[0]:
            end = min(end, borders[variant + 1] // block)
        count = (end - begin) * tiles_a_block
        for number in range(KEY_TILES + 1):
            # an odd number of tiles takes one more, which is not looked at
            tiles[number] = key + (begin * block + min(number, count - 1) * 16) * row_bytes
        # what comes next, a part with each strip
        next_bytes = min(KEY_TILES // tiles_a_block, near - end) * block * row_bytes
        part = (next_bytes // strips + 63) // 64 * 64
        for strip in range(strips):
            if strip * part < next_bytes:
                fetch(key + end * block * row_bytes + strip * part, min(part, next_bytes - strip * part))
            scores_of(scratch, packed + (variant * strips + strip) * packed_bytes, tiles, count + count % 2, dim)
            for number in range(short.shape[0]):
                if begin <= short[number, 0] < end:
                    behind = carray(
                        pointer(scratch + ((short[number, 0] - begin) * block + short[number, 1]) * 64),
                        (block - short[number, 1], 16), np.float32,
                    )  # fmt: skip
                    behind[:] = NOTHING
            lanes.block_max(scratch, end - begin, block, found + strip * found_step + begin * 64)
        begin = end


@njit(nogil=True, error_model="numpy", cache=True)
def shares(
    configuration: int, queries: int, variants: int, variant_step: int, group: int, member_step: int, rows: int,
    dim: int, stride: int, query_block: int, key: int, means: int, own: int, borders: Any, block: int, sink: int,
    local: int, empty: Any, short: Any, exact: bool, scale: float, out: Any, space: Any,
) -> int:  # fmt: skip
    """out[q, b]: the share of block b, averaged over every ``stride``-th row of query block q; the rest is left.

    Sixteen rows that are looked at make a set, a lane each; every set meets a key while it is in the first cache.
    queries: address of bfloat16 [variants][group][rows, dim], steps in bytes; key: of the first key; means: of the
    first block's mean; own: position of the first row; borders: [variants]; sink, local: tokens; empty: blocks; short:
    [m, 2], blocks with fewer keys and how many; exact: by the largest logit of a block, its mean is not looked at;
    space: uint8, to work in. Returns 0, or how large ``space`` has to be, and then nothing is done.
    """
    row_bytes, packed_bytes, tile_bytes = dim * 2, dim // 32 * 1024, 32 * dim
    # as many as have a row that is looked at
    sets = (rows - stride // 2 + 16 * stride - 1) // (16 * stride)
    last_block = (rows - 1) // query_block
    # candidates of the last query block; those too near for the others are masked
    lead, near = sink // block, (own + last_block * query_block - local) // block
    if sets <= 0 or near <= lead:
        return 0
    strips = sets * group
    far_tiles = (near + 15) // 16
    far_tiles += far_tiles % 2
    near_tiles = sink // 16 + (min(rows, 16 * stride) + local + block + 30) // 16
    # one tile to spare: see run_scores
    far_step = (far_tiles + 2) * 1024
    sizes = (
        64, variants * strips * packed_bytes, (strips if exact else 1) * far_step, (near_tiles + 3) * 1024,
        (far_tiles + 1) * 1024, 64, 64, 64, 2 * tile_bytes, (KEY_TILES + 2) * 1024,
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
    near_top = share + sizes[4]
    weight = near_top + sizes[5]
    sums = weight + sizes[6]
    spare = sums + sizes[7]
    far_keys = np.empty(far_tiles + 2, np.int64)
    for number in range(far_tiles + 2):
        # what lies behind the last is masked, and need not be there
        far_keys[number] = means + (number if number < (near + 15) // 16 else 0) * tile_bytes
    for variant in range(variants):
        for strip in range(strips):
            first = strip // group * 16 * stride + stride // 2
            base = queries + variant * variant_step + strip % group * member_step + first * row_bytes
            sampled, apart = min(16, (rows - first + stride - 1) // stride), stride * row_bytes
            if sampled < 16:
                for row in range(sampled):
                    source = carray(pointer(base + row * apart), (dim,), np.uint16)
                    carray(pointer(spare + row * row_bytes), (dim,), np.uint16)[:] = source
                carray(pointer(spare + sampled * row_bytes), ((16 - sampled) * dim,), np.uint16)[:] = np.uint16(0)
                base, apart = spare, row_bytes
            for begin in range(0, dim, 32):
                place = packed + (variant * strips + strip) * packed_bytes + begin * 32
                lanes.transpose(base + begin * 2, apart, place, 64)
    tile.configured(before)
    tile.configure(configuration)
    if exact:
        largest(far, far_step, packed, strips, packed_bytes, key, lead, near, borders, block, short, dim,
                spare + sizes[8])  # fmt: skip
    for number in range(sets):
        first = number * 16 * stride
        settle(
            packed, number * group, strips, group, packed_bytes, far + (number * group * far_step if exact else 0),
            far_step, far_keys, close, share, near_top, weight, sums, spare, min(16 * stride, rows - first), dim,
            stride, query_block, key, own + first, borders, block, lead, local, empty, exact, scale,
            out[first // query_block :],
        )  # fmt: skip
    tile.configure(before)
    return 0


@njit(nogil=True, error_model="numpy", cache=True)
def settle(
    packed: int, strip: int, strips: int, group: int, packed_bytes: int, far: int, far_step: int, far_keys: Any,
    close: int, share: int, near_top: int, weight: int, sums: int, spare: int, rows: int, dim: int, stride: int,
    query_block: int, key: int, own: int, borders: Any, block: int, lead: int, local: int, empty: Any, exact: bool,
    scale: float, out: Any,
) -> None:  # fmt: skip
    """What ``shares`` leaves, for the query blocks of one set, whose members' strips begin at ``strip``.

    far: float32 [member][block, 16] logits where ``exact``, else room for one member's; close, share, near_top, weight,
    sums, spare: room.
    """
    row_bytes, lanes_each, count = dim * 2, query_block // stride, (rows + query_block - 1) // query_block
    sampled = (rows - stride // 2 + stride - 1) // stride
    near = (own + (count - 1) * query_block - local) // block
    if near <= lead:
        return
    whole_far = (near - lead + 7) // 8 * 8
    local_first, sink_tiles = max(lead, (own - local) // block) * block, lead * block // 16
    near_tiles = sink_tiles + (own + rows - local_first + 15) // 16
    even_near = near_tiles + near_tiles % 2
    near_keys = np.empty(near_tiles + 3, np.int64)
    for number in range(near_tiles):
        place = number * 16 if number < sink_tiles else local_first + (number - sink_tiles) * 16
        near_keys[number] = key + place * row_bytes
    if (own + rows) % 16:
        near_keys[near_tiles - 1] = copied(near_keys[near_tiles - 1], (own + rows) % 16, dim, spare + 16 * row_bytes)
    near_keys[near_tiles:] = near_keys[0]
    near_scores = carray(pointer(close), ((near_tiles + 3) * 16, 16), np.float32)
    shared = carray(pointer(share), (lead + whole_far, 16), np.float32)
    shared[:] = np.float32(0)
    level = carray(pointer(near_top), (16,), np.float32)
    each = carray(pointer(weight), (16,), np.float32)
    total = carray(pointer(sums), (16,), np.float32)
    # rows stand at stride // 2, stride // 2 + stride, ...: those before a key of their own do not see it
    unseen = np.zeros((rows, 16), np.float32)
    for number in range(rows):
        for lane in range(max(0, min(16, (number - stride // 2 + stride - 1) // stride))):
            unseen[number, lane] = NOTHING
    own_tiles = sink_tiles * 16 + own - local_first
    factor = np.float32(scale) * LOG2
    size_of = np.float32(0) if exact else np.float32(np.log2(np.float64(block)))
    for member in range(group):
        if not exact:
            run_scores(far, packed, strip + member, strips, packed_bytes, far_keys, (near + 15) // 16, block, 0,
                       borders, dim)  # fmt: skip
        far_scores = carray(pointer(far), (lead + whole_far, 16), np.float32)
        far_scores[near:] = NOTHING
        for index in range(count - 1):
            first_near = max(lead, (own + index * query_block - local) // block)
            far_scores[first_near:near, index * lanes_each : (index + 1) * lanes_each] = NOTHING
        for number in range(empty.shape[0]):
            if empty[number] < near:
                far_scores[empty[number]] = NOTHING
        run_scores(close, packed, strip + member, strips, packed_bytes, near_keys, sink_tiles, 1, 0, borders, dim)
        run_scores(
            close + sink_tiles * 1024, packed, strip + member, strips, packed_bytes, near_keys[sink_tiles:],
            near_tiles - sink_tiles, 1, local_first, borders, dim,
        )  # fmt: skip
        for number in range(rows):
            for lane in range(16):
                near_scores[own_tiles + number, lane] += unseen[number, lane]
        near_scores[own_tiles + rows :] = NOTHING
        for index in range(1, count):
            # what is near for the first query block and far for this one counts once
            gone = (own + index * query_block - local) // block * block - local_first
            lane = index * lanes_each
            near_scores[sink_tiles * 16 : sink_tiles * 16 + max(0, gone), lane : lane + lanes_each] = NOTHING
        each[:] = NOTHING
        level[:] = NOTHING
        lanes.column_max(far + lead * 64, whole_far, weight)
        lanes.column_max(close, even_near * 16, near_top)
        for lane in range(16):
            level[lane] = max(each[lane] * factor + size_of, level[lane] * factor)
        total[:] = np.float32(0)
        lanes.sum_powers(close, even_near * 16, near_top, sums, factor)
        for lane in range(16):
            level[lane] -= size_of
        lanes.powers(far + lead * 64, whole_far, near_top, sums, factor)
        for lane in range(16):
            each[lane] = np.float32(1) / total[lane] if lane < sampled else np.float32(0)
        lanes.add_weighted(far + lead * 64, whole_far, weight, share + lead * 64)
        if exact:
            far += far_step
    for index in range(count):
        begin, end = index * lanes_each, min(sampled, (index + 1) * lanes_each)
        if begin >= end:
            break
        for number in range(lead, (own + index * query_block - local) // block):
            whole_share = np.float32(0)
            for lane in range(begin, end):
                whole_share += shared[number, lane]
            out[index, number] = whole_share / np.float32((end - begin) * group)
