"""The queue: order, states, one reading a document, and no job given twice."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.errors import DocumentNotFound, JobNotFound, ThreadNotFound
from app.library.jobs import Jobs
from app.library.records import JobRecord
from app.library.store import Library
from app.library.threads import Threads

Book = Callable[..., Path]


@pytest.fixture
def jobs(library: Library) -> Jobs:
    return Jobs(library)


@pytest.fixture
def document(library: Library, owner: int, book: Book) -> int:
    return library.add_document(owner, book(), "book.txt").document.id


def _claimed(jobs: Jobs) -> JobRecord:
    job = jobs.claim()
    assert job is not None
    return job


class TestOrder:
    def test_the_most_urgent_then_the_oldest(self, jobs: Jobs, owner: int) -> None:
        made = [jobs.enqueue(owner, "ask", {"n": n}, priority=p).id for n, p in enumerate([0, 10, 0, 10, 5])]
        order = []
        while (job := jobs.claim()) is not None:
            order.append(job.id)
        assert order == [made[1], made[3], made[4], made[0], made[2]]

    def test_a_preempted_job_keeps_its_place(self, jobs: Jobs, owner: int) -> None:
        first, second = (jobs.enqueue(owner, "ask", {}, priority=0) for _ in range(2))
        assert _claimed(jobs).id == first.id
        assert jobs.requeue(first.id).state == "waiting"
        assert [_claimed(jobs).id, _claimed(jobs).id] == [first.id, second.id]

    def test_one_that_was_stopped_goes_to_the_end(self, jobs: Jobs, owner: int, document: int) -> None:
        reading = jobs.enqueue(owner, "read", {}, priority=0, document_id=document)
        jobs.request_stop(owner, reading.id)
        other = jobs.enqueue(owner, "ask", {}, priority=0)
        jobs.enqueue(owner, "read", {}, priority=0, document_id=document)
        assert [_claimed(jobs).id, _claimed(jobs).id] == [other.id, reading.id]

    def test_what_is_more_urgent_is_seen(self, jobs: Jobs, owner: int) -> None:
        jobs.enqueue(owner, "ask", {}, priority=5)
        assert jobs.waiting_above(4) and not jobs.waiting_above(5)
        jobs.claim()
        assert not jobs.waiting_above(0)


class TestStates:
    def test_a_job_from_its_beginning_to_its_end(self, jobs: Jobs, owner: int, document: int) -> None:
        made = jobs.enqueue(owner, "read", {"a": [1, "ü"]}, priority=3, document_id=document)
        assert made == JobRecord(
            id=made.id,
            owner_id=owner,
            kind="read",
            state="waiting",
            priority=3,
            payload={"a": [1, "ü"]},
            document_id=document,
            thread_id=None,
            turn_id=None,
            done=0,
            total=0,
            reused=0,
            tokens_per_second=None,
            seconds_left=None,
            error=None,
            created=made.created,
            started=None,
            finished=None,
        )
        running = _claimed(jobs)
        assert running.state == "running" and running.started is not None
        jobs.progress(made.id, done=10, total=40, reused=4, tokens_per_second=2, seconds_left=15)
        now = jobs.get(owner, made.id)
        assert (now.done, now.total, now.reused, now.tokens_per_second, now.seconds_left) == (10, 40, 4, 2.0, 15.0)
        ended = jobs.finish(made.id, "done")
        assert (ended.state, ended.done, ended.seconds_left, ended.error) == ("done", 10, None, None)
        assert ended.finished is not None and ended.created <= running.started <= ended.finished
        assert jobs.claim() is None

    def test_a_failure_is_told(self, jobs: Jobs, owner: int) -> None:
        job = jobs.enqueue(owner, "ask", {}, priority=0)
        jobs.claim()
        assert jobs.finish(job.id, "failed", "no memory \udcff").error == "no memory ?"

    @pytest.mark.parametrize("end", ["done", "failed", "stopped"])
    def test_an_end_is_an_end(self, end: str, jobs: Jobs, owner: int) -> None:
        job = jobs.enqueue(owner, "ask", {}, priority=0)
        jobs.claim()
        ended = jobs.finish(job.id, end)  # type: ignore[arg-type]
        jobs.progress(job.id, done=9, total=9)
        jobs.requeue(job.id)
        jobs.request_stop(owner, job.id)
        assert jobs.finish(job.id, "done") == ended == jobs.get(owner, job.id)
        assert not jobs.stop_requested(job.id)

    def test_a_job_that_waits_cannot_finish(self, jobs: Jobs, owner: int) -> None:
        job = jobs.enqueue(owner, "ask", {}, priority=0)
        assert jobs.finish(job.id, "done") == job
        with pytest.raises(ValueError, match="waiting"):
            jobs.finish(job.id, "waiting")  # type: ignore[arg-type]

    def test_stopping(self, jobs: Jobs, owner: int) -> None:
        waiting, running = (jobs.enqueue(owner, "ask", {}, priority=p) for p in (0, 1))
        assert _claimed(jobs).id == running.id
        assert jobs.request_stop(owner, waiting.id).state == "stopped"
        assert jobs.request_stop(None, running.id).state == "running"
        assert jobs.stop_requested(running.id) and not jobs.stop_requested(waiting.id)
        assert jobs.claim() is None
        # it was asked to stop while it made way for a question
        assert jobs.requeue(running.id).state == "stopped"

    def test_orphans(self, jobs: Jobs, owner: int) -> None:
        made = [jobs.enqueue(owner, "ask", {}, priority=0).id for _ in range(4)]
        for _ in range(3):
            jobs.claim()
        jobs.finish(made[0], "done")
        jobs.request_stop(owner, made[1])
        assert jobs.requeue_orphans() == 1
        assert [job.state for job in jobs.list(owner)] == ["done", "stopped", "waiting", "waiting"]
        assert jobs.requeue_orphans() == 0
        assert _claimed(jobs).id == made[2]

    def test_jobs_that_are_not_there_or_not_ones_own(self, jobs: Jobs, library: Library, owner: int) -> None:
        job = jobs.enqueue(owner, "ask", {}, priority=0)
        stranger = library.owner("stranger")
        for attempt in (
            lambda: jobs.get(stranger, job.id),
            lambda: jobs.request_stop(stranger, job.id),
            lambda: jobs.get(None, 99),
            lambda: jobs.finish(99, "done"),
            lambda: jobs.requeue(99),
            lambda: jobs.stop_requested(99),
            lambda: jobs.emit(99, "x", {}),
        ):
            with pytest.raises(JobNotFound):
                attempt()
        assert jobs.get(None, job.id) == jobs.get(owner, job.id) == job

    def test_listing(self, jobs: Jobs, library: Library, owner: int, document: int) -> None:
        ask = jobs.enqueue(owner, "ask", {}, priority=9)
        read = jobs.enqueue(owner, "read", {}, priority=0, document_id=document)
        other = jobs.enqueue(library.owner("bob"), "ask", {}, priority=0)
        running = _claimed(jobs)
        assert jobs.list(owner) == [running, read]
        assert jobs.list(None) == [running, read, other]
        assert jobs.list(None, states={"waiting"}, kind="ask") == [other]
        assert jobs.list(owner, states=["running", "done"]) == [running]
        assert jobs.list(owner, states=[]) == []
        assert running.id == ask.id


class TestReadingOnce:
    def test_one_that_waits_or_runs_is_returned(self, jobs: Jobs, owner: int, document: int) -> None:
        first = jobs.enqueue(owner, "read", {"n": 1}, priority=0, document_id=document)
        again = jobs.enqueue(owner, "read", {"n": 2}, priority=7, document_id=document)
        assert (again.id, again.priority, again.payload) == (first.id, 7, {"n": 1})
        assert jobs.enqueue(owner, "read", {}, priority=1, document_id=document).priority == 7
        jobs.claim()
        assert jobs.enqueue(owner, "read", {}, priority=0, document_id=document).state == "running"
        assert len(jobs.list(owner)) == 1

    def test_wanting_it_again_takes_the_stop_back(self, jobs: Jobs, owner: int, document: int) -> None:
        job = jobs.enqueue(owner, "read", {}, priority=0, document_id=document)
        jobs.claim()
        jobs.request_stop(owner, job.id)
        jobs.enqueue(owner, "read", {}, priority=0, document_id=document)
        assert not jobs.stop_requested(job.id)

    @pytest.mark.parametrize("end", ["stopped", "failed"])
    def test_one_that_ended_early_goes_on(self, end: str, jobs: Jobs, owner: int, document: int) -> None:
        job = jobs.enqueue(owner, "read", {"n": 1}, priority=5, document_id=document)
        jobs.claim()
        jobs.progress(job.id, done=60, total=100, reused=10, tokens_per_second=3, seconds_left=9)
        jobs.emit(job.id, "end", {"state": end})
        jobs.finish(job.id, end, "why")  # type: ignore[arg-type]
        again = jobs.enqueue(owner, "read", {"n": 2}, priority=1, document_id=document)
        assert (again.id, again.state, again.payload, again.priority) == (job.id, "waiting", {"n": 2}, 1)
        assert (again.done, again.total, again.error, again.finished) == (60, 100, None, None)
        # whoever follows the new run must not meet the end of the old one
        assert jobs.events(job.id) == []
        assert _claimed(jobs).id == job.id

    def test_a_finished_reading_is_followed_by_a_new_one(self, jobs: Jobs, owner: int, document: int) -> None:
        job = jobs.enqueue(owner, "read", {}, priority=0, document_id=document)
        jobs.claim()
        jobs.finish(job.id, "done")
        assert jobs.enqueue(owner, "read", {}, priority=0, document_id=document).id != job.id

    def test_questions_are_each_their_own(self, jobs: Jobs, owner: int, document: int) -> None:
        first, second = (jobs.enqueue(owner, "ask", {}, priority=0, document_id=document) for _ in range(2))
        assert first.id != second.id

    def test_only_ones_own_documents_and_threads(self, jobs: Jobs, library: Library, owner: int, document: int) -> None:
        stranger = library.owner("stranger")
        thread = Threads(library).create(owner, [document], "t")
        with pytest.raises(DocumentNotFound):
            jobs.enqueue(stranger, "read", {}, priority=0, document_id=document)
        with pytest.raises(ThreadNotFound):
            jobs.enqueue(stranger, "ask", {}, priority=0, thread_id=thread.id)
        library.remove_document(owner, document)
        with pytest.raises(DocumentNotFound):
            jobs.enqueue(owner, "read", {}, priority=0, document_id=document)

    def test_removing_a_document_stops_its_reading(
        self, jobs: Jobs, library: Library, owner: int, document: int, book: Book
    ) -> None:
        other = library.add_document(owner, book("o.txt", "Other.\n"), "o.txt").document.id
        waiting = jobs.enqueue(owner, "read", {}, priority=0, document_id=document)
        running = jobs.enqueue(owner, "read", {}, priority=1, document_id=other)
        jobs.claim()
        library.remove_document(owner, document)
        library.remove_document(owner, other)
        assert jobs.get(owner, waiting.id).state == "stopped"
        assert jobs.stop_requested(running.id)


class TestEvents:
    def test_a_follower_misses_nothing(self, jobs: Jobs, owner: int) -> None:
        job, other = (jobs.enqueue(owner, "ask", {}, priority=0) for _ in range(2))
        ids = [jobs.emit(job.id, "delta", {"text": text}) for text in ("To ", "be \ud83d", "书")]
        jobs.emit(other.id, "delta", {"text": "!"})
        events = jobs.events(job.id)
        assert [event.id for event in events] == ids == sorted(ids)
        assert [event.payload["text"] for event in events] == ["To ", "be \ud83d", "书"]
        assert {(event.job_id, event.kind) for event in events} == {(job.id, "delta")}
        assert jobs.events(job.id, after=ids[1]) == events[2:]
        assert jobs.events(job.id, after=ids[2]) == []

    def test_old_ones_go_when_the_job_has_ended(self, jobs: Jobs, library: Library, owner: int) -> None:
        ended, running, recent = (jobs.enqueue(owner, "ask", {}, priority=0) for _ in range(3))
        for job in (ended, running, recent):
            jobs.claim()
            last = jobs.emit(job.id, "delta", {})
        jobs.finish(ended.id, "done")
        jobs.finish(recent.id, "done")
        past = (datetime.now(UTC) - timedelta(days=2)).isoformat(timespec="microseconds")
        with library.write() as db:
            db.execute("UPDATE jobs SET finished = ? WHERE id = ?", [past, ended.id])
            db.execute("UPDATE events SET created = ?", [past])
        assert jobs.requeue_orphans() == 1
        assert [len(jobs.events(job.id)) for job in (ended, running, recent)] == [0, 1, 1]
        assert jobs.prune(timedelta(0)) == 1
        assert jobs.get(owner, ended.id).state == "done"
        # a cursor held by a follower stays good
        assert jobs.emit(running.id, "delta", {}) > last


def test_no_job_is_given_twice_to_threads(jobs: Jobs, owner: int) -> None:
    made = {jobs.enqueue(owner, "ask", {}, priority=n % 3).id for n in range(60)}
    given: list[int] = []

    def work() -> None:
        while (job := jobs.claim()) is not None:
            given.append(job.id)
            jobs.emit(job.id, "delta", {})
            jobs.finish(job.id, "done")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(given) == sorted(made)
    assert {job.state for job in jobs.list(owner)} == {"done"}


def test_many_threads_ask_for_one_reading(jobs: Jobs, owner: int, document: int) -> None:
    ids: list[int] = []

    def ask() -> None:
        ids.append(jobs.enqueue(owner, "read", {}, priority=0, document_id=document).id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ids) == 8 and len(set(ids)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_calls_agrees_with_a_plain_model(seed: int, jobs: Jobs, owner: int) -> None:
    """A dictionary of what each job should be, beside the queue, through 120 random calls."""
    chance = random.Random(seed)
    state: dict[int, str] = {}
    priority: dict[int, int] = {}
    stop: dict[int, bool] = {}
    for _ in range(120):
        action = chance.choice(["enqueue", "enqueue", "claim", "claim", "finish", "requeue", "stop", "orphans"])
        known = chance.choice(list(state)) if state else None
        if action == "enqueue":
            job = jobs.enqueue(owner, "ask", {}, priority=chance.randint(0, 3))
            state[job.id], priority[job.id], stop[job.id] = "waiting", job.priority, False
        elif action == "claim":
            waiting = [id for id in state if state[id] == "waiting"]
            expected = min(waiting, key=lambda id: (-priority[id], id), default=None)
            claimed = jobs.claim()
            assert (claimed.id if claimed else None) == expected
            if expected is not None:
                state[expected] = "running"
        elif known is None:
            continue
        elif action == "finish":
            end = chance.choice(["done", "failed", "stopped"])
            jobs.finish(known, end)  # type: ignore[arg-type]
            if state[known] == "running":
                state[known], stop[known] = end, stop[known]
        elif action == "stop":
            jobs.request_stop(owner, known)
            if state[known] == "running":
                stop[known] = True
            elif state[known] == "waiting":
                state[known] = "stopped"
        else:
            affected = [known] if action == "requeue" else list(state)
            if action == "requeue":
                jobs.requeue(known)
            else:
                jobs.requeue_orphans()
            for id in affected:
                if state[id] == "running":
                    state[id] = "stopped" if stop[id] else "waiting"
        assert {job.id: job.state for job in jobs.list(owner)} == state
        above = chance.randint(0, 3)
        assert jobs.waiting_above(above) == any(state[id] == "waiting" and priority[id] > above for id in state)
