"""A document's later state: more chapters of a serial, another edition of a paper.

The document keeps its number, and with it title, conversations, notes, artefacts; its file and text become the newer
ones. The older ones go where removed documents are, from where they can be taken back for a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.errors import RenewalInvalid
from app.library import chapters, rows
from app.library.records import DocumentRecord
from app.library.twins import LENGTH, akin
from app.library.values import now

if TYPE_CHECKING:
    from app.library.store import Library

# of an earlier text: so much of it, at least, is how the later one begins (its last lines may be a licence)
KEPT = 0.8
LEAST = 200  # characters of a text that says which book it is


def continued(library: Library, document: DocumentRecord, others: Iterable[DocumentRecord]) -> DocumentRecord | None:
    """Of ``others`` the one that this document is a later state of: it begins as that does, and goes on by chapters, or
    by more than two editions differ in."""
    text = library.text(document.text_sha256)
    found: list[tuple[int, DocumentRecord]] = []
    for other in others:
        if other.id == document.id or not LEAST <= other.characters < document.characters:
            continue
        if document.chapters <= other.chapters and document.characters < (1 + LENGTH) * other.characters:
            continue
        if akin(document.title, other.title) or akin(document.filename, other.filename):
            common = _common(library.text(other.text_sha256), text)
            if common >= KEPT * other.characters:
                found.append((common, other))
    return max(found, key=lambda one: one[0])[1] if found else None


def renew(library: Library, owner_id: int, id: int, newer_id: int) -> tuple[DocumentRecord, DocumentRecord]:
    """Let a document have the file and the text of another one, which is removed with those of the first; both as they
    are then. Corrections of chapters stay as far as the two texts agree, and what was read is found by its tokens.

    Raises DocumentNotFound, RenewalInvalid, and then changes nothing.
    """
    with library.write() as db:
        for one in (id, newer_id):
            rows.require_document(db, owner_id, one)
        if id == newer_id:
            raise RenewalInvalid("a document is no later state of itself")
        before, after = rows.document(db, id), rows.document(db, newer_id)
        used = (
            "SELECT 1 FROM thread_documents WHERE document_id = ?1 UNION ALL SELECT 1 FROM notes WHERE document_id = ?1"
        )
        used += " UNION ALL SELECT 1 FROM artefact_documents WHERE document_id = ?1"
        if list(db.query(used, [newer_id])):
            raise RenewalInvalid(f"“{after.title}” has conversations, notes or artefacts of its own")
        old, new = library.text(before.text_sha256), library.text(after.text_sha256)
        common = _common(old, new)
        corrected = chapters.chapters(db, id) if chapters.is_corrected(db, id) else None
        columns = ("version_id", "sha256", "filename")
        query = f"SELECT {', '.join(columns)} FROM documents WHERE id = ?"
        first, second = (tuple(rows.one(db, query, [one])[name] for name in columns) for one in (id, newer_id))
        # no two documents of an owner have one file, not even for a moment
        db.execute("PRAGMA defer_foreign_keys = ON")
        change = f"UPDATE documents SET {', '.join(f'{name} = ?' for name in columns)} WHERE id = ?"
        db.execute("UPDATE documents SET sha256 = 'changing' WHERE id = ?", [newer_id])
        db.execute(change, [*second, id])
        db.execute(change, [*first, newer_id])
        db.execute(
            "UPDATE documents SET deleted_at = ?, header = NULL, read_spans = NULL WHERE id = ?", [now(), newer_id]
        )
        db.execute("DELETE FROM document_chapters WHERE document_id IN (?, ?)", [id, newer_id])
        db.execute("DELETE FROM readings WHERE document_id IN (?, ?)", [id, newer_id])
        rows.stop_jobs(db, "document_id IN (?, ?) AND kind = 'read'", [id, newer_id])
        if corrected is not None:
            # up to where the texts part, the owner's; from there on the parser's
            kept = [one for one in corrected if one.start < common]
            border = kept[-1].end if kept else 0
            fresh = [one for one in chapters.parsed_chapters(db, id) if one.start >= min(border, common)]
            chapters.set_chapters(library, owner_id, id, kept + fresh)
        if before.header is not None:
            chapters.freeze_spans(db, id)
        return rows.document(db, id), rows.document(db, newer_id)


def _common(one: str, other: str) -> int:
    """Characters that both texts begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low
