"""The engine's own process: of lower priority, alone in a crash, gone when its parent is.

Messages to it: ("read", job, prompt) · ("generate", job, prompt, sampling) ·
("look", job, prompt, rows) · ("cancel", job) · ("close",).
From it: (job, event) … and last (job, Done) or (job, EngineError). Imports torch only once it runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

from engine.config import EngineConfig
from engine.errors import EngineError, EngineFailure, OutOfMemory
from engine.machine import keep_freed_memory

log = logging.getLogger(__name__)

NICENESS = 5


class Inbox:
    """Requests in order, and a flag a job that says it was cancelled, even before its turn."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.requests: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._flags: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    def flag(self, job: int) -> threading.Event:
        with self._lock:
            return self._flags.setdefault(job, threading.Event())

    def forget(self, job: int) -> None:
        with self._lock:
            self._flags.pop(job, None)

    def listen(self) -> None:
        """Until the parent closes the pipe or dies; then this process has no reason to live."""
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            if message[0] == "cancel":
                self.flag(message[1]).set()
            else:
                self.requests.put(message)


def main(connection: Connection, config: EngineConfig) -> None:
    """Serve jobs until told to close."""
    # Ctrl-C reaches the whole group; it is the parent that decides what to stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(NICENESS)
    # threads that wait by spinning take the cores from a browser on the same machine, and from one another
    # for long; a few microseconds of it are what decoding, a thousand small operations a token, lives on
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # PyTorch counts on as many threads as it asks OpenMP for: with fewer, parts of its results are never written
    limit = os.environ.pop("OMP_THREAD_LIMIT", None)
    if limit is not None:
        asked = os.environ.get("OMP_NUM_THREADS", limit).split(",")[0]
        # what is no number, OpenMP passes over too
        with contextlib.suppress(ValueError):
            os.environ["OMP_NUM_THREADS"] = str(min(int(limit), int(asked)))
    keep_freed_memory()
    inbox = Inbox(connection)
    threading.Thread(target=inbox.listen, name="inbox", daemon=True).start()
    from engine.session import Session

    session: Session | None = None
    while True:
        verb, *arguments = inbox.requests.get()
        if verb == "close":
            return
        job = arguments[0]

        def emit(event: object, job: int = job) -> None:
            connection.send((job, event))

        try:
            if session is None:
                session = Session(config)
            if verb == "read":
                result: object = session.read(arguments[1], emit, inbox.flag(job))
            elif verb == "look":
                result = session.look(arguments[1], arguments[2], emit, inbox.flag(job))
            else:
                result = session.generate(arguments[1], arguments[2], emit, inbox.flag(job))
        except EngineError as error:
            result = error
        except MemoryError:
            result = OutOfMemory()
        except Exception as error:
            log.exception("a job failed")
            result = EngineFailure(f"{type(error).__name__}: {error}")
        inbox.forget(job)
        try:
            connection.send((job, result))
        except OSError:
            return
