"""What can be wrong with a library, found by reading all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlite_utils import Database

from app.errors import LibraryDamaged
from app.library import blobs

if TYPE_CHECKING:
    from app.library.store import Library


def problems(library: Library) -> list[str]:
    """A line for each thing that is wrong; empty for a sound library."""
    found: list[str] = []
    try:
        with library.read() as db:
            for look in (_database, _texts, _parts, _tokenizations):
                found.extend(look(db))
            files = list(db.query("SELECT sha256, format FROM files ORDER BY sha256"))
    except LibraryDamaged as error:
        # a page that cannot be read ends the look at the database: what was found so far says where
        return [*found, f"database: {error.reason}"]
    for row in files:
        problem = library.files.problem(row["sha256"], row["format"])
        if problem is not None:
            found.append(f"file {library.files.path(row['sha256'], row['format']).name}: {problem}")
    return found


def _database(db: Database) -> Iterator[str]:
    for (line,) in db.conn.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"database: {line}"
    for table, rowid, parent, _ in db.conn.execute("PRAGMA foreign_key_check"):
        yield f"database: row {rowid} of {table} points at nothing in {parent}"


def _texts(db: Database) -> Iterator[str]:
    for row in db.query("SELECT sha256, characters, text FROM texts"):
        if hashlib.sha256(row["text"].encode("utf-8")).hexdigest() != row["sha256"]:
            yield f"text {row['sha256']}: it no longer matches its hash"
        elif len(row["text"]) != row["characters"]:
            yield f"text {row['sha256']}: it has {len(row['text'])} characters, not {row['characters']}"


def _parts(db: Database) -> Iterator[str]:
    for table in ("paragraphs", "chapters", "pages"):
        query = f"""
            SELECT v.id, v.{table} AS expected, t.characters, count(p.version_id) AS found,
                coalesce(min(p."start"), 0) AS low, coalesce(max(p."end"), 0) AS high
            FROM versions v JOIN texts t ON t.sha256 = v.text_sha256 LEFT JOIN {table} p ON p.version_id = v.id
            GROUP BY v.id
        """
        for row in db.query(query):
            if row["found"] != row["expected"]:
                yield f"version {row['id']}: {row['found']} {table}, not {row['expected']}"
            if row["low"] < 0 or row["high"] > row["characters"]:
                yield f"version {row['id']}: {table} outside its text"
    query = "SELECT d.id FROM documents d JOIN versions v ON v.id = d.version_id WHERE v.file_sha256 <> d.sha256"
    for row in db.query(query):
        yield f"document {row['id']}: its text was made from another file"


def _tokenizations(db: Database) -> Iterator[str]:
    query = """
        SELECT n.text_sha256, n.tokenizer, n.tokens, n.ids, n.offsets, t.characters
        FROM tokenizations n JOIN texts t ON t.sha256 = n.text_sha256
    """
    for row in db.query(query):
        name = f"tokens of {row['text_sha256']} ({row['tokenizer']})"
        try:
            ids, offsets = blobs.unpack(row["ids"], "i"), blobs.unpack(row["offsets"], "q")
        except ValueError as error:
            yield f"{name}: {error}"
            continue
        if len(ids) != row["tokens"] or len(offsets) != len(ids) + 1 or offsets[-1] != row["characters"]:
            yield f"{name}: they do not fit their text"
