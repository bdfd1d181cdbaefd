"""Attention of a chunk to every key before it, wherever those lie, with Dual Chunk Attention's variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from kernels import tiles as amx
from kernels.run_attention import reference

__all__ = ["Span", "fits", "run_attention"]

Impl = Literal["tiles", "reference"]


@dataclass(frozen=True, slots=True)
class Span:
    """key, value: [kv_heads, keys, dim], in place; variant: which rotation of the queries meets them."""

    key: Tensor
    value: Tensor
    variant: int


def fits(queries: Tensor, spans: Sequence[Span]) -> bool:
    """Whether the fast form can be had for these."""
    return amx.fit(queries, *(tensor for span in spans for tensor in (span.key, span.value)))


def run_attention(queries: Tensor, spans: Sequence[Span], *, scale: float, impl: Impl | None = None) -> Tensor:
    """Softmax attention of rows over all keys of all spans, causal over the last: its last keys are the rows' own.

    queries: [variants, kv_heads, group, rows, dim], the same rows in each variant's rotation. Returns [kv_heads, group,
    rows, dim] in their dtype. Raises ValueError for shapes that do not fit.
    """
    variants, heads, _, rows, dim = queries.shape
    if not spans or spans[-1].key.shape[1] < rows:
        raise ValueError(f"the last span must hold the keys of the {rows} rows")
    for span in spans:
        if span.key.shape != span.value.shape or span.key.shape[::2] != (heads, dim):
            raise ValueError(f"keys {tuple(span.key.shape)} do not go with queries {tuple(queries.shape)}")
        if not 0 <= span.variant < variants or span.key.dtype != queries.dtype:
            raise ValueError(f"keys of {span.key.dtype}, variant {span.variant} do not go with the queries")
    if spans[-1].variant != variants - 1:
        raise ValueError("the rows' own keys are met by the last variant")
    fast = fits(queries, spans)
    if impl == "tiles" and not fast:
        raise ValueError("tiles want bfloat16 of dim 64 or 128 in place, and a processor that has them")
    if impl == "reference" or not fast:
        return reference.run_attention(queries, spans, scale=scale)
    from kernels.run_attention import tiled

    return tiled.run_attention(queries, spans, scale=scale)
