"""Attention of grouped queries over one run of keys, with its log-sum-exp, so that parts can be merged."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kernels.attention import flash, reference

__all__ = ["attention"]

Impl = Literal["flash", "reference"]


def attention(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float, impl: Impl | None = None
) -> tuple[Tensor, Tensor]:
    """Softmax attention of every query over all keys, or, if ``causal``, over the keys up to its own row.

    query: [kv_heads, group, rows, dim]; key, value: [kv_heads, keys, dim], keys > 0, and keys == rows if causal.
    Returns out: [kv_heads, group, rows, dim] in the dtype of ``query`` and lse: [kv_heads, group, rows] in float32,
    the natural logarithm of the sum of the exponentiated, scaled scores. Raises ValueError for shapes that do not fit.
    """
    heads, _, rows, dim = query.shape
    if key.shape != value.shape or key.shape[0] != heads or key.shape[2] != dim:
        shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
        raise ValueError(f"shapes do not fit: {shapes}")
    if key.shape[1] == 0:
        raise ValueError("attention over no keys has no result")
    if causal and key.shape[1] != rows:
        raise ValueError(f"causal attention needs as many keys as rows: {key.shape[1]} keys, {rows} rows")
    if impl is None:
        impl = "flash" if flash.supports(query) else "reference"
    function = flash.attention if impl == "flash" else reference.attention
    return function(query, key, value, causal=causal, scale=scale)
