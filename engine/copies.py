"""Copies between a GPU and the machine's memory, beside what the GPU computes.

On a CPU nothing is pinned and everything happens at once: the order is the same, so that tests there are tests of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import prod
from typing import Any

import torch
from torch import Tensor

# a piece that is read from disk and verified while the one before it is on the bus
PIECE_BYTES = 32 << 20
SYSTEM_PAGE = 4096


class Mark:
    """A place in a lane: everything queued before it."""

    def __init__(self, event: torch.cuda.Event | None) -> None:
        self._event = event

    def hold(self) -> None:
        """What is computed from here on waits for it; the caller does not."""
        if self._event is not None:
            torch.cuda.current_stream().wait_event(self._event)

    def wait(self) -> None:
        """The caller waits for it."""
        if self._event is not None:
            self._event.synchronize()


class Lane:
    """A queue of copies in order, a stream of its own on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._stream: Any = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def follow(self) -> None:
        """What is queued from here on waits for everything computed so far."""
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream())

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Queue a copy. Both contiguous, what lies on the host pinned, or the caller waits for it."""
        self.run(lambda: target.copy_(source, non_blocking=True))

    def run(self, function: Callable[[], object]) -> None:
        """Queue what ``function`` computes on the device."""
        if self._stream is None:
            function()
        else:
            with torch.cuda.stream(self._stream):
                function()

    def mark(self) -> Mark:
        return Mark(None if self._stream is None else self._stream.record_event())

    def wait(self) -> None:
        """The caller waits for all that is queued."""
        self.mark().wait()


class Staging:
    """Two pieces of pinned memory, through which memory that is not pinned goes to a device and comes from it.

    While one is on the bus, the other is filled or emptied.
    """

    def __init__(self, lane: Lane, device: torch.device, piece_bytes: int = PIECE_BYTES) -> None:
        pin = device.type == "cuda"
        self._lane = lane
        self._pieces = [torch.empty(piece_bytes, dtype=torch.uint8, pin_memory=pin) for _ in range(2)]
        self._marks: list[Mark | None] = [None, None]
        self._turn = 0

    def send(self, target: Tensor, source: Tensor) -> None:
        """Queue a copy of host memory to a device; what ``source`` says may change when this returns. [rows, dim]"""
        for first, rows in self._cut(source):
            piece = self._next(source, rows)
            piece.copy_(source[first : first + rows])
            self._lane.copy(target[first : first + rows], piece)
            self._marks[self._turn] = self._lane.mark()

    def fetch(self, target: Tensor, source: Tensor) -> None:
        """Copy a device's memory to the host's, done when this returns. [rows, dim]"""
        self._lane.follow()
        last: tuple[int, int, Tensor] | None = None
        for first, rows in self._cut(source):
            piece = self._next(source, rows)
            self._lane.copy(piece, source[first : first + rows])
            self._marks[self._turn] = self._lane.mark()
            if last is not None:
                self._land(target, *last)
            last = (first, self._turn, piece)
        if last is not None:
            self._land(target, *last)

    def _land(self, target: Tensor, first: int, turn: int, piece: Tensor) -> None:
        mark = self._marks[turn]
        assert mark is not None
        mark.wait()
        target[first : first + len(piece)] = piece

    def _cut(self, rows: Tensor) -> list[tuple[int, int]]:
        """(first row, rows) of each piece."""
        each = max(1, len(self._pieces[0]) // (rows.shape[1] * rows.itemsize))
        return [(first, min(each, len(rows) - first)) for first in range(0, len(rows), each)]

    def _next(self, like: Tensor, rows: int) -> Tensor:
        """The other piece, free again, as so many rows."""
        self._turn = 1 - self._turn
        mark = self._marks[self._turn]
        if mark is not None:
            mark.wait()
        size = rows * like.shape[1] * like.itemsize
        return self._pieces[self._turn][:size].view(like.dtype).view(rows, like.shape[1])


def pinned_zeros(sizes: Sequence[int], dtype: torch.dtype, device: torch.device, owner: object) -> Tensor:
    """Host memory that kernels of ``device`` read and write by its address, for as long as ``owner`` lives.

    Registered, not taken from PyTorch's own pinned memory, which rounds up to a power of two. Raises MemoryError.
    """
    size = prod(sizes) * dtype.itemsize
    # whole pages of its own: none can be registered twice
    whole = -(-size // SYSTEM_PAGE) * SYSTEM_PAGE
    memory = torch.zeros(whole + SYSTEM_PAGE, dtype=torch.uint8)
    memory = memory[-memory.data_ptr() % SYSTEM_PAGE :][:size].view(dtype).view(tuple(sizes))
    if device.type == "cuda" and size:
        cudart = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        begin = memory.data_ptr()
        if int(cudart.cudaHostRegister(begin, whole, 0)):
            with suppress(RuntimeError):
                # the driver tells of it once more, to whatever comes next: this
                torch.zeros(1, device=device)
            raise MemoryError(f"can't allocate memory: {size} bytes could not be pinned")

        def release() -> None:
            # what still reads it was queued before
            torch.cuda.synchronize(device)
            cudart.cudaHostUnregister(begin)

        weakref.finalize(owner, release).atexit = False
    return memory
