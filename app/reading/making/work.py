"""The work of making: plans the steps, has the engine answer each, joins what they came to.

Steps are rows: a stop, a crash or a failure leaves those that are done, and going on begins with the next.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from app.errors import LecternError
from app.library.artefacts import StepRecord, VersionRecord
from app.library.records import DocumentRecord, JobRecord
from app.library.values import to_json
from app.reading import prompt as prompts
from app.reading.making import items as making
from app.reading.making import template_file
from app.reading.making.errors import NothingToMake, StepFailed
from app.reading.making.question import question
from app.reading.making.template import Template
from app.reading.making.units import Unit, Window, lines, spread, units, windows
from app.reading.work import Ended, Interrupted, Orders, Telling, engine_of, told
from engine.errors import EngineError, WorkerDied
from engine.protocol import PAGE_TOKENS, Delta, Done, Engine, Prompt, Sampling, Segment

if TYPE_CHECKING:
    from app.reading.desk import Desk

log = logging.getLogger(__name__)

# of a window: a small model loses the thread sooner, and is asked about a few pages at a time
SMALL_TOKENS = 3072
# of the trained window of a larger one: the rest is for the question and the answer
SHARE = 0.75
# of an answer that repeats what was asked, or itself
DRAWS = 3
# an engine that fails so often in a row is not asked again
FAILURES = 3


def make(desk: Desk, job: JobRecord, telling: Telling, orders: Orders) -> Ended:
    """Make, or go on making, the version of an artefact that the job names."""
    version = desk.artefacts.version(int(job.payload["version"]))
    maker = _Maker(desk, job, version, telling, orders)
    try:
        return maker.run()
    except Interrupted:
        maker.close("making")
        raise
    except (EngineError, LecternError) as error:
        maker.close("failed", str(error))
        raise
    except Exception as error:
        maker.close("failed", f"Lectern itself failed here ({type(error).__name__}). Try again.")
        raise


class _Maker:
    def __init__(self, desk: Desk, job: JobRecord, version: VersionRecord, telling: Telling, orders: Orders) -> None:
        self._desk, self._job, self._version, self._telling, self._orders = desk, job, version, telling, orders
        self._store = desk.artefacts
        self._template = template_file.read(version.source, own=True)
        self._choices = version.choices
        self._language = str(version.choices["language"])
        self._engine: Engine | None = None
        self._texts: dict[int, str] = {}
        self._tokens = {"context": 0, "reused": 0, "prefilled": 0, "answered": 0}
        self._seconds = {"load": 0.0, "prefill": 0.0, "first_token": 0.0, "decode": 0.0}

    # the whole

    def run(self) -> Ended:
        artefact = self._store.get(self._job.owner_id, self._version.artefact_id)
        documents = [self._desk.library.document(self._job.owner_id, one) for one in artefact.document_ids]
        engine = self._engine = engine_of(self._desk, str(self._job.payload["model"]), self._telling, self._orders)
        self._orders.over(engine)
        if not self._store.steps(self._version.id):
            self._store.add_steps(self._version.id, self._planned(engine, documents))
        stopped = self._steps("part", engine)
        if not stopped and self._template.join is not None and self._done("part"):
            stopped = self._joins(engine)
        steps = self._store.steps(self._version.id)
        failed = [step for step in steps if step.state == "failed"]
        if stopped:
            self.close("making")
            return Ended(state="stopped", finish="stopped", tokens=self._tokens, seconds=self._seconds)
        error = None
        if failed:
            reason = failed[0].error or ""
            error = f"{len(failed)} of {len(steps)} parts failed; try them again. The first: {reason}"
        self.close("failed" if failed else "done", error)
        return Ended(
            state="failed" if failed else "done",
            finish="stop",
            error=error,
            tokens=self._tokens,
            seconds=self._seconds,
        )

    def close(self, state: Any, error: str | None = None) -> None:
        """Write down what there is: nothing that was made is lost."""
        content = making.assembled(self._template, self._store.steps(self._version.id))
        model = self._engine.model.name if self._engine is not None else None
        self._store.finish(self._version.id, state, content=content, model=model, error=error)

    # planning

    def _planned(self, engine: Engine, documents: Sequence[DocumentRecord]) -> list[dict[str, Any]]:
        found: list[Window] = []
        for document in documents:
            found += document_windows(self._desk, engine, document, self._template, self._choices)
        found = spread(found, self._choices.get("parts"))
        if not found:
            raise NothingToMake(self._template.title[self._language], [one.title for one in documents])
        planned = []
        for window in found:
            key = self._key(engine, lines(self._text(window.document), window))
            # what an earlier version made of the same words stands, unless everything is to be made anew
            known = None if self._choices.get("anew") else self._store.known(self._version.artefact_id, key)
            planned.append(
                {
                    "kind": "part",
                    "title": window.title,
                    "document_id": window.document,
                    "span": [[unit.start, unit.end, unit.chapter] for unit in window.units],
                    "key": key,
                    "result": known,
                }
            )
        return planned

    def _text(self, document_id: int) -> str:
        if document_id not in self._texts:
            document = self._desk.library.document(self._job.owner_id, document_id)
            self._texts[document_id] = self._desk.library.text(document.text_sha256)
        return self._texts[document_id]

    def _key(self, engine: Engine, texts: list[str]) -> str:
        asked = question(self._template, self._choices)
        made_of = [engine.model.name, asked, self._template.schema(self._choices["inputs"], texts=texts)]
        return hashlib.blake2b(to_json(made_of).encode(), digest_size=16).hexdigest()

    # steps

    def _steps(self, kind: str, engine: Engine) -> bool:
        """Do what waits; True if it was told to end. A failed step is noted, and the next one is tried."""
        again = set(self._job.payload.get("steps") or ())
        steps = self._store.steps(self._version.id)
        failures = 0
        for step in steps:
            if step.kind != kind or step.state == "done" or (step.state == "failed" and step.id not in again):
                continue
            self._orders.check()
            self._tell(step, len(steps), "running")
            self._store.save_step(step.id, "running")
            begun = time.monotonic()
            try:
                done, result = self._step(engine, step)
            except Interrupted:
                self._store.save_step(step.id, "waiting")
                raise
            except (EngineError, StepFailed) as error:
                failures += 1
                self._store.save_step(step.id, "failed", error=str(error), seconds=time.monotonic() - begun)
                self._tell(step, len(steps), "failed")
                if failures >= FAILURES and isinstance(error, EngineError):
                    raise
                if isinstance(error, WorkerDied):
                    log.warning("the engine died at a step")
                continue
            if done.finish == "stopped":
                self._store.save_step(step.id, "waiting")
                return True
            failures = 0
            self._account(done)
            tokens = {"context": done.context, "reused": done.reused, "answered": done.answered}
            self._store.save_step(step.id, "done", result=result, tokens=tokens, seconds=time.monotonic() - begun)
            self._tell(step, len(steps), "done")
        return False

    def _step(self, engine: Engine, step: StepRecord) -> tuple[Done, list[dict[str, Any]]]:
        if step.kind == "join":
            sources = [self._sources()[n] for n in step.span]
            numbered = making.numbered(self._template, sources, self._titles())
            shown = "\n".join(f"[{n}] {line}" for n, line in enumerate(numbered, 1)) + "\n\n"
            asked = self._template.schema(self._choices["inputs"], join=len(sources))
            segment = Segment(name="items", ids=engine.encode([shown])[0].ids)
            done, items = self._answered(engine, step, segment, asked, len(sources))
            return done, [] if done.finish == "stopped" else making.rested(items, sources)
        assert step.document_id is not None
        text = self._text(step.document_id)
        found = tuple(Unit(*one) for one in step.span)
        window = Window(document=step.document_id, title=step.title, chapter=found[0].chapter, units=found, tokens=0)
        document = self._desk.library.document(self._job.owner_id, step.document_id)
        texts = lines(text, window)
        asked = self._template.schema(self._choices["inputs"], texts=texts)
        done, items = self._answered(engine, step, self._excerpt(engine, document, window, texts), asked, None)
        if done.finish == "stopped":
            return done, []
        names = self._template.names if self._template.join is None else ()
        placed = making.placed(items, window, text, names)
        checked = [self._checked(item, document) for item in placed]
        return done, making.collected(self._template, checked, window, text)

    def _excerpt(self, engine: Engine, document: DocumentRecord, window: Window, texts: list[str]) -> Segment:
        """What the model reads of a window: the text itself, or the sentences that the template is about."""
        if self._template.only is None:
            spans = [(unit.start, unit.end) for unit in window.units]
            return prompts.excerpt_segment(engine, self._desk.library, document, spans, window.title)
        shown = prompts.header_text(document.title, document.authors) + "\n".join(texts) + prompts.CLOSING
        return Segment(name=f"excerpt:{document.id}", ids=engine.encode([shown])[0].ids)

    def _answered(
        self, engine: Engine, step: StepRecord, shown: Segment, asked: dict[str, Any], join: int | None
    ) -> tuple[Done, list[dict[str, Any]]]:
        frame = engine.frame(prompts.SYSTEM)
        question_text = question(self._template, self._choices, join=join)
        prompt = Prompt(
            segments=(
                prompts.opening_segment(frame),
                shown,
                Segment(name="conversation", ids=prompts.conversation_ids(engine, frame, [], question_text)),
            )
        )
        items: list[dict[str, Any]] = []
        best: list[dict[str, Any]] = []
        for draw in range(DRAWS):
            sampling = Sampling(
                temperature=0.3,
                repetition_penalty=1.1,
                max_tokens=int(self._choices["tokens"]),
                # another try is another draw
                seed=1000 * (step.tries + 1000 * draw) + step.ordinal,
                schema=to_json(asked),
            )
            self._desk.space(engine, self._job.owner_id).make_way(prompt, sampling)
            done, written = self._written(engine, prompt, sampling)
            if done.finish == "stopped":
                return done, []
            try:
                items = making.parsed(written, asked)
            except StepFailed:
                # the last one tells why
                if draw + 1 == DRAWS and not best:
                    raise
                continue
            kept = making.answering(items, f"{prompts.SYSTEM} {question_text}", asked)
            best = kept if len(kept) > len(best) else best
            if kept == items and len(items) >= asked["properties"]["items"]["minItems"]:
                break
            self._telling.restarted()
        # rather what repeats its question than nothing
        return done, best or items

    def _written(self, engine: Engine, prompt: Prompt, sampling: Sampling) -> tuple[Done, str]:
        written: list[str] = []
        for event in told(engine.generate(prompt, sampling), self._telling):
            if isinstance(event, Delta):
                written.append(event.text)
            elif isinstance(event, Done):
                return event, "".join(written)
        raise AssertionError("an engine's work ends with Done or an error")

    def _checked(self, item: dict[str, Any], document: DocumentRecord) -> dict[str, Any]:
        """With what it quotes and the document does not say; its place holds what it claims to hold."""
        stands = self._desk.quotes.stands
        if not all(stands(document.id, one["start"], one["end"], one["text"]) for one in item["evidence"]):
            raise StepFailed("the document was parsed again while it was read")
        words = "\n\n".join(one for one in item.values() if isinstance(one, str))
        quotes = self._desk.quotes.check(words, [document.id])
        missing = [one.text for one in quotes if one.kind == "not found"]
        return {**item, "misquoted": missing} if missing else item

    # joining

    def _done(self, kind: str) -> list[StepRecord]:
        return [one for one in self._store.steps(self._version.id) if one.kind == kind and one.state == "done"]

    def _sources(self) -> list[dict[str, Any]]:
        """What a join numbers: the parts' items, and then those of every round of joins."""
        found = making.joined(self._template, [step.result or [] for step in self._done("part")])
        for step in self._done("join"):
            found += step.result or []
        return found

    def _titles(self) -> dict[int, str]:
        artefact = self._store.get(self._job.owner_id, self._version.artefact_id)
        found = [self._desk.library.document(self._job.owner_id, one) for one in artefact.document_ids]
        return {one.id: one.title or one.filename for one in found}

    def _joins(self, engine: Engine) -> bool:
        """Rounds of joins, each over what the one before came to, until one of them holds everything."""
        room = window_tokens(engine, self._choices)
        while True:
            joins = [step for step in self._store.steps(self._version.id) if step.kind == "join"]
            if any(step.state != "done" for step in joins):
                if self._steps("join", engine):
                    return True
                joins = [step for step in self._store.steps(self._version.id) if step.kind == "join"]
                if any(step.state != "done" for step in joins):
                    return False
            used = {n for step in joins for n in step.span}
            open_items = [n for n in range(len(self._sources())) if n not in used]
            if joins and len(joins[-1].span) > 0 and joins[-1].title == "all":
                return False
            groups = self._groups(engine, open_items, room)
            planned = [
                {
                    "kind": "join",
                    "title": "all" if len(groups) == 1 else "",
                    "document_id": None,
                    "span": group,
                    "key": f"join:{len(joins)}:{n}",
                }
                for n, group in enumerate(groups)
            ]
            self._store.add_steps(self._version.id, planned)

    def _groups(self, engine: Engine, numbers: Sequence[int], room: int) -> list[list[int]]:
        sources = self._sources()
        if self._template.join is not None and self._template.join.across:
            numbers = making.alternating(numbers, sources)
        lines = making.numbered(self._template, [sources[n] for n in numbers], self._titles())
        groups: list[list[int]] = [[]]
        taken = 0
        for number, encoding in zip(numbers, engine.encode(lines), strict=True):
            size = len(encoding.ids) + 8
            # a round must come to less than it began with
            if taken + size > room and len(groups[-1]) > 12:
                groups.append([])
                taken = 0
            groups[-1].append(number)
            taken += size
        return groups

    # telling

    def _tell(self, step: StepRecord, of: int, state: str) -> None:
        self._telling.step(
            {
                "artefact": self._version.artefact_id,
                "version": self._version.number,
                "step": step.ordinal,
                "of": of,
                "kind": step.kind,
                "title": step.title,
                "state": state,
            }
        )

    def _account(self, done: Done) -> None:
        ended = asdict(Ended.of(done))
        for name in self._tokens:
            self._tokens[name] += ended["tokens"][name]
        for name in self._seconds:
            self._seconds[name] += ended["seconds"][name]


def window_tokens(engine: Engine, choices: dict[str, Any]) -> int:
    model = engine.model
    most = int(model.window * SHARE) - 2 * PAGE_TOKENS - int(choices["tokens"])
    return min(int(choices.get("window") or (SMALL_TOKENS if model.small else most)), max(512, most))


def document_windows(
    desk: Desk, engine: Engine, document: DocumentRecord, template: Template, choices: dict[str, Any]
) -> list[Window]:
    """The parts of one document: the whole, if the model's window holds it."""
    text = desk.library.text(document.text_sha256)
    chapters = desk.library.chapters(document.id)
    found = units(text, desk.library.paragraphs(document.id), chapters)
    # what its owner has not read yet is not looked at
    guard = desk.allowed(document.owner_id, [document]).get(document.id, len(text))
    # and what has no word cannot be quoted
    found = [unit for unit in found if unit.end <= guard and any(map(str.isalnum, text[unit.start : unit.end]))]
    wanted = choices.get("chapters")
    if wanted:
        found = [unit for unit in found if unit.chapter + 1 in wanted]
    prompts.text_ids(engine, desk.library, document)
    stored = desk.library.tokenization(document.text_sha256, engine.model.tokenizer)
    assert stored is not None
    return windows(
        document.id,
        text,
        found,
        chapters,
        stored.offsets,
        tokens=window_tokens(engine, choices),
        by_chapter=template.over == "chapters",
        only=template.only,
    )
