"""The queue of the engine's work. Any process enqueues, stops and follows; the holder of ``engine.lock`` claims.

waiting ── claim ──> running ── finish ──> done | failed | stopped
   ^ <── requeue ──────┘  a question came first, or the process died: it goes on later, in its old place
A stopped or failed reading that is asked for again is the same job, waiting again.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from sqlite_utils import Database

from app.errors import JobNotFound, ThreadNotFound
from app.library import rows
from app.library.records import EventRecord, JobKind, JobRecord, JobState
from app.library.values import clean, now, to_json

if TYPE_CHECKING:
    from app.library.store import Library

EVENTS_KEPT = timedelta(days=1)

_COLUMNS = (
    "id, owner_id, kind, state, priority, payload, document_id, thread_id, turn_id, done, total, reused, "
    "tokens_per_second, seconds_left, error, created, started, finished"
)


class Jobs:
    def __init__(self, library: Library) -> None:
        self.library = library

    def enqueue(
        self,
        owner_id: int,
        kind: JobKind,
        payload: dict[str, Any],
        *,
        priority: int,
        document_id: int | None = None,
        thread_id: int | None = None,
        turn_id: int | None = None,
    ) -> JobRecord:
        """Let a job wait. A document is read by one job at a time: one that waits or runs is returned, at the higher
        of both priorities; one that was stopped or failed waits again, with its progress and the new payload.

        Raises DocumentNotFound, ThreadNotFound for what is not this owner's.
        """
        with self.library.write() as db:
            if document_id is not None:
                rows.require_document(db, owner_id, document_id)
            if thread_id is not None:
                query = "SELECT 1 FROM threads WHERE id = ? AND owner_id = ? AND deleted_at IS NULL"
                if not list(db.query(query, [thread_id, owner_id])):
                    raise ThreadNotFound(thread_id)
            if kind == "read" and document_id is not None:
                again = _read_again(db, document_id, payload, priority)
                if again is not None:
                    return again
            time = now()
            row = rows.one(
                db,
                "INSERT INTO jobs (owner_id, kind, state, priority, payload, document_id, thread_id, turn_id, created, "
                f"queued) VALUES (?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
                [owner_id, kind, priority, to_json(payload), document_id, thread_id, turn_id, time, time],
            )
            return _record(row)

    def get(self, owner_id: int | None, id: int) -> JobRecord:
        """``owner_id`` None is the engine's own view of everybody's jobs. Raises JobNotFound."""
        with self.library.read() as db:
            return _get(db, owner_id, id)

    def list(
        self, owner_id: int | None, states: Collection[JobState] | None = None, kind: JobKind | None = None
    ) -> builtins.list[JobRecord]:
        """Jobs in the order in which they were made."""
        query = f"SELECT {_COLUMNS} FROM jobs WHERE (?1 IS NULL OR owner_id = ?1) AND (?2 IS NULL OR kind = ?2) "
        if states is not None:
            query += "AND state IN (SELECT value FROM json_each(?3)) "
        parameters = [owner_id, kind, *([] if states is None else [to_json(sorted(states))])]
        with self.library.read() as db:
            return [_record(row) for row in db.query(query + "ORDER BY id", parameters)]

    def claim(self, *, least: int = 0, below: int | None = None) -> JobRecord | None:
        """Start the job that waits with the highest priority, from ``least`` on and under ``below``, the oldest of
        them; no other claim gets it."""
        with self.library.write() as db:
            found = list(
                db.query(
                    "UPDATE jobs SET state = 'running', started = ?, finished = NULL, error = NULL, stop_requested = 0 "
                    "WHERE id = (SELECT id FROM jobs WHERE state = 'waiting' AND priority >= ? AND priority < ? "
                    f"ORDER BY priority DESC, queued, id LIMIT 1) RETURNING {_COLUMNS}",
                    [now(), least, (1 << 62) if below is None else below],
                )
            )
            return _record(found[0]) if found else None

    def progress(
        self,
        id: int,
        *,
        done: int,
        total: int,
        reused: int = 0,
        tokens_per_second: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """Note how far a running job is. One that does not run any more keeps what it says."""
        with self.library.write(durable=False) as db:
            db.execute(
                "UPDATE jobs SET done = ?, total = ?, reused = ?, tokens_per_second = ?, seconds_left = ? "
                "WHERE id = ? AND state = 'running'",
                [done, total, reused, _real(tokens_per_second), _real(seconds_left), id],
            )

    def finish(self, id: int, state: Literal["done", "failed", "stopped"], error: str | None = None) -> JobRecord:
        """End a running job. One that does not run stays as it is. Raises JobNotFound, ValueError for the state."""
        if state not in ("done", "failed", "stopped"):
            raise ValueError(f"a job cannot finish as {state!r}")
        with self.library.write() as db:
            db.execute(
                "UPDATE jobs SET state = ?, error = ?, finished = ?, seconds_left = NULL "
                "WHERE id = ? AND state = 'running'",
                [state, None if error is None else clean(error), now(), id],
            )
            return _get(db, None, id)

    def requeue(self, id: int) -> JobRecord:
        """Let a running job wait again in its old place; if it was asked to stop meanwhile, it is stopped instead."""
        with self.library.write() as db:
            _requeue(db, "id = ?", [id])
            return _get(db, None, id)

    def requeue_orphans(self) -> int:
        """Let all running jobs wait again, and prune; returns how many wait. Only for the holder of ``engine.lock``:
        what runs while it does not run it is left from a process that died."""
        with self.library.write() as db:
            self.prune()
            return _requeue(db, "1", [])

    def request_stop(self, owner_id: int | None, id: int) -> JobRecord:
        """Stop a waiting job at once; ask a running one to; leave a finished one. Raises JobNotFound."""
        with self.library.write() as db:
            _get(db, owner_id, id)
            rows.stop_jobs(db, "id = ?", [id])
            return _get(db, owner_id, id)

    def stop_requested(self, id: int) -> bool:
        """Whether a running job shall end. Cheap: for every chunk and token. Raises JobNotFound."""
        with self.library.read() as db:
            for row in db.query("SELECT stop_requested FROM jobs WHERE id = ?", [id]):
                return bool(row["stop_requested"])
        raise JobNotFound(id)

    def waiting_above(self, priority: int) -> bool:
        """Whether something more urgent waits."""
        with self.library.read() as db:
            return bool(
                list(db.query("SELECT 1 FROM jobs WHERE state = 'waiting' AND priority > ? LIMIT 1", [priority]))
            )

    def emit(self, job_id: int, kind: str, payload: dict[str, Any]) -> int:
        """Tell the job's followers; returns the event's id. Raises JobNotFound."""
        with self.library.write(durable=False) as db:
            found = list(
                db.query(
                    "INSERT INTO events (job_id, owner_id, kind, payload, created) "
                    "SELECT id, owner_id, ?, ?, ? FROM jobs WHERE id = ? RETURNING id",
                    [kind, to_json(payload), now(), job_id],
                )
            )
        if not found:
            raise JobNotFound(job_id)
        return int(found[0]["id"])

    def events(self, job_id: int, after: int = 0) -> builtins.list[EventRecord]:
        """What happened since the event ``after``, in order."""
        query = "SELECT id, job_id, kind, payload, created FROM events WHERE job_id = ? AND id > ? ORDER BY id"
        with self.library.read() as db:
            return [
                EventRecord(**(row | {"payload": json.loads(row["payload"])}))
                for row in db.query(query, [job_id, after])
            ]

    def written(self, job_id: int) -> str:
        """What the job has written since it last came to a step."""
        query = (
            "SELECT payload FROM events WHERE job_id = :job AND kind = 'delta' AND id > (SELECT coalesce(max(id), 0) "
            "FROM events WHERE job_id = :job AND kind IN ('step', 'restart')) ORDER BY id"
        )
        with self.library.read() as db:
            return "".join(str(json.loads(row["payload"])["text"]) for row in db.query(query, {"job": job_id}))

    def prune(self, older_than: timedelta = EVENTS_KEPT) -> int:
        """Forget the events of jobs that finished longer ago; returns how many. The jobs themselves stay."""
        before = (datetime.now(UTC) - older_than).isoformat(timespec="microseconds")
        with self.library.write() as db:
            return db.execute(
                "DELETE FROM events WHERE job_id IN (SELECT id FROM jobs "
                "WHERE state IN ('done', 'failed', 'stopped') AND finished < ?)",
                [before],
            ).rowcount


def _read_again(db: Database, document_id: int, payload: dict[str, Any], priority: int) -> JobRecord | None:
    query = f"SELECT {_COLUMNS} FROM jobs WHERE kind = 'read' AND document_id = ? ORDER BY id DESC LIMIT 1"
    values: list[Any]
    for row in db.query(query, [document_id]):
        if row["state"] == "done":
            return None
        if row["state"] in ("waiting", "running"):
            # wanting it again takes back a stop that was not obeyed yet
            change, values = "priority = max(priority, ?), stop_requested = 0", [priority]
        else:
            # followers of the new run must not meet the end of the old one
            db.execute("DELETE FROM events WHERE job_id = ?", [row["id"]])
            change = (
                "state = 'waiting', priority = ?, payload = ?, queued = ?, started = NULL, finished = NULL, "
                "error = NULL, stop_requested = 0, tokens_per_second = NULL, seconds_left = NULL"
            )
            values = [priority, to_json(payload), now()]
        return _record(
            rows.one(db, f"UPDATE jobs SET {change} WHERE id = ? RETURNING {_COLUMNS}", [*values, row["id"]])
        )
    return None


def _requeue(db: Database, where: str, parameters: list[Any]) -> int:
    found = db.query(
        "UPDATE jobs SET state = iif(stop_requested, 'stopped', 'waiting'), finished = iif(stop_requested, ?, NULL), "
        f"tokens_per_second = NULL, seconds_left = NULL WHERE state = 'running' AND ({where}) RETURNING state",
        [now(), *parameters],
    )
    return sum(row["state"] == "waiting" for row in found)


def _get(db: Database, owner_id: int | None, id: int) -> JobRecord:
    query = f"SELECT {_COLUMNS} FROM jobs WHERE id = ?1 AND (?2 IS NULL OR owner_id = ?2)"
    for row in db.query(query, [id, owner_id]):
        return _record(row)
    raise JobNotFound(id)


def _record(row: dict[str, Any]) -> JobRecord:
    return JobRecord(**(row | {"payload": json.loads(row["payload"])}))


def _real(value: float | None) -> float | None:
    return None if value is None else float(value)
