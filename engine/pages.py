"""Between the cache and the kept files: maps what is kept into a cache, keeps what was read."""

from __future__ import annotations

import mmap
from array import array
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from engine.kvcache import Arena, Extent, KVCache, KVShape
from engine.protocol import BLOCK_TOKENS, Prompt
from engine.snapshots import Damaged, Layout, Run, Store, blocks, open_data, piece_key, piece_lengths

# files whose mapping stays open between jobs, so that their checksums are verified once
OPEN_FILES = 4096


def layout_of(shape: KVShape) -> Layout:
    return Layout(
        layers=shape.layers,
        kv_heads=shape.kv_heads,
        dim=shape.dim,
        dtype=str(shape.dtype).removeprefix("torch."),
        itemsize=shape.dtype.itemsize,
    )


class Pages:
    """Kept pages as extents. Without a store nothing is kept."""

    def __init__(self, shape: KVShape, store: Store | None) -> None:
        self.shape = shape
        self.store = store
        self._open: OrderedDict[Path, tuple[mmap.mmap, Tensor, Tensor | None]] = OrderedDict()

    def open(
        self, prompt: Prompt, *, leave: int, arena: Callable[[int], Arena | None] = lambda _: None
    ) -> tuple[KVCache, int, bytes]:
        """A cache of the longest kept prefix, but for the last ``leave`` tokens of the prompt: cache, tokens, key.

        ``arena`` is asked, with the tokens found, for an arena to copy them to; without one they stay mapped.
        """
        if self.store is None:
            return KVCache(self.shape, arena(0)), 0, b""
        while True:
            runs, found, key = self.store.find(prompt)
            spare = found - (prompt.tokens - leave)
            if spare > 0:
                runs, found, key = self._shorten(prompt, runs, found, spare)
            try:
                extents = [self._extent(run) for run in runs]
            except Damaged:
                # dropped by _extent: look again for what is still whole
                continue
            cache = KVCache(self.shape, arena(found))
            for extent in extents:
                cache.append(extent if cache.arena is None else cache.arena.put(extent))
            return cache, found, key

    def _shorten(self, prompt: Prompt, runs: list[Run], found: int, spare: int) -> tuple[list[Run], int, bytes]:
        """Give back the last ``spare`` tokens found, and the key of what is left."""
        assert self.store is not None
        kept: list[Run] = []
        left = found - spare
        for run in runs:
            tokens = min(run.tokens, left)
            if tokens:
                kept.append(Run(path=run.path, start=run.start, offset=run.offset, tokens=tokens))
            left -= tokens
        # the pieces on disk are the key's own cut: walk the runs in the same way
        key, done = self.store.root_key, 0
        ids = array("i")
        for segment in prompt.segments:
            ids.extend(segment.ids)
        for run in kept:
            start = run.start
            for length in piece_lengths(start, run.tokens):
                key = piece_key(key, start, ids[done : done + length])
                start, done = start + length, done + length
        return kept, found - spare, key

    def _extent(self, run: Run) -> Extent:
        assert self.store is not None
        data, means = self._map(run.path)
        data = data[:, :, :, run.offset : run.offset + run.tokens].to(self.shape.device)
        if means is None or run.offset % BLOCK_TOKENS:
            return Extent(run.start, run.tokens, data)
        first = run.offset // BLOCK_TOKENS
        return Extent(run.start, run.tokens, data, means[:, :, first : first + blocks(run.tokens)])

    def _map(self, path: Path) -> tuple[Tensor, Tensor | None]:
        """[layers, 2, kv_heads, tokens, dim] of a kept file, and [layers, kv_heads, blocks, dim], in place."""
        assert self.store is not None
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path][1:]
        try:
            mapped, header = open_data(path)
        except (Damaged, OSError) as error:
            self.store.drop(path, str(error))
            raise Damaged(str(error)) from error
        shape = self.shape
        tokens = int(str(header["tokens"]))
        offset, end = int(str(header["data_offset"])), int(str(header["means_offset"]))
        count = (end - offset) // shape.dtype.itemsize
        data = torch.frombuffer(mapped, dtype=shape.dtype, offset=offset, count=count)
        data = data.view(shape.layers, 2, shape.kv_heads, tokens, shape.dim)
        means: Tensor | None = None
        if len(mapped) > end:
            means = torch.frombuffer(mapped, dtype=shape.dtype, offset=end)
            means = means.view(shape.layers, shape.kv_heads, blocks(tokens), shape.dim)
        self._open[path] = (mapped, data, means)
        while len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)
        return data, means

    def keep(
        self, parent: bytes, extent: Extent, ids: array[int], provenance: dict[str, str], *, remap: bool = True
    ) -> tuple[bytes, Extent]:
        """Write an extent whose tokens are ``ids`` after ``parent``: its key, and the extent to use from now on.

        On a CPU that is the file's mapping, so that the memory it was read into goes back to the system; not so without
        ``remap``, for an extent that has to stay where it is.
        """
        if self.store is None:
            return b"", extent
        whole = extent.data[:, :, :, : extent.length].contiguous().cpu()
        means = mean_keys(whole)
        path, key = self.store.write(parent, extent.start, ids, _bytes(whole), _bytes(means), provenance=provenance)
        if remap and self.shape.device.type == "cpu":
            extent = Extent(extent.start, extent.length, *self._map(path))
        return key, extent


def mean_keys(data: Tensor) -> Tensor:
    """[layers, 2, kv_heads, tokens, dim] -> [layers, kv_heads, blocks, dim], the last block as far as it is full."""
    keys = data[:, 0]
    layers, heads, tokens, dim = keys.shape
    full = tokens // BLOCK_TOKENS
    means = keys.new_empty((layers, heads, blocks(tokens), dim))
    whole = keys[:, :, : full * BLOCK_TOKENS].reshape(layers, heads, full, BLOCK_TOKENS, dim)
    means[:, :, :full] = whole.mean(3, dtype=torch.float32)
    if tokens % BLOCK_TOKENS:
        means[:, :, full] = keys[:, :, full * BLOCK_TOKENS :].mean(2, dtype=torch.float32)
    return means


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.view(torch.uint8).numpy().data).cast("B")
