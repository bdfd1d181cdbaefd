"""Keys and values of one prompt, as a list of extents: contiguous runs of tokens, mapped from disk or in memory.

An extent lies within one Dual Chunk Attention chunk and one segment of the prompt, so that one rotation of the query
serves all of it and no extent has a hole. Nothing is ever concatenated: attention goes over the extents and merges.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(slots=True)
class Extent:
    """start: position of the first token; length: tokens in use.

    data: [layers, 2, kv_heads, capacity, dim], keys then values; keys are rotated to their place in their chunk.
    """

    start: int
    length: int
    data: Tensor

    @property
    def capacity(self) -> int:
        return int(self.data.shape[3])

    @property
    def end(self) -> int:
        return self.start + self.length

    def keys(self, layer: int) -> Tensor:
        """[kv_heads, length, dim]"""
        return self.data[layer, 0, :, : self.length]

    def values(self, layer: int) -> Tensor:
        """[kv_heads, length, dim]"""
        return self.data[layer, 1, :, : self.length]


@dataclass(frozen=True, slots=True, kw_only=True)
class KVShape:
    """The shape of one token's keys and values."""

    layers: int
    kv_heads: int
    dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        return 2 * self.layers * self.kv_heads * self.dim * self.dtype.itemsize

    def allocate(self, start: int, capacity: int, length: int = 0) -> Extent:
        """An extent of our own memory, not yet written."""
        data = torch.empty((self.layers, 2, self.kv_heads, capacity, self.dim), dtype=self.dtype, device=self.device)
        return Extent(start, length, data)


class KVCache:
    """The extents of one prompt in order of position. The last one is where new tokens are written."""

    def __init__(self, shape: KVShape) -> None:
        self.shape = shape
        self.extents: list[Extent] = []

    @property
    def end(self) -> int:
        """The position after the last token held."""
        return self.extents[-1].end if self.extents else 0

    @property
    def tokens(self) -> int:
        return sum(extent.length for extent in self.extents)

    def append(self, extent: Extent) -> None:
        """Add what comes next; raises ValueError if it does not."""
        if extent.start < self.end:
            raise ValueError(f"an extent from {extent.start} does not come after position {self.end}")
        self.extents.append(extent)

    def replace_last(self, extent: Extent) -> None:
        """Put the same tokens from another place (mapped from disk) where the last extent was."""
        last = self.extents[-1]
        if (extent.start, extent.length) != (last.start, last.length):
            raise ValueError("an extent can only be replaced by one of the same tokens")
        self.extents[-1] = extent

    def drop_last(self) -> None:
        self.extents.pop()

    def write(self, layer: int, key: Tensor, value: Tensor) -> Extent:
        """Store the newest rows of the last extent, whose length already counts them, for one layer.

        key, value: [kv_heads, rows, dim].
        """
        extent = self.extents[-1]
        first = extent.length - key.shape[1]
        extent.data[layer, 0, :, first : extent.length] = key
        extent.data[layer, 1, :, first : extent.length] = value
        return extent
