"""Two passes over the keys, or their means, on a GPU: every sampled row's total, then the shares of the blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launch import LOG2_E, Launch, launch

LAUNCHES = {
    (80, 64, 2): Launch(rows=128, keys=64, warps=8, stages=3),
    (80, 128, 2): Launch(rows=128, keys=64, warps=8, stages=3),
    (80, 64, 4): Launch(rows=16, keys=32, warps=4, stages=2),
    (80, 128, 4): Launch(rows=16, keys=32, warps=4, stages=2),
    (90, 64, 2): Launch(rows=128, keys=64, warps=8, stages=4),
    (90, 128, 2): Launch(rows=128, keys=64, warps=8, stages=4),
    (90, 64, 4): Launch(rows=16, keys=32, warps=4, stages=2),
    (90, 128, 4): Launch(rows=16, keys=32, warps=4, stages=2),
}
# blocks whose shares one program works out
SPAN = 1024
# Dual Chunk Attention's
MOST_VARIANTS = 3
NO_BORDER = 1 << 30


@triton.jit
def _edge(variant, second, third):
    """The first position of a variant."""
    later = tl.where(variant == 1, second, tl.where(variant == 2, third, 1 << 30))
    return tl.where(variant == 0, 0, later)


@triton.jit
def _logits(q, keys, held, scale):
    k = tl.load(keys, mask=held[:, None], other=0.0)
    return tl.dot(q, tl.trans(k), input_precision="tf32x3") * scale


@triton.jit
def _far(
    q, key, means, blocks, held, have, k_token, m_block, scale,
    BLOCK: tl.constexpr, LOG2_BLOCK: tl.constexpr, EXACT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Logits of blocks in base 2: the largest of their first ``have`` keys, or the mean key's with their number."""
    if EXACT:
        logits = tl.full((q.shape[0], blocks.shape[0]), float("-inf"), tl.float32)
        for number in range(BLOCK):
            there = held & (number < have)
            at = blocks.to(tl.int64) * BLOCK + number
            k = tl.load(key + at[:, None] * k_token, mask=there[:, None], other=0.0)
            each = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
            logits = tl.maximum(logits, tl.where(there[None, :], each, float("-inf")))
    else:
        logits = _logits(q, means + blocks.to(tl.int64)[:, None] * m_block, held, scale) + LOG2_BLOCK
    return logits


@triton.jit
def _add(logits, seen, top, total):
    """Terms of a log-sum-exp in base 2, online: ``top + log2(total)``."""
    logits = tl.where(seen, logits, float("-inf"))
    new_top = tl.maximum(top, tl.max(logits, 1))
    return new_top, total * tl.exp2(top - new_top) + tl.sum(tl.exp2(logits - new_top[:, None]), 1)


@triton.jit
def _sample(index, tile, rows, group, QUERY_BLOCK: tl.constexpr, STRIDE: tl.constexpr, ROWS: tl.constexpr):
    """(place among the query block's samples, member of the group, row, whether there is one), each [ROWS]."""
    place = tile * ROWS + tl.arange(0, ROWS)
    member = place // (QUERY_BLOCK // STRIDE)
    row = index * QUERY_BLOCK + place % (QUERY_BLOCK // STRIDE) * STRIDE + STRIDE // 2
    return place, member.to(tl.int64), row.to(tl.int64), (member < group) & (row < rows)


@triton.jit(do_not_specialize=["variants", "group", "rows", "start", "second", "third", "tiles"])
def _sums(
    queries,
    key,
    means,
    present,
    sums,
    q_variant,
    q_head,
    q_member,
    q_row,
    k_head,
    k_token,
    m_head,
    m_block,
    variants,
    group,
    rows,
    start,
    second,
    third,
    tiles,
    scale,
    SINK: tl.constexpr,
    LOCAL: tl.constexpr,
    BLOCK: tl.constexpr,
    LOG2_BLOCK: tl.constexpr,
    EXACT: tl.constexpr,
    PRECISION: tl.constexpr,
    HOLES: tl.constexpr,
    QUERY_BLOCK: tl.constexpr,
    STRIDE: tl.constexpr,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
):
    """The log-sum-exp, in base 2, of every sampled row: sums [kv_heads, query blocks, group * samples]."""
    index, tile, head = tl.program_id(0) // tiles, tl.program_id(0) % tiles, tl.program_id(1).to(tl.int64)
    own = start + index * QUERY_BLOCK
    nearest = (own - LOCAL) // BLOCK
    if nearest <= SINK // BLOCK:
        return
    place, member, row, valid = _sample(index, tile, rows, group, QUERY_BLOCK, STRIDE, ROWS)
    width = tl.arange(0, DIM)
    lane = tl.arange(0, KEYS)
    key += head * k_head + width[None, :]
    means += head * m_head + width[None, :]
    turned = queries + head * q_head + (member * q_member + row * q_row)[:, None] + width[None, :]
    top = tl.full((ROWS,), -1e30, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for variant in range(variants):
        q = tl.load(turned + tl.cast(variant, tl.int64) * q_variant, mask=valid[:, None], other=0.0)
        low, high = _edge(variant, second, third), _edge(variant + 1, second, third)
        end = tl.minimum(nearest, high // BLOCK)
        for at in range(tl.maximum(SINK // BLOCK, low // BLOCK), end, KEYS):
            held = at + lane < end
            have = tl.full((KEYS,), BLOCK, tl.int32)
            if HOLES:
                have = tl.load(present + at + lane, mask=held, other=0).to(tl.int32)
                held = held & (have != 0)
            logits = _far(
                q, key, means, at + lane, held, have, k_token, m_block, scale, BLOCK, LOG2_BLOCK, EXACT, PRECISION
            )
            top, total = _add(logits, held[None, :], top, total)
        # what is attended to anyway, exactly: the sink, then everything from the local keys on
        for at in range(0, SINK + own - nearest * BLOCK + QUERY_BLOCK, KEYS):
            position = at + lane
            position = tl.where(position < SINK, position, position - SINK + nearest * BLOCK)
            held = (position >= low) & (position < tl.minimum(high, start + rows))
            seen = held[None, :] & (position[None, :] <= start + row[:, None])
            logits = _logits(q, key + position.to(tl.int64)[:, None] * k_token, held, scale)
            top, total = _add(logits, seen, top, total)
    sums += (head * (tl.num_programs(0) // tiles) + index) * (group * (QUERY_BLOCK // STRIDE))
    tl.store(sums + place, top + tl.log2(total), mask=valid)


@triton.jit(do_not_specialize=["variants", "group", "rows", "start", "second", "third", "spans", "blocks"])
def _shares(
    queries,
    key,
    means,
    present,
    sums,
    scores,
    q_variant,
    q_head,
    q_member,
    q_row,
    k_head,
    k_token,
    m_head,
    m_block,
    variants,
    group,
    rows,
    start,
    second,
    third,
    spans,
    blocks,
    scale,
    SINK: tl.constexpr,
    LOCAL: tl.constexpr,
    BLOCK: tl.constexpr,
    LOG2_BLOCK: tl.constexpr,
    EXACT: tl.constexpr,
    PRECISION: tl.constexpr,
    HOLES: tl.constexpr,
    QUERY_BLOCK: tl.constexpr,
    STRIDE: tl.constexpr,
    SPAN: tl.constexpr,
    TILES: tl.constexpr,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Mean over the sampled rows of a block's share: scores [kv_heads, query blocks, blocks], where there is one."""
    index, span, head = tl.program_id(0) // spans, tl.program_id(0) % spans, tl.program_id(1).to(tl.int64)
    samples = tl.cdiv(rows - index * QUERY_BLOCK - STRIDE // 2, STRIDE)
    samples = tl.minimum(samples, QUERY_BLOCK // STRIDE)
    begin = SINK // BLOCK + span * SPAN
    last = tl.minimum((start + index * QUERY_BLOCK - LOCAL) // BLOCK, begin + SPAN)
    if (samples <= 0) | (begin >= last):
        return
    width = tl.arange(0, DIM)
    lane = tl.arange(0, KEYS)
    key += head * k_head + width[None, :]
    means += head * m_head + width[None, :]
    line = head * (tl.num_programs(0) // spans) + index
    sums += line * (group * (QUERY_BLOCK // STRIDE))
    scores += line * blocks
    for tile in range(TILES):
        place, member, row, valid = _sample(index, tile, rows, group, QUERY_BLOCK, STRIDE, ROWS)
        turned = queries + head * q_head + (member * q_member + row * q_row)[:, None] + width[None, :]
        # a row that is not there has nothing to share
        whole = tl.load(sums + place, mask=valid, other=float("inf"))
        for variant in range(variants):
            q = tl.load(turned + tl.cast(variant, tl.int64) * q_variant, mask=valid[:, None], other=0.0)
            low, high = _edge(variant, second, third), _edge(variant + 1, second, third)
            end = tl.minimum(last, high // BLOCK)
            for at in range(tl.maximum(begin, low // BLOCK), end, KEYS):
                held = at + lane < end
                have = tl.full((KEYS,), BLOCK, tl.int32)
                if HOLES:
                    have = tl.load(present + at + lane, mask=held, other=0).to(tl.int32)
                    held = held & (have != 0)
                logits = _far(
                    q, key, means, at + lane, held, have, k_token, m_block, scale, BLOCK, LOG2_BLOCK, EXACT, PRECISION
                )
                share = tl.sum(tl.exp2(logits - whole[:, None]), 0) / (samples * group)
                if tile > 0:
                    share += tl.load(scores + at + lane, mask=held, other=0.0)
                tl.store(scores + at + lane, share, mask=held)


def block_scores(
    queries: Tensor,
    key: Tensor,
    means: Tensor,
    *,
    start: int,
    borders: Sequence[int],
    block: int,
    query_block: int,
    scale: float,
    sink: int,
    local: int,
    stride: int,
    empty: Sequence[int],
    partial: Mapping[int, int],
    exact: bool,
) -> Tensor:
    """See ``kernels.block_scores.block_scores``."""
    variants, heads, group, rows, dim = queries.shape
    cut = launch(LAUNCHES, dim, queries.dtype)
    tensors = (queries, key, means)
    if variants > MOST_VARIANTS or any(x.stride(-1) != 1 or x.dtype != queries.dtype for x in tensors):
        told = ", ".join(f"{x.dtype} with strides {x.stride()}" for x in tensors)
        raise ValueError(f"no Triton kernel for {variants} variants, queries, keys and means {told}")
    query_blocks, total = -(-rows // query_block), -(-(start + rows) // block)
    samples = group * (query_block // stride)
    tile = min(cut.rows, max(16, triton.next_power_of_2(samples)))
    tiles, spans = -(-samples // tile), max(1, -(-(total - sink // block) // SPAN))
    scores = torch.full((heads, query_blocks, total), float("-inf"), device=queries.device)
    sums = torch.empty((heads, query_blocks, samples), device=queries.device)
    short = partial if exact else {}
    present = _present(total, block, empty, short, queries.device) if empty or short else sums
    second, third = [*borders[1:], NO_BORDER, NO_BORDER][:2]
    place = (variants, group, rows, start, second, third)
    shape = {
        "SINK": sink,
        "LOCAL": local,
        "BLOCK": block,
        "LOG2_BLOCK": math.log2(block),
        "EXACT": exact,
        # three products of tensor cores hold too much for float32 of this width
        "PRECISION": "ieee" if dim > 64 else "tf32x3",
        "HOLES": bool(empty or short),
        "QUERY_BLOCK": query_block,
        "STRIDE": stride,
        "DIM": dim,
        "ROWS": tile,
        # a block's largest logit is one more tile in registers
        "KEYS": cut.keys if not exact else cut.keys // 2,
        "num_warps": 2 * cut.warps if exact and queries.dtype is torch.float32 else cut.warps,
        "num_stages": 1 if exact and queries.dtype is torch.float32 else cut.stages,
    }
    strides = (*queries.stride()[:4], *key.stride()[:2], *means.stride()[:2])
    _sums[query_blocks * tiles, heads](
        queries, key, means, present, sums, *strides, *place, tiles, scale * LOG2_E, **shape
    )
    _shares[query_blocks * spans, heads](
        queries, key, means, present, sums, scores, *strides, *place, spans, total, scale * LOG2_E,
        SPAN=SPAN, TILES=tiles, **shape,
    )  # fmt: skip
    return scores


def _present(total: int, block: int, empty: Sequence[int], partial: Mapping[int, int], device: torch.device) -> Tensor:
    """int8 [total]: keys of each block. Empty ones come in runs; a run is one operation that waits for nothing."""
    present = torch.full((total,), block, dtype=torch.int8, device=device)
    for number, length in partial.items():
        present[number] = length
    first = last = -1
    for number in [*sorted(empty), total + 1]:
        if number != last:
            present[max(first, 0) : max(last, 0)] = 0
            first = number
        last = number + 1
    return present
