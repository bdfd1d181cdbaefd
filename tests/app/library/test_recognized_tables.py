"""The table of files on their way is made anew by a migration: a batch goes on over an update."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from sqlite_utils import Database

from app.library.schema import MIGRATIONS


def test_a_batch_outlives_it() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        database = Database(connection, execute_plugins=False)
        connection.execute("BEGIN IMMEDIATE")
        MIGRATIONS.apply(database, stop_before="0070_recognized")
        connection.execute("INSERT INTO owners VALUES (1, 'local', 't')")
        for name, state in (("a.txt", "done"), ("b.txt", "waiting"), ("c.txt", "failed")):
            connection.execute(
                "INSERT INTO intake (owner_id, source, stamp, filename, state, seconds, created) "
                "VALUES (1, ?, '1 2', ?, ?, 0.5, 't')",
                [f"/x/{name}", name, state],
            )
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        MIGRATIONS.apply(database)
        connection.execute("COMMIT")
        query = "SELECT id, filename, state, stamp, seconds, done, total, stop_requested FROM intake"
        assert connection.execute(query).fetchall() == [
            (1, "a.txt", "done", "1 2", 0.5, 0, None, 0),
            (2, "b.txt", "waiting", "1 2", 0.5, 0, None, 0),
            (3, "c.txt", "failed", "1 2", 0.5, 0, None, 0),
        ]
        connection.execute("UPDATE intake SET state = 'stopped' WHERE id = 2")
        # pages go with the file that they are of
        connection.execute("INSERT INTO recognitions VALUES ('f', 'x', NULL, 2, 't')")
        connection.execute("INSERT INTO recognized_pages VALUES ('f', 1, '[]')")
        connection.execute("DELETE FROM recognitions")
        assert connection.execute("SELECT count(*) FROM recognized_pages").fetchone() == (0,)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
