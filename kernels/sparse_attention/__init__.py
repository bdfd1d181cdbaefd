"""Attention of blocks of queries over the blocks of keys listed for each, with Dual Chunk Attention's variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from kernels.sparse_attention import reference
from kernels.tiles import fit

__all__ = ["sparse_attention"]

Impl = Literal["triton", "tiles", "reference"]


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
    partial: Mapping[int, int] | None = None,
    lse: Tensor | None = None,
    impl: Impl | None = None,
) -> Tensor:
    """Rows ``start``.. of a sequence attend to the listed key blocks and, causally, to their own query block.

    queries: [variants, kv_heads, group, rows, dim], the same rows rotated for keys from ``borders[i]`` up to
    ``borders[i + 1]`` (the last variant for all after; ``borders[0]`` is 0); key, value: [kv_heads, capacity, dim], a
    row a position; blocks: [kv_heads, query blocks, most] int32, of which the first ``counts[head, i]`` are used, in
    ascending order: block b holds keys b * block .. (b + 1) * block, all before their query block; counts: int32;
    partial: blocks with fewer keys than ``block``, and how many. ``start`` and ``query_block`` are multiples of
    ``block``, as are the borders. lse: [kv_heads, group, rows] float32, to be filled with the natural logarithm of the
    sum of the exponentiated, scaled scores. impl: None takes Triton for tensors on a GPU, and
    the tiles of a processor that has them.

    Returns [kv_heads, group, rows, dim] in the dtype of ``queries``. Raises ValueError for shapes that do not fit.
    """
    variants, heads, group, rows, dim = queries.shape
    capacity = key.shape[1]
    if key.shape != value.shape or key.shape[0] != heads or key.shape[2] != dim:
        shapes = f"queries {tuple(queries.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
        raise ValueError(f"shapes do not fit: {shapes}")
    if len(borders) != variants or borders[0] != 0 or any(border % block for border in borders):
        raise ValueError(f"{variants} variants need as many borders, from 0, at multiples of {block}: {borders}")
    if start % block or query_block % block or start + rows > capacity:
        raise ValueError(f"rows {start}..{start + rows} in blocks of {query_block} do not fit {capacity} keys")
    if blocks.shape[:2] != (heads, -(-rows // query_block)) or counts.shape != blocks.shape[:2]:
        raise ValueError(f"blocks {tuple(blocks.shape)} and counts {tuple(counts.shape)} do not fit {rows} rows")
    if lse is not None and (lse.shape != (heads, group, rows) or lse.dtype != torch.float32 or not lse.is_contiguous()):
        raise ValueError(f"lse {tuple(lse.shape)} {lse.dtype} must be contiguous float32 {(heads, group, rows)}")
    fast = block == 16 and fit(queries, key, value)
    if impl is None:
        impl = "triton" if queries.is_cuda else "tiles" if fast else "reference"
    if impl == "tiles" and not fast:
        raise ValueError("tiles want bfloat16 of dim 64 or 128 in place, and a processor that has them")
    if impl == "reference":
        function = reference.sparse_attention
    elif impl == "tiles":
        from kernels.sparse_attention import tiled

        function = tiled.sparse_attention
    else:
        from kernels.sparse_attention import triton

        function = triton.sparse_attention
    return function(
        queries,
        key,
        value,
        blocks,
        counts,
        start=start,
        borders=borders,
        block=block,
        query_block=query_block,
        scale=scale,
        partial=partial or {},
        lse=lse,
    )
