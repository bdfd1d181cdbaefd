"""Connections to the library's database: one a thread, one writer at a time, readers apart.

Knows nothing of documents. Opening checks the file before it touches it: what is not a library, is damaged, or was
written by a newer Lectern is left as it lies.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import filelock
from sqlite_utils import Database

from app.errors import LibraryBusy, LibraryDamaged, LibraryError, LibraryFull, LibraryNotWritable, LibraryTooNew
from app.library.schema import APPLICATION_ID, MIGRATIONS, known_migrations

BUSY_SECONDS = 30.0

_MAGIC = b"SQLite format 3\0"


class _Handle:
    """A connection that closes when its thread, or the library, goes."""

    def __init__(self, path: Path) -> None:
        connection = _connect(path, "rw")
        self.database = Database(connection, execute_plugins=False)
        self.writing = False
        # held by its thread inside a block: to close a connection that is being used crashes the process
        self.used = threading.RLock()
        self.inside = False
        self.close = weakref.finalize(self, connection.close)


class Connections:
    """The database at ``path``, created or migrated when opened.

    Raises LibraryDamaged, LibraryTooNew, LibraryBusy, LibraryFull or LibraryNotWritable, here and in every block.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        # sqlite's own waiting is a sleep without a queue: threads of this process take turns here first
        self._turn = threading.Lock()
        self._handles_lock = threading.Lock()
        self._closed = False
        with translated(path):
            if not _is_current(path):
                self._migrate()

    def _migrate(self) -> None:
        lock = filelock.FileLock(self.path.with_suffix(".lock"), timeout=BUSY_SECONDS, mode=0o600)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise LibraryBusy(BUSY_SECONDS) from None
        try:
            # somebody else may have done it while this process waited
            if _is_current(self.path):
                return
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(_connect(self.path, "rw")) as connection:
                database = Database(connection, execute_plugins=False)
                # one transaction: a library is of one schema or of the next, never between
                connection.execute("BEGIN IMMEDIATE")
                try:
                    MIGRATIONS.apply(database)
                    connection.execute("COMMIT")
                except BaseException:
                    database.rollback()
                    raise
                database.enable_wal()
        finally:
            lock.release()

    @contextmanager
    def read(self) -> Iterator[Database]:
        """A block that sees one state of the library, and never waits for the writer."""
        with translated(self.path), self._used() as handle:
            if handle.database.conn.in_transaction:
                yield handle.database
                return
            handle.database.begin()
            try:
                yield handle.database
            finally:
                handle.database.rollback()

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Database]:
        """A transaction, undone if the block raises. A block within a block belongs to the outer one.

        durable: on return it survives a power cut; without, it survives a crash of the process only.
        """
        with self._used() as handle:
            if handle.writing:
                yield handle.database
                return
            with self._written(handle, durable=durable) as database:
                yield database

    @contextmanager
    def _written(self, handle: _Handle, *, durable: bool) -> Iterator[Database]:
        connection = handle.database.conn
        if connection.in_transaction:
            raise RuntimeError("a read block cannot become a write block: open write() around it")
        with translated(self.path), self._turn:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            handle.writing = True
            try:
                yield handle.database
                connection.execute("COMMIT")
            except BaseException:
                handle.database.rollback()
                raise
            finally:
                handle.writing = False

    @contextmanager
    def apart(self) -> Iterator[sqlite3.Connection]:
        """A connection for this block alone, in no transaction."""
        with translated(self.path), closing(_connect(self.path, "rw")) as connection:
            yield connection

    def close(self) -> None:
        """Close the connections of all threads, once those that are inside a block have left it."""
        with self._handles_lock:
            self._closed = True
            handles = list(self._handles)
        for handle in handles:
            # one that never leaves keeps its own until its thread ends
            if handle.used.acquire(timeout=BUSY_SECONDS):
                handle.close()
                handle.used.release()

    @contextmanager
    def _used(self) -> Iterator[_Handle]:
        """This thread's connection, which nobody closes meanwhile."""
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is not None and handle.inside:
            # what was begun is ended, even if somebody waits to close
            yield handle
            return
        handle = self._handle()
        with handle.used:
            self._see_open()
            handle.inside = True
            try:
                yield handle
            finally:
                handle.inside = False

    def _see_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"the library {self.path} is closed")

    def _handle(self) -> _Handle:
        self._see_open()
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None:
            with translated(self.path), self._handles_lock:
                handle = self._local.handle = _Handle(self.path)
                self._handles.add(handle)
        return handle


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise sqlite's errors as the library's, each with its remedy; a mistake in the SQL passes as it is."""
    try:
        yield
    except sqlite3.Error as error:
        known = _known(error, path)
        if known is None:
            raise
        raise known from error


def _known(error: sqlite3.Error, path: Path) -> LibraryError | None:
    # extended codes carry the primary one in their low byte
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return LibraryBusy(BUSY_SECONDS)
    if code == sqlite3.SQLITE_FULL:
        return LibraryFull(str(path))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LibraryNotWritable(str(path))
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR):
        return LibraryDamaged(str(path), str(error))
    return None


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # by address and mode, so that a library that vanished is not made anew, empty
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        # a thread keeps to its own connection; only closing happens from another
        check_same_thread=False,
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _is_current(path: Path) -> bool:
    """Whether ``path`` is a library of today's schema; False where there is none yet, or an older one."""
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return False
    if not path.is_file():
        raise LibraryDamaged(str(path), "it is not a file")
    try:
        _check_head(path)
    except PermissionError:
        raise LibraryNotWritable(str(path)) from None
    # read-only: looking at a library of a newer Lectern must not even checkpoint it
    with closing(_connect(path, "ro")) as connection:
        database = Database(connection, recursive_triggers=False, execute_plugins=False)
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID and database.table_names():
            raise LibraryDamaged(str(path), "it is the database of another program")
        known = known_migrations()
        for migration in MIGRATIONS.applied(database):
            if migration.name not in known:
                raise LibraryTooNew(migration.name)
        return not MIGRATIONS.pending(database) and database.journal_mode == "wal"


def _check_head(path: Path) -> None:
    """Refuse what is no database, and one that is cut short, before sqlite opens it."""
    with path.open("rb") as file:
        head = file.read(100)
    if not head.startswith(_MAGIC) or len(head) < 100:
        raise LibraryDamaged(str(path), "it is not a database")
    page_size, changes, pages, valid_for = (
        struct.unpack_from(">H", head, 16)[0],
        *struct.unpack_from(">I", head, 24),
        *struct.unpack_from(">I", head, 28),
        *struct.unpack_from(">I", head, 92),
    )
    wal = path.with_name(path.name + "-wal")
    if changes != valid_for or (wal.exists() and wal.stat().st_size):
        # the head does not speak for the file: part of it is in the write-ahead log
        return
    needed = pages * (65536 if page_size == 1 else page_size)
    if path.stat().st_size < needed:
        raise LibraryDamaged(str(path), f"it has {path.stat().st_size:,} of {needed:,} bytes")
