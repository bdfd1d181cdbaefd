"""The writing desk of the page: drafts, tasks over them, what was written to be chosen. A panel and a dialog."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.library import rows
from app.reading.writing.desk import FORMATS, TEXT_LIMIT
from app.reading.writing.tasks import tasks
from app.ui.notes import note, trouble
from app.ui.panel import Payload, panel
from app.ui.seat import Seat

if TYPE_CHECKING:
    from app.library.drafts import DraftRecord, OptionRecord
    from app.reading.desk import Desk

# of the latest continuations, as many as a page shows
OPTIONS = 40


class WritingPanel:
    def __init__(self, desk: Desk, *, space: bool) -> None:
        self._desk = desk
        self._space = space

    def build(self) -> gr.HTML:
        # Gradio marks server functions with an attribute, which a bound method cannot have
        def look(said: Any) -> Payload:
            return self.answer("look", said)

        def begin(said: Any) -> Payload:
            return self.answer("begin", said)

        def look_in(said: Any) -> Payload:
            return self.answer("look_in", said)

        def save(said: Any) -> Payload:
            return self.answer("save", said)

        def change(said: Any) -> Payload:
            return self.answer("change", said)

        def task(said: Any) -> Payload:
            return self.answer("task", said)

        def follow(said: Any) -> Payload:
            return self.answer("follow", said)

        def choose(said: Any) -> Payload:
            return self.answer("choose", said)

        def passage(said: Any) -> Payload:
            return self.answer("passage", said)

        def file(said: Any) -> Payload:
            return self.answer("file", said)

        return panel("writing", server=[look, begin, look_in, save, change, task, follow, choose, passage, file])

    def answer(self, name: str, said: Any) -> Payload:
        said = said if isinstance(said, dict) else {}
        owner = Seat.read(said).owner(space=self._space)
        if owner is None:
            return {}
        act: Callable[[str, Payload], Payload] = getattr(self, f"_{name}")
        try:
            return act(owner, said)
        except Exception as error:
            return {"note": trouble(error)}

    def _look(self, owner: str, said: Payload) -> Payload:
        drafts = [
            {"id": one.id, "title": one.title, "characters": len(one.text), "updated": one.updated}
            for one in self._desk.all_drafts(owner)
        ]
        return {"drafts": drafts, "tasks": [_task(id) for id in tasks()]}

    def _begin(self, owner: str, said: Payload) -> Payload:
        """{"title", "documents", "language"}."""
        documents = [one for one in said.get("documents") or [] if isinstance(one, int)]
        language = "zh" if said.get("language") == "zh" else "en"
        made = self._desk.new_draft(owner, str(said.get("title", "")), document_ids=documents, language=language)
        return self._shown(owner, made)

    def _look_in(self, owner: str, said: Payload) -> Payload:
        return self._shown(owner, self._desk.draft(owner, _id(said, "id")))

    def _save(self, owner: str, said: Payload) -> Payload:
        """{"id", "text", "base"}: {"revision"}."""
        text, base = said.get("text"), said.get("base")
        if not isinstance(text, str) or len(text) > TEXT_LIMIT:
            return {"note": note("note.draft_long", kind="error")}
        made = self._desk.save_draft(owner, _id(said, "id"), text, base=base if isinstance(base, int) else None)
        return {"revision": made.revision, "characters": len(made.text)}

    def _change(self, owner: str, said: Payload) -> Payload:
        """{"id"} and of title, style, bible what changed; "restore" a version's number; "remove"."""
        id = _id(said, "id")
        if said.get("remove"):
            self._desk.remove_draft(owner, id)
            return {"removed": id}
        if isinstance(said.get("restore"), int):
            return self._shown(owner, self._desk.restore_draft(owner, id, said["restore"]))
        given: dict[str, Any] = {}
        for name in ("title", "style"):
            if isinstance(said.get(name), str):
                given[name] = said[name][:20_000]
        if isinstance(said.get("bible"), list):
            given["bible"] = said["bible"][:500]
        return self._shown(owner, self._desk.change_draft(owner, id, **given))

    def _task(self, owner: str, said: Payload) -> Payload:
        """{"id", "task", "start", "end", "wish", "versions", "passages", "options"}: {"job"}."""
        run = self._desk.write(
            owner,
            _id(said, "id"),
            str(said.get("task")),
            start=_whole(said.get("start")),
            end=_whole(said.get("end")),
            wish=str(said.get("wish", "")),
            versions=_whole(said.get("versions")) or 1,
            passages=[one for one in said.get("passages") or [] if isinstance(one, dict)],
            options=[one for one in said.get("options") or [] if isinstance(one, int)],
        )
        return {"job": run.job_id}

    def _follow(self, owner: str, said: Payload) -> Payload:
        """{"id", "job", "stop"?}: the job's state, what it is writing now, and all that was written."""
        id, job_id = _id(said, "id"), _id(said, "job")
        if said.get("stop"):
            self._desk.stop(owner, job_id)
        job = self._desk.jobs.get(self._desk.owner_id(owner), job_id)
        text = ""
        for event in self._desk.jobs.events(job_id):
            if event.kind in ("step", "restart"):
                text = ""
            elif event.kind == "delta":
                text += str(event.payload["text"])
        answer: Payload = {"state": job.state, "error": job.error, "writing": text, "options": self._options(owner, id)}
        if job.state == "done":
            draft = self._desk.draft(owner, id)
            answer |= {"style": draft.style, "bible": draft.bible}
        return answer

    def _choose(self, owner: str, said: Payload) -> Payload:
        return self._shown(owner, self._desk.choose_option(owner, _id(said, "id"), _id(said, "option")))

    def _passage(self, owner: str, said: Payload) -> Payload:
        """{"text", "documents"}: the paragraph of a book that has these words, to take the style from."""
        documents = [one for one in said.get("documents") or [] if isinstance(one, int)]
        hits = self._desk.search(owner, str(said.get("text", ""))[:200], documents or None, limit=1).hits
        if not hits:
            return {"note": note("note.no_place", {"text": str(said.get("text"))[:80]}, kind="error")}
        with self._desk.library.read() as db:
            record = rows.document(db, hits[0].document)
        text = self._desk.library.text(record.text_sha256)
        for one in self._desk.library.paragraphs(record.id):
            if one.start <= hits[0].start < one.end:
                return {
                    "document": record.id,
                    "start": one.start,
                    "end": one.end,
                    "text": text[one.start : one.end][:300],
                }
        return {}

    def _file(self, owner: str, said: Payload) -> Payload:
        name, data = self._desk.draft_file(owner, _id(said, "id"), format := str(said.get("format")))
        return {"name": name, "type": FORMATS[format], "data": base64.b64encode(data).decode("ascii")}

    def _shown(self, owner: str, draft: DraftRecord) -> Payload:
        versions = [
            {"number": one.number, "why": one.why, "created": one.created, "characters": len(one.text)}
            for one in self._desk.draft_versions(owner, draft.id)[:100]
        ]
        running = [
            job.id
            for job in self._desk.jobs.list(self._desk.owner_id(owner), states=("waiting", "running"), kind="write")
            if job.payload.get("draft") == draft.id
        ]
        return {
            "id": draft.id,
            "title": draft.title,
            "language": draft.language,
            "text": draft.text,
            "style": draft.style,
            "bible": draft.bible,
            "documents": list(draft.document_ids),
            "revision": draft.revision,
            "versions": versions,
            "options": self._options(owner, draft.id),
            "job": running[0] if running else None,
        }

    def _options(self, owner: str, id: int) -> list[Payload]:
        return [_option(one) for one in self._desk.options(owner, id)[-OPTIONS:]]


def _option(one: OptionRecord) -> Payload:
    return {
        "id": one.id,
        "job": one.job_id,
        "number": one.number,
        "task": one.task,
        "text": one.text,
        "items": one.items,
        "chosen": one.chosen,
    }


def _task(id: str) -> Payload:
    one = tasks()[id]
    return {
        "id": id,
        "title": one.title,
        "needs": one.needs,
        "wish": one.wish,
        "lists": one.items is not None or id in ("bible", "check"),
    }


def _id(said: Payload, name: str) -> int:
    value = said.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is not an id")
    return value


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
