"""Tags, which are collections as well: a document has several, a tag stands on many documents. And what else a shelf
is sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.errors import TagInvalid
from app.library import rows
from app.library.values import clean

if TYPE_CHECKING:
    from app.library.store import Library

LONGEST = 60


def tag_name(text: str) -> str:
    """A tag as it is kept: on one line, of a bearable length. Raises TagInvalid."""
    name = " ".join(clean(text).split())
    if not name or len(name) > LONGEST or not name.isprintable():
        raise TagInvalid(text, LONGEST)
    return name


def tags(library: Library, owner_id: int) -> dict[int, tuple[str, ...]]:
    """The tags of each document on the shelf that has some, by its id, in the order of the alphabet."""
    query = """
        SELECT l.document_id, t.name FROM document_tags l JOIN tags t ON t.id = l.tag_id
        JOIN documents d ON d.id = l.document_id
        WHERE l.owner_id = ? AND t.owner_id = l.owner_id AND d.deleted_at IS NULL ORDER BY t.name
    """
    found: dict[int, list[str]] = {}
    with library.read() as db:
        for row in db.query(query, [owner_id]):
            found.setdefault(row["document_id"], []).append(row["name"])
    return {id: tuple(names) for id, names in found.items()}


def last_used(library: Library, owner_id: int) -> dict[int, str]:
    """When each document was last talked about, by its id."""
    query = """
        SELECT l.document_id, max(t.updated) AS used FROM thread_documents l JOIN threads t ON t.id = l.thread_id
        WHERE t.owner_id = ? AND t.deleted_at IS NULL GROUP BY l.document_id
    """
    with library.read() as db:
        return {row["document_id"]: row["used"] for row in db.query(query, [owner_id])}


def change_tags(
    library: Library, owner_id: int, document_ids: Sequence[int], *, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> None:
    """Put tags on documents and take others off; a tag that stands on nothing is forgotten.

    Raises DocumentNotFound, TagInvalid, and then changes nothing.
    """
    added, removed = [tag_name(one) for one in add], [tag_name(one) for one in remove]
    with library.write() as db:
        for id in document_ids:
            rows.require_document(db, owner_id, id)
        for name in added:
            db.execute("INSERT INTO tags (owner_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING", [owner_id, name])
            for id in document_ids:
                db.execute(
                    "INSERT INTO document_tags (document_id, tag_id, owner_id) "
                    "SELECT ?, id, owner_id FROM tags WHERE owner_id = ? AND name = ? ON CONFLICT DO NOTHING",
                    [id, owner_id, name],
                )
        for name in removed:
            for id in document_ids:
                db.execute(
                    "DELETE FROM document_tags WHERE document_id = ? AND owner_id = ? "
                    "AND tag_id IN (SELECT id FROM tags WHERE owner_id = ? AND name = ?)",
                    [id, owner_id, owner_id, name],
                )
        db.execute(
            "DELETE FROM tags WHERE owner_id = ? AND id NOT IN (SELECT tag_id FROM document_tags)",
            [owner_id],
        )
