"""The engines of this process, by the name of their model. Looking at one is cheap; one at a time holds weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from app.errors import LecternError
from engine.errors import EngineError
from engine.protocol import Engine, Loading, Prompt

AT_ONCE_SECONDS = 2.0
"""In which a checkpoint that is on this machine is found, also in the hub's own cache."""

Report = Callable[[Loading], None]
EngineFactory = Callable[[str], Engine]


@runtime_checkable
class Preparable(Protocol):
    """An engine whose checkpoint may have to be fetched before anything can be asked of it."""

    def prepare(self, progress: Report) -> object: ...


@runtime_checkable
class Keeper(Engine, Protocol):
    """An engine that keeps what it read in files of this machine."""

    def kept_files(self, prompt: Prompt) -> list[Path]: ...


class ModelNotReady(LecternError):
    """The checkpoint is being fetched or converted; ``done`` and ``total`` count bytes, 0 if they are not known."""

    def __init__(self, name: str, text: str, done: int, total: int) -> None:
        super().__init__(name, text, done, total)
        self.name = name
        self.text = text
        self.done = done
        self.total = total

    def __str__(self) -> str:
        share = f" ({100 * self.done // self.total} %)" if self.total else ""
        return f"The model {self.name} is being prepared{share}. It answers when that is done."


class Engines:
    """Made by ``factory(model name)`` when first asked for. Safe from any thread."""

    def __init__(self, factory: EngineFactory) -> None:
        self._factory = factory
        self._making = threading.Lock()
        self._ready: dict[str, Engine] = {}
        self._problems: dict[str, EngineError] = {}
        self._told = Loading(text="")
        # of earlier settings: still at work, or not yet ended
        self._former: list[Engine] = []

    def get(self, name: str, report: Report | None = None) -> Engine:
        """The engine of a model, its checkpoint fetched first if need be. Blocks; raises EngineError.

        An exception raised by ``report`` ends the fetching and comes through.
        """
        with self._making:
            return self._get(name, report)

    def now(self, name: str) -> Engine:
        """Like ``get``, but raises ModelNotReady where the checkpoint must be fetched, or another thread is at it. A
        page asks: its request may end at any moment, and a download shall not end with it."""
        engine = self._ready.get(name)
        if engine is not None:
            return engine
        if not self._making.acquire(blocking=False):
            raise ModelNotReady(name, self._told.text, self._told.done, self._told.total)
        begun = time.monotonic()

        def leave(event: Loading) -> None:
            if event.total or time.monotonic() - begun > AT_ONCE_SECONDS:
                raise ModelNotReady(name, event.text, event.done, event.total)

        try:
            return self._get(name, leave)
        finally:
            self._making.release()

    def ready(self, name: str) -> Engine | None:
        """The engine if it can be asked at once; never blocks."""
        return self._ready.get(name)

    def problem(self, name: str) -> EngineError | None:
        """Why the last attempt to make it failed."""
        return self._problems.get(name)

    def forgive(self, name: str) -> None:
        """Forget why it could not be made: whoever works the queue tries again."""
        self._problems.pop(name, None)

    def renew(self) -> None:
        """Make every engine anew when it is next asked for; what one does now, it ends as it was."""
        # without the lock, which is held while a checkpoint is fetched
        former, self._ready = self._ready, {}
        self._former += former.values()

    def only(self, name: str) -> None:
        """End the work of every other engine: the weights of two need not fit. For the one who works the queue."""
        while self._former:
            self._former.pop().close()
        for other, engine in list(self._ready.items()):
            if other != name:
                engine.close()

    def close(self) -> None:
        """An engine that is closed starts again at its next job."""
        while self._former:
            self._former.pop().close()
        for engine in list(self._ready.values()):
            engine.close()

    def _get(self, name: str, report: Report | None) -> Engine:
        engine = self._ready.get(name)
        if engine is not None:
            return engine

        def tell(event: Loading) -> None:
            self._told = event
            if report is not None:
                report(event)

        # while it is tried again, how far it is counts, and not why it failed before
        self._problems.pop(name, None)
        self._told = Loading(text="")
        try:
            engine = self._factory(name)
            if isinstance(engine, Preparable):
                engine.prepare(tell)
            # a checkpoint that cannot be used shows here, before any work is begun
            _ = engine.model
        except EngineError as error:
            self._problems[name] = error
            raise
        self._ready[name] = engine
        return engine
