"""The tables of the library, and how an older one becomes a newer one.

A migration never changes once it has been released: the next change is a new function below the last.
What belongs to a person carries ``owner_id``. What does not is shared by everybody's shelf: files and texts under
their hashes, what one parser made of a file (``versions``, with its paragraphs, chapters and pages), tokenizations.
"""

from __future__ import annotations

from contextlib import closing

from sqlite_utils import Database, Migrations

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


_FIRST = """
CREATE TABLE owners (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL
) STRICT;

CREATE TABLE files (
    sha256 TEXT PRIMARY KEY,
    format TEXT NOT NULL,
    size INTEGER NOT NULL,
    created TEXT NOT NULL
) STRICT;

CREATE TABLE texts (
    sha256 TEXT PRIMARY KEY,
    characters INTEGER NOT NULL,
    text TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT;

CREATE TABLE versions (
    id INTEGER PRIMARY KEY,
    file_sha256 TEXT NOT NULL REFERENCES files (sha256),
    format TEXT NOT NULL,
    parser_version INTEGER NOT NULL,
    text_sha256 TEXT NOT NULL REFERENCES texts (sha256),
    title TEXT NOT NULL,
    authors TEXT NOT NULL,
    language TEXT,
    paragraphs INTEGER NOT NULL,
    chapters INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    created TEXT NOT NULL,
    UNIQUE (file_sha256, format, parser_version)
) STRICT;
CREATE INDEX versions_text ON versions (text_sha256);

CREATE TABLE paragraphs (
    version_id INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    "start" INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    PRIMARY KEY (version_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE chapters (
    version_id INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    title TEXT NOT NULL,
    level INTEGER NOT NULL,
    "start" INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    PRIMARY KEY (version_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE pages (
    version_id INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    "start" INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    PRIMARY KEY (version_id, number)
) STRICT, WITHOUT ROWID;

-- the count stands before the blobs, so that asking for it reads one page
CREATE TABLE tokenizations (
    text_sha256 TEXT NOT NULL REFERENCES texts (sha256),
    tokenizer TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    created TEXT NOT NULL,
    ids BLOB NOT NULL,
    offsets BLOB NOT NULL,
    PRIMARY KEY (text_sha256, tokenizer)
) STRICT;

CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES owners (id),
    version_id INTEGER NOT NULL REFERENCES versions (id),
    sha256 TEXT NOT NULL REFERENCES files (sha256),
    title TEXT NOT NULL,
    authors TEXT NOT NULL,
    filename TEXT NOT NULL,
    header TEXT,
    created TEXT NOT NULL,
    deleted_at TEXT,
    UNIQUE (owner_id, sha256)
) STRICT;
CREATE INDEX documents_version ON documents (version_id);

CREATE TABLE refusals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES owners (id),
    filename TEXT NOT NULL,
    error TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT;
CREATE INDEX refusals_owner ON refusals (owner_id);

CREATE TABLE readings (
    document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    identity TEXT NOT NULL,
    owner_id INTEGER NOT NULL REFERENCES owners (id),
    done INTEGER NOT NULL,
    total INTEGER NOT NULL,
    complete INTEGER NOT NULL CHECK (complete IN (0, 1)),
    seconds REAL NOT NULL,
    provenance TEXT NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (document_id, identity)
) STRICT, WITHOUT ROWID;

CREATE TABLE threads (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES owners (id),
    title TEXT NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    deleted_at TEXT
) STRICT;
CREATE INDEX threads_owner ON threads (owner_id, updated);

CREATE TABLE thread_documents (
    thread_id INTEGER NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    owner_id INTEGER NOT NULL REFERENCES owners (id),
    document_id INTEGER NOT NULL REFERENCES documents (id),
    PRIMARY KEY (thread_id, ordinal),
    UNIQUE (thread_id, document_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX thread_documents_document ON thread_documents (document_id);

CREATE TABLE turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id INTEGER NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    owner_id INTEGER NOT NULL REFERENCES owners (id),
    question TEXT NOT NULL,
    answer TEXT NOT NULL DEFAULT '',
    answer_ids BLOB,
    finish TEXT,
    tokens TEXT NOT NULL DEFAULT '{}',
    seconds TEXT NOT NULL DEFAULT '{}',
    model TEXT,
    error TEXT,
    created TEXT NOT NULL,
    UNIQUE (thread_id, ordinal)
) STRICT;

-- queued: when it last began to wait of its own accord; a preempted job keeps its place
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES owners (id),
    kind TEXT NOT NULL CHECK (kind IN ('read', 'ask')),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'stopped')),
    priority INTEGER NOT NULL,
    payload TEXT NOT NULL,
    document_id INTEGER REFERENCES documents (id),
    thread_id INTEGER REFERENCES threads (id),
    turn_id INTEGER REFERENCES turns (id),
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    reused INTEGER NOT NULL DEFAULT 0,
    tokens_per_second REAL,
    seconds_left REAL,
    error TEXT,
    stop_requested INTEGER NOT NULL DEFAULT 0 CHECK (stop_requested IN (0, 1)),
    created TEXT NOT NULL,
    queued TEXT NOT NULL,
    started TEXT,
    finished TEXT
) STRICT;
CREATE INDEX jobs_queue ON jobs (state, priority DESC, queued, id);
CREATE INDEX jobs_document ON jobs (document_id);
CREATE INDEX jobs_thread ON jobs (thread_id);
CREATE INDEX jobs_turn ON jobs (turn_id);
CREATE UNIQUE INDEX jobs_one_reading ON jobs (document_id)
    WHERE kind = 'read' AND state IN ('waiting', 'running');

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    owner_id INTEGER NOT NULL REFERENCES owners (id),
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT;
CREATE INDEX events_job ON events (job_id, id);
"""


@MIGRATIONS(name="0001_first")
def _first(db: Database) -> None:
    db.executescript(_FIRST)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


@MIGRATIONS(name="0002_quotes")
def _quotes(db: Database) -> None:
    # what an answer quotes, found in the texts or not; null where nobody has looked yet
    db.execute("ALTER TABLE turns ADD COLUMN quotes TEXT")


# of texts, not of people. The index keeps no text and no positions: it names paragraphs, which are then counted
_SEARCH = (
    """
    CREATE TABLE indexed_texts (
        id INTEGER PRIMARY KEY,
        text_sha256 TEXT NOT NULL UNIQUE REFERENCES texts (sha256),
        created TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE VIRTUAL TABLE text_pieces USING fts5 (pieces, content = '', detail = none, columnsize = 0, tokenize = ascii)
    """,
)
# a tag is what others call a collection: a document has several, a tag many documents
_TAGS = (
    """
    CREATE TABLE tags (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        name TEXT NOT NULL,
        UNIQUE (owner_id, name)
    ) STRICT
    """,
    """
    CREATE TABLE document_tags (
        document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
        tag_id INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        PRIMARY KEY (document_id, tag_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX document_tags_tag ON document_tags (tag_id)",
    "CREATE INDEX documents_deleted ON documents (deleted_at) WHERE deleted_at IS NOT NULL",
)


@MIGRATIONS(name="0010_search")
def _search(db: Database) -> None:
    # texts that are there already are indexed later, one at a time: opening a library must not wait for that
    for statement in _SEARCH:
        db.execute(statement)


@MIGRATIONS(name="0011_tags")
def _tags(db: Database) -> None:
    for statement in _TAGS:
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
