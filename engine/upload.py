"""Brings kept pages into an arena, layer by layer, ahead of the layers that attend to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from threading import Event, Thread
from weakref import ref

import torch
from torch import Tensor

from engine.copies import Lane, Mark, Staging
from engine.kvcache import Arena, Extent


class Upload:
    """Copies ``extents`` to their places in ``arena``: of each layer all, verified first.

    It begins when a layer is first waited for: what nobody attends to is not brought. A device gets it through two
    pieces of pinned memory, so that reading the disk and the checksums of the next piece run beside the copy of the
    last one; whoever attends to a layer waits for that layer only, and its first ones are attended to while the last
    are on their way.
    """

    def __init__(
        self, arena: Arena, extents: Sequence[Extent], device: torch.device, *, staged: bool | None = None
    ) -> None:
        """device: of the arena's means, and what attends; staged: None where the arena's data lie on a device."""
        # the arena knows its upload: held here too, gigabytes would wait for the garbage collector
        self._arena, self._device = ref(arena), device
        self._extents = list(extents)
        self._staged = arena.data.device.type != "cpu" if staged is None else staged
        self._here = [Event() for _ in range(len(arena.data))]
        self._marks: list[Mark | None] = [None] * len(arena.data)
        self._error: BaseException | None = None
        self._stopped = Event()
        self._thread: Thread | None = None

    def wait(self, layer: int | None = None) -> None:
        """What is computed from here on finds one layer there, or all. Raises Damaged, MemoryError."""
        self._begin()
        for one in range(len(self._here)) if layer is None else (layer,):
            self._here[one].wait()
            mark = self._marks[one]
            if mark is None:
                assert self._error is not None
                # its traceback would hold what the caller is about to let go of
                raise copy(self._error)
            mark.hold()
        if layer is None and self._thread is not None:
            self._thread.join()

    def here(self, layer: int) -> bool:
        """Whether ``wait`` would return at once."""
        return self._here[layer].is_set() and self._marks[layer] is not None

    def stop(self) -> None:
        """Nobody will wait any more."""
        self._stopped.set()

    def _begin(self) -> None:
        if self._thread is None:
            arena = self._arena()
            if arena is None:
                raise ReferenceError("the arena is gone")
            lane = Lane(self._device)
            # the arena's zeros come first
            lane.follow()
            self._thread = Thread(target=self._run, args=(arena, lane), name="lectern-upload", daemon=True)
            self._thread.start()

    def _run(self, arena: Arena, lane: Lane) -> None:
        try:
            move: Callable[[Tensor, Tensor], object] = Tensor.copy_
            if self._staged:
                move = Staging(lane, self._device).send
            for layer in range(len(self._here)):
                for extent in self._extents:
                    if self._stopped.is_set():
                        raise InterruptedError("the reading has ended")
                    extent.verify(layer)
                    arena.bring(layer, extent, move, lane)
                self._marks[layer] = lane.mark()
                self._here[layer].set()
        except BaseException as error:
            self._error = error.with_traceback(None)
        finally:
            try:
                # the arena's memory may go when this thread's hold on it does
                lane.wait()
            finally:
                self._extents.clear()
                for event in self._here:
                    event.set()
