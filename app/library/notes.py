"""Notes and highlights: a range of a document's text, its colour, and what its owner wrote to it.

A note keeps its passage and what stood around it. When a document gets another text (a better parser, a corrected
encoding) its notes are looked for in that; one whose passage is gone keeps its words and counts as lost.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from app.errors import ColourUnknown, NoteNotFound, RangeInvalid
from app.library import rows
from app.library.anchors import around, find_again
from app.library.rows import one
from app.library.values import clean, now

if TYPE_CHECKING:
    from app.library.store import Library

COLOURS = ("yellow", "green", "blue", "pink")
NOTE_LIMIT = 20_000
_COLUMNS = 'id, document_id, "start", "end", quote, note, colour, lost, created, updated'


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteRecord:
    """A highlight, with a note where ``note`` is not empty.

    ``text[start:end]`` of the document is ``quote``, unless ``lost``: then the text has no such passage any more, and
    the range is where it would stand.
    """

    id: int
    document_id: int
    start: int
    end: int
    quote: str
    note: str
    colour: str
    lost: bool
    created: str
    updated: str


class Notes:
    """Over a library; an owner is an id. Whatever is not this owner's is as if it were not there."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def add(
        self, owner_id: int, document_id: int, start: int, end: int, *, note: str = "", colour: str = COLOURS[0]
    ) -> NoteRecord:
        """Mark ``text[start:end]``. Raises DocumentNotFound, RangeInvalid, ColourUnknown."""
        _check_colour(colour)
        with self._library.write() as db:
            rows.require_document(db, owner_id, document_id)
            document = rows.document(db, document_id)
            if not 0 <= start < end <= document.characters:
                raise RangeInvalid(start, end, document.characters)
            text = self._library.text(document.text_sha256)
            before, after = around(text, start, end)
            time = now()
            values = [owner_id, document_id, document.text_sha256, start, end, text[start:end], before, after]
            return _record(
                one(
                    db,
                    'INSERT INTO notes (owner_id, document_id, text_sha256, "start", "end", quote, before, after, '
                    f"note, colour, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
                    [*values, clean(note)[:NOTE_LIMIT].strip(), colour, time, time],
                )
            )

    def edit(self, owner_id: int, id: int, *, note: str | None = None, colour: str | None = None) -> NoteRecord:
        """Change what is given. Raises NoteNotFound, ColourUnknown."""
        if colour is not None:
            _check_colour(colour)
        words = None if note is None else clean(note)[:NOTE_LIMIT].strip()
        with self._library.write() as db:
            return _changed(
                db,
                "note = coalesce(?, note), colour = coalesce(?, colour), updated = ?",
                [words, colour, now()],
                "deleted_at IS NULL",
                owner_id,
                id,
            )

    def remove(self, owner_id: int, id: int) -> NoteRecord:
        """Delete it; ``restore`` brings it back. Raises NoteNotFound."""
        with self._library.write() as db:
            return _changed(db, "deleted_at = ?", [now()], "deleted_at IS NULL", owner_id, id)

    def restore(self, owner_id: int, id: int) -> NoteRecord:
        """Take a deletion back; one that is there stays. Raises NoteNotFound."""
        with self._library.write() as db:
            return _changed(db, "deleted_at = ?", [None], "TRUE", owner_id, id)

    def list(self, owner_id: int, document_id: int | None = None) -> builtins.list[NoteRecord]:
        """Of a document, or of the whole shelf: by document, in the order of the text. Raises DocumentNotFound."""
        if document_id is not None:
            with self._library.read() as db:
                rows.require_document(db, owner_id, document_id)
        self._follow(owner_id, document_id)
        query = f"""
            SELECT {", ".join(f"n.{name.strip()}" for name in _COLUMNS.split(","))} FROM notes n
            JOIN documents d ON d.id = n.document_id AND d.deleted_at IS NULL
            WHERE n.owner_id = :owner AND n.deleted_at IS NULL AND (:document IS NULL OR n.document_id = :document)
            ORDER BY n.document_id, n."start", n."end", n.id
        """
        with self._library.read() as db:
            return [_record(row) for row in db.query(query, {"owner": owner_id, "document": document_id})]

    def _follow(self, owner_id: int, document_id: int | None) -> None:
        """Anchor the notes whose document has another text by now."""
        query = """
            SELECT n.id, n."start", n."end", n.quote, n.before, n.after, v.text_sha256, t.characters
            FROM notes n JOIN documents d ON d.id = n.document_id JOIN versions v ON v.id = d.version_id
            LEFT JOIN texts t ON t.sha256 = n.text_sha256
            WHERE n.owner_id = :owner AND n.text_sha256 <> v.text_sha256
            AND (:document IS NULL OR n.document_id = :document)
        """
        given = {"owner": owner_id, "document": document_id}
        with self._library.read() as db:
            if not list(db.query(query + " LIMIT 1", given)):
                return
        with self._library.write() as db:
            for row in list(db.query(query, given)):
                text = self._library.text(row["text_sha256"])
                # the old text may be gone: its length is then taken for the new one's
                share = row["start"] / max(1, row["characters"] or len(text))
                found = find_again(text, row["quote"], row["before"], row["after"], share=min(1.0, share))
                lost = found is None
                if found is None:
                    at = min(int(share * len(text)), len(text) - 1)
                    found = (at, at + 1)
                # a lost one keeps its old surroundings: the next text may have it again
                before, after = (row["before"], row["after"]) if lost else around(text, *found)
                quote = row["quote"] if lost else text[found[0] : found[1]]
                db.execute(
                    'UPDATE notes SET text_sha256 = ?, "start" = ?, "end" = ?, quote = ?, before = ?, after = ?, '
                    "lost = ? WHERE id = ?",
                    [row["text_sha256"], *found, quote, before, after, int(lost), row["id"]],
                )


def _check_colour(colour: str) -> None:
    if colour not in COLOURS:
        raise ColourUnknown(colour, COLOURS)


def _changed(db: Database, change: str, values: list[Any], where: str, owner_id: int, id: int) -> NoteRecord:
    query = f"UPDATE notes SET {change} WHERE id = ? AND owner_id = ? AND {where} RETURNING {_COLUMNS}"
    for row in list(db.query(query, [*values, id, owner_id])):
        return _record(row)
    raise NoteNotFound(id)


def _record(row: dict[str, Any]) -> NoteRecord:
    return NoteRecord(**(row | {"lost": bool(row["lost"])}))
