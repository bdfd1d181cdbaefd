"""Removed documents: kept for a while, brought back, and in the end purged with what only they needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlite_utils import Database

from app.errors import DocumentNotFound
from app.library import rows
from app.library.records import DocumentRecord
from app.library.search import forget_text

if TYPE_CHECKING:
    from app.library.store import Library

KEPT = timedelta(days=30)

_DUE = """
    SELECT id, version_id, sha256 FROM documents d WHERE deleted_at < ? AND NOT EXISTS (
        SELECT 1 FROM thread_documents l JOIN threads t ON t.id = l.thread_id
        WHERE l.document_id = d.id AND t.deleted_at IS NULL)
    AND NOT EXISTS (
        SELECT 1 FROM artefact_documents l JOIN artefacts a ON a.id = l.artefact_id
        WHERE l.document_id = d.id AND a.deleted_at IS NULL)
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE document_id = d.id AND state IN ('waiting', 'running'))
"""


def removed_count(library: Library, owner_id: int) -> int:
    """How many documents can still be brought back."""
    query = "SELECT count(*) AS n FROM documents WHERE owner_id = ? AND deleted_at IS NOT NULL"
    with library.read() as db:
        return int(rows.one(db, query, [owner_id])["n"])


def removed_documents(library: Library, owner_id: int, most: int = -1) -> list[tuple[DocumentRecord, str]]:
    """What can still be brought back, with the time of its removal, the last removed first; ``most``: of those, -1 for
    all."""
    with library.read() as db:
        found = list(
            db.query(
                "SELECT id, deleted_at FROM documents WHERE owner_id = ? AND deleted_at IS NOT NULL "
                "ORDER BY deleted_at DESC, id DESC LIMIT ?",
                [owner_id, most],
            )
        )
        return [(rows.document(db, row["id"]), row["deleted_at"]) for row in found]


def restore_document(library: Library, owner_id: int, id: int) -> DocumentRecord:
    """Put a removed document back in its old place; one that is on the shelf stays. Raises DocumentNotFound."""
    with library.write() as db:
        changed = db.execute("UPDATE documents SET deleted_at = NULL WHERE id = ? AND owner_id = ?", [id, owner_id])
        if not changed.rowcount:
            raise DocumentNotFound(id)
        return rows.document(db, id)


def purge(library: Library, older_than: timedelta = KEPT) -> int:
    """Delete for good what was removed longer ago, with texts and files that nothing else needs; returns how many.

    What a conversation is about stays with it. Kept pages lie outside the library and are not touched.
    """
    before = (datetime.now(UTC) - older_than).isoformat(timespec="microseconds")
    with library.read() as db:
        if not list(db.query(_DUE + "LIMIT 1", [before])):
            return 0
    with library.write() as db:
        due = list(db.query(_DUE, [before]))
        for row in due:
            db.execute("DELETE FROM thread_documents WHERE document_id = ?", [row["id"]])
            db.execute("DELETE FROM artefact_documents WHERE document_id = ?", [row["id"]])
            db.execute("DELETE FROM jobs WHERE document_id = ?", [row["id"]])
            db.execute("DELETE FROM documents WHERE id = ?", [row["id"]])
            _forget_version(db, row["version_id"])
            db.execute(
                "DELETE FROM files WHERE sha256 = ?1 AND NOT EXISTS (SELECT 1 FROM documents WHERE sha256 = ?1) "
                "AND NOT EXISTS (SELECT 1 FROM versions WHERE file_sha256 = ?1)",
                [row["sha256"]],
            )
    return len(due)


def _forget_version(db: Database, id: int) -> None:
    if list(db.query("SELECT 1 FROM documents WHERE version_id = ?", [id])):
        return
    for version in list(db.query("SELECT text_sha256 FROM versions WHERE id = ?", [id])):
        sha256 = version["text_sha256"]
        db.execute("DELETE FROM versions WHERE id = ?", [id])
        if list(db.query("SELECT 1 FROM versions WHERE text_sha256 = ?", [sha256])):
            continue
        for row in list(db.query("SELECT text FROM texts WHERE sha256 = ?", [sha256])):
            forget_text(db, sha256, row["text"])
        db.execute("DELETE FROM tokenizations WHERE text_sha256 = ?", [sha256])
        db.execute("DELETE FROM texts WHERE sha256 = ?", [sha256])
