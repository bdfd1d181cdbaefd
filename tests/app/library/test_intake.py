from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.errors import LibraryFull, ParserFailed
from app.library import intake as intakes
from app.library.intake import Arrival, Intake, Interrupted, files, work
from app.library.store import Library

Add = Callable[[Path, str], object]


@pytest.fixture
def intake(library: Library) -> Intake:
    return Intake(library)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    for n in range(4):
        (folder / "below" / f"book-{n}.txt").write_text(f"A book.\n\nThe words of book {n}.\n")
    (folder / "bad.txt").write_bytes(bytes(range(256)) * 40)
    (folder / "picture.gif").write_bytes(b"GIF89a")
    return folder


@pytest.fixture
def add(library: Library, owner: int) -> Add:
    return partial(library.add_document, owner)


def noted(intake: Intake, owner: int, folder: Path) -> list[Arrival]:
    return [intake.note(owner, path) for path in files(folder, [".txt"])]


def states(arrivals: list[Arrival]) -> list[str]:
    return [one.state for one in arrivals]


def test_a_folder_is_taken_in_and_not_opened_again(
    intake: Intake, owner: int, folder: Path, add: Add, library: Library
) -> None:
    told: list[Arrival] = []
    arrivals = noted(intake, owner, folder)
    assert states(arrivals) == ["waiting"] * 5
    work(intake, arrivals, add, workers=2, told=told.append)  # type: ignore[arg-type]
    assert sorted(states(told)) == ["done"] * 4 + ["failed"]
    assert all(one.seconds is not None for one in told) and intake.open() == []
    assert len(library.documents(owner)) == 4
    (bad,) = [one for one in told if one.state == "failed"]
    assert "not a text file" in str(bad.error)

    def never(path: Path, name: str, told: object) -> object:
        raise AssertionError(f"{name} was opened again")

    again = noted(intake, owner, folder)
    assert sorted(states(again)) == ["done"] * 4 + ["failed"]
    assert work(intake, [one for one in again if one.state == "waiting"], never) == []  # type: ignore[arg-type]


def test_what_changed_was_removed_or_is_to_be_tried_again(
    intake: Intake, owner: int, folder: Path, add: Add, library: Library
) -> None:
    ended = work(intake, noted(intake, owner, folder), add, workers=1)  # type: ignore[arg-type]
    (folder / "below" / "book-0.txt").write_text("Another book, of other words.\n")
    removed = next(one for one in ended if one.filename == "book-1.txt")
    library.remove_document(owner, removed.document_id or 0)
    again = {one.filename: one.state for one in noted(intake, owner, folder)}
    assert again == {
        "bad.txt": "failed", "book-0.txt": "waiting", "book-1.txt": "waiting", "book-2.txt": "done", "book-3.txt": "done",
    }  # fmt: skip
    assert intake.note(owner, folder / "bad.txt", again=True).state == "waiting"


def test_a_batch_goes_on_where_a_program_that_died_left_it(
    intake: Intake, owner: int, folder: Path, add: Add, library: Library
) -> None:
    arrivals = noted(intake, owner, folder)
    work(intake, arrivals[:2], add, workers=1)  # type: ignore[arg-type]
    # one was being taken in by a process that is gone, one by this very process
    with library.write() as db:
        db.execute("UPDATE intake SET state = 'running', process = '999999999 1.0' WHERE id = ?", [arrivals[2].id])
    assert intake.claim(arrivals[3]) and not intake.claim(arrivals[3])
    assert intake.requeue() == 1
    assert [one.state for one in intake.open(owner)] == ["waiting", "running", "waiting"]
    waiting = [one for one in noted(intake, owner, folder) if one.state == "waiting"]
    work(intake, waiting, add)  # type: ignore[arg-type]
    assert [one.id for one in intake.open()] == [arrivals[3].id]


def test_stopping_leaves_the_rest_waiting(intake: Intake, owner: int, folder: Path, add: Add) -> None:
    stop = threading.Event()
    ended = work(
        intake, noted(intake, owner, folder), add, workers=1, told=lambda one: stop.set(), stop=stop  # type: ignore[arg-type]
    )  # fmt: skip
    assert 1 <= len(ended) <= 2 and len(intake.open()) == 5 - len(ended)


def test_a_parser_that_was_ended_with_the_program_is_no_refusal(intake: Intake, owner: int, folder: Path) -> None:
    def killed(path: Path, name: str, told: object) -> object:
        raise ParserFailed(name, "the parser crashed (SIGINT)")

    arrivals = noted(intake, owner, folder)
    assert work(intake, arrivals, killed, workers=1) == []  # type: ignore[arg-type]
    assert states(intake.open()) == ["waiting"] * 5
    with pytest.raises(Interrupted):
        intake.take(arrivals[0], killed)  # type: ignore[arg-type]


def test_a_full_disk_ends_the_batch_and_loses_nothing(intake: Intake, owner: int, folder: Path) -> None:
    def full(path: Path, name: str, told: object) -> object:
        raise LibraryFull("/home")

    with pytest.raises(LibraryFull):
        work(intake, noted(intake, owner, folder), full, workers=2)  # type: ignore[arg-type]
    assert states(intake.open()) == ["waiting"] * 5


def test_several_at_a_time(intake: Intake, owner: int, folder: Path, add: Add) -> None:
    both = threading.Barrier(2, timeout=20)

    def meets(path: Path, name: str, told: object) -> object:
        if name in ("book-0.txt", "book-1.txt"):
            both.wait()
        return add(path, name, told)

    ended = work(intake, noted(intake, owner, folder), meets, workers=2)  # type: ignore[arg-type]
    assert states(ended).count("done") == 4


def test_owners_are_apart(intake: Intake, owner: int, folder: Path, library: Library) -> None:
    noted(intake, owner, folder)
    assert intake.open(library.owner("another")) == []


def test_a_process_is_known_by_more_than_its_number() -> None:
    own = intakes._process()
    assert intakes._lives(own) and not intakes._lives(f"{own.split()[0]} 1.5") and not intakes._lives(None)
    assert time.time() > float(own.split()[1])
