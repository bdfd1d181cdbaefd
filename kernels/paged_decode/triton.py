"""Split-K attention on a GPU: parts of the keys in programs of their own, merged by their log-sum-exp."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launch import LOG2_E, Launch, launch

# tensor cores take no fewer rows
ROWS = 16
# by (card, dim, bytes of a query's number)
LAUNCHES = {
    (80, 64, 2): Launch(rows=ROWS, keys=32, warps=4, stages=4),
    (80, 128, 2): Launch(rows=ROWS, keys=32, warps=4, stages=4),
    (80, 64, 4): Launch(rows=ROWS, keys=16, warps=4, stages=2),
    (80, 128, 4): Launch(rows=ROWS, keys=32, warps=4, stages=2),
    (90, 64, 2): Launch(rows=ROWS, keys=64, warps=4, stages=4),
    (90, 128, 2): Launch(rows=ROWS, keys=64, warps=4, stages=4),
    (90, 64, 4): Launch(rows=ROWS, keys=32, warps=4, stages=2),
    (90, 128, 4): Launch(rows=ROWS, keys=32, warps=4, stages=2),
}
# a block's place is loaded before its keys, which takes more stages or larger steps
LISTED_LAUNCHES = LAUNCHES | {
    (80, 64, 2): Launch(rows=ROWS, keys=128, warps=4, stages=3),
    (80, 128, 2): Launch(rows=ROWS, keys=64, warps=4, stages=5),
    (90, 64, 2): Launch(rows=ROWS, keys=128, warps=4, stages=4),
    (90, 128, 2): Launch(rows=ROWS, keys=64, warps=4, stages=5),
}
# int8 keys are widened in registers, with a step and a centre each
INT8_LAUNCHES = {
    (80, 64, 2): Launch(rows=ROWS, keys=64, warps=4, stages=2),
    (80, 128, 2): Launch(rows=ROWS, keys=32, warps=4, stages=2),
    (80, 64, 4): Launch(rows=ROWS, keys=32, warps=4, stages=2),
    (80, 128, 4): Launch(rows=ROWS, keys=16, warps=4, stages=2),
    (90, 64, 2): Launch(rows=ROWS, keys=64, warps=4, stages=3),
    (90, 128, 2): Launch(rows=ROWS, keys=32, warps=4, stages=3),
    (90, 64, 4): Launch(rows=ROWS, keys=32, warps=4, stages=2),
    (90, 128, 4): Launch(rows=ROWS, keys=16, warps=4, stages=2),
}
# parts merged at a time
MERGED = 16


@triton.jit
def _load(states, steps, place, group, held, width, DIM: tl.constexpr, INT8: tl.constexpr):
    """[KEYS, DIM] of a pool; place, group: [KEYS], where a token and its steps begin."""
    found = tl.load(states + place[:, None] + width[None, :], mask=held[:, None], other=0)
    if INT8:
        step = tl.load(steps + group[:, None] + width[None, :], mask=held[:, None], other=0.0)
        centre = tl.load(steps + group[:, None] + DIM + width[None, :], mask=held[:, None], other=0.0)
        numbers = found.to(tl.float32) * step + centre
    else:
        numbers = found
    return numbers


@triton.jit
def _step(
    q,
    key,
    value,
    key_steps,
    value_steps,
    place,
    value_place,
    steps_place,
    value_steps_place,
    held,
    masses,
    told,
    top,
    whole,
    sums,
    scale,
    INT8: tl.constexpr,
    VALUES: tl.constexpr,
    BY_BLOCK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One step of the online softmax, in base 2. place: [KEYS], where tokens lie; held: [KEYS], which are there.

    masses: [ROWS, blocks], where each block's log-sum-exp goes, told: which of them there are.
    """
    width = tl.arange(0, sums.shape[1])
    k = _load(key, key_steps, place, steps_place, held, width, sums.shape[1], INT8)
    scores = tl.dot(q, tl.trans(k.to(q.dtype)), input_precision="tf32x3") * scale
    scores = tl.where(held[None, :], scores, float("-inf"))
    if BY_BLOCK:
        grouped = tl.reshape(scores, (scores.shape[0], scores.shape[1] // BLOCK, BLOCK))
        peak = tl.maximum(tl.max(grouped, 2), -1e30)
        mass = tl.sum(tl.exp2(grouped - peak[:, :, None]), 2)
        # an empty block's mass is nothing, and its logarithm -inf
        tl.store(masses, (peak + tl.log2(mass)) * 0.6931471805599453, mask=told)
    new_top = tl.maximum(top, tl.max(scores, 1))
    weights = tl.exp2(scores - new_top[:, None])
    fade = tl.exp2(top - new_top)
    if VALUES:
        v = _load(value, value_steps, value_place, value_steps_place, held, width, sums.shape[1], INT8).to(q.dtype)
        sums = tl.dot(weights.to(q.dtype), v, sums * fade[:, None], input_precision="tf32x3")
    return new_top, whole * fade + tl.sum(weights, 1), sums


@triton.jit(do_not_specialize=["variants", "group", "most", "total_entries"])
def _part(
    queries,
    key,
    value,
    key_steps,
    value_steps,
    table,
    lengths,
    entries,
    cuts,
    block_lse,
    part_out,
    part_lse,
    q_variant,
    q_head,
    q_member,
    k_page,
    k_head,
    k_token,
    v_page,
    v_head,
    v_token,
    ks_page,
    ks_head,
    ks_group,
    vs_page,
    vs_head,
    vs_group,
    variants,
    group,
    most,
    total_entries,
    scale,
    LISTED: tl.constexpr,
    INT8: tl.constexpr,
    VALUES: tl.constexpr,
    BY_BLOCK: tl.constexpr,
    PAGE: tl.constexpr,
    SHARED: tl.constexpr,
    BLOCK: tl.constexpr,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
):
    # a program: a part of the entries (blocks) of one key head, for its whole group
    split, head, tile = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    member = tile * ROWS + tl.arange(0, ROWS)
    valid = member < group
    width, lane = tl.arange(0, DIM), tl.arange(0, KEYS)
    TOGETHER: tl.constexpr = KEYS // BLOCK
    entry = tl.arange(0, TOGETHER)
    cuts += head * (variants + 1)
    total = tl.load(cuts + variants)
    each = tl.cdiv(tl.cdiv(total, tl.num_programs(0)), TOGETHER) * TOGETHER
    first = split * each
    last = tl.minimum(total, first + each)

    turned = queries + head * q_head + member.to(tl.int64)[:, None] * q_member + width[None, :]
    top = tl.full((ROWS,), -1e30, tl.float32)
    whole = tl.zeros((ROWS,), tl.float32)
    sums = tl.zeros((ROWS, DIM), tl.float32)
    for variant in range(variants):
        q = tl.load(turned + tl.cast(variant, tl.int64) * q_variant, mask=valid[:, None], other=0.0)
        end = tl.minimum(last, tl.load(cuts + variant + 1))
        begin = tl.maximum(first, tl.load(cuts + variant))
        masses = block_lse + (head * group + member.to(tl.int64))[:, None] * total_entries + entry[None, :]
        if LISTED:
            for at in range(begin, end, TOGETHER):
                held = at + lane // BLOCK < end
                code = tl.load(entries + head * most + at + lane // BLOCK, mask=held, other=0)
                held = held & (lane % BLOCK < BLOCK - code % (2 * BLOCK))
                position = code // (2 * BLOCK) * BLOCK + lane % BLOCK
                page, inner = (position // PAGE).to(tl.int64), (position % PAGE).to(tl.int64)
                top, whole, sums = _step(
                    q, key, value, key_steps, value_steps,
                    page * k_page + head * k_head + inner * k_token, page * v_page + head * v_head + inner * v_token,
                    page * ks_page + head * ks_head + inner // SHARED * ks_group,
                    page * vs_page + head * vs_head + inner // SHARED * vs_group,
                    held, masses + at, valid[:, None] & (at + entry < end)[None, :], top, whole, sums, scale,
                    INT8, VALUES, BY_BLOCK, BLOCK,
                )  # fmt: skip
        else:
            # a page at a time: within one addresses are plain, and the compiler pipelines the loads
            EACH: tl.constexpr = PAGE // BLOCK
            for slot in range(begin // EACH, tl.cdiv(end, EACH)):
                page, length = tl.load(table + slot).to(tl.int64), tl.load(lengths + slot)
                for at in range(tl.maximum(begin, slot * EACH), tl.minimum(end, (slot + 1) * EACH), TOGETHER):
                    inner = (at - slot * EACH) * BLOCK + lane
                    held = (inner < length) & (at + lane // BLOCK < end)
                    wide = inner.to(tl.int64)
                    top, whole, sums = _step(
                        q, key, value, key_steps, value_steps,
                        page * k_page + head * k_head + wide * k_token, page * v_page + head * v_head + wide * v_token,
                        page * ks_page + head * ks_head + wide // SHARED * ks_group,
                        page * vs_page + head * vs_head + wide // SHARED * vs_group,
                        held, masses + at, valid[:, None] & (at + entry < end)[None, :], top, whole, sums, scale,
                        INT8, VALUES, BY_BLOCK, BLOCK,
                    )  # fmt: skip

    line = (split.to(tl.int64) * tl.num_programs(1) + head) * group + member
    tl.store(part_lse + line, top + tl.log2(whole), mask=valid)
    if VALUES:
        mean = tl.where(whole[:, None] > 0, sums / whole[:, None], 0.0)
        tl.store(part_out + line[:, None] * DIM + width[None, :], mean, mask=valid[:, None])


@triton.jit(do_not_specialize=["lines", "splits"])
def _merge(part_out, part_lse, out, lse, lines, splits, VALUES: tl.constexpr, DIM: tl.constexpr, MERGED: tl.constexpr):
    # a program: one head
    line = tl.program_id(0).to(tl.int64)
    width, lane = tl.arange(0, DIM), tl.arange(0, MERGED)
    top = -1e30
    whole = 0.0
    sums = tl.zeros((DIM,), tl.float32)
    for at in range(0, splits, MERGED):
        split = (at + lane).to(tl.int64)
        held = at + lane < splits
        part = tl.load(part_lse + split * lines + line, mask=held, other=float("-inf"))
        new_top = tl.maximum(top, tl.max(part, 0))
        weights = tl.exp2(part - new_top)
        fade = tl.exp2(top - new_top)
        whole = whole * fade + tl.sum(weights, 0)
        top = new_top
        if VALUES:
            place = (split * lines + line) * DIM
            parts = tl.load(part_out + place[:, None] + width[None, :], mask=held[:, None], other=0.0)
            sums = sums * fade + tl.sum(parts * weights[:, None], 0)
    tl.store(lse + line, (top + tl.log2(whole)) * 0.6931471805599453)
    if VALUES:
        mean = tl.where(whole > 0, sums / whole, 0.0)
        tl.store(out + line * DIM + width, mean.to(out.dtype.element_ty))


def paged_decode(
    queries: Tensor,
    key: Tensor,
    value: Tensor | None,
    table: Tensor,
    lengths: Tensor,
    borders: Tensor,
    *,
    scale: float,
    block: int,
    blocks: Tensor | None,
    counts: Tensor | None,
    key_steps: Tensor | None,
    value_steps: Tensor | None,
    block_lse: Tensor | None,
    splits: int,
) -> tuple[Tensor, Tensor]:
    """See ``kernels.paged_decode.paged_decode``."""
    variants, heads, group, dim = queries.shape
    int8, values, page = key_steps is not None, value is not None, key.shape[2]
    tables = INT8_LAUNCHES if int8 else LAUNCHES if blocks is None else LISTED_LAUNCHES
    cut = launch(tables, dim, queries.dtype)
    keys = min(cut.keys, page)
    tensors = [x for x in (queries, key, value, key_steps, value_steps) if x is not None]
    if (
        any(x.stride(-1) != 1 for x in tensors)
        or keys % block
        or page % keys
        or (not int8 and any(x.dtype != queries.dtype for x in (key, value) if x is not None))
        or any(x is not None and x.stride(3) != dim for x in (key_steps, value_steps))
        or not all(x.is_contiguous() for x in (table, lengths))
    ):
        told = ", ".join(f"{x.dtype} with strides {x.stride()}" for x in tensors)
        raise ValueError(f"no Triton kernel for pages of {page}, blocks of {block}, tensors {told}")
    out = torch.empty((heads, group, dim if values else 0), dtype=queries.dtype, device=queries.device)
    lse = torch.empty((heads, group), device=queries.device)
    part_out = torch.empty((splits, heads, group, dim), device=queries.device) if values else lse
    part_lse = torch.empty((splits, heads, group), device=queries.device)
    if blocks is None or counts is None:
        entries, total = table, len(table) * page // block
        cuts = (borders * (page // block)).repeat(heads, 1)
    else:
        entries, total = _entries(blocks, table, lengths, page, block), blocks.shape[1]
        cuts = _cuts(blocks, counts, borders, page // block)
    if block_lse is not None:
        # what no program comes to
        block_lse.fill_(float("-inf"))
    # what a kernel has no use for still has to be some tensor
    _part[splits, heads, -(-group // ROWS)](
        queries,
        key,
        key if value is None else value,
        lse if key_steps is None else key_steps,
        lse if value_steps is None else value_steps,
        table,
        lengths,
        entries,
        cuts,
        lse if block_lse is None else block_lse,
        part_out,
        part_lse,
        *queries.stride()[:3],
        *key.stride()[:3],
        *(key if value is None else value).stride()[:3],
        *((0, 0, 0) if key_steps is None else key_steps.stride()[:3]),
        *((0, 0, 0) if value_steps is None else value_steps.stride()[:3]),
        variants,
        group,
        total,
        total,
        scale * LOG2_E,
        LISTED=blocks is not None,
        INT8=int8,
        VALUES=values,
        BY_BLOCK=block_lse is not None,
        PAGE=page,
        SHARED=page if key_steps is None else page // key_steps.shape[2],
        BLOCK=block,
        DIM=dim,
        ROWS=ROWS,
        KEYS=keys,
        num_warps=cut.warps,
        num_stages=cut.stages,
    )
    _merge[(heads * group,)](
        part_out, part_lse, out, lse, heads * group, splits, VALUES=values, DIM=dim, MERGED=MERGED, num_warps=4
    )
    return out, lse


def _entries(blocks: Tensor, table: Tensor, lengths: Tensor, page: int, block: int) -> Tensor:
    """Where each listed block lies in the pool, in blocks, and how many tokens it lacks: one number to gather. int32.

    Nothing here waits for the device. What lies behind the counts stays unread, and may be anything.
    """
    each = page // block
    slot = (blocks // each).clamp(0, len(table) - 1)
    inner = blocks % each
    lacks = ((inner + 1) * block - lengths[slot]).clamp(0, block)
    return ((table[slot] * each + inner) * (2 * block) + lacks).to(torch.int32).contiguous()


def _cuts(blocks: Tensor, counts: Tensor, borders: Tensor, each: int) -> Tensor:
    """Where in each head's ascending list the variants begin, and its end: int32 [kv_heads, variants + 1]."""
    used = torch.arange(blocks.shape[1], device=blocks.device) < counts[:, None]
    before = (blocks[:, None, :] < (borders * each)[None, :-1, None]) & used[:, None, :]
    return torch.cat([before.sum(-1, dtype=torch.int32), counts[:, None]], 1).contiguous()
