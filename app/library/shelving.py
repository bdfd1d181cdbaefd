"""How a parsed file comes to stand on a shelf: its text, its parts and its row. For use inside a block."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from app.documents.metadata import count_words
from app.documents.model import Document
from app.documents.naming import title_from_filename
from app.documents.parse import PARSER_VERSION
from app.errors import ParserFailed
from app.library.rows import one
from app.library.search import index_text
from app.library.values import clean, names_to_json, now


def parse_in_process(path: Path, filename: str) -> Document:
    # imported late: a library that only lists its shelf starts no process
    from app.documents import sandbox

    return sandbox.parse_in_process(path, filename)


def check(parsed: Document, filename: str) -> None:
    """Refuse what the library could not keep or find again. Raises ParserFailed."""
    try:
        parsed.check()
        parsed.text.encode("utf-8")
    except UnicodeEncodeError:
        raise ParserFailed(filename, "its text has characters that are none") from None
    except (ValueError, AssertionError) as error:
        raise ParserFailed(filename, f"its parts do not fit its text ({error})") from error


def is_parsed(db: Database, owner_id: int, sha256: str, format: str) -> bool:
    """Whether this file can be shelved as it was parsed before, for this owner or for anybody."""
    query = """
        SELECT 1 FROM documents WHERE owner_id = ? AND sha256 = ?
        UNION ALL SELECT 1 FROM versions WHERE file_sha256 = ? AND format = ? AND parser_version = ?
    """
    return bool(list(db.query(query, [owner_id, sha256, sha256, format, PARSER_VERSION])))


def shelve(
    db: Database, owner_id: int, sha256: str, format: str, filename: str, parsed: Document | None
) -> tuple[int, bool]:
    """The id of the owner's document of this file, and whether it stood on the shelf already.

    ``parsed`` may be None where ``is_parsed``.
    """
    for row in db.query("SELECT id, deleted_at FROM documents WHERE owner_id = ? AND sha256 = ?", [owner_id, sha256]):
        if row["deleted_at"] is not None:
            # the version, the header and what was read of it stay: nothing is read again
            db.execute(
                "UPDATE documents SET deleted_at = NULL, filename = ?, created = ? WHERE id = ?",
                [filename, now(), row["id"]],
            )
        return row["id"], row["deleted_at"] is None
    version = _version(db, sha256, format, filename, parsed)
    row = one(
        db,
        "INSERT INTO documents (owner_id, version_id, sha256, title, authors, filename, created) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        [
            owner_id,
            version["id"],
            sha256,
            version["title"] or title_from_filename(filename),
            version["authors"],
            filename,
            now(),
        ],
    )
    return row["id"], False


def _version(db: Database, sha256: str, format: str, filename: str, parsed: Document | None) -> dict[str, Any]:
    query = "SELECT id, title, authors FROM versions WHERE file_sha256 = ? AND format = ? AND parser_version = ?"
    for row in db.query(query, [sha256, format, PARSER_VERSION]):
        return row
    assert parsed is not None, "a file is parsed before it is shelved"
    text_sha256 = hashlib.sha256(parsed.text.encode("utf-8")).hexdigest()
    db.execute(
        "INSERT INTO texts (sha256, characters, text, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [text_sha256, len(parsed.text), parsed.text, now()],
    )
    index_text(db, text_sha256, parsed.text)
    version = one(
        db,
        "INSERT INTO versions (file_sha256, format, parser_version, text_sha256, title, authors, language, "
        "paragraphs, chapters, pages, created, year, identifiers, words) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id, title, authors",
        [
            sha256,
            format,
            PARSER_VERSION,
            text_sha256,
            # a title made of the first owner's filename is not for another owner to see
            "" if parsed.title == title_from_filename(filename) else clean(parsed.title),
            names_to_json(parsed.authors),
            parsed.language,
            len(parsed.paragraphs),
            len(parsed.chapters),
            len(parsed.pages),
            now(),
            parsed.year,
            names_to_json(parsed.identifiers),
            count_words(parsed.text),
        ],
    )
    id = version["id"]
    db.conn.executemany(
        'INSERT INTO paragraphs (version_id, ordinal, "start", "end") VALUES (?, ?, ?, ?)',
        ((id, ordinal, part.start, part.end) for ordinal, part in enumerate(parsed.paragraphs)),
    )
    db.conn.executemany(
        'INSERT INTO chapters (version_id, ordinal, title, level, "start", "end", kind) VALUES (?, ?, ?, ?, ?, ?, ?)',
        (
            (id, ordinal, clean(part.title), part.level, part.start, part.end, part.kind)
            for ordinal, part in enumerate(parsed.chapters)
        ),
    )
    db.conn.executemany(
        'INSERT INTO pages (version_id, number, "start", "end") VALUES (?, ?, ?, ?)',
        ((id, part.number, part.start, part.end) for part in parsed.pages),
    )
    return version
