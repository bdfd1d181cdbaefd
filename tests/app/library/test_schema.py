"""The tables: owned, strict, and migrated as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlite_utils import Database

from app.errors import LibraryTooNew
from app.library.schema import APPLICATION_ID, MIGRATIONS, known_migrations
from app.library.store import Library

# what no person owns: it is named by its content, or hangs on what is
SHARED = {"owners", "files", "texts", "versions", "paragraphs", "chapters", "pages", "tokenizations", "indexed_texts"}
SHARED |= {"recognitions", "recognized_pages"}
# FTS5 keeps tables of its own beside its virtual one
INDEX = {f"text_pieces{part}" for part in ("", "_config", "_data", "_idx")}
MACHINERY = {"_sqlite_migrations", "sqlite_sequence"} | INDEX


def test_every_row_of_a_person_has_an_owner(library: Library) -> None:
    with library.read() as db:
        owned = {
            name
            for name in db.table_names()
            if any(column.name == "owner_id" and column.notnull for column in db.table(name).columns)
        }
        assert set(db.table_names()) - SHARED - MACHINERY == owned
        for name in owned:
            assert "owners" in {key.other_table for key in db.table(name).foreign_keys}


def test_every_table_is_strict(library: Library) -> None:
    with library.read() as db:
        assert [t.name for t in db.tables if t.name not in MACHINERY and not t.strict] == []


def test_every_foreign_key_can_be_followed_by_an_index(library: Library) -> None:
    with library.read() as db:
        for table in db.tables:
            first_columns = {index.columns[0] for index in table.indexes} | {table.pks[0]}
            for key in table.foreign_keys:
                # an owner is never deleted, and everything is asked for by owner or by parent
                if key.other_table not in ("owners", "files"):
                    assert key.column in first_columns, (table.name, key.column)


def test_the_database_says_whose_it_is(library: Library) -> None:
    with library.read() as db:
        assert db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        assert [migration.name for migration in MIGRATIONS.applied(db)] == sorted(known_migrations())
        assert db.journal_mode == "wal"
        assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
        assert db.execute("PRAGMA busy_timeout").fetchone()[0] == 30_000


def test_a_migration_that_fails_leaves_no_half(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(db: Database) -> None:
        db.execute("CREATE TABLE half (id INTEGER)")
        raise RuntimeError("the power went")

    Library(home).close()
    monkeypatch.setattr(MIGRATIONS, "_migrations", [*MIGRATIONS._migrations])
    MIGRATIONS(name="9999_broken")(broken)
    with pytest.raises(RuntimeError, match="the power went"):
        Library(home)
    monkeypatch.undo()
    with Library(home) as library, library.read() as db:
        assert "half" not in db.table_names()


def test_an_older_library_is_migrated_and_keeps_its_rows(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Library(home) as library:
        owner = library.owner("ada")
    monkeypatch.setattr(MIGRATIONS, "_migrations", [*MIGRATIONS._migrations])
    MIGRATIONS(name="9999_next")(lambda db: db.execute("ALTER TABLE owners ADD COLUMN colour TEXT"))
    with Library(home) as library:
        assert library.owner("ada") == owner
        with library.read() as db:
            assert "colour" in db.table("owners").columns_dict
    monkeypatch.undo()
    # and the program of before now meets a library that is too new for it
    with pytest.raises(LibraryTooNew, match="9999_next"):
        Library(home)
