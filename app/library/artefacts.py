"""What was made of documents: artefacts, their versions and steps, and the templates that people wrote.

Knows nothing of what a template means. A version that is there is never changed but by the job that makes it.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlite_utils import Database

from app.errors import NothingChosen
from app.library import rows
from app.library.values import clean, now, to_json
from app.reading.making.errors import ArtefactNotFound, TemplateNotFound, VersionNotFound

if TYPE_CHECKING:
    from app.library.store import Library

MadeState = Literal["making", "done", "failed", "stopped"]
StepState = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactRecord:
    """version: the latest one's number; state: its."""

    id: int
    owner_id: int
    template: str
    title: str
    document_ids: tuple[int, ...]
    version: int
    state: MadeState
    created: str
    updated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRecord:
    """source: the template as it was; choices: inputs, language, and how the text was cut; content: {"items": […]},
    None until something was made."""

    id: int
    artefact_id: int
    number: int
    made_by: Literal["model", "hand"]
    source: dict[str, Any]
    choices: dict[str, Any]
    state: MadeState
    job_id: int | None
    model: str | None
    error: str | None
    content: dict[str, Any] | None
    created: str
    finished: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """span: the units' ranges of a part, the numbers of the items of a join; result: items, None until done."""

    id: int
    version_id: int
    ordinal: int
    kind: Literal["part", "join"]
    title: str
    document_id: int | None
    span: list[Any]
    key: str
    state: StepState
    tries: int
    error: str | None
    result: list[dict[str, Any]] | None
    tokens: dict[str, int]
    seconds: float


_VERSION = (
    "SELECT v.id, v.artefact_id, v.number, v.made_by, v.source, v.choices, v.job_id, v.model, v.error, v.content, "
    # a job that was stopped while it waited could not say so here
    "v.created, v.finished, CASE WHEN v.state = 'making' AND j.state IN ('stopped', 'failed', 'done') "
    "THEN iif(j.state = 'failed', 'failed', 'stopped') ELSE v.state END AS state "
    "FROM artefact_versions v LEFT JOIN jobs j ON j.id = v.job_id "
)
_STEP = (
    "SELECT id, version_id, ordinal, kind, title, document_id, span, key, state, tries, error, result, tokens, seconds "
    "FROM artefact_steps "
)


class Artefacts:
    def __init__(self, library: Library) -> None:
        self.library = library

    # artefacts

    def create(self, owner_id: int, template: str, title: str, document_ids: Sequence[int]) -> int:
        """Raises NothingChosen, DocumentNotFound."""
        if not document_ids:
            raise NothingChosen()
        with self.library.write() as db:
            for document_id in document_ids:
                rows.require_document(db, owner_id, document_id)
            time = now()
            id = rows.one(
                db,
                "INSERT INTO artefacts (owner_id, template, title, created, updated) VALUES (?, ?, ?, ?, ?) "
                "RETURNING id",
                [owner_id, template, clean(title), time, time],
            )["id"]
            db.conn.executemany(
                "INSERT INTO artefact_documents (artefact_id, ordinal, owner_id, document_id) VALUES (?, ?, ?, ?)",
                [(id, n, owner_id, document) for n, document in enumerate(dict.fromkeys(document_ids))],
            )
            return int(id)

    def add_documents(self, owner_id: int, id: int, document_ids: Sequence[int]) -> None:
        """Let it be made of these too. Raises ArtefactNotFound, DocumentNotFound."""
        with self.library.write() as db:
            known = self._record(db, owner_id, id).document_ids
            for ordinal, document_id in enumerate((one for one in document_ids if one not in known), len(known)):
                rows.require_document(db, owner_id, document_id)
                db.execute(
                    "INSERT INTO artefact_documents (artefact_id, ordinal, owner_id, document_id) VALUES (?, ?, ?, ?)",
                    [id, ordinal, owner_id, document_id],
                )

    def list(self, owner_id: int) -> builtins.list[ArtefactRecord]:
        """The one changed last first."""
        query = "SELECT id FROM artefacts WHERE owner_id = ? AND deleted_at IS NULL ORDER BY updated DESC, id DESC"
        with self.library.read() as db:
            return [self._record(db, owner_id, row["id"]) for row in db.query(query, [owner_id])]

    def get(self, owner_id: int, id: int) -> ArtefactRecord:
        """Raises ArtefactNotFound for another's, and for one that was removed."""
        with self.library.read() as db:
            return self._record(db, owner_id, id)

    def rename(self, owner_id: int, id: int, title: str) -> ArtefactRecord:
        with self.library.write() as db:
            self._record(db, owner_id, id)
            db.execute("UPDATE artefacts SET title = ?, updated = ? WHERE id = ?", [clean(title), now(), id])
            return self._record(db, owner_id, id)

    def remove(self, owner_id: int, id: int) -> None:
        with self.library.write() as db:
            self._record(db, owner_id, id)
            db.execute("UPDATE artefacts SET deleted_at = ? WHERE id = ?", [now(), id])
            for row in builtins.list(db.query("SELECT job_id FROM artefact_versions WHERE artefact_id = ?", [id])):
                rows.stop_jobs(db, "id = ?", [row["job_id"]])

    # versions

    def add_version(
        self,
        artefact_id: int,
        *,
        made_by: Literal["model", "hand"],
        source: dict[str, Any],
        choices: dict[str, Any],
        content: dict[str, Any] | None = None,
        model: str | None = None,
    ) -> VersionRecord:
        """The next one: of a model, to be made; by hand, done."""
        with self.library.write() as db:
            time, done = now(), made_by == "hand"
            id = rows.one(
                db,
                "INSERT INTO artefact_versions (artefact_id, number, owner_id, made_by, source, choices, state, model, "
                "content, created, finished) SELECT id, (SELECT coalesce(max(number), 0) + 1 FROM artefact_versions "
                "WHERE artefact_id = artefacts.id), owner_id, ?, ?, ?, ?, ?, ?, ?, ? FROM artefacts WHERE id = ? "
                "RETURNING id",
                [
                    made_by,
                    to_json(source),
                    to_json(choices),
                    "done" if done else "making",
                    model,
                    None if content is None else to_json(content),
                    time,
                    time if done else None,
                    artefact_id,
                ],
            )["id"]
            db.execute("UPDATE artefacts SET updated = ? WHERE id = ?", [time, artefact_id])
            return self.version(id)

    def version(self, id: int) -> VersionRecord:
        with self.library.read() as db:
            return _version(rows.one(db, _VERSION + "WHERE v.id = ?", [id]))

    def versions(self, artefact_id: int) -> builtins.list[VersionRecord]:
        with self.library.read() as db:
            return [
                _version(row) for row in db.query(_VERSION + "WHERE v.artefact_id = ? ORDER BY v.number", [artefact_id])
            ]

    def numbered(self, artefact_id: int, number: int) -> VersionRecord:
        """Raises VersionNotFound."""
        for one in self.versions(artefact_id):
            if one.number == number:
                return one
        raise VersionNotFound(artefact_id, number)

    def set_job(self, version_id: int, job_id: int) -> None:
        with self.library.write() as db:
            db.execute(
                "UPDATE artefact_versions SET job_id = ?, state = 'making', error = NULL, finished = NULL WHERE id = ?",
                [job_id, version_id],
            )

    def finish(
        self, version_id: int, state: MadeState, *, content: dict[str, Any] | None, model: str | None, error: str | None
    ) -> None:
        with self.library.write() as db:
            db.execute(
                "UPDATE artefact_versions SET state = ?, content = ?, model = coalesce(?, model), error = ?, "
                "finished = ? WHERE id = ?",
                [
                    state,
                    None if content is None else to_json(content),
                    model,
                    error,
                    None if state == "making" else now(),
                    version_id,
                ],
            )
            db.execute(
                "UPDATE artefacts SET updated = ? WHERE id = (SELECT artefact_id FROM artefact_versions WHERE id = ?)",
                [now(), version_id],
            )

    # steps

    def add_steps(self, version_id: int, planned: Sequence[dict[str, Any]]) -> None:
        """kind, title, document_id, span, key, and the result where it is known already."""
        with self.library.write() as db:
            first = rows.one(
                db, "SELECT coalesce(max(ordinal), 0) AS last FROM artefact_steps WHERE version_id = ?", [version_id]
            )["last"]
            db.conn.executemany(
                "INSERT INTO artefact_steps (version_id, ordinal, owner_id, kind, title, document_id, span, key, "
                "state, result) SELECT id, ?, owner_id, ?, ?, ?, ?, ?, ?, ? FROM artefact_versions WHERE id = ?",
                [
                    (
                        first + n,
                        one["kind"],
                        clean(one["title"]),
                        one["document_id"],
                        to_json(one["span"]),
                        one["key"],
                        "waiting" if one.get("result") is None else "done",
                        None if one.get("result") is None else to_json(one["result"]),
                        version_id,
                    )
                    for n, one in enumerate(planned, 1)
                ],
            )

    def steps(self, version_id: int) -> builtins.list[StepRecord]:
        with self.library.read() as db:
            return [_step(row) for row in db.query(_STEP + "WHERE version_id = ? ORDER BY ordinal", [version_id])]

    def save_step(
        self,
        id: int,
        state: StepState,
        *,
        result: builtins.list[dict[str, Any]] | None = None,
        error: str | None = None,
        tokens: dict[str, int] | None = None,
        seconds: float = 0.0,
    ) -> None:
        with self.library.write() as db:
            db.execute(
                "UPDATE artefact_steps SET state = ?, result = ?, error = ?, tokens = ?, seconds = ?, finished = ?, "
                "tries = tries + ? WHERE id = ?",
                [
                    state,
                    None if result is None else to_json(result),
                    error,
                    to_json(tokens or {}),
                    float(seconds),
                    now() if state in ("done", "failed") else None,
                    int(state in ("done", "failed")),
                    id,
                ],
            )

    def drop_joins(self, version_id: int) -> None:
        """Forget the joins: a part that they rest on is made again."""
        with self.library.write() as db:
            db.execute("DELETE FROM artefact_steps WHERE version_id = ? AND kind = 'join'", [version_id])

    def known(self, artefact_id: int, key: str) -> builtins.list[dict[str, Any]] | None:
        """What an earlier version of this artefact made of the same, if it did."""
        query = (
            "SELECT s.result FROM artefact_steps s JOIN artefact_versions v ON v.id = s.version_id "
            "WHERE v.artefact_id = ? AND s.key = ? AND s.state = 'done' ORDER BY s.id DESC LIMIT 1"
        )
        with self.library.read() as db:
            return next((json.loads(row["result"]) for row in db.query(query, [artefact_id, key])), None)

    # templates of a person's own

    def save_template(self, owner_id: int, id: str, source: dict[str, Any]) -> None:
        time = now()
        with self.library.write() as db:
            db.execute(
                "INSERT INTO templates (owner_id, id, source, created, updated) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (owner_id, id) DO UPDATE SET source = excluded.source, updated = excluded.updated",
                [owner_id, id, to_json(source), time, time],
            )

    def templates(self, owner_id: int) -> dict[str, dict[str, Any]]:
        with self.library.read() as db:
            found = db.query("SELECT id, source FROM templates WHERE owner_id = ? ORDER BY id", [owner_id])
            return {row["id"]: json.loads(row["source"]) for row in found}

    def remove_template(self, owner_id: int, id: str) -> None:
        """Raises TemplateNotFound. Artefacts keep the template that they were made by."""
        with self.library.write() as db:
            if not db.execute("DELETE FROM templates WHERE owner_id = ? AND id = ?", [owner_id, id]).rowcount:
                raise TemplateNotFound(id)

    def _record(self, db: Database, owner_id: int, id: int) -> ArtefactRecord:
        query = (
            "SELECT id, owner_id, template, title, created, updated FROM artefacts "
            "WHERE id = ? AND owner_id = ? AND deleted_at IS NULL"
        )
        for row in db.query(query, [id, owner_id]):
            documents = db.query(
                "SELECT document_id FROM artefact_documents WHERE artefact_id = ? ORDER BY ordinal", [id]
            )
            latest = builtins.list(db.query(_VERSION + "WHERE v.artefact_id = ? ORDER BY v.number DESC LIMIT 1", [id]))
            return ArtefactRecord(
                **row,
                document_ids=tuple(one["document_id"] for one in documents),
                version=latest[0]["number"] if latest else 0,
                state=latest[0]["state"] if latest else "making",
            )
        raise ArtefactNotFound(id)


def _version(row: dict[str, Any]) -> VersionRecord:
    decoded = {name: json.loads(row[name]) for name in ("source", "choices")}
    return VersionRecord(
        **(row | decoded | {"content": None if row["content"] is None else json.loads(row["content"])})
    )


def _step(row: dict[str, Any]) -> StepRecord:
    decoded = {name: json.loads(row[name]) for name in ("span", "tokens")}
    return StepRecord(**(row | decoded | {"result": None if row["result"] is None else json.loads(row["result"])}))
