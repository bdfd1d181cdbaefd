from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.documents.parse import FILE_LIMIT, parse_file
from app.library.store import Library
from app.reading.desk import Desk
from app.settings import Settings
from app.ui.seat import LOCAL, new_visitor
from app.ui.serve import uploads
from app.ui.shelf import Shelf
from tests.app.reading.conftest import Machine, PlainEngine


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    settings = Settings.load({"home": tmp_path / "home", "cache": tmp_path / "cache", "model": "plain"}, {})
    with Library(settings.home, parse=parse_file) as library:
        desk = Desk(settings, library, lambda name: PlainEngine(name, Machine()))
        desk.engines.get("plain")
        yield desk


@pytest.fixture
def inbox(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Gradio puts uploads, each in a folder of its own."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    uploads(desk.settings.home)
    return desk.settings.home / "uploads"


def upload(inbox: Path, name: str, content: bytes = b"A book of a few words.\n") -> Path:
    path = inbox / f"hash-{name}" / name
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def add(shelf: Shelf, said: dict[str, Any]) -> dict[str, Any]:
    """As a page does it: hand it over, and wait for what became of it."""
    told = shelf.arrive(said)
    if "arrival" not in told:
        return told
    ids = [told["arrival"]]
    for _ in range(5):
        for answer in shelf.settled({**said, "arrivals": ids})["answers"]:
            assert answer.pop("arrival") == ids[0]
            return answer
    raise AssertionError("it was not taken in")


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_upload_is_taken_and_its_copy_removed(desk: Desk, inbox: Path) -> None:
    shelf = Shelf(desk, space=False)
    path = upload(inbox, "book.txt")
    answer = add(shelf, {"visitor": "", "path": str(path), "name": "book.txt"})
    assert answer == {"id": 1, "already": False}
    assert not path.parent.exists()
    shown = shelf.show(LOCAL)
    assert [item["filename"] for item in shown["items"]] == ["book.txt"]
    assert shown["items"][0]["state"] == "waiting"


def test_the_same_file_again_says_so(desk: Desk, inbox: Path) -> None:
    shelf = Shelf(desk, space=False)
    first = add(shelf, {"path": str(upload(inbox, "book.txt")), "name": "book.txt"})
    again = add(shelf, {"path": str(upload(inbox, "copy.txt")), "name": "copy.txt"})
    assert again["id"] == first["id"] and again["already"]
    assert again["note"]["key"] == "note.already"


def test_a_refused_file_becomes_a_card(desk: Desk, inbox: Path) -> None:
    shelf = Shelf(desk, space=False)
    assert add(shelf, {"path": str(upload(inbox, "empty.txt", b"")), "name": "empty.txt"}) == {}
    refusal = shelf.show(LOCAL)["refusals"][0]
    assert refusal["filename"] == "empty.txt" and "is empty" in refusal["error"]


def test_a_file_too_large_to_send_becomes_a_card(desk: Desk, inbox: Path) -> None:
    shelf = Shelf(desk, space=False)
    assert shelf.refuse_large({"name": "huge.pdf", "size": FILE_LIMIT * 2}) == {}
    assert "400 MB" in shelf.show(LOCAL)["refusals"][0]["error"]
    assert shelf.refuse_large({"name": "huge.pdf", "size": "?"}) == {}
    assert len(shelf.show(LOCAL)["refusals"]) == 1


def test_no_file_but_an_upload_can_be_named(desk: Desk, inbox: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("Not yours.", encoding="utf-8")
    (inbox / "link.txt").symlink_to(secret)
    named = [
        "/etc/hostname",
        str(secret),
        str(inbox / ".." / "library.db"),
        str(inbox / "link.txt"),
        str(inbox),
        None,
        3,
    ]
    for path in named:
        answer = add(Shelf(desk, space=False), {"path": path, "name": "secret.txt"})
        assert answer["note"]["key"] == "note.upload", path
    assert desk.shelf(LOCAL) == []
    assert secret.exists()


def test_a_visitor_that_a_space_does_not_know_adds_nothing(desk: Desk, inbox: Path) -> None:
    shelf = Shelf(desk, space=True)
    path = upload(inbox, "book.txt")
    for visitor in ("", LOCAL, None):
        assert add(shelf, {"visitor": visitor, "path": str(path), "name": "book.txt"})["note"]["kind"] == "error"
    visitor = new_visitor()
    assert add(shelf, {"visitor": visitor, "path": str(path), "name": "book.txt"})["id"] == 1
    assert len(desk.shelf(f"visitor:{visitor}")) == 1
    assert desk.shelf(LOCAL) == []


def test_finding_is_for_ones_own_shelf_and_never_fails(desk: Desk, inbox: Path) -> None:
    shelf = Shelf(desk, space=True)
    mine, other = new_visitor(), new_visitor()
    path = upload(inbox, "whale.txt", b"Chapter 1. Loomings\n\nA white whale & <b>C++</b>.\n")
    add(shelf, {"visitor": mine, "path": str(path), "name": "whale.txt"})
    found = shelf.find({"visitor": mine, "query": "  WHITE whale "})
    assert found["count"] == 1
    (hit,) = found["hits"]
    assert (hit["document"], hit["before"], hit["match"]) == (1, "A ", "white whale")
    assert shelf.find({"visitor": mine, "query": "c++"})["count"] == 1
    for said in (
        {"visitor": other, "query": "whale"},
        {"query": "whale"},
        {"visitor": mine},
        {"visitor": mine, "query": 7},
    ):
        assert shelf.find(said)["count"] == 0


def test_tabs_that_look_within_a_second_see_one_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shelf = Shelf(desk, space=False)
    before = shelf.recent(LOCAL)
    path = tmp_path / "new.txt"
    path.write_text("A book that came meanwhile.", encoding="utf-8")
    desk.add(LOCAL, path, "new.txt")
    assert shelf.recent(LOCAL) is before and shelf.recent("somebody else")["items"] == []
    # whoever acts sees what is there, and from then on everybody does
    assert len(shelf.show(LOCAL)["items"]) == len(shelf.recent(LOCAL)["items"]) == len(before["items"]) + 1
    monkeypatch.setattr("app.ui.shelf.FRESH_SECONDS", 0.0)
    assert shelf.recent(LOCAL) is not before


def test_what_was_on_its_way_when_a_server_ended_is_taken_in(desk: Desk, inbox: Path) -> None:
    good, bad = upload(inbox, "book.txt"), upload(inbox, "bad.epub", b"no archive")
    owner = desk.owner_id(LOCAL)
    for path in (good, bad):
        desk.intake.note(owner, path, path.name)
    # what a command takes in, and what another server is taking in, is theirs
    desk.intake.note(owner, Path(__file__), "other.txt")
    held = desk.intake.note(owner, upload(inbox, "held.txt"), "held.txt")
    assert desk.intake.claim(held)
    shelf = Shelf(desk, space=False)
    assert [one["name"] for one in shelf.show(LOCAL)["arriving"]] == ["held.txt", "book.txt", "bad.epub", "other.txt"]
    shelf.resume()
    wait(lambda: len(shelf.show(LOCAL)["arriving"]) == 2)
    shown = shelf.show(LOCAL)
    assert [item["filename"] for item in shown["items"]] == ["book.txt"]
    assert [one["filename"] for one in shown["refusals"]] == ["bad.epub"]
    assert [one["name"] for one in shown["arriving"]] == ["held.txt", "other.txt"]
    assert not good.exists() and not bad.exists()


def test_a_book_much_like_another_is_told(desk: Desk, inbox: Path) -> None:
    shelf = Shelf(desk, space=False)
    text = "The Lamp\n\n" + "It was lit at last.\n\n" * 40
    add(shelf, {"path": str(upload(inbox, "a.txt", text.encode())), "name": "a.txt"})
    answer = add(shelf, {"path": str(upload(inbox, "b.txt", f"{text}The end.\n".encode())), "name": "b.txt"})
    assert answer["twin"] == {"id": 2, "title": "The Lamp", "like": "The Lamp"}


def test_an_address_that_is_not_fetched_says_why(desk: Desk) -> None:
    shelf = Shelf(desk, space=False)
    assert shelf.add_address({"address": "http://127.0.0.1:1/a.pdf"})["note"]["name"] == "SourceRefused"
    assert shelf.add_address({"address": "a.pdf"}) == {} and shelf.add_address({}) == {}


def test_what_arrived_is_taken_in_though_no_page_waits(desk: Desk, inbox: Path) -> None:
    shelf = Shelf(desk, space=False)
    told = [
        shelf.arrive({"path": str(upload(inbox, f"{n}.txt", f"Book {n}.\n".encode())), "name": f"{n}.txt"})
        for n in range(6)
    ]
    wait(lambda: len(desk.shelf(LOCAL)) == 6 and not shelf.show(LOCAL)["arriving"])
    ids = [one["arrival"] for one in told]
    # told once
    assert {"arrival": 99999} in shelf.settled({"arrivals": ["x", 99999]})["answers"]
    answers: list[dict[str, Any]] = []
    left = set(ids)
    while left:
        answers += shelf.settled({"arrivals": list(left)})["answers"]
        left -= {one["arrival"] for one in answers}
    assert all("id" in one for one in answers)
    assert shelf.settled({"arrivals": ids})["answers"] == [{"arrival": id} for id in ids]


def test_one_that_waits_is_stopped_gone_on_with_and_dropped(desk: Desk, inbox: Path) -> None:
    shelf, owner = Shelf(desk, space=False), desk.owner_id(LOCAL)
    noted = [desk.intake.note(owner, upload(inbox, name), name) for name in ("a.txt", "b.txt")]
    for one in noted:
        assert shelf.arrival({"id": one.id, "act": "stop"}) == {}
    shown = shelf.show(LOCAL)["arriving"]
    assert [(one["name"], one["state"], one["total"]) for one in shown] == [
        ("a.txt", "stopped", None),
        ("b.txt", "stopped", None),
    ]
    shelf.resume()
    assert shelf.arrival({"id": noted[0].id, "act": "resume"}) == {}
    wait(lambda: len(desk.shelf(LOCAL)) == 1)
    shelf.arrival({"visitor": "x", "id": "1", "act": "burn"})
    assert shelf.arrival({"id": noted[1].id, "act": "drop"}) == {}
    wait(lambda: not shelf.show(LOCAL)["arriving"])
    assert not any(inbox.iterdir()) and len(desk.shelf(LOCAL)) == 1


def test_removed_books_are_offered_back(desk: Desk, inbox: Path) -> None:
    shelf = Shelf(desk, space=False)
    for name in ("a.txt", "b.txt"):
        add(shelf, {"path": str(upload(inbox, name, f"Book {name}.\n".encode())), "name": name})
    assert (shelf.show(LOCAL)["removed"], shelf.removed({})["items"]) == (0, [])
    for id in (1, 2):
        desk.remove(LOCAL, id)
    assert shelf.show(LOCAL)["removed"] == 2
    assert [one["id"] for one in shelf.removed({})["items"]] == [2, 1]
    assert Shelf(desk, space=True).removed({"visitor": new_visitor()})["items"] == []
    desk.restore(LOCAL, 2)
    assert [one["id"] for one in shelf.removed({})["items"]] == [1]
