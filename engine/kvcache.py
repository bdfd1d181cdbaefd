"""Keys and values of one prompt, as a list of extents: contiguous runs of tokens, mapped from disk or in memory.

An extent lies within one Dual Chunk Attention chunk and one segment of the prompt, so that one rotation of the query
serves all of it and no extent has a hole. Nothing is ever concatenated: attention goes over the extents and merges.

A long prefill keeps them in an arena, one run of memory a layer and head with a row a position, since choosing blocks
of keys has to gather from all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from engine.copies import Lane
from kernels.int8_kv import dequantize

# of a cache line: a row of keys is loaded whole
ALIGNMENT = 64


class Seal(Protocol):
    """Stands before what was mapped from disk."""

    def verify(self, layer: int | None = None) -> None: ...


class Arriving(Protocol):
    """What is still on its way into an arena (``engine.upload``)."""

    def wait(self, layer: int | None = None) -> None: ...

    def here(self, layer: int) -> bool: ...


class Source(Protocol):
    """Where what lies in an arena came from (``engine.pages``)."""

    def holds(self, other: Any) -> bool: ...


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

    def settle(self) -> None:
        """Wait until ``data`` says what was written last, for who reads it without the device."""

    def total(self, layer: int) -> Tensor:
        """A number that is finite if the newest rows of a layer are, and their sum if it is."""
        return self.data[layer].sum(dtype=torch.float32)

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


def zeros(sizes: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """On a CPU the system clears memory when it is first written (in huge pages, if NumPy may): the rest takes none."""
    if device.type != "cpu":
        return torch.zeros(tuple(sizes), dtype=dtype, device=device)
    size = prod(sizes) * dtype.itemsize
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return torch.from_numpy(memory[first : first + size]).view(dtype).view(tuple(sizes))


class Arena:
    """Keys and values by position, and the mean key of every ``block`` of them.

    data: [layers, 2, kv_heads, capacity, dim]; means: [layers, kv_heads, capacity / block, dim]. Positions that no
    extent covers hold nothing: ``holes`` names their blocks. upload: what is still on its way; sources: of all that was
    brought, so that the next prompt brings only what is not there.
    """

    upload: Arriving | None = None
    sources: Sequence[Source] = ()

    def __init__(self, shape: KVShape, capacity: int, block: int) -> None:
        self.block = block
        self.capacity = -(-capacity // block) * block
        sizes = (shape.layers, 2, shape.kv_heads, self.capacity, shape.dim)
        # zeros, not just any numbers: a hole's weight is nothing, and nothing times infinity is not
        self.data = zeros(sizes, shape.dtype, shape.device)
        self.means = self._zeros_of_means(shape)

    def _zeros_of_means(self, shape: KVShape) -> Tensor:
        sizes = (shape.layers, shape.kv_heads, self.capacity // self.block, shape.dim)
        return zeros(sizes, shape.dtype, shape.device)

    @property
    def on_device(self) -> bool:
        """Whether keys and values lie where attention runs."""
        return True

    @property
    def complete(self) -> bool:
        """Whether all that was to be brought is there."""
        return self.upload is None or all(self.upload.here(layer) for layer in range(len(self.data)))

    def extent(self, start: int, length: int) -> Extent:
        """A view of positions from ``start``."""
        return Extent(start, length, self.data[:, :, :, start : start + length], self._means(start, length))

    def _means(self, start: int, length: int) -> Tensor | None:
        first, end = start // self.block, -(-(start + length) // self.block)
        return self.means[:, :, first:end] if start % self.block == 0 else None

    def holds(self, extent: Extent) -> bool:
        return extent.data.untyped_storage().data_ptr() == self.data.untyped_storage().data_ptr()

    def ready(self, layer: int | None, spans: Sequence[tuple[int, int]]) -> None:
        """See that ``keys`` and ``values`` of a layer say what lies at these positions, or that all have come.

        Layers are asked for in their order. Raises Damaged.
        """
        if self.upload is not None:
            self.upload.wait(layer)

    def keys(self, layer: int) -> Tensor:
        """[kv_heads, capacity, dim], where attention runs."""
        return self.data[layer, 0]

    def values(self, layer: int) -> Tensor:
        """[kv_heads, capacity, dim], where attention runs."""
        return self.data[layer, 1]

    def write(self, layer: int, start: int, key: Tensor, value: Tensor) -> None:
        """Store rows from position ``start``. key, value: [kv_heads, rows, dim]."""
        end = start + key.shape[1]
        self.data[layer, 0, :, start:end] = key
        self.data[layer, 1, :, start:end] = value
        self.summarize(layer, start, end)

    def settle(self) -> None:
        """Wait until ``data`` says what was written last."""

    def bring(self, layer: int, extent: Extent, copy: Callable[[Tensor, Tensor], object], lane: Lane) -> None:
        """Copy a layer of an extent of other memory to its place. copy: of [rows, dim] to here from there."""
        for half, states in enumerate((extent.keys(layer), extent.values(layer))):
            for head, rows in enumerate(states):
                copy(self.data[layer, half, head, extent.start : extent.end], rows)
        lane.run(lambda: self.summarize(layer, extent.start, extent.end))

    def put(self, extent: Extent) -> Extent:
        """The same of all layers, at once."""
        lane = Lane(self.means.device)
        for layer in range(len(self.data)):
            self.bring(layer, extent, Tensor.copy_, lane)
        lane.wait()
        return self.extent(extent.start, extent.length)

    def summarize(self, layer: int, start: int, end: int) -> None:
        """Renew the means of the blocks that positions ``start`` .. ``end`` touch, the last as far as it is full."""
        self._summarize(self.data[layer, 0], layer, start, end)

    def _summarize(self, keys: Tensor, layer: int, start: int, end: int) -> None:
        """keys: [kv_heads, capacity, dim]"""
        first, full = start // self.block, end // self.block
        means = self.means[layer]
        if full > first:
            whole = keys[:, first * self.block : full * self.block]
            whole = whole.view(len(whole), full - first, self.block, -1)
            means[:, first:full] = whole.mean(2, dtype=torch.float32).to(means.dtype)
        if end % self.block:
            means[:, full] = keys[:, full * self.block : end].mean(1, dtype=torch.float32).to(means.dtype)

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

    def touch(self, layer: int | None = None, upto: int | None = None) -> None:
        """Verify what attention of a layer, or of all, is about to read, and see that it is there. Raises Damaged.

        From the end, since a thread of ``engine.pages`` comes from the beginning: they meet. upto: the position from
        which on nothing is written yet.
        """
        for extent in reversed(self.extents):
            extent.verify(layer)
        if self.arena is not None:
            arena, end = self.arena, self.end if upto is None else upto
            held = [extent for extent in self.extents if extent.start < end and arena.holds(extent)]
            arena.ready(layer, [(extent.start, min(extent.end, end)) for extent in held])

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
        if self.arena is not None and self.arena.holds(extent):
            self.arena.write(layer, extent.start + first, key, value)
        else:
            extent.data[layer, 0, :, first : extent.length] = key
            extent.data[layer, 1, :, first : extent.length] = value
        return extent
