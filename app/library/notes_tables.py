"""The tables of what a person writes to their books, as the migration of their time makes them."""

from __future__ import annotations

# of people: a range of a text with what they wrote to it, and how far they are in a document
NOTES = (
    """
    CREATE TABLE notes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
        text_sha256 TEXT NOT NULL,
        "start" INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        quote TEXT NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        note TEXT NOT NULL,
        colour TEXT NOT NULL,
        lost INTEGER NOT NULL DEFAULT 0 CHECK (lost IN (0, 1)),
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        deleted_at TEXT
    ) STRICT
    """,
    'CREATE INDEX notes_document ON notes (document_id, "start")',
    """
    CREATE TABLE places (
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
        text_sha256 TEXT NOT NULL,
        position INTEGER NOT NULL DEFAULT 0,
        upto INTEGER,
        before TEXT NOT NULL DEFAULT '',
        after TEXT NOT NULL DEFAULT '',
        updated TEXT NOT NULL,
        PRIMARY KEY (owner_id, document_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX places_document ON places (document_id)",
    # what of its documents a turn was answered from, by document; {} is all of them
    "ALTER TABLE turns ADD COLUMN upto TEXT NOT NULL DEFAULT '{}'",
)
