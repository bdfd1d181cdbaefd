"""An arena whose keys and values lie in the machine's memory, for a context that does not fit the device's.

Mean keys lie on the device, a thirty-second of the bytes. A pass that attends to whole layers (a prefill) brings one
after another into a workspace of two, the next while this one computes, and takes what it writes back. A decoded token
chooses its blocks by their mean keys, and the kernel reads those by their address in pinned memory: nothing else
crosses the bus (``engine.device``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.copies import Lane, Mark, pinned_zeros
from engine.kvcache import Arena, Extent, KVShape
from engine.machine import WORKSPACE_LAYERS


@dataclass(slots=True)
class HostExtent(Extent):
    """Positions of a host arena. data: in the machine's memory, ``settle`` before it is read there."""

    arena: Any = None

    def _states(self, layer: int, half: int) -> Tensor:
        states: Tensor = (self.arena.values if half else self.arena.keys)(layer)
        return states[:, self.start : self.start + self.length]

    def settle(self) -> None:
        self.arena.settle()

    def total(self, layer: int) -> Tensor:
        written: Tensor = self.arena.totals[layer]
        return written


class HostArena(Arena):
    """data: as an arena's, pinned memory of the machine; means: on the device."""

    def __init__(self, shape: KVShape, capacity: int, block: int) -> None:
        self.block = block
        self.capacity = -(-capacity // block) * block
        sizes = (shape.layers, 2, shape.kv_heads, self.capacity, shape.dim)
        self.means = self._zeros_of_means(shape)
        self._slots = torch.zeros(
            (min(WORKSPACE_LAYERS, shape.layers), *sizes[1:]), dtype=shape.dtype, device=shape.device
        )
        # of the rows written last, a layer: finite if all of them are
        self.totals = torch.zeros(shape.layers, device=shape.device)
        self._lane = Lane(shape.device)
        self._held: list[int | None] = [None] * len(self._slots)
        self._marks: list[Mark | None] = [None] * len(self._slots)
        self.data = pinned_zeros(sizes, shape.dtype, shape.device, self)

    @property
    def on_device(self) -> bool:
        return False

    @property
    def workspace_bytes(self) -> int:
        """On the device."""
        return self._slots.nbytes + self.means.nbytes

    def extent(self, start: int, length: int) -> Extent:
        return HostExtent(
            start, length, self.data[:, :, :, start : start + length], self._means(start, length), arena=self
        )

    def ready(self, layer: int | None, spans: Sequence[tuple[int, int]]) -> None:
        Arena.ready(self, layer, spans)
        if layer is None:
            return
        if layer == 0:
            # a new pass: tokens may have been decoded since the last, whose rows went to the host alone
            self._held = [None] * len(self._held)
        joined: list[tuple[int, int]] = []
        for start, end in spans:
            if joined and joined[-1][1] == start:
                start = joined.pop()[0]
            joined.append((start, end))
        if self._held[layer % len(self._slots)] != layer:
            self._load(layer, joined)
        mark = self._marks[layer % len(self._slots)]
        assert mark is not None
        mark.hold()
        following = layer + 1
        if len(self._slots) > 1 and following < len(self.data) and (self.upload is None or self.upload.here(following)):
            self._load(following, joined)

    def _load(self, layer: int, spans: Sequence[tuple[int, int]]) -> None:
        slot = layer % len(self._slots)
        # what is queued may still attend to the layer that lies there, or have written on the host
        self._lane.follow()
        for start, end in spans:
            self._copy(self._slots[slot], self.data[layer], start, end)
        self._held[slot], self._marks[slot] = layer, self._lane.mark()

    def _copy(self, target: Tensor, source: Tensor, start: int, end: int) -> None:
        """target, source: [2, kv_heads, capacity, dim]. A copy a head: their rows lie side by side."""
        for half in range(2):
            for head in range(target.shape[1]):
                self._lane.copy(target[half, head, start:end], source[half, head, start:end])

    def keys(self, layer: int) -> Tensor:
        return self._workspace(layer)[0]

    def values(self, layer: int) -> Tensor:
        return self._workspace(layer)[1]

    def _workspace(self, layer: int) -> Tensor:
        if self._held[layer % len(self._slots)] != layer:
            raise RuntimeError(f"layer {layer} is not in the workspace")
        return self._slots[layer % len(self._slots)]

    def write(self, layer: int, start: int, key: Tensor, value: Tensor) -> None:
        slot, end = self._workspace(layer), start + key.shape[1]
        slot[0, :, start:end] = key
        slot[1, :, start:end] = value
        self._summarize(slot[0], layer, start, end)
        self.totals[layer] = key.sum(dtype=torch.float32) + value.sum(dtype=torch.float32)
        self._lane.follow()
        self._copy(self.data[layer], slot, start, end)

    def settle(self) -> None:
        self._lane.follow()
        self._lane.wait()
