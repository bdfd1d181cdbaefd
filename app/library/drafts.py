"""Drafts: the text as it is now, its versions, and what was written for it and waits to be chosen."""

from __future__ import annotations

import builtins
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from app.library import rows
from app.library.values import clean, now, to_json
from app.reading.writing.errors import DraftNotFound, OptionNotFound, VersionNotFound

if TYPE_CHECKING:
    from app.library.store import Library

# between two versions that nobody asked for
AUTOSAVE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRecord:
    """revision: goes up with every change of the text; bible: [{"kind", "name", "fact", …}]."""

    id: int
    owner_id: int
    title: str
    language: str
    text: str
    style: str
    bible: list[dict[str, Any]]
    document_ids: tuple[int, ...]
    revision: int
    created: str
    updated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftVersion:
    number: int
    text: str
    why: str
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRecord:
    """Text for the range start..end of the draft, where ``before`` stood; items: of a task that lists things."""

    id: int
    draft_id: int
    job_id: int
    number: int
    task: str
    start: int
    end: int
    before: str
    text: str
    items: list[dict[str, Any]]
    chosen: bool
    created: str


_DRAFT = "SELECT id, owner_id, title, language, text, style, bible, documents, revision, created, updated FROM drafts "
_OPTION = (
    'SELECT id, draft_id, job_id, number, task, "start", "end", before, text, items, chosen, created '
    "FROM draft_options "
)


class Drafts:
    def __init__(self, library: Library) -> None:
        self.library = library

    def create(self, owner_id: int, title: str, language: str, document_ids: Sequence[int], text: str) -> DraftRecord:
        """Raises DocumentNotFound."""
        with self.library.write() as db:
            for document_id in document_ids:
                rows.require_document(db, owner_id, document_id)
            time = now()
            values = [owner_id, clean(title), language, clean(text), to_json(list(document_ids)), time, time]
            row = rows.one(
                db,
                "INSERT INTO drafts (owner_id, title, language, text, documents, created, updated) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
                values,
            )
            return _get(db, owner_id, row["id"])

    def list(self, owner_id: int) -> builtins.list[DraftRecord]:
        """The one changed last first."""
        where = "WHERE owner_id = ? AND deleted_at IS NULL ORDER BY updated DESC, id DESC"
        with self.library.read() as db:
            return [_draft(row) for row in db.query(_DRAFT + where, [owner_id])]

    def get(self, owner_id: int, id: int) -> DraftRecord:
        """Raises DraftNotFound."""
        with self.library.read() as db:
            return _get(db, owner_id, id)

    def save(self, owner_id: int, id: int, text: str, *, base: int | None = None, why: str = "") -> DraftRecord:
        """Set the text. A version is kept now and then, always with a reason, and of a text that another tab wrote
        since ``base``, the revision that this one began with."""
        text = clean(text)
        with self.library.write() as db:
            draft = _get(db, owner_id, id)
            if draft.text == text and not why:
                return draft
            if base is not None and base != draft.revision and draft.text != text:
                _keep(db, draft, draft.text, "elsewhere")
            db.execute(
                "UPDATE drafts SET text = ?, revision = revision + 1, updated = ? WHERE id = ?", [text, now(), id]
            )
            last = next(iter(self._versions(db, id)), None)
            before = (datetime.now(UTC) - AUTOSAVE).isoformat(timespec="microseconds")
            if (why or last is None or last.created < before) and (last is None or last.text != text):
                _keep(db, draft, text, why or "autosave")
            return _get(db, owner_id, id)

    def change(
        self,
        owner_id: int,
        id: int,
        *,
        title: str | None = None,
        style: str | None = None,
        bible: Sequence[dict[str, Any]] | None = None,
        document_ids: Sequence[int] | None = None,
    ) -> DraftRecord:
        given = {
            "title": None if title is None else clean(title),
            "style": None if style is None else clean(style),
            "bible": None if bible is None else to_json(list(bible)),
            "documents": None if document_ids is None else to_json(list(document_ids)),
        }
        with self.library.write() as db:
            _get(db, owner_id, id)
            for column, value in given.items():
                if value is not None:
                    db.execute(f"UPDATE drafts SET {column} = ?, updated = ? WHERE id = ?", [value, now(), id])
            return _get(db, owner_id, id)

    def remove(self, owner_id: int, id: int) -> None:
        with self.library.write() as db:
            _get(db, owner_id, id)
            db.execute("UPDATE drafts SET deleted_at = ? WHERE id = ?", [now(), id])

    def versions(self, owner_id: int, id: int) -> builtins.list[DraftVersion]:
        """The newest first."""
        with self.library.read() as db:
            _get(db, owner_id, id)
            return self._versions(db, id)

    def version(self, owner_id: int, id: int, number: int) -> DraftVersion:
        for one in self.versions(owner_id, id):
            if one.number == number:
                return one
        raise VersionNotFound(id, number)

    def add_option(
        self,
        draft: DraftRecord,
        job_id: int,
        task: str,
        start: int,
        end: int,
        text: str,
        items: Sequence[dict[str, Any]] = (),
    ) -> OptionRecord:
        with self.library.write() as db:
            row = rows.one(
                db,
                'INSERT INTO draft_options (draft_id, owner_id, job_id, number, task, "start", "end", before, text, '
                "items, created) VALUES (?1, ?2, ?3, (SELECT coalesce(max(number), 0) + 1 FROM draft_options "
                "WHERE job_id = ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
                [
                    draft.id, draft.owner_id, job_id, task, start, end, draft.text[start:end], clean(text),
                    to_json(list(items)), now(),
                ],
            )  # fmt: skip
            return _option(rows.one(db, _OPTION + "WHERE id = ?", [row["id"]]))

    def options(self, owner_id: int, draft_id: int, job_id: int | None = None) -> builtins.list[OptionRecord]:
        """In the order in which they were written; of one job, or of all."""
        with self.library.read() as db:
            _get(db, owner_id, draft_id)
            where = "WHERE draft_id = ?1 AND (?2 IS NULL OR job_id = ?2) ORDER BY id"
            return [_option(row) for row in db.query(_OPTION + where, [draft_id, job_id])]

    def option(self, owner_id: int, draft_id: int, id: int) -> OptionRecord:
        for one in self.options(owner_id, draft_id):
            if one.id == id:
                return one
        raise OptionNotFound(id)

    def mark_chosen(self, option_id: int) -> None:
        with self.library.write() as db:
            db.execute("UPDATE draft_options SET chosen = 1 WHERE id = ?", [option_id])

    def _versions(self, db: Database, id: int) -> builtins.list[DraftVersion]:
        query = "SELECT number, text, why, created FROM draft_versions WHERE draft_id = ? ORDER BY number DESC"
        return [DraftVersion(**row) for row in db.query(query, [id])]


def _keep(db: Database, draft: DraftRecord, text: str, why: str) -> None:
    db.execute(
        "INSERT INTO draft_versions (draft_id, number, owner_id, text, why, created) "
        "SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM draft_versions WHERE draft_id = ?1",
        [draft.id, draft.owner_id, text, why, now()],
    )


def _get(db: Database, owner_id: int, id: int) -> DraftRecord:
    for row in db.query(_DRAFT + "WHERE id = ? AND owner_id = ? AND deleted_at IS NULL", [id, owner_id]):
        return _draft(row)
    raise DraftNotFound(id)


def _draft(row: dict[str, Any]) -> DraftRecord:
    rest = {name: value for name, value in row.items() if name != "documents"}
    return DraftRecord(
        **rest | {"bible": json.loads(row["bible"]), "document_ids": tuple(json.loads(row["documents"]))}
    )


def _option(row: dict[str, Any]) -> OptionRecord:
    return OptionRecord(**(row | {"items": json.loads(row["items"]), "chosen": bool(row["chosen"])}))
