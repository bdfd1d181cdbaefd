"""How much of each query block's attention goes to each block of keys, estimated: by mean keys, or largest logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from kernels.block_scores import reference, tiled
from kernels.tiles import fit

__all__ = ["block_scores"]

Impl = Literal["triton", "tiles", "reference"]


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
    empty: Sequence[int] = (),
    partial: Mapping[int, int] | None = None,
    exact: bool = False,
    impl: Impl | None = None,
) -> Tensor:
    """The share of attention that a block of keys gets, averaged over every ``stride``-th row of a query block.

    Blocks before ``sink`` and those that begin ``local`` tokens before the query block or later are attended to
    anyway: they count in the total, exactly, and have no score of their own (-inf).

    queries, key, start, borders, block, query_block, scale: as for ``sparse_attention``; means: [kv_heads, blocks,
    dim], the mean of each block's keys; sink, local: tokens, multiples of ``block``; empty: blocks without any key;
    partial: blocks with fewer keys than ``block``, and how many, for ``exact`` alone: their means know it.
    exact: a block counts by the largest of its keys' logits instead of its mean key's: 16 times the products, and a
    single key that matters is seen.
    impl: None takes Triton for tensors on a GPU, and the tiles of a processor that has them. Returns [kv_heads, query
    blocks, start // block + blocks of the rows] in float32. Raises ValueError for lengths that do not fit.
    """
    if sink % block or local % block:
        raise ValueError(f"sink {sink} and local {local} must be multiples of {block}")
    if query_block % stride:
        raise ValueError(f"a query block of {query_block} rows has no whole number of samples {stride} rows apart")
    fast = fit(queries, key, means) and tiled.fits(borders, block, query_block, stride, local)
    if impl is None:
        impl = "triton" if queries.is_cuda else "tiles" if fast else "reference"
    if impl == "tiles" and not fast:
        raise ValueError(
            "tiles want bfloat16 of dim 64 or 128 in place, 16 samples of whole query blocks, and a processor for it"
        )
    if impl == "reference":
        function = reference.block_scores
    elif impl == "tiles":
        function = tiled.block_scores
    else:
        from kernels.block_scores import triton

        function = triton.block_scores
    return function(
        queries, key, means, start=start, borders=borders, block=block, query_block=query_block, scale=scale,
        sink=sink, local=local, stride=stride, empty=empty, partial=partial or {}, exact=exact,
    )  # fmt: skip
