"""The table of jobs is made anew by a migration: what refers to it must outlive that."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlite_utils import Database

from app.library.schema import MIGRATIONS

JOB = "INSERT INTO jobs (owner_id, kind, state, priority, payload, created, queued) VALUES (1, ?, ?, 3, '{}', 't', 't')"
EVENT = "INSERT INTO events (job_id, owner_id, kind, payload, created) VALUES (?, 1, 'delta', '{}', 't') RETURNING id"


@pytest.fixture
def older() -> Iterator[Database]:
    """A library of before, with a job and one of its two events left."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        database = Database(connection, execute_plugins=False)
        connection.execute("BEGIN IMMEDIATE")
        MIGRATIONS.apply(database, stop_before="0040_any_job")
        connection.execute("INSERT INTO owners VALUES (1, 'local', 't')")
        connection.execute(JOB, ["read", "waiting"])
        for _ in range(2):
            connection.execute(EVENT, [1]).fetchall()
        connection.execute("DELETE FROM events WHERE id = 2")
        connection.execute("COMMIT")
        yield database


def test_jobs_and_their_events_outlive_it(older: Database) -> None:
    connection = older.conn
    connection.execute("BEGIN IMMEDIATE")
    MIGRATIONS.apply(older)
    connection.execute("COMMIT")
    assert connection.execute("SELECT id, kind, state FROM jobs").fetchall() == [(1, "read", "waiting")]
    assert connection.execute("SELECT id, job_id FROM events").fetchall() == [(1, 1)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    # a cursor of a follower never meets an id again
    assert connection.execute(EVENT, [1]).fetchall() == [(3,)]
    connection.execute(JOB, ["make", "waiting"])
    connection.execute("DELETE FROM jobs WHERE id = 1")
    assert connection.execute("SELECT count(*) FROM events").fetchall() == [(0,)]
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(JOB, ["make", "lost"])
