"""Chapters as a document's owner sees them, and which of them are read.

A parser's chapters belong to a version, which several shelves may share. What an owner corrects is a list of that
document's own, in place of the parser's.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from app.documents.model import Chapter
from app.errors import ChaptersInvalid
from app.library import rows
from app.library.values import clean, to_json

if TYPE_CHECKING:
    from app.library.store import Library

TITLE_LIMIT = 300
MOST = 5_000
LEVELS = range(1, 10)
KINDS = ("front", "body", "back")

Span = tuple[int, int]


def chapters(db: Database, document_id: int) -> list[Chapter]:
    """The owner's list, else the parser's."""
    columns = 'title, level, "start", "end", kind'
    own = f"SELECT {columns}, included FROM document_chapters WHERE document_id = ? ORDER BY ordinal"
    found = [Chapter(**row | {"included": bool(row["included"])}) for row in db.query(own, [document_id])]
    return found or parsed_chapters(db, document_id)


def parsed_chapters(db: Database, document_id: int) -> list[Chapter]:
    query = (
        'SELECT title, level, "start", "end", kind FROM chapters '
        "WHERE version_id = (SELECT version_id FROM documents WHERE id = ?) ORDER BY ordinal"
    )
    return [Chapter(**row) for row in db.query(query, [document_id])]


def is_corrected(db: Database, document_id: int) -> bool:
    return bool(list(db.query("SELECT 1 FROM document_chapters WHERE document_id = ? LIMIT 1", [document_id])))


def set_chapters(
    library: Library, owner_id: int, document_id: int, wanted: Sequence[Chapter] | None
) -> tuple[list[Chapter], bool]:
    """Correct the chapters, None for the parser's again; returns them and whether the document is read anew.

    Of each only title, level, start, kind and ``included`` count: a chapter begins with the paragraph that its start
    lies in and ends where the next begins. What a model reads changes with what is included: then its reading begins
    again. Raises DocumentNotFound, ChaptersInvalid, and then changes nothing.
    """
    with library.write() as db:
        rows.require_document(db, owner_id, document_id)
        query = (
            "SELECT v.id, t.characters FROM documents d JOIN versions v ON v.id = d.version_id "
            "JOIN texts t ON t.sha256 = v.text_sha256 WHERE d.id = ?"
        )
        version = rows.one(db, query, [document_id])
        paragraphs = 'SELECT "start" FROM paragraphs WHERE version_id = ? ORDER BY ordinal'
        starts = [row["start"] for row in db.query(paragraphs, [version["id"]])]
        made = [] if wanted is None else _checked(wanted, starts, version["characters"])
        db.execute("DELETE FROM document_chapters WHERE document_id = ?", [document_id])
        db.conn.executemany(
            'INSERT INTO document_chapters (document_id, owner_id, ordinal, title, level, "start", "end", kind, '
            "included) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (document_id, owner_id, n, one.title, one.level, one.start, one.end, one.kind, int(one.is_read))
                for n, one in enumerate(made)
            ],
        )
        return chapters(db, document_id), _read_anew(db, document_id, version["characters"])


def _checked(wanted: Sequence[Chapter], starts: Sequence[int], characters: int) -> list[Chapter]:
    if not 0 < len(wanted) <= MOST:
        raise ChaptersInvalid(f"a document has 1 to {MOST:,} chapters")
    found: list[Chapter] = []
    for place, one in enumerate(sorted(wanted, key=lambda chapter: chapter.start), 1):
        title = clean(" ".join(one.title.split()))[:TITLE_LIMIT].strip()
        if not title:
            raise ChaptersInvalid(f"chapter {place} has no title")
        if one.level not in LEVELS or one.kind not in KINDS:
            raise ChaptersInvalid(f"chapter {place} has a level outside 1 to 9, or a kind that is none")
        if not 0 <= one.start <= characters:
            raise ChaptersInvalid(f"chapter {place} begins outside the text of {characters:,} characters")
        # an empty chapter may stand at the very end; every other begins with a paragraph
        start = one.start if one.start == characters else starts[max(bisect_right(starts, one.start) - 1, 0)]
        found.append(replace(one, title=title, start=start, included=one.is_read))
    ends = [*(one.start for one in found[1:]), characters]
    return [replace(one, end=end) for one, end in zip(found, ends, strict=True)]


def read_spans(db: Database, document_id: int) -> list[Span] | None:
    """The ranges of the text that a prompt holds, None for all of it: as they were when the document was first read,
    else as its chapters say."""
    row = rows.one(db, "SELECT header, read_spans FROM documents WHERE id = ?", [document_id])
    if row["header"] is not None:
        return None if row["read_spans"] is None else [(start, end) for start, end in json.loads(row["read_spans"])]
    return planned_spans(db, document_id)


def planned_spans(db: Database, document_id: int) -> list[Span] | None:
    """What is left where the chapters that are not read go; None if nothing goes, or if nothing would be left."""
    query = (
        "SELECT t.characters FROM documents d JOIN versions v ON v.id = d.version_id "
        "JOIN texts t ON t.sha256 = v.text_sha256 WHERE d.id = ?"
    )
    size = rows.one(db, query, [document_id])["characters"]
    spans: list[Span] = []
    position = 0
    for one in chapters(db, document_id):
        if not one.is_read and one.end > one.start:
            if one.start > position:
                spans.append((position, one.start))
            position = one.end
    if position < size:
        spans.append((position, size))
    return None if not spans or spans == [(0, size)] else spans


def freeze_spans(db: Database, document_id: int) -> None:
    """Called where the header is frozen: from now on a prompt holds just these."""
    spans = planned_spans(db, document_id)
    db.execute("UPDATE documents SET read_spans = ? WHERE id = ?", [_json(spans), document_id])


def _read_anew(db: Database, document_id: int, characters: int) -> bool:
    """Let a frozen prompt follow its chapters; whether it changed. How far it was read no longer counts then."""
    row = rows.one(db, "SELECT header, read_spans FROM documents WHERE id = ?", [document_id])
    spans = _json(planned_spans(db, document_id))
    if row["header"] is None or row["read_spans"] == spans:
        return False
    db.execute("UPDATE documents SET read_spans = ? WHERE id = ?", [spans, document_id])
    db.execute("DELETE FROM readings WHERE document_id = ?", [document_id])
    rows.stop_jobs(db, "document_id = ? AND kind = 'read'", [document_id])
    return True


def _json(spans: list[Span] | None) -> Any:
    return None if spans is None else to_json([list(span) for span in spans])
