"""Writes one token's key and value where its page lies, and renews the mean key of its block."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kernels.append_row import reference

__all__ = ["append_row"]

Impl = Literal["triton", "reference"]


def append_row(
    key: Tensor,
    value: Tensor,
    key_pool: Tensor,
    value_pool: Tensor,
    means: Tensor,
    table: Tensor,
    position: Tensor,
    *,
    impl: Impl | None = None,
) -> None:
    """Store a row at a position that the device knows: nothing waits for it, and a CUDA graph may hold it.

    key, value: [kv_heads, dim]; key_pool, value_pool: [pages, kv_heads, page, dim], any strides but the last; means:
    [pages, kv_heads, page / block, dim], the mean of the keys of each block of a page as far as it is full; table:
    int32 [slots], where logical pages lie; position: int64 [1], logical page * page + place in it. impl: None takes
    Triton for tensors on a GPU. Raises ValueError for shapes that do not fit.
    """
    heads, dim = key.shape
    page = key_pool.shape[2]
    wanted = (len(key_pool), heads, page, dim)
    if value.shape != key.shape or key_pool.shape != wanted or value_pool.shape != wanted:
        shapes = f"key {tuple(key.shape)}, value {tuple(value.shape)}"
        raise ValueError(f"shapes do not fit: {shapes}, pools {tuple(key_pool.shape)}, {tuple(value_pool.shape)}")
    if means.shape[:2] != wanted[:2] or means.shape[3] != dim or page % means.shape[2]:
        raise ValueError(f"means {tuple(means.shape)} do not fit pages {wanted}")
    if table.dtype != torch.int32 or position.dtype != torch.int64 or position.shape != (1,):
        raise ValueError(f"table {table.dtype} must be int32, position {position.dtype} {tuple(position.shape)} int64")
    if any(x.dtype != key.dtype for x in (value, key_pool, value_pool, means)):
        raise ValueError(f"keys of {key.dtype} do not go into a pool of {key_pool.dtype}")
    if impl is None:
        impl = "triton" if key.is_cuda else "reference"
    if impl == "reference":
        function = reference.append_row
    else:
        from kernels.append_row import triton

        function = triton.append_row
    function(key, value, key_pool, value_pool, means, table, position)
