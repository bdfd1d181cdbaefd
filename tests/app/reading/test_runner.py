from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from app.errors import JobNotFound
from app.library.store import Library
from app.reading.desk import BACKGROUND, Desk, Run
from app.reading.runner import WATCH_SECONDS, Runner
from app.settings import Settings
from engine.errors import WorkerDied
from engine.protocol import Sampling

from .conftest import OWNER, Machine, PlainEngine, until

Book = Callable[..., int]


def job_of(desk: Desk, document_id: int) -> int:
    (job_id,) = [job.id for job in desk.jobs.list(None, kind="read") if job.document_id == document_id]
    return job_id


def state(desk: Desk, job_id: int) -> str:
    return desk.jobs.get(None, job_id).state


def follow(desk: Desk, job_id: int) -> list[tuple[str, dict[str, object]]]:
    return [(event.kind, event.payload) for event in desk.follow(OWNER, job_id)]


def ask(desk: Desk, *documents: int, question: str = "Who?") -> Run:
    return desk.ask(OWNER, question, document_ids=documents)


def test_what_was_added_is_read(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    id = book(tokens=3000)
    runner.start()
    told = follow(desk, job_of(desk, id))
    kinds = [kind for kind, _ in told]
    assert kinds[0] == "loading"
    assert "progress" in kinds
    kind, end = told[-1]
    assert (kind, end["state"], end["model"]) == ("end", "done", "plain")
    assert end["tokens"]["prefilled"] == end["tokens"]["context"] > 3000
    (item,) = desk.shelf(OWNER)
    assert (item.state, item.progress) == ("read", 1.0)
    reading = desk.library.reading(id, "identity of plain")
    assert reading is not None
    assert reading.complete
    assert reading.provenance == {"policy": "plain"}
    assert desk.jobs.get(None, job_of(desk, id)).tokens_per_second == 100.0


def test_what_is_read_already_is_not_even_begun(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    id = book()
    runner.start()
    follow(desk, job_of(desk, id))
    (again,) = desk.read(OWNER, [id])
    end = follow(desk, again)[-1][1]
    assert end["state"] == "done"
    assert end["tokens"]["reused"] == end["tokens"]["context"]
    assert machine.jobs == ["read"]


def test_a_stopped_reading_goes_on_where_it_was(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    id = book(tokens=6000)
    job = job_of(desk, id)
    machine.steps = 3
    runner.start()
    until(lambda: machine.steps == 0, "three chunks")
    (item,) = desk.shelf(OWNER)
    assert item.state == "reading"
    assert (item.tokens_per_second, item.seconds_left) == (100.0, 1.0)
    desk.stop_document(OWNER, id)
    assert follow(desk, job)[-1][1]["finish"] == "stopped"
    (item,) = desk.shelf(OWNER)
    assert item.state == "stopped"
    assert 0.3 < item.progress < 0.5
    machine.steps = None
    assert desk.read(OWNER) == [job]
    assert follow(desk, job)[-1][1]["tokens"]["reused"] > 2048
    assert desk.shelf(OWNER)[0].state == "read"
    # no chunk was read twice
    assert len(machine.chunks) == len(set(machine.chunks))
    assert machine.chunks[-1][1] == desk.jobs.get(None, job).total


def test_a_question_interrupts_a_reading(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    long = book("war", tokens=9000)
    job = job_of(desk, long)
    machine.steps = 4
    runner.start()
    until(lambda: machine.steps == 0, "a part of the reading")
    short = book("short", tokens=500)
    run = ask(desk, short)
    until(lambda: machine.jobs[1:2] == ["generate"], "the question's turn")
    assert state(desk, job) == "waiting"
    machine.steps = None
    told = follow(desk, run.job_id)
    assert "".join(payload["text"] for kind, payload in told if kind == "delta") == "A plain answer."
    assert follow(desk, job)[-1][1]["state"] == "done"
    # reading the short book for the question was reading it
    assert follow(desk, job_of(desk, short))[-1][1]["tokens"]["prefilled"] == 0
    assert machine.jobs == ["read", "generate", "read"]


def test_an_answer_is_kept_with_its_ids_and_continues(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    id = book()
    runner.start()
    run = ask(desk, id)
    end = follow(desk, run.job_id)[-1][1]
    thread, (turn,) = desk.thread(OWNER, run.thread_id)
    assert (turn.answer, turn.finish, turn.model, turn.error) == ("A plain answer.", "stop", "plain", None)
    assert turn.answer_ids is not None
    assert "".join(map(chr, turn.answer_ids)) == turn.answer
    assert turn.tokens == end["tokens"]
    assert turn.seconds == end["seconds"]
    assert set(turn.tokens) == {"context", "reused", "prefilled", "answered"}
    assert set(turn.seconds) == {"load", "prefill", "first_token", "decode"}
    assert thread.title == "Who?"
    second = desk.ask(OWNER, "And then?", thread_id=run.thread_id)
    follow(desk, second.job_id)
    conversation = "".join(map(chr, machine.prompts[-1].segments[-1].ids))
    assert conversation == "Who?</u><a>A plain answer.</a><u>And then?</u><a>"
    assert len(desk.thread(OWNER, run.thread_id)[1]) == 2


def test_a_stopped_answer_keeps_what_was_written(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    id = book()
    runner.start()
    follow(desk, job_of(desk, id))
    # the conversation's page and two words
    machine.steps = 3
    run = ask(desk, id)
    until(lambda: machine.steps == 0, "two words")
    desk.stop(OWNER, run.job_id)
    end = follow(desk, run.job_id)[-1][1]
    assert (end["state"], end["finish"]) == ("stopped", "stopped")
    _, (turn,) = desk.thread(OWNER, run.thread_id)
    assert (turn.answer, turn.finish, turn.error) == ("A plain ", "stopped", None)
    machine.steps = None
    follow(desk, desk.ask(OWNER, "Go on.", thread_id=run.thread_id).job_id)
    assert "".join(map(chr, machine.prompts[-1].segments[-1].ids)) == "Who?</u><a>A plain </a><u>Go on.</u><a>"


def test_a_question_stopped_before_its_turn_is_closed(desk: Desk, book: Book) -> None:
    run = ask(desk, book())
    assert desk.running(OWNER, run.thread_id) == run.job_id
    desk.stop(OWNER, run.job_id)
    assert follow(desk, run.job_id) == [
        ("end", {"state": "stopped", "finish": "stopped", "error": None, "tokens": {}, "seconds": {}, "model": None})
    ]
    assert desk.running(OWNER, run.thread_id) is None
    _, (turn,) = desk.thread(OWNER, run.thread_id)
    assert (turn.finish, turn.answer) == ("stopped", "")


def test_answers_come_in_few_events(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    machine.words = ["word "] * 400
    run = desk.ask(OWNER, "Who?", document_ids=[book()], sampling=Sampling(max_tokens=400))
    runner.start()
    told = follow(desk, run.job_id)
    texts = [payload["text"] for kind, payload in told if kind == "delta"]
    assert "".join(texts) == "word " * 400
    assert len(texts) < 40


def test_a_failed_job_says_why_and_the_next_one_runs(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    machine.failures = [WorkerDied(-9)]
    first, second = book("alice"), book("moby")
    runner.start()
    assert follow(desk, job_of(desk, first))[-1][1]["error"] == str(WorkerDied(-9))
    assert follow(desk, job_of(desk, second))[-1][1]["state"] == "done"
    items = {item.id: item for item in desk.shelf(OWNER)}
    assert (items[first].state, items[first].error) == ("failed", str(WorkerDied(-9)))
    assert items[second].state == "read"
    assert desk.read(OWNER) == [job_of(desk, first)]
    assert follow(desk, job_of(desk, first))[-1][1]["state"] == "done"


def test_a_failed_answer_is_left_out_of_the_next_prompt(
    desk: Desk, runner: Runner, machine: Machine, book: Book
) -> None:
    id = book()
    runner.start()
    follow(desk, job_of(desk, id))
    machine.failures = [WorkerDied(1)]
    run = ask(desk, id, question="Lost?")
    assert follow(desk, run.job_id)[-1][1]["state"] == "failed"
    assert desk.thread(OWNER, run.thread_id)[1][0].error == str(WorkerDied(1))
    again = desk.ask(OWNER, "Found?", thread_id=run.thread_id)
    assert follow(desk, again.job_id)[-1][1]["state"] == "done"
    assert "".join(map(chr, machine.prompts[-1].segments[-1].ids)) == "Found?</u><a>"


def test_a_mistake_of_ours_fails_the_job_and_never_shows_a_text(
    desk: Desk, runner: Runner, machine: Machine, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    machine.failures = [KeyError("a secret sentence of the book")]
    id = book()
    with caplog.at_level(logging.INFO):
        runner.start()
        end = follow(desk, job_of(desk, id))[-1][1]
    assert end["state"] == "failed"
    assert "KeyError" in end["error"]
    assert "secret" not in end["error"] + caplog.text
    assert "KeyError" in caplog.text


def test_a_removed_document_fails_its_question_clearly(desk: Desk, runner: Runner, book: Book) -> None:
    id = book()
    run = ask(desk, id)
    desk.remove(OWNER, id)
    runner.start()
    end = follow(desk, run.job_id)[-1][1]
    assert end["state"] == "failed"
    assert f"no document {id}" in end["error"]


def test_a_reading_has_its_turn_where_questions_never_end(
    desk: Desk, runner: Runner, machine: Machine, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as if three had been answered just now; only one that waits again as long would have another turn
    runner._answered = 3
    runner._turned -= 60
    monkeypatch.setattr("app.reading.runner.TURN_SECONDS", 1.0)
    job = job_of(desk, book("war", tokens=9000))
    run = ask(desk, book("short", tokens=500))
    machine.steps = 4
    runner.start()
    until(lambda: machine.steps == 0, "a part of the reading")
    time.sleep(3 * WATCH_SECONDS)
    # the question has waited all the while, and then its turn comes
    assert (state(desk, job), state(desk, run.job_id), machine.jobs) == ("running", "waiting", ["read"])
    until(lambda: "generate" in machine.jobs, "the question's turn")
    assert state(desk, job) == "waiting"
    machine.steps = None
    assert follow(desk, run.job_id)[-1][1]["state"] == "done"
    assert follow(desk, job)[-1][1]["state"] == "done"


@pytest.mark.parametrize(("answered", "waited"), [(2, 60), (3, 20)])
def test_who_asks_alone_never_waits_for_a_turn(
    desk: Desk, runner: Runner, machine: Machine, book: Book, answered: int, waited: int
) -> None:
    runner._answered = answered
    runner._turned -= waited
    book("war", tokens=9000)
    run = ask(desk, book("short", tokens=500))
    runner.start()
    assert follow(desk, run.job_id)[-1][1]["state"] == "done"
    assert machine.jobs[0] == "generate"


def test_what_does_not_fit_fails_with_numbers(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    id = book(tokens=5000)
    machine.limit = 4000
    runner.start()
    end = follow(desk, job_of(desk, id))[-1][1]
    assert end["state"] == "failed"
    assert "can hold 4,000" in end["error"]
    assert machine.jobs == []


def test_a_closed_runner_lets_its_job_wait_and_the_next_one_goes_on(
    settings: Settings, library: Library, desk: Desk, machine: Machine, book: Book
) -> None:
    id = book(tokens=5000)
    job = job_of(desk, id)
    machine.steps = 2
    first = Runner(desk)
    first.start()
    until(lambda: machine.steps == 0, "two chunks")
    first.close()
    assert state(desk, job) == "waiting"
    assert not first.works
    assert machine.closed == ["plain"]
    machine.steps = None
    with Runner(desk) as second:
        second.start()
        assert follow(desk, job)[-1][1]["state"] == "done"
    assert len(machine.chunks) == len(set(machine.chunks))


def test_an_answer_cut_off_by_a_crash_begins_again(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    # what a killed process leaves: a running job with half its answer told
    run = ask(desk, book())
    claimed = desk.jobs.claim()
    assert claimed is not None
    assert claimed.id == run.job_id
    desk.jobs.emit(run.job_id, "delta", {"text": "Half an ans"})
    runner.start()
    told = follow(desk, run.job_id)
    kinds = [kind for kind, _ in told]
    assert kinds.count("restart") == 1
    after = told[kinds.index("restart") :]
    assert "".join(payload["text"] for kind, payload in after if kind == "delta") == "A plain answer."
    assert desk.thread(OWNER, run.thread_id)[1][0].answer == "A plain answer."


def test_only_the_holder_of_the_lock_works(
    desk: Desk, settings: Settings, runner: Runner, machine: Machine, book: Book
) -> None:
    id = book()
    with FileLock(settings.engine_lock):
        runner.start()
        # a follower needs no lock, and what waits goes on waiting
        assert not runner.works
        assert state(desk, job_of(desk, id)) == "waiting"
    assert follow(desk, job_of(desk, id))[-1][1]["state"] == "done"
    assert runner.works


def test_run_until_works_for_its_own_jobs_and_the_more_urgent(desk: Desk, machine: Machine, book: Book) -> None:
    other, mine = book("other"), book("mine")
    (job,) = desk.read(OWNER, [mine], first=True)
    run = ask(desk, book("asked", tokens=200))
    Runner(desk).run_until([job])
    assert state(desk, job) == "done"
    assert state(desk, run.job_id) == "done"
    assert state(desk, job_of(desk, other)) == "waiting"
    assert desk.jobs.get(None, job_of(desk, other)).priority == BACKGROUND
    # and it leaves the queue to the next one
    with Runner(desk) as next_one:
        next_one.start()
        assert follow(desk, job_of(desk, other))[-1][1]["state"] == "done"


def test_readings_wanted_first_are_read_in_the_order_given(desk: Desk, machine: Machine, book: Book) -> None:
    one, two, three = book("one"), book("two"), book("three")
    jobs = desk.read(OWNER, [three, one], first=True)
    Runner(desk).run_until(jobs)
    assert list(dict.fromkeys(name for name, _ in machine.chunks)) == [f"document:{three}", f"document:{one}"]
    assert state(desk, job_of(desk, two)) == "waiting"


def test_a_question_is_answered_by_the_model_it_was_asked_of(
    desk: Desk, settings: Settings, library: Library, runner: Runner, machine: Machine, book: Book
) -> None:
    id = book()
    runner.start()
    follow(desk, job_of(desk, id))
    other = Desk(
        Settings.load({"home": settings.home, "cache": settings.cache, "model": "other"}, {}),
        library,
        lambda name: PlainEngine(name, machine),
    )
    run = other.ask(OWNER, "Who?", document_ids=[id])
    end = follow(other, run.job_id)[-1][1]
    assert (end["state"], end["model"]) == ("done", "other")
    # the weights of two models need not fit
    assert machine.closed == ["plain"]
    other.engines.get("other")
    assert [item.state for item in other.shelf(OWNER)] == ["read"]


def test_a_model_that_is_not_there_fails_what_needs_it(
    settings: Settings, library: Library, machine: Machine, tmp_path: Path
) -> None:
    machine.unknown = {"plain"}
    desk = Desk(settings, library, lambda name: PlainEngine(name, machine))
    path = tmp_path / "a.txt"
    path.write_text("A few words.", encoding="utf-8")
    id = desk.add(OWNER, path, "a.txt").document.id
    with Runner(desk) as runner:
        runner.start()
        end = follow(desk, job_of(desk, id))[-1][1]
    assert "'plain' was not found" in end["error"]
    (item,) = desk.shelf(OWNER)
    assert (item.state, item.tokens) == ("failed", None)
    assert desk.engines.problem("plain") is not None


def test_idle_time_counts_what_the_tokenizer_never_saw(
    settings: Settings, library: Library, machine: Machine, tmp_path: Path
) -> None:
    desk = Desk(settings, library, lambda name: PlainEngine(name, machine))
    path = tmp_path / "a.txt"
    path.write_text("A few words.", encoding="utf-8")
    # while the model is being fetched, nothing can be counted
    id = desk.add(OWNER, path, "a.txt").document.id
    desk.stop_document(OWNER, id)
    assert desk.shelf(OWNER)[0].tokens is None
    with Runner(desk) as runner:
        runner.start()
        until(lambda: desk.shelf(OWNER)[0].tokens == len("A few words."), "the count")


def test_followers_that_come_late_see_it_all(desk: Desk, runner: Runner, machine: Machine, book: Book) -> None:
    run = ask(desk, book())
    early: list[object] = []
    thread = threading.Thread(target=lambda: early.extend(follow(desk, run.job_id)))
    thread.start()
    runner.start()
    thread.join(10)
    assert early
    assert early == follow(desk, run.job_id)
    with pytest.raises(JobNotFound):
        next(desk.follow("somebody else", run.job_id))
