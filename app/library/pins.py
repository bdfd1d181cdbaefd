"""Pinned documents, whose readings are never evicted; and the forgetting of readings that were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.library import rows
from app.library.values import now

if TYPE_CHECKING:
    from app.library.store import Library


def pin(library: Library, owner_id: int, document_ids: Sequence[int], *, pinned: bool) -> None:
    """Raises DocumentNotFound, and then changes nothing."""
    with library.write() as db:
        for id in document_ids:
            rows.require_document(db, owner_id, id)
        for id in document_ids:
            db.execute("UPDATE documents SET pinned_at = ? WHERE id = ?", [now() if pinned else None, id])


def pinned_by(library: Library, owner_id: int) -> set[int]:
    """An owner's own pins."""
    query = "SELECT id FROM documents WHERE owner_id = ? AND pinned_at IS NOT NULL AND deleted_at IS NULL"
    with library.read() as db:
        return {int(row["id"]) for row in db.query(query, [owner_id])}


def pinned_documents(library: Library) -> set[int]:
    """Everybody's, and every document with the text of one: they share what is kept."""
    query = """
        SELECT d.id FROM documents d JOIN versions v ON v.id = d.version_id WHERE v.text_sha256 IN (
            SELECT w.text_sha256 FROM documents p JOIN versions w ON w.id = p.version_id
            WHERE p.pinned_at IS NOT NULL AND p.deleted_at IS NULL)
    """
    with library.read() as db:
        return {int(row["id"]) for row in db.query(query)}


def forget_reading(library: Library, document_id: int, folder: str) -> None:
    """What a model, by the name of its folder of kept pages, has read of a document is not there any more."""
    with library.write() as db:
        db.execute(
            "DELETE FROM readings WHERE document_id = ? AND substr(identity, 1, ?) = ?",
            [document_id, len(folder), folder],
        )


def titles(library: Library, owner_id: int) -> tuple[dict[int, str], dict[int, str]]:
    """(of documents, of conversations) by id, removed ones included: what was read of them may still be kept."""
    with library.read() as db:
        documents = db.query("SELECT id, title, filename FROM documents WHERE owner_id = ?", [owner_id])
        named = {int(row["id"]): row["title"] or row["filename"] for row in documents}
        threads = db.query("SELECT id, title FROM threads WHERE owner_id = ?", [owner_id])
        return named, {int(row["id"]): row["title"] for row in threads}
