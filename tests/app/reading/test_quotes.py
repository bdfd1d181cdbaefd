from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.commands.asking import _turn_row
from app.errors import LibraryDamaged
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.quotes import Indexes, Quotes, is_short
from app.reading.runner import Runner
from tests.app.reading.conftest import OWNER, Machine

TEXT = """CHAPTER I. The Lamp

The keeper kept the brass key under the blue stone by the door. Nobody else knew of it.

CHAPTER II. The Fog

In the second winter the fog came from the north, and she rang the bell twice in every minute.
"""


@pytest.fixture
def tale(desk: Desk, tmp_path: Path) -> int:
    path = tmp_path / "tale.txt"
    path.write_text(TEXT, encoding="utf-8")
    return desk.add(OWNER, path, "tale.txt").document.id


def test_every_kind_with_its_place(desk: Desk, tale: int) -> None:
    answer = "It says “the brass key under the blue stone”, “she rang a bell twice in every minute” and “he sold it to the Duke”."
    exact, near, missing = desk.quotes.check(answer, [tale])
    text = desk.library.text(desk.library.document(desk.owner_id(OWNER), tale).text_sha256)
    assert (exact.kind, near.kind, missing.kind) == ("exact", "near", "not found")
    assert exact.document == tale and exact.place is not None and text[slice(*exact.place)] == exact.found == exact.text
    assert "Lamp" in str(exact.chapter) and "Fog" in str(near.chapter) and exact.page is None
    assert ("replace", "a ", "the ") in near.difference and near.similarity == 0.9
    assert [piece for piece, found in near.passage if found] == ["she rang the bell twice in every minute"]
    assert missing.document is None and missing.passage == () and answer[missing.start : missing.stop] == missing.text


def test_what_accuses_nobody(desk: Desk, tale: int) -> None:
    answer = "The “so-called keeper” of “The Fog”, you asked “who sold the silver spoon then”, had a “key”. 他“很忙”。"
    assert [one.text for one in desk.quotes.check(answer, [tale], "Tell me who sold the silver spoon then!")] == [
        "The Fog",
        "key",
    ]
    assert (
        is_short("two words") and not is_short("three words here") and is_short("三个字") and not is_short("有四个字")
    )


def test_every_sentence(desk: Desk, tale: int) -> None:
    answer = "Nobody else knew of it. The sea was full of silver herring that year."
    thread = desk.conversations.create(desk.owner_id(OWNER), [tale], "t")
    turn = desk.conversations.add_turn(thread.id, "What does it say?")
    desk.conversations.save_answer(turn.id, answer=answer, finish="stop")
    assert [one.kind for one in desk.sentences(OWNER, thread.id, turn.id)] == ["exact", "not found"]
    assert desk.sentences(OWNER, thread.id, turn.id + 1) == []


def test_a_finished_answer_is_stored_with_its_quotes(desk: Desk, runner: Runner, machine: Machine, tale: int) -> None:
    machine.words = ["He kept ", "“the brass key under ", "the blue stone”."]
    run = desk.ask(OWNER, "Where?", document_ids=[tale])
    runner.run_until([run.job_id])
    (turn,) = desk.conversations.turns(run.thread_id)
    assert turn.quotes is not None and [one["kind"] for one in turn.quotes["quotes"]] == ["exact"]
    assert desk.quoted(OWNER, run.thread_id)[1] == [turn]
    (told,) = json.loads(json.dumps(_turn_row(turn)))["quotes"]
    assert (told["kind"], told["text"], told["document"]) == ("exact", "the brass key under the blue stone", tale)


def test_an_older_answer_is_checked_when_it_is_read(desk: Desk, tale: int) -> None:
    owner = desk.owner_id(OWNER)
    thread = desk.conversations.create(owner, [tale], "old")
    turn = desk.conversations.add_turn(thread.id, "Where?")
    desk.conversations.save_answer(turn.id, answer="“Nobody else knew of it.”", finish="stop")
    # also where its document left the shelf
    desk.remove(OWNER, tale)
    (shown,) = desk.quoted(OWNER, thread.id)[1]
    assert shown.quotes is not None and shown.quotes["quotes"][0]["kind"] == "exact"
    assert desk.conversations.turns(thread.id)[0].quotes is not None
    # another answer takes its place: nothing of this one stays
    assert desk.conversations.save_answer(turn.id, answer="No.", finish="stop").quotes is None


def test_a_conversation_is_shown_where_its_text_is_lost(desk: Desk, tale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = desk.conversations.create(desk.owner_id(OWNER), [tale], "old")
    turn = desk.conversations.add_turn(thread.id, "Where?")
    desk.conversations.save_answer(turn.id, answer="“Nobody else knew of it.”", finish="stop")

    def lost(self: Library, text_sha256: str) -> str:
        raise LibraryDamaged(str(self.path), "the text is missing")

    monkeypatch.setattr(Library, "text", lost)
    (shown,) = desk.quoted(OWNER, thread.id)[1]
    assert shown.answer and shown.quotes is None


def test_an_answer_is_not_lost_for_its_quotes(
    desk: Desk, runner: Runner, machine: Machine, tale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Quotes, "stored", broken)
    run = desk.ask(OWNER, "Where?", document_ids=[tale])
    runner.run_until([run.job_id])
    (turn,) = desk.conversations.turns(run.thread_id)
    assert turn.answer == "A plain answer." and turn.finish == "stop" and turn.quotes is None


def test_memory_is_bounded(desk: Desk, tale: int, library: Library, tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("Another tale of herring. " * 50, encoding="utf-8")
    other = desk.add(OWNER, path, "other.txt").document
    first = library.document(other.owner_id, tale)
    indexes = Indexes(library, most=1)
    kept = indexes.get(first.text_sha256)
    assert indexes.get(first.text_sha256) is kept
    indexes.get(other.text_sha256)
    # one is always kept, or nothing could be searched
    assert indexes.size == indexes.get(other.text_sha256).size
    assert indexes.get(first.text_sha256) is not kept
