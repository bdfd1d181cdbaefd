"""Rows read as records, and the few statements that several parts of the library share. For use inside a block."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlite_utils import Database

from app.errors import DocumentNotFound
from app.library.records import DocumentRecord, ReadingRecord
from app.library.values import now

DOCUMENTS = """
    SELECT d.id, d.owner_id, d.title, d.authors, d.filename, v.format, d.sha256, v.text_sha256,
        t.characters, v.pages,
        coalesce((SELECT nullif(count(*), 0) FROM document_chapters WHERE document_id = d.id), v.chapters)
        AS chapters,
        d.created, d.header,
        coalesce(d.language, v.language) AS language, coalesce(d.year, v.year) AS year, v.words,
        coalesce(d.identifiers, v.identifiers) AS identifiers
    FROM documents d JOIN versions v ON v.id = d.version_id JOIN texts t ON t.sha256 = v.text_sha256
"""


def one(db: Database, query: str, parameters: Sequence[Any]) -> dict[str, Any]:
    """The single row of a query that always has one."""
    (row,) = db.query(query, parameters)
    return row


def document_record(row: dict[str, Any]) -> DocumentRecord:
    lists = {name: tuple(json.loads(row[name])) for name in ("authors", "identifiers")}
    return DocumentRecord(**(row | lists))


def document(db: Database, id: int) -> DocumentRecord:
    """The document of this id, whosever it is, even a removed one."""
    return document_record(one(db, DOCUMENTS + "WHERE d.id = ?", [id]))


def require_document(db: Database, owner_id: int, id: int) -> None:
    """Raises DocumentNotFound unless this owner has this document on the shelf."""
    query = "SELECT 1 FROM documents WHERE id = ? AND owner_id = ? AND deleted_at IS NULL"
    if not list(db.query(query, [id, owner_id])):
        raise DocumentNotFound(id)


def reading_record(row: dict[str, Any]) -> ReadingRecord:
    return ReadingRecord(
        document_id=row["document_id"],
        identity=row["identity"],
        done=row["done"],
        total=row["total"],
        complete=bool(row["complete"]),
        seconds=row["seconds"],
        provenance=json.loads(row["provenance"]),
        updated=row["updated"],
    )


def file_hashes(db: Database) -> set[str]:
    return {row["sha256"] for row in db.query("SELECT sha256 FROM files")}


def stop_jobs(db: Database, where: str, parameters: Sequence[Any]) -> None:
    """Stop waiting jobs at once, and ask the running ones to."""
    db.execute(
        f"UPDATE jobs SET state = 'stopped', finished = ?, seconds_left = NULL WHERE state = 'waiting' AND ({where})",
        [now(), *parameters],
    )
    db.execute(f"UPDATE jobs SET stop_requested = 1 WHERE state = 'running' AND ({where})", parameters)
