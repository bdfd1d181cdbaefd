"""The desk: everything that a reader can do, for the page and for the command line alike.

A desk only looks and enqueues; ``runner.Runner``, in this process or in another, does the work. An owner is a person's
name in the library ("local"). Whatever is not this owner's is as if it were not there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.errors import DocumentError, NothingChosen, QuestionEmpty
from app.library.artefacts import Artefacts
from app.library.drafts import Drafts
from app.library.intake import Intake
from app.library.jobs import Jobs
from app.library.pins import pinned_by
from app.library.records import (
    Added,
    DocumentRecord,
    EventRecord,
    JobRecord,
    ReadingRecord,
    TurnRecord,
)
from app.library.store import Library
from app.library.tags import last_used, tags
from app.library.threads import Threads
from app.reading import prompt as prompts
from app.reading.conversations import Conversations
from app.reading.engines import EngineFactory, Engines
from app.reading.finder import Cuts
from app.reading.keeping import Keeping
from app.reading.making.desk import Making
from app.reading.marginalia import Marginalia
from app.reading.plan import Plan
from app.reading.quotes import Quotes
from app.reading.rereading import Mode
from app.reading.shelf import ShelfItem, shelf_item
from app.reading.storage import Storage
from app.reading.surroundings import Surroundings, look
from app.reading.writing.desk import WritingDesk
from app.settings import Settings
from engine.protocol import Engine, ModelInfo, Sampling

# the queue: a question comes before every reading, a reading that somebody waits for before one in the background
BACKGROUND = 0
WANTED = 10
QUESTION = 1_000_000

ENDED = ("done", "failed", "stopped")
POLL_SECONDS = 0.05
TITLE_LENGTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A question on its way: follow ``job_id``."""

    job_id: int
    thread_id: int
    turn_id: int


class Desk(Conversations, Making, WritingDesk, Marginalia, Keeping):
    """``engine`` makes an engine from a model's name; ``settings.model`` is the one that this desk asks."""

    def __init__(self, settings: Settings, library: Library, engine: EngineFactory) -> None:
        self.settings = settings
        self.library = library
        self.jobs = Jobs(library)
        self.conversations = Threads(library)
        self.intake = Intake(library)
        self.engines = Engines(engine)
        self.quotes = Quotes(library)
        self.artefacts = Artefacts(library)
        self.cuts = Cuts()
        self.drafts = Drafts(library)
        self.storage = Storage(lambda: self.settings, library)
        self._owners: dict[str, int] = {}
        self._counting = threading.Lock()
        self._surroundings: Surroundings | None = None

    # the model

    def model(self) -> ModelInfo:
        """Facts of the model in use. Raises EngineError; ModelNotReady while it is being fetched."""
        return self.engines.now(self.settings.model).model

    def choose(self, **values: Any) -> None:
        """Change settings from now on and for the next start: ``model``, ``readings_budget``, ``policy``. A reading in
        hand gives way to another model's; an answer in hand is finished by its own.

        A model that could not be had is tried again when it is chosen again.

        Raises SettingInvalid, and then changes nothing.
        """
        before, self.settings = self.settings, self.settings.choose(**values)
        if before.engine != self.settings.engine:
            self.engines.renew()
        if "model" in values:
            self.engines.forgive(self.settings.model)

    def machine(self) -> Surroundings:
        """This machine, as it was when first looked at, and which models of the catalogue it could run."""
        if self._surroundings is None:
            self._surroundings = look(self.settings.home)
        return self._surroundings

    # the shelf

    def shelf(self, owner: str) -> list[ShelfItem]:
        """Quick, and never waits for the model: while it is being fetched, nothing counts as read."""
        owner_id = self.owner_id(owner)
        engine = self.engines.ready(self.settings.model)
        counts: dict[int, int] = {}
        readings: dict[int, ReadingRecord] = {}
        guards = self.guards(owner)
        with self.library.read():
            if engine is not None:
                counts = self.library.token_counts(owner_id, engine.model.tokenizer)
                readings = self.library.readings(owner_id, engine.model.identity)
            jobs = {job.document_id: job for job in self.jobs.list(owner_id, kind="read")}
            tagged = tags(self.library, owner_id)
            used = last_used(self.library, owner_id)
            pinned = pinned_by(self.library, owner_id)
            return [
                shelf_item(
                    document,
                    jobs.get(document.id),
                    readings.get(document.id),
                    counts.get(document.id),
                    tagged.get(document.id, ()),
                    used.get(document.id),
                    self._chapter_at,
                    guards.get(document.id),
                    pinned=document.id in pinned,
                )
                for document in self.library.documents(owner_id)
            ]

    def add(self, owner: str, path: Path, filename: str, told: Callable[[int, int], None] | None = None) -> Added:
        """Take a file in and queue its reading. told: see ``Library.add_document``. Raises DocumentError, after noting
        the refusal for the shelf."""
        owner_id = self.owner_id(owner)
        try:
            added = self.library.add_document(owner_id, path, filename, told)
        except DocumentError as error:
            self.library.refuse(owner_id, filename, error)
            raise
        engine = self.engines.ready(self.settings.model)
        if engine is not None:
            self._count(engine, added.document)
        ahead = self.settings.read_ahead == "on"
        if ahead and (not added.already or not self._begun(owner_id, added.document.id)):
            self.jobs.enqueue(owner_id, "read", {}, priority=BACKGROUND, document_id=added.document.id)
        return added

    def count_tokens(self, owner: str | None = None, *, most: int | None = None) -> int:
        """Count documents, at ``most`` so many, that the current model's tokenizer never saw; returns how many.

        ``owner`` None: everybody's. Seconds for a large book. Raises EngineError.
        """
        engine = self.engines.get(self.settings.model)
        counted = 0
        for owner_id in self._all_owners() if owner is None else [self.owner_id(owner)]:
            known = self.library.token_counts(owner_id, engine.model.tokenizer)
            for document in self.library.documents(owner_id):
                if counted == most:
                    return counted
                if document.id not in known:
                    self._count(engine, document)
                    counted += 1
        return counted

    # reading

    def read(self, owner: str, document_ids: Sequence[int] | None = None, *, first: bool = False) -> list[int]:
        """Queue readings, of everything that is not read if ``document_ids`` is None; returns the jobs' ids.

        first: before every other reading, in the order given. Raises DocumentNotFound, and then queues none.
        """
        owner_id = self.owner_id(owner)
        if document_ids is None:
            document_ids = [item.id for item in self.shelf(owner) if item.state != "read"]
        wanted = list(dict.fromkeys(document_ids))
        priorities = [WANTED] * len(wanted)
        with self.library.write():
            if first:
                others = self.jobs.list(None, states=("waiting", "running"), kind="read")
                above = max([WANTED, *(job.priority + 1 for job in others)])
                priorities = [min(QUESTION - 1, above + n) for n in reversed(range(len(wanted)))]
            return [
                self.jobs.enqueue(owner_id, "read", {}, priority=priority, document_id=document_id).id
                for document_id, priority in zip(wanted, priorities, strict=True)
            ]

    def stop(self, owner: str, job_id: int) -> JobRecord:
        """Stop a reading or an answer. What was read or written so far is kept. Raises JobNotFound."""
        with self.library.write():
            job = self.jobs.request_stop(self.owner_id(owner), job_id)
            if job.state == "stopped" and job.turn_id is not None and not self._turn(job).finish:
                # nobody had begun it, so nobody else will close its turn
                self.conversations.save_answer(job.turn_id, finish="stopped")
            return job

    def stop_document(self, owner: str, document_id: int) -> None:
        """Stop the reading of a document, if there is one. Raises DocumentNotFound."""
        owner_id = self.owner_id(owner)
        self.library.document(owner_id, document_id)
        for job in self.jobs.list(owner_id, states=("waiting", "running"), kind="read"):
            if job.document_id == document_id:
                self.jobs.request_stop(owner_id, job.id)

    # asking

    def room(
        self,
        owner: str,
        document_ids: Sequence[int],
        thread_id: int | None = None,
        question: str = "",
        sampling: Sampling | None = None,
        *,
        quick: bool = False,
    ) -> Plan:
        """Whether a question over these documents fits, before anyone waits for it. Of a thread, its own documents.

        Raises NothingChosen, NotFound, EngineError, ModelNotReady.
        """
        owner_id = self.owner_id(owner)
        engine = self.engines.now(self.settings.model)
        turns: list[TurnRecord] = []
        if thread_id is not None:
            document_ids = self.conversations.get(owner_id, thread_id).document_ids
            turns = self.conversations.turns(thread_id)
        documents = self.chosen(owner_id, document_ids)
        upto = self.allowed(owner_id, documents)
        room = self.space(engine, owner_id)
        return room.question(documents, turns, question, sampling or Sampling(), upto, quick=quick)

    def ask(
        self,
        owner: str,
        question: str,
        *,
        document_ids: Sequence[int] | None = None,
        thread_id: int | None = None,
        instead_of: int | None = None,
        sampling: Sampling | None = None,
        upto: Mapping[int, int] | None = None,
        mode: Mode = "auto",
        quick: bool | None = None,
    ) -> Run:
        """Queue a question: the next turn of a thread, or the first of a new one over ``document_ids``, which stand
        in its prompt by their ids. A thread keeps the documents it began with. ``instead_of`` a turn of the thread,
        the question begins a branch beside it. ``upto``: by document, the offset before which this question is
        answered; where the owner has read less, that counts. mode: answer from the "whole", from passages found
        ("reread"), or from passages where the whole is more than the model was trained on ("auto"). quick: take each
        document as it was read alone, so that none is read again for the company it is in; what they saw of one
        another is lost. None: as the conversation went so far.

        Raises QuestionEmpty, NothingChosen, NotFound, and RoomExceeded as far as it can be told at once.
        """
        owner_id = self.owner_id(owner)
        question = question.strip()
        if not question:
            raise QuestionEmpty()
        sampling = sampling or Sampling()
        turns: list[TurnRecord] = []
        if thread_id is not None:
            document_ids = self.conversations.get(owner_id, thread_id).document_ids
            turns = self.conversations.turns(thread_id)
            if instead_of is not None:
                turns = self.conversations.branch(instead_of)[:-1]
        documents = self.chosen(owner_id, document_ids or ())
        allowed = self.allowed(owner_id, documents, upto)
        quick = self.was_quick(owner_id, thread_id) if quick is None else quick
        if quick and mode == "auto":
            # who chooses how the books are opened wants them opened
            mode = "whole"
        engine = self.engines.ready(self.settings.model)
        if engine is not None and mode == "whole":
            # passages always fit
            self.space(engine, owner_id).question(documents, turns, question, sampling, allowed, quick=quick).check()
        payload: dict[str, Any] = {"model": self.settings.model, "sampling": asdict(sampling), "mode": mode}
        payload["quick"] = quick
        with self.library.write():
            if thread_id is None:
                ids = [one.id for one in documents]
                thread_id = self.conversations.create(owner_id, ids, _title(question)).id
            turn = self.conversations.add_turn(thread_id, question, instead_of=instead_of, upto=allowed)
            job = self.jobs.enqueue(owner_id, "ask", payload, priority=QUESTION, thread_id=thread_id, turn_id=turn.id)
        return Run(job_id=job.id, thread_id=thread_id, turn_id=turn.id)

    # following

    def follow(self, owner: str, job_id: int, after: int = 0) -> Iterator[EventRecord]:
        """What happens to a job, from the event ``after`` on, until its end: the last event is always "end".

        Blocks; whoever works the queue may be another process. Raises JobNotFound.

        loading {text, done, total} · progress {done, total, reused, tokens_per_second, seconds_left, model} ·
        restart {} (what was written so far is void) · mode {asked, mode, finder, passages} · delta {text} ·
        gaze {places: [{document, start, end, weight}]} (where it looked just now) ·
        end {state, finish, error, tokens, seconds, model}
        """
        owner_id = self.owner_id(owner)
        while True:
            # one look at both, so that an end is never missed and never one of an earlier run
            with self.library.read():
                job = self.jobs.get(owner_id, job_id)
                events = self.jobs.events(job_id, after)
            end: EventRecord | None = None
            for event in events:
                after = event.id
                if event.kind == "end":
                    end = event
                else:
                    yield event
            if job.state in ENDED:
                yield end or _end_of(job, after)
                return
            time.sleep(POLL_SECONDS)

    # shared with the runner

    def owner_id(self, owner: str) -> int:
        found = self._owners.get(owner)
        if found is None:
            found = self._owners[owner] = self.library.owner(owner)
        return found

    def _all_owners(self) -> list[int]:
        with self.library.read() as db:
            return [row["id"] for row in db.query("SELECT id FROM owners ORDER BY id")]

    def chosen(self, owner_id: int, document_ids: Sequence[int]) -> list[DocumentRecord]:
        if not document_ids:
            raise NothingChosen()
        return [self.library.document(owner_id, one) for one in sorted(set(document_ids))]

    def _turn(self, job: JobRecord) -> TurnRecord:
        assert job.turn_id is not None
        return self.conversations.branch(job.turn_id)[-1]

    def _begun(self, owner_id: int, document_id: int) -> bool:
        """Whether somebody decided about this document's reading already: read, queued, stopped or failed."""
        return any(job.document_id == document_id for job in self.jobs.list(owner_id, kind="read"))

    def _chapter_at(self, document: DocumentRecord, share: float) -> str | None:
        """The chapter there, as if every character took the same number of tokens."""
        at = int(share * document.characters)
        inside = [one.title for one in self.library.chapters(document.id) if one.start <= at < one.end]
        return inside[-1] if inside else None

    def _count(self, engine: Engine, document: DocumentRecord) -> None:
        with self._counting:
            prompts.tokens(engine, self.library, document)


def _end_of(job: JobRecord, cursor: int) -> EventRecord:
    """The end of a job whose own word of it is missing: it was stopped while it waited, or its events are pruned."""
    payload = {"state": job.state, "finish": "stopped" if job.state == "stopped" else None, "error": job.error}
    return EventRecord(
        id=cursor,
        job_id=job.id,
        kind="end",
        payload={**payload, "tokens": {}, "seconds": {}, "model": None},
        created=job.finished or job.created,
    )


def _title(question: str) -> str:
    # a passage that is asked about is quoted in it ("> ..."): one's own words come first
    own = [line for line in question.split("\n") if not line.lstrip().startswith(">")]
    quoted = [line.lstrip().removeprefix(">") for line in question.split("\n") if line.lstrip().startswith(">")]
    line = " ".join(" ".join(own + quoted).split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"
