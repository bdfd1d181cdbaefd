"""Between the cache and the kept files: maps what is kept into a cache, keeps what was read.

Nothing is read when files are mapped. Before attention of a layer, ``KVCache.touch`` verifies what it will read, while
a thread of this module goes ahead of it, layer by layer: reading from a cold disk and attention overlap.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from weakref import finalize, ref

import torch
from torch import Tensor

from engine.compact import compact_file
from engine.copies import Lane, Staging
from engine.errors import StorageFull
from engine.keptfile import Damaged, Layout, Mapped, blocks, read_header
from engine.kvcache import Arena, Coded, Extent, KVCache, KVShape
from engine.protocol import BLOCK_TOKENS, Prompt
from engine.provenance import summary
from engine.snapshots import Run, Store, piece_key, piece_lengths
from engine.survey import note_use
from engine.upload import Upload
from kernels.int8_kv import groups

log = logging.getLogger(__name__)

try:
    VERSION = version("lectern")
except PackageNotFoundError:
    # run from its folder
    VERSION = "unknown"

# files whose mapping stays open between jobs, so that their checksums are verified once
OPEN_FILES = 4096


@dataclass(frozen=True, slots=True)
class Sealed:
    """Tokens ``first`` .. ``last`` of a mapped file, of which nothing may be used before it was verified."""

    mapped: Mapped
    layers: int
    first: int
    last: int

    def verify(self, layer: int | None = None) -> None:
        """One layer, or all of them; with the last the means too, which only decoding reads. Raises Damaged."""
        for one in range(self.layers) if layer is None else (layer,):
            self.mapped.verify(one, self.first, self.last)
        if layer is None or layer == self.layers - 1:
            self.mapped.verify_means()


@dataclass(frozen=True, slots=True, weakref_slot=True)
class File:
    """A mapped file. data: [layers, 2, kv_heads, tokens, dim]; means: [layers, kv_heads, blocks, dim]; steps: of int8
    data (``kernels.int8_kv``)."""

    mapped: Mapped
    data: Tensor
    means: Tensor | None
    steps: Tensor | None


@dataclass(frozen=True, slots=True)
class Source:
    """Tokens of a mapped file at a position of an arena. file: None or dead where it is not known any more."""

    file: ref[File] | None
    start: int
    offset: int
    tokens: int

    def holds(self, other: Source) -> bool:
        """Whether the other's numbers are among these, at the same place."""
        mine, theirs = (None if one.file is None else one.file() for one in (self, other))
        same = mine is not None and mine is theirs
        return same and (self.start, self.offset) == (other.start, other.offset) and self.tokens >= other.tokens


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
        self._open: OrderedDict[Path, File] = OrderedDict()

    def open(
        self, prompt: Prompt, *, leave: int, arena: Callable[[int], Arena | None] = lambda _: None
    ) -> tuple[KVCache, int, bytes]:
        """A cache of the longest kept prefix, but for the last ``leave`` tokens of the prompt: cache, tokens, key.

        ``arena`` is asked, with the tokens found, for an arena to copy them to, which happens when ``KVCache.touch``
        asks for them; without one they stay mapped. Raises Damaged where a file cannot be mapped.
        """
        if self.store is None:
            return KVCache(self.shape, arena(0)), 0, b""
        runs, keys, found, key = self.store.walk(prompt)
        note_use((run.path for run in runs), time.time())
        self._forget()
        spare = found - (prompt.tokens - leave)
        if spare > 0:
            runs, found, key = self._shorten(prompt, runs, keys, found, spare)
        extents = [self._extent(run) for run in runs]
        cache = KVCache(self.shape, arena(found))
        if cache.arena is None:
            Thread(target=_verify_ahead, args=(extents, self.shape.layers), name="lectern-verify", daemon=True).start()
        else:
            finalize(cache, self._bring(cache.arena, runs, extents).stop)
        for extent in extents:
            cache.smaller |= extent.coded is not None
            cache.append(self._placed(cache, extent))
        return cache, found, key

    def _bring(self, arena: Arena, runs: Sequence[Run], extents: Sequence[Extent]) -> Upload:
        """What brings ``extents``, which are those of ``runs``, into an arena, but for those that it has already."""
        sources, coming = [], []
        arena.settle()
        for run, extent in zip(runs, extents, strict=True):
            file = self._open.get(run.path)
            sources.append(Source(None if file is None else ref(file), run.start, run.offset, run.tokens))
            if not any(source.holds(sources[-1]) for source in arena.sources):
                coming.append(extent)
            elif extent.end % arena.block:
                # the last block's mean may count what another prompt had behind it
                for layer in range(self.shape.layers):
                    arena.summarize(layer, extent.end - extent.end % arena.block, extent.end)
        arena.sources = sources
        arena.upload = upload = Upload(arena, coming, self.shape.device)
        return upload

    def _placed(self, cache: KVCache, extent: Extent) -> Extent:
        """An extent where this cache wants it: in its arena, on its device, or mapped."""
        if cache.arena is not None:
            return cache.arena.extent(extent.start, extent.length)
        if self.shape.device.type == "cpu":
            return extent
        extent.verify()
        return extent.plain(self.shape.device)

    def _forget(self) -> None:
        """Let go of files that are gone, or the disk would keep their bytes as long as they are mapped."""
        assert self.store is not None
        for path in [path for path in self._open if not self.store.holds(path)]:
            del self._open[path]

    def kept(self, prompt: Prompt) -> int:
        """Leading tokens of the prompt that are kept."""
        return 0 if self.store is None else self.store.find(prompt)[1]

    def provenance(self, prompt: Prompt) -> dict[str, str]:
        """How what is kept of the prompt was read (``engine.provenance``)."""
        if self.store is None:
            return {}
        parts = []
        for run in self.store.find(prompt)[0]:
            try:
                header = self._open[run.path].mapped.header if run.path in self._open else read_header(run.path)
            except (Damaged, OSError):
                continue
            parts.append((run.tokens, header.provenance))
        return summary(parts)

    def gap(self, prompt: Prompt) -> int | None:
        """See ``Store.gap``."""
        return None if self.store is None else self.store.gap(prompt)

    def drop(self, damage: Damaged) -> None:
        """Forget a file that proved bad: its tokens are not kept any more."""
        assert self.store is not None
        self._open.pop(damage.path, None)
        self.store.drop(damage.path, damage.reason)

    def _shorten(
        self, prompt: Prompt, runs: list[Run], keys: list[bytes], found: int, spare: int
    ) -> tuple[list[Run], int, bytes]:
        """Give back the last ``spare`` tokens found, and the key of what is left. keys: before each segment."""
        kept: list[Run] = []
        left = found - spare
        for run in runs:
            tokens = min(run.tokens, left)
            if tokens:
                kept.append(Run(path=run.path, start=run.start, offset=run.offset, tokens=tokens))
            left -= tokens
        left, number = found - spare, 0
        while left > len(prompt.segments[number].ids):
            left -= len(prompt.segments[number].ids)
            number += 1
        # the pieces on disk are the key's own cut: walk the runs of the segment in the same way
        key, start, ids, done = keys[number], prompt.starts[number], prompt.segments[number].ids, 0
        for run in kept:
            if run.start >= start and done < left:
                place = run.start
                for length in piece_lengths(place, run.tokens):
                    key = piece_key(key, place, ids[done : done + length])
                    place, done = place + length, done + length
        return kept, found - spare, key

    def _extent(self, run: Run) -> Extent:
        file = self._map(run.path)
        end, means, group = run.offset + run.tokens, file.means, file.mapped.header.group
        if means is not None:
            first = run.offset // BLOCK_TOKENS
            means = None if run.offset % BLOCK_TOKENS else means[:, :, first : first + blocks(run.tokens)]
        if group == 0:
            sealed = Sealed(file.mapped, self.shape.layers, run.offset, end)
            return Extent(run.start, run.tokens, file.data[:, :, :, run.offset : end], means, sealed)
        assert file.steps is not None
        # steps are those of whole groups: what begins within one is copied, at most a page or two of a conversation
        begin = run.offset // group * group
        sealed = Sealed(file.mapped, self.shape.layers, begin, end)
        steps = file.steps[:, :, :, begin // group : -(-end // group)]
        coded = Coded(steps, group, self.shape.dtype)
        extent = Extent(run.start, end - begin, file.data[:, :, :, begin:end], means, sealed, coded)
        if begin == run.offset:
            return extent
        extent.verify()
        return Extent(
            run.start, run.tokens, extent.plain(torch.device("cpu")).data[:, :, :, run.offset - begin :], means
        )

    def _map(self, path: Path) -> File:
        """A kept file in place."""
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        try:
            mapped = Mapped(path)
        except OSError as error:
            raise Damaged(path, error.strerror or type(error).__name__) from error
        shape, header = self.shape, mapped.header

        def lying(dtype: torch.dtype, offset: int, *sizes: int) -> Tensor:
            count = prod(sizes)
            return torch.frombuffer(mapped.buffer, dtype=dtype, offset=offset, count=count).view(sizes)

        planes, tokens = (shape.layers, 2, shape.kv_heads), header.tokens
        data = lying(torch.int8 if header.group else shape.dtype, header.data_offset, *planes, tokens, shape.dim)
        means = steps = None
        if header.means_bytes:
            means = lying(shape.dtype, header.means_offset, shape.layers, shape.kv_heads, blocks(tokens), shape.dim)
        if header.group:
            steps = lying(torch.float32, header.steps_offset, *planes, groups(tokens, header.group), 2, shape.dim)
        self._open[path] = file = File(mapped, data, means, steps)
        while len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)
        return file

    def keep(
        self, parent: bytes, extent: Extent, ids: array[int], provenance: dict[str, str], *, remap: bool = True
    ) -> tuple[bytes, Extent]:
        """Write an extent whose tokens are ``ids`` after ``parent``: its key, and the extent to use from now on.

        On a CPU that is the file's mapping, so that the memory it was read into goes back to the system; not so without
        ``remap``, for an extent that has to stay where it is.
        """
        if self.store is None:
            return b"", extent
        whole = on_host(extent)
        means = mean_keys(whole)
        made = provenance | {"version": VERSION}
        path, key = self.store.write(parent, extent.start, ids, _bytes(whole), _bytes(means), provenance=made)
        if remap and self.shape.device.type == "cpu":
            # by the name alone, an older mapping of the same chunk would be found
            self._open.pop(path, None)
            extent = self._extent(Run(path=path, start=extent.start, offset=0, tokens=extent.length))
        return key, extent

    def compact(self, prompt: Prompt, cancel: Flag) -> int:
        """Make the files of what is kept of a prompt smaller, until ``cancel``; returns the bytes saved.

        Whoever has them mapped keeps what they were. A bad one is left for whoever reads it next.
        """
        saved = 0
        if self.store is None:
            return saved
        for path in dict.fromkeys(run.path for run in self.store.find(prompt)[0]):
            if cancel.is_set():
                break
            try:
                saved += compact_file(path)
            except (Damaged, OSError, StorageFull) as error:
                log.warning("a kept file is not made smaller: %s: %s", path.name, type(error).__name__)
                continue
            self._open.pop(path, None)
        return saved


def _verify_ahead(extents: Sequence[Extent], layers: int) -> None:
    """Verify in the order of use, until something is bad: whoever touches it then will find it too."""
    try:
        for layer in range(layers):
            for extent in extents:
                extent.verify(layer)
        for extent in extents:
            extent.verify()
    except (Damaged, OSError):
        return


def on_host(extent: Extent) -> Tensor:
    """Keys and values of an extent, [layers, 2, kv_heads, length, dim], contiguous in the machine's memory."""
    extent.settle()
    data = extent.data[:, :, :, : extent.length]
    return data.contiguous() if data.device.type == "cpu" else fetched(data)


def fetched(data: Tensor) -> Tensor:
    """[layers, 2, kv_heads, length, dim] of a device, contiguous in the machine's memory, through pinned pieces."""
    # a whole chunk, made contiguous, would not find room beside itself
    staging = Staging(Lane(data.device), data.device)
    found = torch.empty(data.shape, dtype=data.dtype)
    for target, source in zip(found.flatten(0, 2), data.flatten(0, 2), strict=True):
        staging.fetch(target, source)
    return found


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
