"""A lane that copies as late as a GPU may: not before somebody waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import RLock

import torch

from engine.copies import Lane, Mark


class Late(Lane):
    def __init__(self, device: torch.device) -> None:
        self._queue: deque[Callable[[], object]] = deque()
        self._lock = RLock()
        self.queued = self.done = 0

    def follow(self) -> None:
        # what was computed is computed at once here
        pass

    def run(self, function: Callable[[], object]) -> None:
        with self._lock:
            self._queue.append(function)
            self.queued += 1

    def mark(self) -> Mark:
        return LateMark(self)

    def upto(self, number: int) -> None:
        with self._lock:
            while self.done < number:
                self._queue.popleft()()
                self.done += 1


class LateMark(Mark):
    def __init__(self, lane: Late) -> None:
        self._lane, self._number = lane, lane.queued

    def hold(self) -> None:
        self._lane.upto(self._number)

    def wait(self) -> None:
        self._lane.upto(self._number)
