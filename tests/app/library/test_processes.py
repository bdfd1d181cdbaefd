"""Several processes on one home, and processes that are killed: nothing lost, nothing twice, nothing half."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.documents.parse import parse_file
from app.library.jobs import Jobs
from app.library.store import Library

Book = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[str]"]

ROOT = Path(__file__).resolve().parents[3]
WORKER = Path(__file__).with_name("worker.py")

needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="the killed processes are forked, and this system cannot"
)


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(command, home, …)`` starts a worker; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(WORKER), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def _say(process: subprocess.Popen[str], line: str = "go") -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _release(processes: list[subprocess.Popen[str]]) -> None:
    """Let workers that are ready begin together."""
    for process in processes:
        assert _hear(process) == "ready"
    for process in processes:
        _say(process)


def test_no_job_is_given_to_two_processes(home: Path, library: Library, owner: int, start: Start) -> None:
    jobs = Jobs(library)
    made = [jobs.enqueue(owner, "ask", {}, priority=n % 3).id for n in range(80)]
    workers = [start("claim", home) for _ in range(2)]
    _release(workers)
    given = [json.loads(_hear(worker)) for worker in workers]
    assert sorted(given[0] + given[1]) == made
    assert {job.state for job in jobs.list(owner)} == {"done"}
    assert [len(jobs.events(id)) for id in made] == [1] * len(made)


def test_two_processes_add_to_one_shelf(home: Path, library: Library, owner: int, book: Book, start: Start) -> None:
    common = [book(f"common{n}.txt", f"Common {n}.\n\nText.\n") for n in range(6)]
    own = [[book(f"own{w}-{n}.txt", f"Own {w} {n}.\n") for n in range(6)] for w in range(2)]
    workers = [
        start("add", home, *(path for pair in zip(common, own[w], strict=True) for path in pair)) for w in (0, 1)
    ]
    _release(workers)
    ids = [[int(_hear(worker)) for _ in range(12)] for worker in workers]
    # both were told the same id for the same book, and no row was lost
    assert ids[0][::2] == ids[1][::2]
    assert {document.id for document in library.documents(owner)} == set(ids[0] + ids[1])
    assert len(set(ids[0] + ids[1])) == 18
    assert library.check() == []


def test_a_process_killed_while_it_adds_loses_nothing_that_it_told(home: Path, book: Book, start: Start) -> None:
    books = [book(f"{n}.txt", f"Book {n}.\n\n" + "A line of it.\n\n" * 200) for n in range(400)]
    told: list[int] = []
    # three lives on the same home, each cut off at a moment of its own
    for life, answers in enumerate((1, 4, 9)):
        worker = start("add", home, *books[life * 100 :])
        _release([worker])
        told += [int(_hear(worker)) for _ in range(answers)]
        worker.kill()
        worker.wait()
        with Library(home, parse=parse_file) as library:
            assert library.check() == []
            documents = library.documents(library.owner())
            assert {document.id for document in documents} >= set(told)
            assert len(documents) < 400
            for document in documents:
                assert len(library.paragraphs(document.id)) == 201


@needs_fork
def test_killed_before_any_call_of_adding_a_book(home: Path, book: Book, start: Start) -> None:
    old, new = book("old.txt", "The old book.\n"), book("new.txt", "The new book.\n\nIts end.\n")
    with Library(home, parse=parse_file) as library:
        library.add_document(library.owner(), old, "old.txt")
    worker = start("die_adding", home, 1, new)
    deaths, end = _deaths(worker)
    assert end["exit"] == 0
    # the copy, its rename, each insert and the commit were all among them
    assert {"fsync", "replace", "execute", "executemany"} <= {call.split()[-1] for _, call in deaths}
    survived = 0
    for left, call in deaths:
        with Library(left, parse=parse_file) as library:
            owner = library.owner()
            assert library.check() == [], call
            titles = [document.filename for document in library.documents(owner)]
            assert titles in (["old.txt"], ["old.txt", "new.txt"]), call
            survived += len(titles) - 1
            again = library.add_document(owner, new, "new.txt")
            assert again.already == (len(titles) == 2), call
            assert library.text(again.document.text_sha256) == "The new book.\n\nIts end."
            assert library.check() == [], call
    # killed after the commit it is there, killed before it is not
    assert 0 < survived < len(deaths)


@needs_fork
def test_killed_before_any_call_of_making_a_home(tmp_path: Path, start: Start) -> None:
    deaths, end = _deaths(start("die_opening", tmp_path / "new", 3))
    assert end["exit"] == 0 and len(deaths) > 20
    for left, call in deaths:
        with Library(left) as library:
            assert (library.owner(), library.check()) == (1, []), call


def _deaths(worker: subprocess.Popen[str]) -> tuple[list[tuple[Path, str]], dict[str, int]]:
    answers = []
    while line := _hear(worker):
        answers.append(json.loads(line))
    assert worker.wait(60) == 0
    return [(Path(answer["home"]), answer["call"]) for answer in answers[:-1]], answers[-1]
