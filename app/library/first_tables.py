"""The tables that a library begins with, of its full text and of tags: statements of migrations, never changed."""

from __future__ import annotations

FIRST = """
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

# of texts, not of people. The index keeps no text and no positions: it names paragraphs, which are then counted
SEARCH = (
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
TAGS = (
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
