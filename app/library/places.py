"""How far a person is in a document: where they read last, and up to where they have read at all.

The second is the spoiler guard. It is the start of the first paragraph that is not read yet: what lies from there on
is left out of prompts and searches, not hidden by asking a model to.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from app.errors import PlaceInvalid
from app.library import rows
from app.library.anchors import around, find_again, floor
from app.library.values import now, to_json

if TYPE_CHECKING:
    from app.library.store import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRecord:
    """Offsets into the document's text. ``upto``: the guard, None where all of it may be told."""

    document_id: int
    position: int = 0
    upto: int | None = None


class Places:
    """Over a library; an owner is an id."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def get(self, owner_id: int, document_id: int) -> PlaceRecord:
        """Raises DocumentNotFound."""
        with self._library.read() as db:
            rows.require_document(db, owner_id, document_id)
        return self.all(owner_id, [document_id]).get(document_id, PlaceRecord(document_id=document_id))

    def all(self, owner_id: int, document_ids: Collection[int] | None = None) -> dict[int, PlaceRecord]:
        """By document, of those of which anything is known."""
        query = """
            SELECT p.*, v.text_sha256 AS now_sha256 FROM places p JOIN documents d ON d.id = p.document_id
            JOIN versions v ON v.id = d.version_id WHERE p.owner_id = :owner
            AND (:ids IS NULL OR p.document_id IN (SELECT value FROM json_each(:ids)))
        """
        ids = None if document_ids is None else to_json(list(document_ids))
        with self._library.read() as db:
            found = list(db.query(query, {"owner": owner_id, "ids": ids}))
        return {
            row["document_id"]: _record(row) if row["text_sha256"] == row["now_sha256"] else self._follow(row)
            for row in found
        }

    def guards(self, owner_id: int, document_ids: Collection[int] | None = None) -> dict[int, int]:
        """The guards that are set, by document."""
        return {id: place.upto for id, place in self.all(owner_id, document_ids).items() if place.upto is not None}

    def keep(self, owner_id: int, document_id: int, position: int) -> None:
        """Remember where somebody reads. Raises DocumentNotFound; a place outside the text is moved into it."""
        with self._library.write(durable=False) as db:
            rows.require_document(db, owner_id, document_id)
            document = rows.document(db, document_id)
            position = min(max(position, 0), document.characters)
            _place(db, owner_id, document_id, document.text_sha256)
            db.execute(
                "UPDATE places SET position = ?, updated = ? WHERE owner_id = ? AND document_id = ?",
                [position, now(), owner_id, document_id],
            )

    def guard(self, owner_id: int, document_id: int, offset: int | None) -> PlaceRecord:
        """Everything from ``offset`` on is not read yet; from the start of its paragraph on, if it lies in one.

        None, or an offset behind the last paragraph, takes the guard away. Raises DocumentNotFound, and PlaceInvalid
        for one that leaves nothing.
        """
        with self._library.write() as db:
            rows.require_document(db, owner_id, document_id)
            document = rows.document(db, document_id)
            before, after = "", ""
            upto = None if offset is None else cut(self._library, document_id, offset)
            if upto is not None and upto >= document.characters:
                upto = None
            if upto is not None:
                before, after = around(self._library.text(document.text_sha256), upto, upto)
            _place(db, owner_id, document_id, document.text_sha256)
            db.execute(
                "UPDATE places SET upto = ?, before = ?, after = ?, updated = ? WHERE owner_id = ? AND document_id = ?",
                [upto, before, after, now(), owner_id, document_id],
            )
        return self.get(owner_id, document_id)

    def _follow(self, row: dict[str, Any]) -> PlaceRecord:
        """Move a place into the text that its document has by now."""
        place = _record(row)
        text = self._library.text(row["now_sha256"])
        with self._library.read() as db:
            old = next(
                iter(db.query("SELECT characters FROM texts WHERE sha256 = ?", [row["text_sha256"]])),
                {"characters": len(text)},
            )["characters"]
        scale = len(text) / max(1, old)
        place = replace(place, position=min(int(place.position * scale), len(text)))
        before, after = row["before"], row["after"]
        if place.upto is not None:
            share = min(1.0, place.upto / max(1, old))
            found = find_again(text, before, "", after, share=share)
            # rather too little than a word too much
            offset = min(found[1] if found else int(share * len(text)), len(text))
            starts = [part.start for part in self._library.paragraphs(row["document_id"])]
            upto = floor(starts, offset + 2 if found else offset)
            place = replace(place, upto=upto or (starts[1] if len(starts) > 1 else None))
            if place.upto is not None:
                before, after = around(text, place.upto, place.upto)
        with self._library.write() as db:
            db.execute(
                "UPDATE places SET text_sha256 = ?, position = ?, upto = ?, before = ?, after = ? "
                "WHERE owner_id = ? AND document_id = ?",
                [row["now_sha256"], place.position, place.upto, before, after, row["owner_id"], row["document_id"]],
            )
        return place


def cut(library: Library, document_id: int, offset: int) -> int:
    """The start of the first paragraph that does not end before ``offset``. Raises PlaceInvalid if it is the first."""
    paragraphs = library.paragraphs(document_id)
    for part in paragraphs:
        if part.end > offset:
            if part is paragraphs[0]:
                raise PlaceInvalid(str(offset))
            return part.start
    return paragraphs[-1].end


def _place(db: Database, owner_id: int, document_id: int, text_sha256: str) -> None:
    db.execute(
        "INSERT INTO places (owner_id, document_id, text_sha256, updated) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [owner_id, document_id, text_sha256, now()],
    )


def _record(row: dict[str, Any]) -> PlaceRecord:
    return PlaceRecord(document_id=row["document_id"], position=row["position"], upto=row["upto"])
