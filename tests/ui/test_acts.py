from __future__ import annotations

import base64
import itertools
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.documents.parse import parse_file
from app.library.records import EventRecord
from app.library.store import Library
from app.reading import welcome
from app.reading.desk import Desk
from app.reading.runner import Runner
from app.settings import Settings
from app.ui import download, threads
from app.ui.acts import Acts
from app.ui.conversation import SETTLE, _Growing, checked
from app.ui.markup import render
from app.ui.seat import LOCAL, Seat, new_visitor
from app.ui.shelf import Shelf
from tests.app.reading.conftest import Machine, PlainEngine, until

TAB, OTHER = "tab", "other tab"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at the shelf follow each other faster here than in a browser."""
    monkeypatch.setattr("app.ui.shelf.FRESH_SECONDS", 0.0)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def desk(tmp_path: Path, machine: Machine) -> Iterator[Desk]:
    settings = Settings.load({"home": tmp_path / "home", "cache": tmp_path / "cache", "model": "plain"}, {})
    with Library(settings.home, parse=parse_file) as library:
        desk = Desk(settings, library, lambda name: PlainEngine(name, machine))
        desk.engines.get("plain")
        yield desk


@pytest.fixture
def acts(desk: Desk) -> Acts:
    return Acts(desk, Shelf(desk, space=False), space=False)


@pytest.fixture
def working(desk: Desk, machine: Machine) -> Iterator[Machine]:
    """The queue is worked; the machine says how far."""
    runner = Runner(desk)
    runner.start()
    yield machine
    machine.steps = None
    runner.close()


@pytest.fixture
def book(desk: Desk, tmp_path: Path) -> int:
    path = tmp_path / "book.txt"
    path.write_text("A tale of some length. " * 200, encoding="utf-8")
    document = desk.add(LOCAL, path, "book.txt").document
    desk.rename(LOCAL, document.id, "A Tale", ["Ada Quill"])
    return document.id


def ask(acts: Acts, seat: Seat, question: str) -> tuple[dict[str, Any], Seat, dict[str, Any]]:
    """The changes, the seat as the browser then has it, and what it says to follow the answer."""
    said = acts.ask(seat, {"question": question})
    live = said["live"]
    assert live["active"] and live["follow"]
    return said, Seat(thread=live["thread"], chosen=seat.chosen), {"thread": live["thread"], "job": live["job"]}


def test_a_question_is_shown_followed_and_committed(acts: Acts, working: Machine, book: int) -> None:
    said, seat, job = ask(acts, Seat(chosen=(book,)), "What <b>now</b>?")
    shown = said["transcript"]
    assert shown["adopt"] and shown["from"] is None and shown["documents"] == [book] and shown["books"] == ["A Tale"]
    assert shown["turns"][0]["question"] == "What <b>now</b>?" and shown["turns"][0]["running"]
    assert said["threads"]["threads"][0]["running"]

    grown = list(acts.follow(seat, TAB, job))
    assert grown[0]["phase"] == "waiting" and not any(one["follow"] for one in grown)
    assert "reading" in [one["phase"] for one in grown]
    assert grown[-1]["phase"] == "ended" and grown[-1]["html"] == "<p>A plain answer.</p>\n"

    done = acts.commit(seat)
    turn = done["transcript"]["turns"][0]
    assert turn["html"] == "<p>A plain answer.</p>\n" and turn["finish"] == "stop" and not turn["running"]
    assert not done["live"]["active"] and not done["threads"]["threads"][0]["running"]
    # read along with the question; its own reading, still in the queue, finds nothing to do
    assert done["shelf"]["items"][0]["progress"] == 1.0
    assert done["composer"]["fits"] and done["composer"]["ready"]


def test_a_page_that_is_loaded_later_follows_the_same_answer(acts: Acts, working: Machine, book: int) -> None:
    working.words = ["one ", "two ", "three"]
    working.steps = 0
    _, seat, job = ask(acts, Seat(chosen=(book,)), "Count.")
    until(lambda: "generate" in working.jobs, "the question was not begun")
    first = acts.follow(seat, TAB, job)
    next(first)
    # gradio kills a handler whose tab is gone
    first.close()
    later = acts.arrive(seat, OTHER)
    assert later["live"]["active"] and later["live"]["follow"] and later["live"]["job"] == job["job"]
    assert later["composer"]["chosen"] == [book]
    again = acts.follow(seat, OTHER, job)
    # what was told before comes at once
    assert next(again)["phase"] in ("loading", "reading")
    working.steps = None
    assert list(again)[-1]["html"] == "<p>one two three</p>\n"


def test_a_tab_that_went_elsewhere_is_told_no_more(acts: Acts, working: Machine, book: int) -> None:
    working.steps = 0
    _, seat, job = ask(acts, Seat(chosen=(book,)), "Count.")
    here, other = acts.follow(seat, TAB, job), acts.follow(seat, OTHER, job)
    next(here), next(other)
    acts.begin(Seat(), TAB)
    working.steps = None
    assert list(here) == []
    assert list(other)[-1]["phase"] == "ended"


def test_an_answer_that_is_gone_is_not_followed(acts: Acts, book: int) -> None:
    said = list(acts.follow(Seat(thread=1), TAB, {"thread": 1, "job": 99}))
    assert [one["active"] for one in said] == [False]
    assert [one["active"] for one in acts.follow(Seat(thread=1), TAB, {"thread": None, "job": "x"})] == [False]


def test_stopping_keeps_what_was_written(acts: Acts, desk: Desk, working: Machine, book: int) -> None:
    desk.read(LOCAL, [book])
    until(lambda: desk.shelf(LOCAL)[0].state == "read", "the book was not read")
    working.words = [f"{n} " for n in range(1000)]
    working.steps = 0
    stopped = threading.Event()

    def feed() -> None:
        # a word now and then, as a model writes
        while not stopped.wait(0.01):
            working.steps = 1

    threading.Thread(target=feed, daemon=True).start()
    _, seat, job = ask(acts, Seat(chosen=(book,)), "Count.")
    for said in acts.follow(seat, TAB, job):
        if "5" in said["html"] and not stopped.is_set():
            acts.stop(seat, job)
            stopped.set()
    turn = acts.commit(seat)["transcript"]["turns"][0]
    assert turn["finish"] == "stopped" and turn["answer"].startswith("0 1 2 3 4 5")
    assert "999" not in turn["answer"]


def test_too_much_is_refused_with_numbers(acts: Acts, machine: Machine, book: int) -> None:
    machine.limit = 2000
    seat = Seat(chosen=(book,))
    plan = acts.choose(seat)["composer"]
    assert plan["fits"] is False and plan["limit"] == 2000 and plan["needed"] > 4600 and plan["bound"] == "model"
    said = acts.ask(seat, {"question": "Does it fit?", "mode": "whole"})
    assert said["live"]["refused"] and said["notes"]["name"] == "RoomExceeded"
    assert "2,000" in said["notes"]["text"]


@pytest.mark.parametrize(
    ("seat", "question", "name"),
    [(Seat(chosen=(1,)), "  ", "QuestionEmpty"), (Seat(), "Why?", "NothingChosen"), (Seat(thread=9), "Why?", "ThreadNotFound")],
)  # fmt: skip
def test_what_cannot_be_asked(acts: Acts, book: int, seat: Seat, question: str, name: str) -> None:
    said = acts.ask(seat, {"question": question})
    assert said["notes"]["name"] == name and said["live"]["refused"]


def test_a_thread_that_is_gone_gives_way_to_a_new_one(acts: Acts) -> None:
    said = acts.open(Seat(thread=42), TAB)
    assert said["transcript"] == {"thread": None, "turns": [], "adopt": True, "from": 42}
    assert not said["live"]["active"]


def test_a_tick_says_only_what_changed(acts: Acts, desk: Desk, book: int) -> None:
    first = acts.tick(Seat(chosen=(book,)))
    assert set(first) == {"shelf", "threads", "model", "composer"}
    digests = {name: said["digest"] for name, said in first.items()}
    assert acts.tick(Seat(chosen=(book,), digests=digests)) == {}
    desk.stop_document(LOCAL, book)
    assert set(acts.tick(Seat(chosen=(book,), digests=digests))) == {"shelf", "composer"}
    assert set(acts.tick(Seat(digests=digests))) == {"shelf", "composer"}


def test_the_model_is_named_with_its_worth(acts: Acts) -> None:
    said = acts.tick(Seat())["model"]
    assert said["title"] == "Plain" and said["small"] is True and said["machine"]["cores"] >= 1
    assert all({"name", "title", "most", "download", "seconds", "current"} == set(offer) for offer in said["offers"])


def test_a_model_that_cannot_be_had_says_why(desk: Desk, machine: Machine, book: int) -> None:
    machine.unknown.add("plain")
    other = Desk(desk.settings, desk.library, lambda name: PlainEngine(name, machine))
    said = Acts(other, Shelf(other, space=False), space=False).tick(Seat(chosen=(book,)))
    assert "was not found" in said["model"]["problem"]
    assert said["composer"]["waiting"]
    assert said["shelf"]["items"][0]["title"] == "A Tale"


def test_threads_are_renamed_and_removed(acts: Acts, desk: Desk, book: int) -> None:
    run = desk.ask(LOCAL, "Why?", document_ids=[book])
    said = acts.rename(Seat(), {"id": run.thread_id, "title": "  A \n better   name "})
    assert said["threads"]["threads"][0]["title"] == "A better name"
    assert said["threads"]["threads"][0]["books"] == ["A Tale"]
    assert acts.rename(Seat(), {"id": run.thread_id, "title": " "}) == {}
    assert acts.remove_thread(Seat(), {"id": run.thread_id})["threads"]["threads"] == []
    # nobody waits for its answer any more
    assert desk.jobs.get(None, run.job_id).state == "stopped"


def test_what_is_settled_of_a_long_answer_is_rendered_once() -> None:
    line = "word " * 80
    told = [f"{n} {line}\n\n" for n in range(8)] + ["```\ncode\n\n", line * 4, "\n```\n\n", f"{line}\n\n- a\n\n- b\n"]
    grown, said = _Growing(1, 1), []
    for id, text in enumerate(told):
        grown.hear(EventRecord(id=id, job_id=1, kind="delta", payload={"text": text}, created=""))
        said.append(grown.show())
    settled = [one["settled"] for one in said]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(settled))
    # what is drawn anew stays short, but for a fence, which is never cut
    assert all(len(one["html"]) < 2 * SETTLE for one in said[:8]) and "<code>" not in settled[9]
    assert settled[-1].count("<p>") >= 8 and "<li>" not in settled[-1]
    assert settled[-1] + said[-1]["html"] == render("".join(told))
    # begun again by the engine: what was written is void
    grown.hear(EventRecord(id=99, job_id=1, kind="restart", payload={}, created=""))
    assert grown.show()["settled"] == "" == grown.show()["html"]


def test_a_question_is_asked_anew_and_the_old_one_found_again(acts: Acts, working: Machine, book: int) -> None:
    _, seat, job = ask(acts, Seat(chosen=(book,)), "What?")
    list(acts.follow(seat, TAB, job))
    first = acts.commit(seat)["transcript"]["turns"][0]
    assert first["beside"] == []
    said = acts.ask(seat, {"question": "What, then?", "instead_of": first["id"], "sampling": {"max_tokens": 2}})
    assert [turn["question"] for turn in said["transcript"]["turns"]] == ["What, then?"]
    list(acts.follow(seat, TAB, {"thread": seat.thread, "job": said["live"]["job"]}))
    again = acts.commit(seat)["transcript"]["turns"][0]
    assert again["beside"] == [first["id"], again["id"]] and again["answer"] == "A plain "
    back = acts.branch(seat, TAB, {"turn": first["id"]})["transcript"]["turns"]
    assert [(turn["id"], turn["answer"]) for turn in back] == [(first["id"], "A plain answer.")]
    assert acts.branch(seat, TAB, {"turn": 99})["notes"]["name"] == "TurnNotFound"
    assert acts.ask(seat, {"question": "?", "sampling": {"temperature": 9}})["notes"]["name"] == "SettingInvalid"


def test_an_answer_of_another_branch_is_not_followed_here(acts: Acts, desk: Desk, working: Machine, book: int) -> None:
    _, seat, job = ask(acts, Seat(chosen=(book,)), "What?")
    list(acts.follow(seat, TAB, job))
    first = acts.commit(seat)["transcript"]["turns"][0]
    working.steps = 0
    said = acts.ask(seat, {"question": "What, then?", "instead_of": first["id"]})
    there = acts.branch(seat, TAB, {"turn": first["id"]})
    assert not there["live"]["active"] and not there["transcript"]["turns"][0]["running"]
    # it goes on all the same, and is followed again where it is
    again = acts.branch(seat, TAB, {"turn": said["transcript"]["turns"][0]["id"]})
    assert again["live"]["job"] == said["live"]["job"]


def test_a_removed_conversation_comes_back(acts: Acts, desk: Desk, book: int) -> None:
    run = desk.ask(LOCAL, "Why?", document_ids=[book])
    acts.remove_thread(Seat(), {"id": run.thread_id})
    assert [one["id"] for one in acts.restore_thread(Seat(), {"id": run.thread_id})["threads"]["threads"]] == [
        run.thread_id
    ]
    assert acts.restore_thread(Seat(), {"id": 99})["notes"]["name"] == "ThreadNotFound"


def test_conversations_are_found_and_kept_as_files(acts: Acts, desk: Desk, working: Machine, book: int) -> None:
    _, seat, job = ask(acts, Seat(chosen=(book,)), "Where is the / key?")
    list(acts.follow(seat, TAB, job))
    found = threads.search(desk, {"query": " PLAIN "}, space=False)
    assert found["hits"][0]["id"] == seat.thread and found["hits"][0]["snippet"][1] == "plain"
    assert threads.search(desk, {"query": "plain"}, space=True)["hits"] == []
    for format in ("md", "docx", "json"):
        said = download.conversation(desk, {"thread": seat.thread, "format": format}, space=False)
        assert said["name"].endswith(f".{format}") and len(base64.b64decode(said["data"])) > 100
    assert download.conversation(desk, {"thread": 99, "format": "md"}, space=False)["note"]["name"] == "ThreadNotFound"
    assert download.conversation(desk, {"thread": seat.thread, "format": "exe"}, space=False) == {}


def test_a_new_shelf_begins_with_the_welcome_book(acts: Acts, desk: Desk) -> None:
    first = acts.arrive(Seat(language="zh"), TAB)["shelf"]["items"]
    assert [item["title"] for item in first] == ["耐心的读者"] and first[0]["state"] == "waiting"
    assert first[0]["sha256"] in [one[:8] for one in welcome.hashes()]
    # once: not again in another language, nor after it was removed
    assert len(acts.arrive(Seat(language="en"), OTHER)["shelf"]["items"]) == 1
    acts.remove(Seat(), {"id": first[0]["id"]})
    assert acts.arrive(Seat(), TAB)["shelf"]["items"] == []


def test_the_meter_says_what_each_book_takes_and_what_to_leave_out(
    acts: Acts, desk: Desk, machine: Machine, tmp_path: Path
) -> None:
    ids = []
    for name, times in (("small", 10), ("middle", 60), ("large", 100)):
        path = tmp_path / f"{name}.txt"
        path.write_text(f"A {name} tale of some length. " * times, encoding="utf-8")
        ids.append(desk.add(LOCAL, path, path.name).document.id)
    _, middle, large = ids
    said = acts.choose(Seat(chosen=tuple(ids)))["composer"]
    assert said["fits"] and said["leave_out"] == [] and not any(one["read"] for one in said["documents"])
    # a character is a token here, and takes a byte
    assert [one["memory"] for one in said["documents"]] == [one["tokens"] for one in said["documents"]]
    machine.limit = said["needed"] - 1000
    assert acts.choose(Seat(chosen=tuple(ids)))["composer"]["leave_out"] == [[middle], [large]]
    machine.limit = said["needed"] - 4000
    assert acts.choose(Seat(chosen=tuple(ids)))["composer"]["leave_out"] == [[large, middle]]
    assert acts.choose(Seat(chosen=(large,)))["composer"]["leave_out"] == []


def test_books_are_stopped_resumed_and_removed(acts: Acts, book: int) -> None:
    assert acts.stop_reading(Seat(), {"id": book})["shelf"]["items"][0]["state"] == "stopped"
    assert acts.resume(Seat(), {"id": book})["shelf"]["items"][0]["state"] == "waiting"
    assert acts.remove(Seat(chosen=(book,)), {"id": book})["shelf"]["items"] == []
    assert acts.remove(Seat(), {"id": book})["notes"]["name"] == "DocumentNotFound"


def test_what_is_not_an_id_is_a_note_and_no_traceback(acts: Acts, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        said = acts.stop(Seat(), {"job": "<secret>"})
    assert said["notes"]["key"] == "error.Unexpected"
    # the log says where, and nothing that a reader wrote
    assert "ValueError" in caplog.text and "secret" not in caplog.text


def test_visitors_of_a_space_see_their_own_shelf_only(desk: Desk, book: int) -> None:
    acts = Acts(desk, Shelf(desk, space=True), space=True)
    assert acts.tick(Seat()) == {} and acts.arrive(Seat(), TAB) == {}
    assert acts.stop_reading(Seat(), {"id": book}) == {}
    visitor = Seat(visitor=new_visitor())
    assert acts.tick(visitor)["shelf"]["items"] == []
    assert acts.stop_reading(visitor, {"id": book})["notes"]["name"] == "DocumentNotFound"
    assert desk.shelf(LOCAL)[0].state == "waiting"


def test_a_card_says_how_well_a_book_was_read_and_is_pinned(acts: Acts, desk: Desk, book: int) -> None:
    item = acts.changed(Seat())["shelf"]["items"][0]
    assert item["recall"] is None and item["pinned"] is False
    identity = desk.model().identity
    told = {"policy": "block", "recall": "0.9731"}
    for complete in (False, True):
        desk.library.save_reading(
            book, identity, done=5, total=5, complete=complete, seconds=1.0, provenance=told if complete else None
        )
    item = acts.pin(Seat(), {"id": book, "on": True})["shelf"]["items"][0]
    assert item["recall"] == 0.9731 and item["pinned"] is True
    assert acts.pin(Seat(), {"id": book, "on": False})["shelf"]["items"][0]["pinned"] is False
    assert acts.pin(Seat(), {"id": book + 1, "on": True})["notes"]["name"] == "DocumentNotFound"


def test_books_are_taken_as_read_alone_where_the_reader_wants_it(
    acts: Acts, desk: Desk, working: Machine, book: int, tmp_path: Path
) -> None:
    path = tmp_path / "other.txt"
    path.write_text("Another tale of some length. " * 200, encoding="utf-8")
    other = desk.add(LOCAL, path, "other.txt").document.id
    chosen = (book, other)
    _, seat, job = ask(acts, Seat(chosen=chosen, quick=True), "Both?")
    list(acts.follow(seat, TAB, job))
    said = acts.commit(Seat(thread=seat.thread, chosen=chosen, quick=True))
    assert said["transcript"]["quick"] and said["transcript"]["turns"][0]["reading"]["quick"]
    assert said["transcript"]["turns"][0]["reading"]["mode"] == "whole"
    # another tab takes the choice over with the conversation, and what is left to read depends on it
    assert acts.open(Seat(thread=seat.thread), OTHER)["composer"]["quick"]
    until(lambda: all(item["state"] == "read" for item in acts.changed(Seat())["shelf"]["items"]), "nothing was read")
    kept = [acts.choose(Seat(chosen=chosen, quick=quick))["composer"]["to_read"] for quick in (True, False)]
    assert kept[0] < kept[1]


def test_every_sentence_is_looked_up_on_request(acts: Acts, desk: Desk, working: Machine, book: int) -> None:
    working.words = ["A tale of ", "some length. ", "It speaks of whales and of the sea."]
    _, seat, job = ask(acts, Seat(chosen=(book,)), "What is it?")
    list(acts.follow(seat, TAB, job))
    turn = acts.commit(seat)["transcript"]["turns"][0]["id"]
    said = checked(desk, {"thread": seat.thread, "turn": turn}, space=False)
    assert [one["kind"] for one in said["quotes"]] == ["exact", "not found"]
    assert 'class="quoted exact" data-quote="0">A tale of some length.</span>' in said["html"]
    # another's conversation is not looked at
    assert checked(desk, {"visitor": new_visitor(), "thread": seat.thread, "turn": turn}, space=True)["note"]
