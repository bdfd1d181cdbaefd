"""Files on their way in: noted before they are parsed, so that a batch goes on where a program that ended left it.

A file of a folder is known by its path, size and time: what was taken, or refused, is not opened again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from app.errors import DocumentError, LecternError
from app.library import rows
from app.library.records import Added
from app.library.values import clean, now, plain_name

if TYPE_CHECKING:
    from app.library.store import Library

State = Literal["waiting", "running", "stopped", "done", "failed"]
# what takes a file in: its path, its name, and a function to tell how many of its pages are recognized
Add = Callable[[Path, str, Callable[[int, int], None]], Added]

log = logging.getLogger(__name__)
# a child reads a file, one more thread would wait with it; memory bounds them too: a parser may take 4 GB
WORKERS = max(1, min(os.cpu_count() or 1, 8, int(psutil.virtual_memory().total / 4e9)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A file on its way. source: where it lies; seconds: that taking it in took; already: it stood on the shelf.

    done, total: pages of a scan, while they are recognized or where that was stopped; total None for any other file.
    """

    id: int
    owner_id: int
    source: str
    filename: str
    state: State
    document_id: int | None
    already: bool
    error: str | None
    seconds: float | None
    done: int
    total: int | None


_COLUMNS = "id, owner_id, source, filename, state, document_id, already, error, seconds, done, total"

# a file that nobody takes in any more: who asked to stop it has what was asked for
_LEFT = "state = iif(stop_requested, 'stopped', 'waiting'), process = NULL"


class Intake:
    def __init__(self, library: Library) -> None:
        self.library = library

    def note(self, owner_id: int, path: Path, filename: str | None = None, *, again: bool = False) -> Arrival:
        """Put a file in the queue, and return it as it stands: what was dealt with stays so, unless it has changed
        since. again: a refused file is tried once more."""
        source, stamp = clean(str(path.absolute())), _stamp(path)
        query = f"SELECT {_COLUMNS}, stamp FROM intake WHERE owner_id = ? AND source = ?"
        with self.library.write() as db:
            for row in db.query(query, [owner_id, source]):
                gone = row["document_id"] is not None and not _on_shelf(db, row["document_id"])
                known = row["state"] == "done" and not gone
                dealt = known or row["state"] == "running" or (row["state"] in ("failed", "stopped") and not again)
                if row.pop("stamp") == stamp and dealt:
                    return _arrival(row)
                db.execute("DELETE FROM intake WHERE id = ?", [row["id"]])
            name = plain_name(filename or path.name)
            return _arrival(
                rows.one(
                    db,
                    "INSERT INTO intake (owner_id, source, stamp, filename, state, created) "
                    f"VALUES (?, ?, ?, ?, 'waiting', ?) RETURNING {_COLUMNS}",
                    [owner_id, source, stamp, name, now()],
                )
            )

    def open(self, owner_id: int | None = None) -> list[Arrival]:
        """What waits, is being taken in, or was stopped, the oldest first."""
        where = "" if owner_id is None else "AND owner_id = ?"
        query = f"SELECT {_COLUMNS} FROM intake WHERE state IN ('waiting', 'running', 'stopped') {where} ORDER BY id"
        with self.library.read() as db:
            return [_arrival(row) for row in db.query(query, [] if owner_id is None else [owner_id])]

    def requeue(self) -> int:
        """Let what a process that is gone was taking in wait again; returns how many."""
        with self.library.write() as db:
            held = list(db.query("SELECT id, process FROM intake WHERE state = 'running'"))
            lost = [row["id"] for row in held if not _lives(row["process"])]
            for id in lost:
                db.execute(f"UPDATE intake SET {_LEFT} WHERE id = ?", [id])
        return len(lost)

    def claim(self, arrival: Arrival) -> bool:
        """Make it this process's; False: another has it, or it was dealt with."""
        with self.library.write() as db:
            changed = db.execute(
                "UPDATE intake SET state = 'running', process = ?, stop_requested = 0 "
                "WHERE id = ? AND state = 'waiting'",
                [_process(), arrival.id],
            )
            return bool(changed.rowcount)

    def stop(self, owner_id: int, id: int) -> None:
        """Let a file wait until it is wanted again: at once, or after the pages of a scan that are in hand."""
        with self.library.write() as db:
            db.execute(
                "UPDATE intake SET state = iif(state = 'waiting', 'stopped', state), stop_requested = 1 "
                "WHERE id = ? AND owner_id = ? AND state IN ('waiting', 'running')",
                [id, owner_id],
            )

    def resume(self, owner_id: int, id: int) -> Arrival | None:
        """Let a stopped file wait for its turn again; None if it is none of this owner's, or does not stand still."""
        query = "UPDATE intake SET state = 'waiting', stop_requested = 0 WHERE id = ? AND owner_id = ? "
        with self.library.write() as db:
            for row in list(db.query(f"{query} AND state = 'stopped' RETURNING {_COLUMNS}", [id, owner_id])):
                return _arrival(row)
        return None

    def get(self, owner_id: int, id: int) -> Arrival | None:
        query = f"SELECT {_COLUMNS} FROM intake WHERE id = ? AND owner_id = ?"
        with self.library.read() as db:
            return next((_arrival(row) for row in db.query(query, [id, owner_id])), None)

    def tell(self, arrival: Arrival, done: int, total: int) -> None:
        """Note how many pages are recognized. Raises Stopped if nobody wants the others now."""
        with self.library.write(durable=False) as db:
            db.execute("UPDATE intake SET done = ?, total = ? WHERE id = ?", [done, total, arrival.id])
            row = rows.one(db, "SELECT stop_requested FROM intake WHERE id = ?", [arrival.id])
        if row["stop_requested"] and done < total:
            raise Stopped

    def take(self, arrival: Arrival, add: Add, told: Callable[[int, int], None] | None = None) -> Arrival:
        """Take one file in, unless another process has it. told: pages of a scan that are recognized, and all of them.

        Raises what ``add`` does beside DocumentError, and Interrupted; the file waits then.
        """
        if not self.claim(arrival):
            return self._now(arrival)
        began = time.monotonic()
        document: int | None = None
        already, error = False, None

        def tell(done: int, total: int) -> None:
            self.tell(arrival, done, total)
            if told is not None:
                told(done, total)

        try:
            added = add(Path(arrival.source), arrival.filename, tell)
            document, already = added.document.id, added.already
        except Stopped:
            with self.library.write() as db:
                db.execute("UPDATE intake SET state = 'stopped', process = NULL WHERE id = ?", [arrival.id])
            return self._now(arrival)
        except DocumentError as refusal:
            error = str(refusal)
            if "SIGINT" in error or "SIGTERM" in error:
                # it was not the file: somebody ended its parser, most likely with this program
                self._wait_again(arrival)
                raise Interrupted from None
        except BaseException:
            self._wait_again(arrival)
            raise
        with self.library.write() as db:
            db.execute(
                "UPDATE intake SET state = ?, process = NULL, document_id = ?, already = ?, error = ?, seconds = ? "
                "WHERE id = ?",
                [
                    "failed" if error else "done",
                    document,
                    int(already),
                    None if error is None else clean(error),
                    round(time.monotonic() - began, 3),
                    arrival.id,
                ],
            )
        return self._now(arrival)

    def forget(self, arrival: Arrival) -> None:
        """Of a file that came by way of a browser nothing is left to know again."""
        with self.library.write() as db:
            db.execute("DELETE FROM intake WHERE id = ?", [arrival.id])

    def _now(self, arrival: Arrival) -> Arrival:
        with self.library.read() as db:
            for row in db.query(f"SELECT {_COLUMNS} FROM intake WHERE id = ?", [arrival.id]):
                return _arrival(row)
        return arrival

    def _wait_again(self, arrival: Arrival) -> None:
        with self.library.write() as db:
            db.execute(f"UPDATE intake SET {_LEFT} WHERE id = ?", [arrival.id])


class Stopped(Exception):
    """Its reader wants no more of a file recognized now."""


class Interrupted(Exception):
    """A file's parser was ended from outside."""


def work(
    intake: Intake,
    arrivals: Sequence[Arrival],
    add: Add,
    *,
    workers: int = WORKERS,
    told: Callable[[Arrival], None] | None = None,
    pages: Callable[[Arrival, int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> list[Arrival]:
    """Take files in, ``workers`` at a time, each parsed in a process of its own; returns them in the order they ended.

    told: called as each has ended, in this thread. pages: called in others with the pages of a scan that are
    recognized, and all of them. stop: once it is set nothing more is begun, and a scan waits with the pages it has.
    Raises the LibraryError of a file (a full disk): it would be that of all others.
    """
    stop = stop or threading.Event()
    trouble: list[Exception] = []

    def on(arrival: Arrival, done: int, total: int) -> None:
        if pages is not None:
            pages(arrival, done, total)
        if stop.is_set():
            raise Interrupted

    def one(arrival: Arrival) -> Arrival | None:
        if stop.is_set():
            return None
        try:
            return intake.take(arrival, add, partial(on, arrival))
        except Interrupted:
            stop.set()
        except LecternError as error:
            trouble.append(error)
            stop.set()
        except Exception as error:
            # never what it said: that may hold a reader's text
            log.error("a file could not be taken in: %s", type(error).__name__)
            trouble.append(error)
            stop.set()
        return None

    ended: list[Arrival] = []
    with ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="lectern-intake") as pool:
        try:
            for future in as_completed([pool.submit(one, arrival) for arrival in arrivals]):
                found = future.result()
                if found is not None:
                    ended.append(found)
                    if told is not None:
                        told(found)
        except BaseException:
            stop.set()
            raise
    if trouble:
        raise trouble[0]
    return ended


def files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Every ordinary file below a folder with one of the suffixes, in the order of their names."""
    known = set(suffixes)
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in known and path.is_file())


def _arrival(row: dict[str, object]) -> Arrival:
    return Arrival(**(row | {"already": bool(row["already"])}))  # type: ignore[arg-type]


def _on_shelf(db: object, document_id: object) -> bool:
    query = "SELECT 1 FROM documents WHERE id = ? AND deleted_at IS NULL"
    return bool(list(db.query(query, [document_id])))  # type: ignore[attr-defined]


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _process() -> str:
    return f"{os.getpid()} {psutil.Process().create_time()}"


def _lives(process: str | None) -> bool:
    number, _, began = (process or "").partition(" ")
    try:
        return str(psutil.Process(int(number)).create_time()) == began
    except (ValueError, psutil.Error):
        return False
