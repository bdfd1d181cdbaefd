"""Opening, reading and writing: one writer, readers apart, nothing touched that is not ours."""

from __future__ import annotations

import gc
import hashlib
import os
import random
import sqlite3
import stat
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import LibraryBusy, LibraryDamaged, LibraryFull, LibraryNotWritable, LibraryTooNew
from app.library import database
from app.library.database import Connections
from app.library.schema import MIGRATIONS
from app.library.store import Library

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes of files exist on POSIX only")


def _facts(path: Path) -> tuple[str, int, int, int]:
    found = path.stat()
    return hashlib.sha256(path.read_bytes()).hexdigest(), found.st_mtime_ns, found.st_ino, found.st_mode


def _made(home: Path) -> Path:
    Library(home).close()
    return home / "library.db"


class TestOpening:
    def test_a_new_home_is_made(self, home: Path) -> None:
        path = _made(home)
        assert path.read_bytes().startswith(b"SQLite format 3\0")
        # closed cleanly: everything is in the one file
        assert not list(home.glob("library.db-*"))

    @posix
    def test_only_the_owner_may_look(self, home: Path) -> None:
        old = os.umask(0o022)
        try:
            with Library(home) as library:
                library.owner()
                modes = {p.relative_to(home).as_posix(): stat.S_IMODE(p.stat().st_mode) for p in home.rglob("*")}
        finally:
            os.umask(old)
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert modes.keys() >= {"library.db", "library.db-wal", "library.db-shm", "files", "files/incoming"}
        for name, mode in modes.items():
            assert mode == (0o700 if (home / name).is_dir() else 0o600), name

    @posix
    def test_a_database_that_others_could_read_is_closed_to_them(self, home: Path) -> None:
        path = _made(home)
        path.chmod(0o644)
        _made(home)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_an_empty_file_is_a_library_that_was_never_begun(self, home: Path) -> None:
        home.mkdir()
        (home / "library.db").touch()
        with Library(home) as library:
            assert library.owner() == 1

    @pytest.mark.parametrize(
        "content",
        [
            b"not a database, but long enough to have a head" * 10,
            b"SQLite format 3\0",
            b"SQLite format 3\0" + b"x" * 4096,
        ],
        ids=["text", "short", "noise"],
    )
    def test_a_file_that_is_no_database_is_refused_untouched(self, content: bytes, home: Path) -> None:
        home.mkdir()
        path = home / "library.db"
        path.write_bytes(content)
        before = _facts(path)
        with pytest.raises(LibraryDamaged) as caught:
            Library(home)
        assert str(path) in str(caught.value)
        assert _facts(path) == before

    def test_a_database_cut_short_is_refused_untouched(self, home: Path) -> None:
        path = _made(home)
        os.truncate(path, path.stat().st_size - 4096)
        before = _facts(path)
        with pytest.raises(LibraryDamaged, match="bytes"):
            Library(home)
        assert _facts(path) == before

    def test_a_database_of_another_program_is_refused_untouched(self, home: Path) -> None:
        home.mkdir()
        path = home / "library.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE photographs (id INTEGER PRIMARY KEY)")
        before = _facts(path)
        with pytest.raises(LibraryDamaged, match="another program"):
            Library(home)
        assert _facts(path) == before

    @pytest.mark.parametrize("log", ["checkpointed", "pending"])
    def test_a_newer_library_is_refused_untouched(self, log: str, home: Path) -> None:
        path = _made(home)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('lectern', '0042_future')")
        if log == "checkpointed":
            connection.close()
        watched = [path] if log == "checkpointed" else [path, home / "library.db-wal"]
        before = [_facts(p) for p in watched]
        with pytest.raises(LibraryTooNew) as caught:
            Library(home)
        assert caught.value.version == "0042_future"
        assert [_facts(p) for p in watched] == before
        connection.close()

    def test_migrations_of_another_set_are_none_of_ours(self, home: Path) -> None:
        with closing(sqlite3.connect(_made(home), isolation_level=None)) as connection:
            connection.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('plugin', '0042_x')")
        with Library(home) as library:
            assert library.owner() == 1

    def test_a_folder_in_its_place(self, home: Path) -> None:
        (home / "library.db").mkdir(parents=True)
        with pytest.raises(LibraryDamaged, match="not a file"):
            Library(home)

    def test_a_home_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(LibraryNotWritable, match="file"):
            Library(tmp_path / "file" / "home")

    def test_damage_within_is_named_when_it_is_met(self, home: Path) -> None:
        path = _made(home)
        chance = random.Random(3)
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(chance.randbytes(path.stat().st_size - 4096))
        with pytest.raises(LibraryDamaged), Library(home) as library:
            library.owner()

    def test_a_home_with_odd_characters(self, tmp_path: Path) -> None:
        for name in ("a b", "50%25", "what?", "#1", "书架"):
            with Library(tmp_path / name) as library:
                assert library.owner() == 1
            assert (tmp_path / name / "library.db").is_file()

    def test_many_threads_open_one_new_home_at_once(self, home: Path) -> None:
        start = threading.Barrier(6)
        owners: list[int] = []

        def open_it() -> None:
            start.wait()
            with Library(home) as library:
                owners.append(library.owner())

        _together([open_it] * 6)
        assert owners == [1] * 6


class TestWriting:
    def test_a_block_that_raises_is_undone(self, library: Library) -> None:
        with pytest.raises(KeyError), library.write() as db:
            db.execute("INSERT INTO owners (name, created) VALUES ('ghost', '')")
            raise KeyError("x")
        with library.read() as db:
            assert [row["name"] for row in db.query("SELECT name FROM owners")] == []

    def test_a_block_within_a_block_belongs_to_the_outer(self, library: Library) -> None:
        with pytest.raises(KeyError), library.write():
            library.owner("ghost")
            raise KeyError("x")
        with library.read() as db:
            assert db.table("owners").count == 0

    def test_a_read_within_a_write_sees_what_was_written(self, library: Library) -> None:
        with library.write() as db:
            db.execute("INSERT INTO owners (name, created) VALUES ('ada', '')")
            assert library.owner("ada") == 1

    def test_a_read_block_never_turns_into_a_write(self, library: Library) -> None:
        with library.read(), pytest.raises(RuntimeError, match=r"open write\(\)"):
            library.owner("ada")

    def test_a_reader_sees_one_state_and_does_not_wait(self, library: Library) -> None:
        library.owner("ada")
        read, written = threading.Event(), threading.Event()
        seen: list[int] = []

        def reader() -> None:
            with library.read() as db:
                seen.append(db.table("owners").count)
                read.set()
                assert written.wait(10)
                seen.append(db.table("owners").count)
            with library.read() as db:
                seen.append(db.table("owners").count)

        def writer() -> None:
            assert read.wait(10)
            library.owner("bob")
            written.set()

        _together([reader, writer])
        assert seen == [1, 1, 2]

    def test_a_writer_does_not_hold_up_a_reader(self, library: Library) -> None:
        with library.write() as db:
            db.execute("INSERT INTO owners (name, created) VALUES ('ada', '')")
            seen: list[int] = []

            def reader() -> None:
                with library.read() as db:
                    seen.append(db.table("owners").count)

            _together([reader])
            assert seen == [0]

    def test_writers_take_turns_and_lose_nothing(self, library: Library) -> None:
        def count_up() -> None:
            for _ in range(25):
                with library.write(durable=False) as db:
                    (value,) = db.execute("SELECT coalesce(max(size), 0) FROM files").fetchone()
                    db.execute("INSERT INTO files VALUES (?, 'txt', ?, '')", [f"{value:064}", value + 1])

        _together([count_up] * 4)
        with library.read() as db:
            assert db.execute("SELECT count(*), max(size) FROM files").fetchone() == (100, 100)

    def test_the_right_to_write_is_taken_at_the_beginning(self, home: Path, library: Library) -> None:
        # a block that reads first and writes then would else fail when another process writes between
        with closing(sqlite3.connect(home / "library.db", isolation_level=None, timeout=0)) as other:
            with library.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")

    def test_durable_is_flushed_and_the_rest_is_not(self, library: Library) -> None:
        for durable, expected in ((True, 2), (False, 1), (True, 2)):
            with library.write(durable=durable) as db:
                assert db.execute("PRAGMA synchronous").fetchone()[0] == expected

    def test_a_library_held_by_another_program_is_busy(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
        with Library(home) as library, closing(sqlite3.connect(home / "library.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LibraryBusy):
                library.owner("ada")
            other.execute("ROLLBACK")
            assert library.owner("ada") == 1

    def test_a_full_disk_loses_nothing(self, library: Library) -> None:
        library.owner("ada")
        with library.read() as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
        with pytest.raises(LibraryFull), library.write() as db:
            db.execute("INSERT INTO owners (name, created) VALUES ('bob', '')")
            # sqlite's own way to say that the disk ends here
            db.execute(f"PRAGMA max_page_count = {pages + 1}")
            db.execute("INSERT INTO owners (name, created) VALUES (?, '')", ["x" * 100_000])
        with library.read() as db:
            assert [row["name"] for row in db.query("SELECT name FROM owners")] == ["ada"]
        assert library.check() == []

    def test_a_mistake_in_the_code_is_not_dressed_up(self, library: Library) -> None:
        with pytest.raises(sqlite3.OperationalError, match="no such table"), library.read() as db:
            db.execute("SELECT * FROM photographs")
        with pytest.raises(sqlite3.IntegrityError), library.write() as db:
            db.execute("INSERT INTO refusals (owner_id, filename, error, created) VALUES (99, '', '', '')")


class TestConnections:
    def test_each_thread_has_its_own_and_it_goes_with_the_thread(self, home: Path) -> None:
        home.mkdir()
        connections = Connections(home / "library.db")
        ids: list[int] = []

        def use() -> None:
            with connections.read() as db:
                ids.append(id(db.conn))
            with connections.read() as db:
                ids.append(id(db.conn))

        with connections.read() as db:
            ids.append(id(db.conn))
            _together([use])
        assert ids[1] == ids[2] != ids[0]
        gc.collect()
        assert len(connections._handles) == 1
        connections.close()

    def test_who_is_inside_a_block_ends_it_before_the_library_closes(self, home: Path) -> None:
        library, inside, go_on = Library(home), threading.Event(), threading.Event()
        ended: list[str] = []

        def work() -> None:
            with library.write() as db:
                inside.set()
                assert go_on.wait(60)
                with library.read() as same:
                    assert same is db
                db.execute("INSERT INTO owners (name, created) VALUES ('late', '2026')")
            ended.append("written")

        def close() -> None:
            library.close()
            ended.append("closed")

        worker, closer = threading.Thread(target=work), threading.Thread(target=close)
        worker.start()
        assert inside.wait(60)
        closer.start()
        closer.join(0.3)
        assert closer.is_alive()
        go_on.set()
        for thread in (worker, closer):
            thread.join(60)
        assert ended == ["written", "closed"]
        with pytest.raises(RuntimeError, match="closed"), library.read():
            pass
        with Library(home) as again, again.read() as db:
            assert len(list(db.query("SELECT 1 FROM owners WHERE name = 'late'"))) == 1

    def test_closed_is_closed(self, home: Path) -> None:
        library = Library(home)
        library.close()
        library.close()
        with pytest.raises(RuntimeError, match="closed"):
            library.owner()

    def test_a_library_that_vanished_is_not_made_anew(self, home: Path) -> None:
        with Library(home) as library:
            library.owner()
            (home / "library.db").unlink()
            failed: list[BaseException] = []

            def use() -> None:
                try:
                    library.owner("new")
                except LibraryNotWritable as error:
                    failed.append(error)

            _together([use])
            assert len(failed) == 1
            assert not (home / "library.db").exists()

    def test_the_migrations_are_known_by_name(self) -> None:
        names = [migration.name for migration in MIGRATIONS._migrations]
        assert names == [
            "0001_first", "0002_quotes", "0010_search", "0011_tags", "0012_document_metadata", "0013_chapter_kind",
            "0030_document_chapters", "0031_intake", "0032_width", "0033_branches",
            "0040_any_job", "0041_artefacts", "0050_notes", "0051_gaze", "0052_drafts", "0060_pins", "0070_recognized",
        ]  # fmt: skip


def _together(works: list) -> None:  # type: ignore[type-arg]
    """Run callables in a thread each; the first failure of any is raised."""
    failures: list[BaseException] = []

    def run(work) -> None:  # type: ignore[no-untyped-def]
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if failures:
        raise failures[0]
