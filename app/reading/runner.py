"""Works the queue: one thread, of the one process that holds ``engine.lock``.

It claims the most urgent job, has the engine do it, and writes down what happens as events that anybody may follow.
A question interrupts everything else, which goes on afterwards where it was. A job that fails is failed, with its
reason; the runner lives on.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Literal

from filelock import FileLock, Timeout

from app.errors import JobNotFound, LecternError
from app.library.records import JobRecord
from app.library.search import index_pending
from app.reading.desk import BACKGROUND, ENDED, QUESTION, Desk
from app.reading.making.work import make
from app.reading.work import Ended, Interrupted, Orders, Telling, answer, read
from app.reading.writing.work import write
from engine.errors import EngineError
from engine.protocol import Engine

log = logging.getLogger(__name__)

# how often the queue is looked at when idle, a running job's orders while it runs, and a held lock
IDLE_SECONDS = 0.1
WATCH_SECONDS = 0.1
LOCK_SECONDS = 0.25
# a cancel that crossed the beginning of the engine's work is said again
CANCEL_SECONDS = 0.5
TROUBLE_SECONDS = 1.0
# where questions come one after another: after how long, and how many, something else has a turn; how long that is at
# most; and what is a turn too, though it had to make way. Who asks alone pauses between questions, and waits for none
PATIENCE_SECONDS = 30.0
PATIENCE_ANSWERS = 3
TURN_SECONDS = 10.0
SLICE_SECONDS = 2.0

Order = Literal["stop", "yield"]
Work = Callable[[Desk, JobRecord, Telling, Orders], Ended]

WORK: dict[str, Work] = {"read": read, "ask": answer, "make": make, "write": write}


class Watch:
    """Looks, while a job runs, for a reason to end it: it was told to stop ("stop"), or must make way ("yield").

    turn: seconds in which it need not make way for a question.
    """

    def __init__(self, desk: Desk, job: JobRecord, closing: threading.Event, turn: float = 0.0) -> None:
        self._desk, self._job, self._closing = desk, job, closing
        self._turn_ends = time.monotonic() + turn
        self._over = threading.Event()
        self._engine: Engine | None = None
        self._thread = threading.Thread(target=self._look, name="lectern-watch", daemon=True)
        self._settings = desk.settings.engine | {"model": desk.settings.model}
        self.order: Order | None = None

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # the thread ends before the next job begins: a late cancel must not hit that one
        self._over.set()
        self._thread.join()

    def over(self, engine: Engine) -> None:
        """From now on an order ends this engine's work."""
        self._engine = engine
        self.check()

    def check(self) -> None:
        """Raise Interrupted if there is an order."""
        if self.order is not None:
            raise Interrupted

    def _look(self) -> None:
        cancelled = 0.0
        while not self._over.wait(WATCH_SECONDS):
            try:
                if self.order != "stop":
                    self.order = self._ordered() or self.order
            except LecternError as error:
                log.warning("the library cannot be asked for orders: %s", type(error).__name__)
            if self.order and self._engine is not None and time.monotonic() - cancelled >= CANCEL_SECONDS:
                cancelled = time.monotonic()
                self._engine.cancel()

    def _ordered(self) -> Order | None:
        try:
            if self._desk.jobs.stop_requested(self._job.id):
                return "stop"
        except JobNotFound:
            return "stop"
        if self._closing.is_set():
            return "yield"
        if (
            self._job.kind != "ask"
            and time.monotonic() >= self._turn_ends
            and self._desk.jobs.waiting_above(self._job.priority)
        ):
            return "yield"
        if self._job.kind == "read":
            # another model was chosen, or how it reads: what this one would go on with is not wanted any more
            now = self._desk.settings
            if now.engine | {"model": now.model} != self._settings:
                return "yield"
        return None


class Runner:
    """``start`` works until ``close``; ``run_until`` works in the caller's thread until given jobs have ended."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = FileLock(desk.settings.engine_lock, thread_local=False, mode=0o600)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        # the model that was made ready in idle time
        self._prepared: str | None = None
        # when something other than a question last had its turn, or nothing waited, and questions answered since
        self._turned, self._answered = time.monotonic(), 0

    @property
    def works(self) -> bool:
        """Whether the queue is worked by this process; another one may do it instead."""
        return self._lock.is_locked

    def start(self, until: Sequence[int] | None = None) -> None:
        """Work in a thread of one's own, until ``close``, or until the jobs ``until`` have ended."""
        if self._thread is not None:
            raise RuntimeError("this runner was started before")
        self._thread = threading.Thread(target=self._work, args=(until,), name="lectern-runner", daemon=True)
        self._thread.start()

    def run_until(self, job_ids: Sequence[int]) -> None:
        """Work until these jobs have ended, by this process or by another that holds the lock."""
        self._work(job_ids)

    def close(self, timeout: float | None = None) -> None:
        """Stop working: what runs waits again, and goes on when somebody works the queue next."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # the loop

    def _work(self, until: Sequence[int] | None) -> None:
        try:
            while not self._closing.is_set():
                try:
                    if until is not None and self._have_ended(until):
                        return
                    self._step(until)
                except Exception as error:
                    self._log(error)
                    self._closing.wait(TROUBLE_SECONDS)
        finally:
            # the engine ends before another process may start one on the same pages
            if self.works:
                self._desk.engines.close()
                self._lock.release()

    def _step(self, until: Sequence[int] | None) -> None:
        if not self.works:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                self._closing.wait(LOCK_SECONDS)
                return
            waiting = self._desk.jobs.requeue_orphans()
            log.info("working the queue; %d jobs go on", waiting)
        # what nobody asked for waits where nothing shall be read ahead
        ahead = self._desk.settings.read_ahead == "on"
        least = BACKGROUND if ahead else BACKGROUND + 1
        job, turn = None, 0.0
        begun = time.monotonic()
        if until is None and self._answered >= PATIENCE_ANSWERS and begun - self._turned >= PATIENCE_SECONDS:
            # many readers ask one after another, and the book of one of them would never be read
            job, turn = self._desk.jobs.claim(least=least, below=QUESTION), TURN_SECONDS
        if job is None:
            job, turn = self._desk.jobs.claim(least=least), 0.0
        if job is not None:
            made_way = self._do(job, turn)
            now = time.monotonic()
            if job.kind == "ask":
                self._answered += 1
            elif turn or not made_way or now - begun >= SLICE_SECONDS:
                self._turned, self._answered = now, 0
            return
        self._turned, self._answered = begun, 0
        if until is not None or not self._prepare():
            self._closing.wait(IDLE_SECONDS)

    def _prepare(self) -> bool:
        """Use idle time: fetch the model, count what its tokenizer never saw. Whether there was anything to do."""
        model = self._desk.settings.model
        if self._prepared == model and self._desk.engines.ready(model) is not None:
            return False
        if self._prepared == model and self._desk.engines.problem(model) is not None:
            return False
        try:
            self._desk.engines.get(model, lambda _: self._give_way(model))
            # one book a step: a question may wait
            if index_pending(self._desk.library, most=1):
                return True
            if not self._desk.count_tokens(most=1):
                self._prepared = model
        except Interrupted:
            pass
        except (EngineError, LecternError) as error:
            # shown where the model is; a job that needs it will say so again
            self._prepared = model
            log.warning("the model cannot be prepared: %s", type(error).__name__)
        return True

    def _give_way(self, model: str) -> None:
        if self._closing.is_set() or self._desk.settings.model != model:
            raise Interrupted

    def _have_ended(self, job_ids: Sequence[int]) -> bool:
        return all(self._desk.jobs.get(None, job_id).state in ENDED for job_id in job_ids)

    # one job

    def _do(self, job: JobRecord, turn: float) -> bool:
        """Work on a job; whether it made way for another."""
        telling = Telling(self._desk, job)
        log.info("job %d (%s) begins", job.id, job.kind)
        with Watch(self._desk, job, self._closing, turn) as watch:
            try:
                ended = WORK[job.kind](self._desk, job, telling, watch)
            except Interrupted:
                ended = telling.interrupted()
            except (EngineError, LecternError) as error:
                log.warning("job %d failed: %s", job.id, type(error).__name__)
                ended = telling.failed(str(error))
            except Exception as error:
                self._log(error)
                ended = telling.failed(
                    f"Lectern itself failed here ({type(error).__name__}). Try again; the log in "
                    f"{self._desk.settings.logs} says more, and a report of it would help."
                )
        made_way = ended.state == "stopped" and watch.order == "yield"
        if made_way:
            telling.again(ended)
        else:
            telling.end(ended)
        log.info("job %d: %s", job.id, ended.state if watch.order != "yield" else "makes way")
        return made_way

    def _log(self, error: Exception) -> None:
        # never the message: it may hold a reader's text
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s\n%s", type(error).__name__, where)
