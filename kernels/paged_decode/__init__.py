"""Attention of one token's queries over keys in pages, in many parts at once, with the log-sum-exp of every block."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kernels.paged_decode import reference

__all__ = ["paged_decode"]

Impl = Literal["triton", "reference"]


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
    blocks: Tensor | None = None,
    counts: Tensor | None = None,
    key_steps: Tensor | None = None,
    value_steps: Tensor | None = None,
    block_lse: Tensor | None = None,
    splits: int = 64,
    impl: Impl | None = None,
) -> tuple[Tensor, Tensor]:
    """One row attends to all keys, or to the blocks listed for each key head. All lengths are read on the device.

    queries: [variants, kv_heads, group, dim], the row rotated for each kind of page; key, value: [pages, kv_heads,
    page, dim], a pool; table, lengths: int32 [slots], of each logical page in order: where in the pool it lies, and how
    many tokens it holds; borders: int32 [variants + 1], the first logical page that each of the queries meets, from 0,
    and the number of pages in use: slots behind it are never looked at. A logical page p holds the blocks
    p * page / block and following.

    blocks: int32 [kv_heads, most], of which the first ``counts[head]``, ascending, are attended to; both or none.
    key_steps, value_steps: float32 [pages, kv_heads, groups, 2, dim] where key and value are int8: a number is
    code * step + centre, steps before centres, for page / groups tokens each (``kernels.int8_kv``).
    block_lse: float32 [kv_heads, group, entries], to be filled with the log-sum-exp of each block attended to, -inf
    where there is none; entries: slots * page / block, or most. value None: the log-sum-exps alone, out is then empty.
    splits: parts that run at the same time. impl: None takes Triton for tensors on a GPU.

    Returns out [kv_heads, group, dim] in the dtype of ``queries`` and lse [kv_heads, group] in float32, the natural
    logarithm of the sum of the exponentiated, scaled scores. Raises ValueError for shapes that do not fit.
    """
    variants, heads, group, dim = queries.shape
    page = key.shape[2]
    if key.shape[1] != heads or key.shape[3] != dim or (value is not None and value.shape != key.shape):
        shapes = f"queries {tuple(queries.shape)}, key {tuple(key.shape)}"
        raise ValueError(f"shapes do not fit: {shapes}, value {None if value is None else tuple(value.shape)}")
    if page % block:
        raise ValueError(f"a page of {page} tokens has no whole number of blocks of {block}")
    if table.shape != lengths.shape or borders.shape != (variants + 1,):
        shapes = f"table {tuple(table.shape)}, lengths {tuple(lengths.shape)}, borders {tuple(borders.shape)}"
        raise ValueError(f"shapes do not fit {variants} variants: {shapes}")
    if any(x.dtype != torch.int32 for x in (table, lengths, borders)):
        raise ValueError("table, lengths and borders must be int32")
    if (blocks is None) != (counts is None):
        raise ValueError("blocks need their counts")
    if blocks is not None and counts is not None and (blocks.shape[0], *counts.shape) != (heads, heads):
        raise ValueError(f"blocks {tuple(blocks.shape)} and counts {tuple(counts.shape)} do not fit {heads} heads")
    if (key.dtype == torch.int8) != (key_steps is not None) or (value is not None and key_steps is not None) != (
        value_steps is not None
    ):
        raise ValueError("int8 keys and values need their steps, and no others have any")
    for steps in (key_steps, value_steps):
        if steps is not None and (
            steps.shape[:2] != key.shape[:2] or steps.shape[3:] != (2, dim) or page % steps.shape[2]
        ):
            raise ValueError(f"steps {tuple(steps.shape)} do not fit {tuple(key.shape)}")
    entries = len(table) * page // block if blocks is None else blocks.shape[1]
    if block_lse is not None and (
        block_lse.shape != (heads, group, entries) or block_lse.dtype != torch.float32 or not block_lse.is_contiguous()
    ):
        wanted = (heads, group, entries)
        raise ValueError(f"block_lse {tuple(block_lse.shape)} {block_lse.dtype} must be contiguous float32 {wanted}")
    if splits < 1:
        raise ValueError(f"splits must be 1 or more, not {splits}")
    if impl is None:
        impl = "triton" if queries.is_cuda else "reference"
    if impl == "reference":
        function = reference.paged_decode
    else:
        from kernels.paged_decode import triton

        function = triton.paged_decode
    return function(
        queries,
        key,
        value,
        table,
        lengths,
        borders,
        scale=scale,
        block=block,
        blocks=blocks,
        counts=counts,
        key_steps=key_steps,
        value_steps=value_steps,
        block_lse=block_lse,
        splits=splits,
    )
