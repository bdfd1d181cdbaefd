"""A program a key head."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _append(
    key,
    value,
    key_pool,
    value_pool,
    means,
    table,
    position,
    k_page,
    k_head,
    k_token,
    v_page,
    v_head,
    v_token,
    m_page,
    m_head,
    m_block,
    key_head,
    value_head,
    PAGE: tl.constexpr,
    BLOCK: tl.constexpr,
    DIM: tl.constexpr,
    WIDTH: tl.constexpr,
):
    head = tl.program_id(0).to(tl.int64)
    width = tl.arange(0, WIDTH)
    wide = width < DIM
    at = tl.load(position)
    inner = at % PAGE
    page = tl.load(table + at // PAGE).to(tl.int64)
    new = tl.load(key + head * key_head + width, mask=wide, other=0.0)
    keys = key_pool + page * k_page + head * k_head + width
    tl.store(keys + inner * k_token, new, mask=wide)
    states = tl.load(value + head * value_head + width, mask=wide, other=0.0)
    tl.store(value_pool + page * v_page + head * v_head + inner * v_token + width, states, mask=wide)
    # the rows before it in its block; the new one is at hand
    row = tl.arange(0, BLOCK)
    first = inner // BLOCK * BLOCK
    earlier = keys[None, :] + (first + row)[:, None] * k_token
    held = (first + row < inner)[:, None] & wide[None, :]
    total = tl.sum(tl.load(earlier, mask=held, other=0.0).to(tl.float32), 0) + new.to(tl.float32)
    mean = total / (inner - first + 1).to(tl.float32)
    target = means + page * m_page + head * m_head + inner // BLOCK * m_block + width
    tl.store(target, mean.to(new.dtype), mask=wide)


def append_row(
    key: Tensor, value: Tensor, key_pool: Tensor, value_pool: Tensor, means: Tensor, table: Tensor, position: Tensor
) -> None:
    """See ``kernels.append_row.append_row``."""
    heads, dim = key.shape
    tensors = (key, value, key_pool, value_pool, means)
    if any(x.stride(-1) != 1 for x in tensors):
        raise ValueError(f"no Triton kernel for strides {', '.join(str(x.stride()) for x in tensors)}")
    page = key_pool.shape[2]
    _append[(heads,)](
        key,
        value,
        key_pool,
        value_pool,
        means,
        table,
        position,
        *key_pool.stride()[:3],
        *value_pool.stride()[:3],
        *means.stride()[:3],
        key.stride(0),
        value.stride(0),
        PAGE=page,
        BLOCK=page // means.shape[2],
        DIM=dim,
        WIDTH=triton.next_power_of_2(dim),
        num_warps=1,
    )
