"""The tables of pages that were recognized, and of files on their way in with how far those are."""

from __future__ import annotations

# of a scan whose text is not whole yet: named by its content, like the text that will come of it
RECOGNIZED = (
    """
    CREATE TABLE recognitions (
        file_sha256 TEXT PRIMARY KEY,
        recognizer TEXT NOT NULL,
        languages TEXT,
        pages INTEGER NOT NULL,
        created TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE recognized_pages (
        file_sha256 TEXT NOT NULL REFERENCES recognitions (file_sha256) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        found TEXT NOT NULL,
        PRIMARY KEY (file_sha256, number)
    ) STRICT
    """,
)

# as before, and a file may be stopped; done and total count its pages while they are recognized
INTAKE = (
    """
    CREATE TABLE intake_anew (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        source TEXT NOT NULL,
        stamp TEXT NOT NULL,
        filename TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'stopped', 'done', 'failed')),
        process TEXT,
        document_id INTEGER REFERENCES documents (id) ON DELETE SET NULL,
        already INTEGER NOT NULL DEFAULT 0 CHECK (already IN (0, 1)),
        error TEXT,
        seconds REAL,
        done INTEGER NOT NULL DEFAULT 0,
        total INTEGER,
        stop_requested INTEGER NOT NULL DEFAULT 0 CHECK (stop_requested IN (0, 1)),
        created TEXT NOT NULL,
        UNIQUE (owner_id, source)
    ) STRICT
    """,
    "INSERT INTO intake_anew (id, owner_id, source, stamp, filename, state, process, document_id, already, error, "
    "seconds, created) SELECT id, owner_id, source, stamp, filename, state, process, document_id, already, error, "
    "seconds, created FROM intake",
    "DROP TABLE intake",
    "ALTER TABLE intake_anew RENAME TO intake",
    "CREATE INDEX intake_document ON intake (document_id)",
)
