"""Block-sparse attention on a GPU: listed blocks are gathered, a few at a time, into an online softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launch import LOG2_E, Launch, launch
from kernels.sparse_attention.reference import edges

LAUNCHES = {
    (80, 64, 2): Launch(rows=128, keys=64, warps=8, stages=3),
    (80, 128, 2): Launch(rows=128, keys=32, warps=8, stages=4),
    (80, 64, 4): Launch(rows=64, keys=16, warps=8, stages=2),
    (80, 128, 4): Launch(rows=16, keys=32, warps=4, stages=2),
    (90, 64, 2): Launch(rows=128, keys=64, warps=8, stages=4),
    (90, 128, 2): Launch(rows=128, keys=64, warps=8, stages=4),
    (90, 64, 4): Launch(rows=64, keys=32, warps=8, stages=2),
    (90, 128, 4): Launch(rows=16, keys=32, warps=4, stages=2),
}


@triton.jit
def _step(q, keys, values, held, seen, top, total, sums, scale):
    """One step of the online softmax, in base 2. keys, values: pointers; held: [keys]; seen: [rows or 1, keys]."""
    k = tl.load(keys, mask=held[:, None], other=0.0)
    scores = tl.dot(q, tl.trans(k), input_precision="tf32x3") * scale
    scores = tl.where(seen, scores, float("-inf"))
    new_top = tl.maximum(top, tl.max(scores, 1))
    weights = tl.exp2(scores - new_top[:, None])
    fade = tl.exp2(top - new_top)
    v = tl.load(values, mask=held[:, None], other=0.0)
    sums = tl.dot(weights.to(v.dtype), v, sums * fade[:, None], input_precision="tf32x3")
    return new_top, total * fade + tl.sum(weights, 1), sums


@triton.jit(do_not_specialize=["rows", "start", "variants", "group", "most"])
def _attend(
    queries,
    key,
    value,
    entries,
    cuts,
    out,
    lse,
    q_variant,
    q_head,
    q_member,
    q_row,
    k_head,
    k_token,
    v_head,
    v_token,
    variants,
    group,
    rows,
    start,
    most,
    scale,
    DIM: tl.constexpr,
    QUERY_BLOCK: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    WITH_LSE: tl.constexpr,
    PARTS: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
):
    # a program: some rows of a query block of one member of the group
    head, place = tl.program_id(1).to(tl.int64), tl.program_id(0)
    part, member = place % PARTS, place // PARTS % group
    index = place // PARTS // group
    inner = part * ROWS + tl.arange(0, ROWS)  # rows of the query block
    row = index * QUERY_BLOCK + part * ROWS
    valid = row + tl.arange(0, ROWS) < rows
    width = tl.arange(0, DIM)
    lane = tl.arange(0, KEYS)
    key += head * k_head + width[None, :]
    value += head * v_head + width[None, :]
    turned = queries + head * q_head + member.to(tl.int64) * q_member + row.to(tl.int64) * q_row
    turned += tl.arange(0, ROWS)[:, None] * q_row + width[None, :]
    line = head * (tl.num_programs(0) // PARTS // group) + index
    entries += line * most
    cuts += line * (variants + 1)

    # finite, so that a step without any key leaves no nan behind
    top = tl.full((ROWS,), -1e30, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    sums = tl.zeros((ROWS, DIM), tl.float32)

    # a query block lies within one chunk: the last variant is its own
    q = tl.load(turned + (variants - 1).to(tl.int64) * q_variant, mask=valid[:, None], other=0.0)
    own = start + index * QUERY_BLOCK
    for at in range(0, part * ROWS + ROWS, KEYS):
        column = at + lane
        position = (own + column).to(tl.int64)[:, None]
        held = (column < QUERY_BLOCK) & (own + column < start + rows)
        seen = column[None, :] <= inner[:, None]
        keys, values = key + position * k_token, value + position * v_token
        top, total, sums = _step(q, keys, values, held, seen, top, total, sums, scale)

    for variant in range(variants):
        q = tl.load(turned + tl.cast(variant, tl.int64) * q_variant, mask=valid[:, None], other=0.0)
        end = tl.load(cuts + variant + 1)
        for at in range(tl.load(cuts + variant), end, KEYS // BLOCK):
            number = at + lane // BLOCK
            entry = tl.load(entries + number, mask=number < end, other=0)
            held = number < end
            if PARTIAL:
                held = held & (lane % BLOCK < BLOCK - entry % BLOCK)
                entry = entry // BLOCK * BLOCK
            position = (entry + lane % BLOCK).to(tl.int64)[:, None]
            keys, values = key + position * k_token, value + position * v_token
            top, total, sums = _step(q, keys, values, held, held[None, :], top, total, sums, scale)

    first = (head * group + member) * rows + row
    out += first * DIM + tl.arange(0, ROWS)[:, None] * DIM + width[None, :]
    tl.store(out, (sums / total[:, None]).to(q.dtype), mask=valid[:, None])
    if WITH_LSE:
        tl.store(lse + first + tl.arange(0, ROWS), (top + tl.log2(total)) * 0.6931471805599453, mask=valid)


def sparse_attention(
    queries: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor,
    counts: Tensor,
    *,
    start: int,
    borders: Sequence[int],
    block: int,
    query_block: int,
    scale: float,
    partial: Mapping[int, int],
    lse: Tensor | None,
) -> Tensor:
    """See ``kernels.sparse_attention.sparse_attention``."""
    variants, heads, group, rows, dim = queries.shape
    cut = launch(LAUNCHES, dim, queries.dtype)
    tile = min(cut.rows, query_block)
    if (
        query_block % tile
        or cut.keys % block
        or queries.dtype != key.dtype
        or any(x.stride(-1) != 1 for x in (queries, key, value))
    ):
        raise ValueError(
            f"no Triton kernel for blocks of {query_block} and {block}, queries {queries.dtype}, keys {key.dtype} "
            f"with strides {queries.stride()}, {key.stride()}, {value.stride()}"
        )
    out = torch.empty((heads, group, rows, dim), dtype=queries.dtype, device=queries.device)
    cuts = edges(blocks, counts, [border // block for border in borders[1:]]).to(torch.int32)
    _attend[query_block // tile * group * blocks.shape[1], heads](
        queries,
        key,
        value,
        _entries(blocks, key.shape[1] // block, block, partial),
        cuts,
        out,
        out if lse is None else lse,
        *queries.stride()[:4],
        *key.stride()[:2],
        *value.stride()[:2],
        variants,
        group,
        rows,
        start,
        blocks.shape[2],
        scale * LOG2_E,
        DIM=dim,
        QUERY_BLOCK=query_block,
        BLOCK=block,
        PARTIAL=bool(partial),
        WITH_LSE=lse is not None,
        PARTS=query_block // tile,
        ROWS=tile,
        KEYS=cut.keys,
        num_warps=cut.warps,
        num_stages=cut.stages,
    )
    return out


def _entries(blocks: Tensor, whole: int, block: int, partial: Mapping[int, int]) -> Tensor:
    """Each listed block's first position, plus the number of keys it lacks: one number to gather. int32, as listed.

    Nothing here waits for the device. What lies behind the counts stays unread, and may be anything.
    """
    if not partial:
        return (blocks * block).contiguous()
    lacks = torch.zeros(whole, dtype=torch.int32, device=blocks.device)
    for number, length in partial.items():
        lacks[number] = block - length
    return (blocks * block + lacks[blocks.clamp(0, whole - 1)]).contiguous()
