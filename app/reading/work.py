"""Two kinds of work, a reading and an answer, and the telling of all."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from app.library.records import DocumentRecord, JobRecord
from app.reading.asked import Asked
from app.reading.desk import Desk
from app.reading.gaze import Looks
from app.reading.prompt import reading_prompt
from engine.protocol import Delta, Done, Engine, Event, Gaze, Loading, Progress, Prompt, Sampling

log = logging.getLogger(__name__)

# between two events of a job, and between two notes of its progress in the library
EVENT_SECONDS = 1 / 15
NOTE_SECONDS = 0.5
GAZE_SECONDS = 0.25


class Interrupted(Exception):
    """A job must end before its engine began to work."""


class Orders(Protocol):
    """Who may end a job."""

    def over(self, engine: Engine) -> None: ...

    def check(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job ended. tokens: context, reused, prefilled, answered; seconds: load, prefill, first_token, decode."""

    state: Literal["done", "failed", "stopped"]
    finish: str | None = None
    error: str | None = None
    tokens: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    ids: tuple[int, ...] = ()

    @classmethod
    def of(cls, done: Done) -> Ended:
        return cls(
            state="stopped" if done.finish == "stopped" else "done",
            finish=done.finish,
            tokens={
                "context": done.context,
                "reused": done.reused,
                "prefilled": done.prefilled,
                "answered": done.answered,
            },
            seconds={
                "load": done.seconds_load,
                "prefill": done.seconds_prefill,
                "first_token": done.seconds_first_token,
                "decode": done.seconds_decode,
            },
            ids=done.ids,
        )


class Telling:
    """Writes what happens to a job where its followers look, a little at a time, and what it came to."""

    def __init__(self, desk: Desk, job: JobRecord) -> None:
        self._desk, self._job = desk, job
        self._model: str | None = None
        self._written: list[str] = []
        self._untold: list[str] = []
        self._told = self._noted = self._gazed = 0.0
        self._reading: dict[str, Any] | None = None
        self._looks: Looks | None = None

    def model(self, name: str) -> None:
        self._model = name

    @property
    def written(self) -> str:
        """The answer so far."""
        return "".join(self._written)

    def mode(self, reading: dict[str, Any]) -> None:
        """How it is read: known before the first word."""
        self._reading = reading
        self._emit("mode", reading)

    def looking(self, looks: Looks) -> None:
        """Where the answer looks is told from now on."""
        self._looks = looks

    def looked(self, gaze: Gaze) -> None:
        """What the next piece of the answer was written from."""
        if self._looks is not None:
            self._looks.add(sum(map(len, self._written)), gaze)

    def restarted(self) -> None:
        """Tell followers that what an earlier run wrote is void, if it wrote anything."""
        if any(event.kind == "delta" for event in self._desk.jobs.events(self._job.id)):
            self._emit("restart", {})

    def loading(self, event: Loading) -> None:
        # the first and the last of them must not be lost: they are few, or they are a download's
        if self._is_time() or not event.done or event.done == event.total:
            self._emit("loading", {"text": event.text, "done": event.done, "total": event.total})

    def progress(self, event: Progress) -> None:
        now = time.monotonic()
        if now - self._noted >= NOTE_SECONDS or event.done >= event.total:
            self._noted = now
            self._desk.jobs.progress(
                self._job.id,
                done=event.done,
                total=event.total,
                reused=event.reused,
                tokens_per_second=event.tokens_per_second,
                seconds_left=event.seconds_left,
            )
        if self._is_time() or event.done >= event.total:
            self._emit("progress", {**asdict(event), "model": self._model})

    def delta(self, text: str) -> None:
        if not text:
            return
        self._written.append(text)
        self._untold.append(text)
        if self._is_time():
            self._flush()

    def step(self, payload: dict[str, Any]) -> None:
        """Something that is made came to its next step; what is being written belongs to that one."""
        self._flush()
        self._emit("step", payload)

    def failed(self, error: str) -> Ended:
        return Ended(state="failed", error=error)

    def interrupted(self) -> Ended:
        return Ended(state="stopped", finish="stopped")

    def again(self, ended: Ended) -> None:
        """The job made way, and waits again; unless it was told to stop meanwhile."""
        with self._desk.library.write():
            if self._desk.jobs.requeue(self._job.id).state == "stopped":
                self.end(ended)

    def end(self, ended: Ended) -> None:
        """The last word: the answer, the event and the state are written together or not at all."""
        self._flush()
        quotes = self._quotes()
        gaze = None if self._looks is None else self._looks.stored(self.written)
        payload = {
            "state": ended.state,
            "finish": ended.finish,
            "error": ended.error,
            "tokens": ended.tokens,
            "seconds": ended.seconds,
            "model": self._model,
        }
        with self._desk.library.write():
            if self._job.turn_id is not None:
                self._desk.conversations.save_answer(
                    self._job.turn_id,
                    answer=self.written,
                    answer_ids=ended.ids or None,
                    finish=ended.finish,
                    tokens=ended.tokens,
                    seconds=ended.seconds,
                    model=self._model,
                    error=ended.error,
                    quotes=quotes,
                    reading=self._reading,
                    gaze=gaze,
                )
            self._emit("end", payload)
            self._desk.jobs.finish(self._job.id, ended.state, ended.error)

    def _quotes(self) -> dict[str, Any] | None:
        """What the answer quotes, checked now that all of it is told: nobody waits for a word."""
        if self._job.thread_id is None or not self._written:
            return None
        try:
            desk = self._desk
            assert self._job.turn_id is not None
            question = desk.conversations.branch(self._job.turn_id)[-1].question
            thread = desk.conversations.get(self._job.owner_id, self._job.thread_id)
            return desk.quotes.stored(question, self.written, thread.document_ids)
        except Exception as error:
            # an answer is never lost for its quotations: whoever reads it next checks them
            log.warning("quotations were not checked: %s", type(error).__name__)
            return None

    def _flush(self) -> None:
        if self._untold:
            text = "".join(self._untold)
            self._untold.clear()
            self._emit("delta", {"text": text})
        now = time.monotonic()
        if self._looks is not None and now - self._gazed >= GAZE_SECONDS:
            self._gazed = now
            if places := self._looks.now():
                self._emit("gaze", {"places": places, "strips": self._looks.books()})

    def _is_time(self) -> bool:
        return time.monotonic() - self._told >= EVENT_SECONDS

    def _emit(self, kind: str, payload: dict[str, Any]) -> None:
        self._told = time.monotonic()
        self._desk.jobs.emit(self._job.id, kind, payload)


def read(desk: Desk, job: JobRecord, telling: Telling, orders: Orders) -> Ended:
    """Read a document alone and keep it. What was read before is not read again."""
    assert job.document_id is not None
    document = desk.library.document(job.owner_id, job.document_id)
    engine = engine_of(desk, desk.settings.model, telling, orders)
    prompt = reading_prompt(engine, desk.library, document)
    note = Note(desk, engine, document, prompt)
    if note.kept() >= prompt.tokens:
        # nothing to do: the weights need not even be loaded
        note.save()
        desk.jobs.progress(job.id, done=prompt.tokens, total=prompt.tokens, reused=prompt.tokens)
        return Ended(state="done", finish="stop", tokens=_all_reused(prompt), seconds={})
    room = desk.space(engine, job.owner_id)
    plan = room.prompt(prompt, [document])
    plan.check()
    orders.over(engine)
    desk.storage.make_way(room.way(plan, prompt))
    try:
        for event in told(engine.read(prompt), telling):
            if isinstance(event, Progress):
                note.progress(event)
            elif isinstance(event, Done):
                note.provenance = event.provenance
                return Ended.of(event)
    finally:
        note.save()
    raise AssertionError("an engine's work ends with Done or an error")


def answer(desk: Desk, job: JobRecord, telling: Telling, orders: Orders) -> Ended:
    """Answer a turn from its thread's documents and the turns before it."""
    assert job.thread_id is not None and job.turn_id is not None
    telling.restarted()
    thread = desk.conversations.get(job.owner_id, job.thread_id)
    # of its own branch: the reader may look at another one meanwhile
    *before, turn = desk.conversations.branch(job.turn_id)
    documents = [desk.library.document(job.owner_id, one) for one in thread.document_ids]
    engine = engine_of(desk, str(job.payload["model"]), telling, orders)
    sampling = _sampling(job.payload["sampling"])
    # as far as was allowed when it was asked
    asked = Asked(
        desk, engine, job.owner_id, documents, before, turn.question, sampling,
        upto=turn.upto, thread_id=thread.id, quick=bool(job.payload.get("quick")),
    )  # fmt: skip
    # an older Lectern's question says nothing of a mode
    orders.over(engine)
    pace = Pace()
    ready = asked.ready(job.payload.get("mode", "whole"), lambda events: told(events, telling, pace))
    if ready is None:
        return telling.interrupted()
    prompt, plan = ready.prompt, ready.plan
    desk.storage.make_way(desk.space(engine, job.owner_id).way(plan, prompt))
    telling.mode(ready.reading)
    telling.looking(ready.looks)
    try:
        for event in told(engine.generate(prompt, replace(sampling, max_tokens=plan.answer)), telling, pace):
            if isinstance(event, Done):
                return Ended.of(event)
    finally:
        # a book read for a question is read
        for document in documents:
            Note(desk, engine, document, reading_prompt(engine, desk.library, document)).save_if_grown(pace)
    raise AssertionError("an engine's work ends with Done or an error")


class Pace:
    """How long the tokens read just now took."""

    def __init__(self) -> None:
        self._began: float | None = None
        self.seconds = 0.0
        self.tokens = 0

    def progress(self, event: Progress) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = now
        self.seconds, self.tokens = now - self._began, event.done - event.reused


class Note:
    """How far a document is read, for the shelf."""

    def __init__(self, desk: Desk, engine: Engine, document: DocumentRecord, prompt: Prompt) -> None:
        self._desk, self._engine, self._document, self._prompt = desk, engine, document, prompt
        self._before = desk.library.reading(document.id, engine.model.identity)
        self._pace = Pace()
        self._noted = 0.0
        self.provenance: dict[str, str] | None = None

    def kept(self) -> int:
        return self._engine.kept(self._prompt)

    def progress(self, event: Progress) -> None:
        self._pace.progress(event)
        now = time.monotonic()
        if now - self._noted >= NOTE_SECONDS:
            self._noted = now
            # part of a chunk that is being read is not kept yet, and complete is only what is
            self._write(min(event.done, event.total - 1), self._pace.seconds)

    def save(self) -> None:
        """By what is kept."""
        self._write(self.kept(), self._pace.seconds)

    def save_if_grown(self, pace: Pace) -> None:
        """After it was read along with others, at their common pace."""
        kept = self.kept()
        before = self._before.done if self._before is not None else 0
        if kept > max(before, len(self._prompt.segments[0].ids)):
            self._write(kept, pace.seconds * min(1.0, (kept - before) / max(1, pace.tokens)))

    def _write(self, done: int, seconds: float) -> None:
        self._desk.library.save_reading(
            self._document.id,
            self._engine.model.identity,
            done=done,
            total=self._prompt.tokens,
            complete=done >= self._prompt.tokens,
            seconds=seconds + (self._before.seconds if self._before is not None else 0.0),
            provenance=self.provenance,
        )


def engine_of(desk: Desk, name: str, telling: Telling, orders: Orders) -> Engine:
    def report(event: Loading) -> None:
        orders.check()
        telling.loading(event)

    engine = desk.engines.get(name, report)
    desk.engines.only(name)
    telling.model(engine.model.name)
    orders.check()
    return engine


def told(events: Iterator[Event], telling: Telling, pace: Pace | None = None) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Loading):
            telling.loading(event)
        elif isinstance(event, Progress):
            telling.progress(event)
            if pace is not None:
                pace.progress(event)
        elif isinstance(event, Delta):
            if event.gaze is not None:
                telling.looked(event.gaze)
            telling.delta(event.text)
        yield event


def _sampling(values: dict[str, Any]) -> Sampling:
    return Sampling(**(values | {"stop": tuple(values["stop"])}))


def _all_reused(prompt: Prompt) -> dict[str, int]:
    return {"context": prompt.tokens, "reused": prompt.tokens, "prefilled": 0, "answered": 0}
