"""The tables of the library, and how an older one becomes a newer one.

A migration never changes once it has been released: the next change is a new function below the last.
What belongs to a person carries ``owner_id``. What does not is shared by everybody's shelf: files and texts under
their hashes, what one parser made of a file (``versions``, with its paragraphs, chapters and pages), tokenizations.
"""

from __future__ import annotations

from contextlib import closing

from sqlite_utils import Database, Migrations

from app.library.first_tables import FIRST, SEARCH, TAGS
from app.library.making_tables import ANY_JOB, ARTEFACTS, DRAFTS
from app.library.notes_tables import NOTES
from app.library.recognized_tables import INTAKE as RECOGNIZED_INTAKE
from app.library.recognized_tables import RECOGNIZED

# "Lect" in SQLite's header, so that a database of another program is never taken for a library
APPLICATION_ID = 0x4C656374

MIGRATIONS = Migrations("lectern")


def known_migrations() -> set[str]:
    """The names of all migrations that this Lectern has."""
    with closing(Database(memory=True, execute_plugins=False)) as database:
        return {migration.name for migration in MIGRATIONS.pending(database)}


@MIGRATIONS(name="0001_first")
def _first(db: Database) -> None:
    db.executescript(FIRST)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


@MIGRATIONS(name="0002_quotes")
def _quotes(db: Database) -> None:
    # what an answer quotes, found in the texts or not; null where nobody has looked yet
    db.execute("ALTER TABLE turns ADD COLUMN quotes TEXT")


@MIGRATIONS(name="0010_search")
def _search(db: Database) -> None:
    # texts that are there already are indexed later, one at a time: opening a library must not wait for that
    for statement in SEARCH:
        db.execute(statement)


@MIGRATIONS(name="0011_tags")
def _tags(db: Database) -> None:
    for statement in TAGS:
        db.execute(statement)


@MIGRATIONS(name="0012_document_metadata")
def _document_metadata(db: Database) -> None:
    # of a version: what its parser found; of a document: what its owner corrected
    for column in ("year INTEGER", "identifiers TEXT NOT NULL DEFAULT '[]'", "words INTEGER"):
        db.execute(f"ALTER TABLE versions ADD COLUMN {column}")
    for column in ("year INTEGER", "language TEXT"):
        db.execute(f"ALTER TABLE documents ADD COLUMN {column}")


@MIGRATIONS(name="0013_chapter_kind")
def _chapter_kind(db: Database) -> None:
    db.execute("ALTER TABLE chapters ADD COLUMN kind TEXT NOT NULL DEFAULT 'body'")


@MIGRATIONS(name="0030_document_chapters")
def _document_chapters(db: Database) -> None:
    # an owner's own list in place of the parser's; none: the parser's
    db.execute(
        """
        CREATE TABLE document_chapters (
            document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
            owner_id INTEGER NOT NULL REFERENCES owners (id),
            ordinal INTEGER NOT NULL,
            title TEXT NOT NULL,
            level INTEGER NOT NULL,
            "start" INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('front', 'body', 'back')),
            included INTEGER NOT NULL CHECK (included IN (0, 1)),
            PRIMARY KEY (document_id, ordinal)
        ) STRICT, WITHOUT ROWID
        """
    )
    # [[start, end], …] of the text that stands behind a frozen header; null: all of it, as in what was read before
    db.execute("ALTER TABLE documents ADD COLUMN read_spans TEXT")
    # corrected, as a year and a language are; null: the version's
    db.execute("ALTER TABLE documents ADD COLUMN identifiers TEXT")


@MIGRATIONS(name="0031_intake")
def _intake(db: Database) -> None:
    # files on their way in; process: who is taking one in
    db.execute(
        """
        CREATE TABLE intake (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            owner_id INTEGER NOT NULL REFERENCES owners (id),
            source TEXT NOT NULL,
            stamp TEXT NOT NULL,
            filename TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
            process TEXT,
            document_id INTEGER REFERENCES documents (id) ON DELETE SET NULL,
            already INTEGER NOT NULL DEFAULT 0 CHECK (already IN (0, 1)),
            error TEXT,
            seconds REAL,
            created TEXT NOT NULL,
            UNIQUE (owner_id, source)
        ) STRICT
        """
    )
    db.execute("CREATE INDEX intake_document ON intake (document_id)")


@MIGRATIONS(name="0032_width")
def _width(db: Database) -> None:
    # letters of full width are found as those of half width now: texts that have some are indexed anew, when idle
    wide = "SELECT sha256 FROM texts WHERE text GLOB '*[０-９Ａ-Ｚａ-ｚ]*'"
    wide = f"SELECT 1 FROM indexed_texts WHERE text_sha256 IN ({wide}) LIMIT 1"
    if list(db.query(wide)):
        db.execute("INSERT INTO text_pieces (text_pieces) VALUES ('delete-all')")
        db.execute("DELETE FROM indexed_texts")


@MIGRATIONS(name="0033_branches")
def _branches(db: Database) -> None:
    # a turn follows its parent; two with one parent are branches. head_id: the last turn of the branch that is shown
    db.execute("ALTER TABLE turns ADD COLUMN parent_id INTEGER REFERENCES turns (id)")
    db.execute("ALTER TABLE threads ADD COLUMN head_id INTEGER")
    db.execute("CREATE INDEX turns_parent ON turns (parent_id)")
    db.execute(
        "UPDATE turns SET parent_id = (SELECT p.id FROM turns p WHERE p.thread_id = turns.thread_id "
        "AND p.ordinal < turns.ordinal ORDER BY p.ordinal DESC LIMIT 1)"
    )
    db.execute(
        "UPDATE threads SET head_id = (SELECT id FROM turns WHERE thread_id = threads.id ORDER BY ordinal DESC LIMIT 1)"
    )


@MIGRATIONS(name="0040_any_job")
def _any_job(db: Database) -> None:
    for statement in ANY_JOB:
        db.execute(statement)


@MIGRATIONS(name="0041_artefacts")
def _artefacts(db: Database) -> None:
    for statement in ARTEFACTS:
        db.execute(statement)


@MIGRATIONS(name="0050_notes")
def _notes(db: Database) -> None:
    for statement in NOTES:
        db.execute(statement)


@MIGRATIONS(name="0051_gaze")
def _gaze(db: Database) -> None:
    # how a turn was read (the whole, or passages found) and where the model looked as it wrote; null for older turns
    for column in ("reading TEXT", "gaze TEXT"):
        db.execute(f"ALTER TABLE turns ADD COLUMN {column}")


@MIGRATIONS(name="0052_drafts")
def _drafts(db: Database) -> None:
    for statement in DRAFTS:
        db.execute(statement)


@MIGRATIONS(name="0060_pins")
def _pins(db: Database) -> None:
    # what was read of a pinned document is never evicted
    db.execute("ALTER TABLE documents ADD COLUMN pinned_at TEXT")


@MIGRATIONS(name="0070_recognized")
def _recognized(db: Database) -> None:
    for statement in (*RECOGNIZED, *RECOGNIZED_INTAKE):
        db.execute(statement)
