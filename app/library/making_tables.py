"""The tables of artefacts, and that of jobs without its list of kinds: statements of migrations, never changed."""

from __future__ import annotations

# the kinds of work grow: the table says no more which there are. A table that is dropped takes the rows of those that
# refer to it along, so the events are set aside
ANY_JOB = (
    """
    CREATE TABLE jobs_next (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        kind TEXT NOT NULL,
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
    ) STRICT
    """,
    """
    INSERT INTO jobs_next SELECT id, owner_id, kind, state, priority, payload, document_id, thread_id, turn_id, done,
        total, reused, tokens_per_second, seconds_left, error, stop_requested, created, queued, started, finished
        FROM jobs
    """,
    "CREATE TEMP TABLE events_aside AS SELECT id, job_id, owner_id, kind, payload, created FROM events",
    "DROP TABLE jobs",
    "ALTER TABLE jobs_next RENAME TO jobs",
    "INSERT INTO events (id, job_id, owner_id, kind, payload, created) SELECT * FROM events_aside",
    "DROP TABLE events_aside",
    "CREATE INDEX jobs_queue ON jobs (state, priority DESC, queued, id)",
    "CREATE INDEX jobs_document ON jobs (document_id)",
    "CREATE INDEX jobs_thread ON jobs (thread_id)",
    "CREATE INDEX jobs_turn ON jobs (turn_id)",
    """
    CREATE UNIQUE INDEX jobs_one_reading ON jobs (document_id)
        WHERE kind = 'read' AND state IN ('waiting', 'running')
    """,
)
ARTEFACTS = (
    """
    CREATE TABLE templates (
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        id TEXT NOT NULL,
        source TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        PRIMARY KEY (owner_id, id)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE artefacts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        template TEXT NOT NULL,
        title TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        deleted_at TEXT
    ) STRICT
    """,
    "CREATE INDEX artefacts_owner ON artefacts (owner_id, updated)",
    """
    CREATE TABLE artefact_documents (
        artefact_id INTEGER NOT NULL REFERENCES artefacts (id) ON DELETE CASCADE,
        ordinal INTEGER NOT NULL,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        document_id INTEGER NOT NULL REFERENCES documents (id),
        PRIMARY KEY (artefact_id, ordinal),
        UNIQUE (artefact_id, document_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX artefact_documents_document ON artefact_documents (document_id)",
    # source: the template as it was then; content: null until something was made
    """
    CREATE TABLE artefact_versions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        artefact_id INTEGER NOT NULL REFERENCES artefacts (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        made_by TEXT NOT NULL CHECK (made_by IN ('model', 'hand')),
        source TEXT NOT NULL,
        choices TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('making', 'done', 'failed', 'stopped')),
        job_id INTEGER,
        model TEXT,
        error TEXT,
        content TEXT,
        created TEXT NOT NULL,
        finished TEXT,
        UNIQUE (artefact_id, number)
    ) STRICT
    """,
    # key: a hash of all that the result depends on; result: the items, as JSON
    """
    CREATE TABLE artefact_steps (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        version_id INTEGER NOT NULL REFERENCES artefact_versions (id) ON DELETE CASCADE,
        ordinal INTEGER NOT NULL,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        kind TEXT NOT NULL CHECK (kind IN ('part', 'join')),
        title TEXT NOT NULL,
        document_id INTEGER,
        span TEXT NOT NULL,
        key TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
        tries INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        result TEXT,
        tokens TEXT NOT NULL DEFAULT '{}',
        seconds REAL NOT NULL DEFAULT 0,
        finished TEXT,
        UNIQUE (version_id, ordinal)
    ) STRICT
    """,
    "CREATE INDEX artefact_steps_key ON artefact_steps (owner_id, key)",
)
# text: as it is now; a version is a copy of it. bible: [{"kind", "name", "fact", "source"}]; style: rules, a text
DRAFTS = (
    """
    CREATE TABLE drafts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        title TEXT NOT NULL,
        language TEXT NOT NULL,
        text TEXT NOT NULL DEFAULT '',
        style TEXT NOT NULL DEFAULT '',
        bible TEXT NOT NULL DEFAULT '[]',
        documents TEXT NOT NULL DEFAULT '[]',
        revision INTEGER NOT NULL DEFAULT 0,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        deleted_at TEXT
    ) STRICT
    """,
    "CREATE INDEX drafts_owner ON drafts (owner_id, updated)",
    """
    CREATE TABLE draft_versions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        draft_id INTEGER NOT NULL REFERENCES drafts (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        text TEXT NOT NULL,
        why TEXT NOT NULL,
        created TEXT NOT NULL,
        UNIQUE (draft_id, number)
    ) STRICT
    """,
    # what a job wrote for a range of the text; before: what stood there
    """
    CREATE TABLE draft_options (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        draft_id INTEGER NOT NULL REFERENCES drafts (id) ON DELETE CASCADE,
        owner_id INTEGER NOT NULL REFERENCES owners (id),
        job_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        task TEXT NOT NULL,
        "start" INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        before TEXT NOT NULL,
        text TEXT NOT NULL,
        items TEXT NOT NULL DEFAULT '[]',
        chosen INTEGER NOT NULL DEFAULT 0 CHECK (chosen IN (0, 1)),
        created TEXT NOT NULL,
        UNIQUE (job_id, number)
    ) STRICT
    """,
    "CREATE INDEX draft_options_draft ON draft_options (draft_id)",
)
