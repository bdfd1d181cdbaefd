"""What the commands share: a desk, an engine, the queue, ways to speak."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.cli import INTERRUPTED, TERMINATED
from app.library.records import EventRecord
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.engines import EngineFactory
from app.reading.runner import Runner
from app.settings import Settings
from app.terminal import Status, printable
from engine.errors import EngineError
from engine.protocol import Engine, Loading

Command = Callable[[Settings, argparse.Namespace], int]

OWNER = "local"
# how long a command waits for its own thread after a second Ctrl-C
LEAVE_SECONDS = 2.0
ELSEWHERE_SECONDS = 1.0
ELSEWHERE = "another Lectern works on this home: it does this when its turn comes"


@contextmanager
def open_desk(settings: Settings) -> Iterator[Desk]:
    with Library(settings.home) as library:
        # of the desk as it is then: the page may change its settings
        desk = Desk(settings, library, lambda name: local_engines(desk.settings)(name))
        try:
            yield desk
        finally:
            desk.engines.close()


def local_engines(settings: Settings) -> EngineFactory:
    def make(name: str) -> Engine:
        from engine.local import LocalEngine

        return LocalEngine(name, **settings.engine)

    return make


def at_hand(settings: Settings) -> bool:
    """Whether the model can be asked without a download."""
    from engine import checkpoint

    try:
        checkpoint.resolve(settings.model, cache=settings.cache, allow_download=False)
    except EngineError:
        return False
    return True


def fetched_engine(desk: Desk) -> Engine:
    """The engine, its checkpoint fetched first where it is not in the cache. Raises EngineError."""
    with Status() as status:

        def report(event: Loading) -> None:
            status.share(event.text, event.done, event.total)

        return desk.engines.get(desk.settings.model, report)


@contextmanager
def working(desk: Desk, job_ids: list[int]) -> Iterator[tuple[Status, Callable[[], int]]]:
    """Work the queue, here or in the process that does it already, until the jobs have ended; Ctrl-C stops them.

    Gives the status line, and a function that says with which exit status it was interrupted, or 0.
    """
    signals: list[int] = []

    def stop() -> None:
        status.say("stopping; what was read is kept")
        for job_id in job_ids:
            desk.stop(OWNER, job_id)

    def on_signal(number: int, _: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            raise KeyboardInterrupt
        # not here: a signal may interrupt this thread in the middle of a transaction
        threading.Thread(target=stop, name="lectern-stop", daemon=True).start()

    def status_of() -> int:
        return (TERMINATED if signals[0] == signal.SIGTERM else INTERRUPTED) if signals else 0

    runner = Runner(desk)
    with Status() as status:
        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        elsewhere = threading.Timer(ELSEWHERE_SECONDS, lambda: None if runner.works else status.say(ELSEWHERE))
        elsewhere.start()
        try:
            runner.start(until=job_ids)
            yield status, status_of
        finally:
            elsewhere.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)
            runner.close(LEAVE_SECONDS if len(signals) > 1 else None)


def show(status: Status, what: str, event: EventRecord) -> None:
    said = event.payload
    if event.kind == "loading":
        status.share(str(said["text"]), int(said["done"]), int(said["total"]))
    elif event.kind == "progress" and said["done"] < said["total"]:
        status.share(what, said["done"], said["total"], said["tokens_per_second"], said["seconds_left"])


def print_json(value: Any) -> None:
    # ascii, so that it is one line for everybody and shows on any terminal
    print(json.dumps(value), flush=True)


def complain(reason: str) -> None:
    print(f"lectern: {printable(reason)}", file=sys.stderr)
