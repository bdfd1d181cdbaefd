"""Keys and values of one prompt, as a list of extents: contiguous runs of tokens, mapped from disk or in memory.

An extent lies within one Dual Chunk Attention chunk and one segment of the prompt, so that one rotation of the query
serves all of it and no extent has a hole. Nothing is ever concatenated: attention goes over the extents and merges.

A long prefill keeps them in an arena, one run of memory a layer and head with a row a position, since choosing blocks
of keys has to gather from all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from kernels.int8_kv import dequantize


class Seal(Protocol):
    """Stands before what was mapped from disk."""

    def verify(self, layer: int | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Coded:
    """What int8 data mean (``kernels.int8_kv``). steps: [layers, 2, kv_heads, groups, 2, dim], from the extent's first
    token on; dtype: of the numbers."""

    steps: Tensor
    group: int
    dtype: torch.dtype


@dataclass(slots=True)
class Extent:
    """start: position of the first token; length: tokens in use.

    data: [layers, 2, kv_heads, capacity, dim], keys then values; keys are rotated to their place in their chunk.
    means: [layers, kv_heads, blocks, dim], the mean key of every ``BLOCK_TOKENS`` tokens from the first on, None where
    they were not taken. seal: what has to agree before any of it is used, None for our own memory. coded: set where
    data are int8.
    """

    start: int
    length: int
    data: Tensor
    means: Tensor | None = None
    seal: Seal | None = None
    coded: Coded | None = None

    @property
    def capacity(self) -> int:
        return int(self.data.shape[3])

    @property
    def end(self) -> int:
        return self.start + self.length

    def verify(self, layer: int | None = None) -> None:
        """See that one layer, or everything, is what was kept. Raises Damaged."""
        # a thread may verify the last of it meanwhile
        seal = self.seal
        if seal is not None:
            seal.verify(layer)
            if layer is None:
                self.seal = None

    def keys(self, layer: int) -> Tensor:
        """[kv_heads, length, dim]"""
        return self._states(layer, 0)

    def values(self, layer: int) -> Tensor:
        """[kv_heads, length, dim]"""
        return self._states(layer, 1)

    def _states(self, layer: int, half: int) -> Tensor:
        """In place, or as a copy where they lie as int8."""
        states = self.data[layer, half, :, : self.length]
        if self.coded is None:
            return states
        return dequantize(states, self.coded.steps[layer, half], self.coded.group, self.coded.dtype)

    def plain(self, device: torch.device) -> Extent:
        """The same tokens as numbers in memory of a device, if they lie elsewhere or otherwise. Verify first."""
        if self.coded is None:
            return Extent(self.start, self.length, self.data.to(device), self.means)
        steps, data = self.coded.steps.to(device), self.data[:, :, :, : self.length].to(device)
        return Extent(self.start, self.length, dequantize(data, steps, self.coded.group, self.coded.dtype))


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


class Arena:
    """Keys and values by position, and the mean key of every ``block`` of them.

    data: [layers, 2, kv_heads, capacity, dim]; means: [layers, kv_heads, capacity / block, dim]. Positions that no
    extent covers hold nothing: ``holes`` names their blocks.
    """

    def __init__(self, shape: KVShape, capacity: int, block: int) -> None:
        capacity = -(-capacity // block) * block
        self.block = block
        self.capacity = capacity
        sizes = (shape.layers, 2, shape.kv_heads, capacity, shape.dim)
        # zeros, not just any numbers: a hole's weight is nothing, and nothing times infinity is not
        self.data = torch.zeros(sizes, dtype=shape.dtype, device=shape.device)
        self.means = torch.zeros(
            (shape.layers, shape.kv_heads, capacity // block, shape.dim), dtype=shape.dtype, device=shape.device
        )

    def extent(self, start: int, length: int) -> Extent:
        """A view of positions from ``start``."""
        first, end = start // self.block, -(-(start + length) // self.block)
        means = self.means[:, :, first:end] if start % self.block == 0 else None
        return Extent(start, length, self.data[:, :, :, start : start + length], means)

    def holds(self, extent: Extent) -> bool:
        return extent.data.untyped_storage().data_ptr() == self.data.untyped_storage().data_ptr()

    def put(self, extent: Extent) -> Extent:
        """Copy an extent of other memory to its place."""
        own = self.extent(extent.start, extent.length)
        for layer in range(len(self.data)):
            own.data[layer, 0] = extent.keys(layer)
            own.data[layer, 1] = extent.values(layer)
            self.summarize(layer, own.start, own.end)
        return own

    def summarize(self, layer: int, start: int, end: int) -> None:
        """Renew the means of the blocks that positions ``start`` .. ``end`` touch, the last as far as it is full."""
        first, full = start // self.block, end // self.block
        keys = self.data[layer, 0]
        if full > first:
            whole = keys[:, first * self.block : full * self.block]
            whole = whole.view(len(whole), full - first, self.block, -1)
            self.means[layer, :, first:full] = whole.mean(2, dtype=torch.float32)
        if end % self.block:
            self.means[layer, :, full] = keys[:, full * self.block : end].mean(1, dtype=torch.float32)

    def holes(self, extents: list[Extent]) -> tuple[list[int], dict[int, int]]:
        """(blocks without any token, blocks with fewer than they could hold -> how many), up to the last extent."""
        empty: list[int] = []
        partial: dict[int, int] = {}
        position = 0
        for extent in extents:
            if extent.start > position:
                # segments begin at page borders, so a gap ends where a block does
                if position % self.block:
                    partial[position // self.block] = position % self.block
                empty.extend(range(-(-position // self.block), extent.start // self.block))
            position = extent.end
        return empty, partial


class KVCache:
    """The extents of one prompt in order of position. The last one is where new tokens are written."""

    def __init__(self, shape: KVShape, arena: Arena | None = None) -> None:
        self.shape = shape
        self.arena = arena
        self.extents: list[Extent] = []
        # whether any of it came from int8, wherever it lies now
        self.smaller = False

    def allocate(self, start: int, length: int) -> Extent:
        """An extent for ``length`` new tokens, in the arena if there is one with room."""
        if self.arena is not None and start + length <= self.arena.capacity:
            return self.arena.extent(start, length)
        return self.shape.allocate(start, length, length)

    def join_last(self) -> None:
        """Make one extent of the last two if they lie side by side in the arena. They must be of one DCA chunk."""
        self.join(len(self.extents) - 1)

    def join(self, number: int) -> None:
        """The same of extent ``number`` and the one before it."""
        if self.arena is None or number < 1:
            return
        before, last = self.extents[number - 1 : number + 1]
        if before.end == last.start and self.arena.holds(before) and self.arena.holds(last):
            self.extents[number - 1 : number + 1] = [self.arena.extent(before.start, before.length + last.length)]

    def touch(self, layer: int | None = None) -> None:
        """Verify what attention of a layer, or of all, is about to read. Raises Damaged.

        From the end, since a thread of ``engine.pages`` comes from the beginning: they meet.
        """
        for extent in reversed(self.extents):
            extent.verify(layer)

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
        if self.arena is not None and self.arena.holds(extent):
            self.arena.summarize(layer, extent.start + first, extent.end)
        return extent
