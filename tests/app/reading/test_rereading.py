"""Re-reading through the desk: what is found, what the model is given, what is kept with the turn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.reading import rereading
from app.reading.desk import Desk
from app.reading.gaze import PLACE_TOKENS, Looks, Map, Piece
from app.reading.prompt import SYSTEM
from app.reading.rereading import Measured, choose, is_general
from app.reading.runner import Runner
from app.reading.source import Source
from engine.protocol import BLOCK_TOKENS
from tests.app.reading.conftest import OWNER, Machine, PlainEngine

LAMP = "Tamsin kept the lamp of the harbour alight with whale oil, winter and summer."


@pytest.fixture
def tale(desk: Desk, tmp_path: Path) -> int:
    filler = ["The rain went on over the hills, and nobody spoke of it again. " * 6] * 30
    filler[17] = LAMP + " " + filler[17]
    path = tmp_path / "tale.txt"
    path.write_text("\n\n".join(line.strip() for line in filler), "utf-8")
    return desk.add(OWNER, path, path.name).document.id


def ask(desk: Desk, question: str, document: int, **given: Any) -> Any:
    run = desk.ask(OWNER, question, document_ids=[document], **given)
    Runner(desk).run_until([run.job_id])
    turn = desk.thread(OWNER, run.thread_id)[1][-1]
    return turn, [event for event in desk.follow(OWNER, run.job_id)]


def text_of(machine: Machine) -> str:
    return "".join(chr(one) for segment in machine.prompts[-1].segments for one in segment.ids)


def test_the_model_gets_the_passages_and_nothing_else(desk: Desk, machine: Machine, tale: int) -> None:
    turn, events = ask(desk, "Who kept the lamp?", tale, mode="reread")
    given = text_of(machine)
    assert LAMP in given and given.count("The rain went on") < 90 < 180
    assert SYSTEM in given and given.endswith("Question: Who kept the lamp?</u><a>")
    assert machine.jobs == ["generate"], "nothing had to be read for words"
    reading = turn.reading
    assert (reading["asked"], reading["mode"], reading["finder"]) == ("reread", "reread", "text")
    text = desk.library.text(desk.library.document(desk.owner_id(OWNER), tale).text_sha256)
    right = [one for one in reading["passages"] if LAMP in text[one["start"] : one["end"]]]
    assert len(right) == 1 and right[0]["document"] == tale
    assert [one["number"] for one in reading["passages"]] == list(range(1, len(reading["passages"]) + 1))
    assert f"[{right[0]['number']}]" in given
    mode = next(event for event in events if event.kind == "mode")
    assert mode.payload["passages"] == reading["passages"]


def test_attention_finds_where_the_question_looks(
    desk: Desk, machine: Machine, tale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rereading.MEASURED, "plain", Measured("attention", 0))
    monkeypatch.setattr(rereading, "PASSAGES", 1)
    machine.eyes = 1, 400
    # a book that is not read is not read for its passages: they are found by words
    turn, _ = ask(desk, "Who kept the lamp?", tale, mode="reread")
    assert machine.jobs == ["generate"] and turn.reading["finder"] == "text"
    Runner(desk).run_until(desk.read(OWNER, [tale]))
    machine.jobs.clear()
    turn, _ = ask(desk, "Who?", tale, mode="reread")
    assert machine.jobs == ["look", "generate"] and turn.reading["finder"] == "attention"
    (passage,) = turn.reading["passages"]
    header = text_of(machine).index("[1]")
    assert header > 0
    # a token is a character here, behind a header of the prompt's
    assert passage["start"] - 100 < 400 * BLOCK_TOKENS < passage["end"] + 200


def test_the_whole_is_read_where_it_is_asked_for(desk: Desk, machine: Machine, tale: int) -> None:
    machine.eyes = 1, 60
    turn, events = ask(desk, "Who kept the lamp?", tale, mode="whole")
    assert text_of(machine).count("The rain went on") == 180
    assert (turn.reading["mode"], turn.reading["passages"]) == ("whole", [])
    gaze = turn.gaze
    place = gaze["places"][0]
    assert gaze["measured"] and place["document"] == tale and place["weight"] == 1.0
    start = 60 * BLOCK_TOKENS - len("<document>\nTitle: Tale\n\n")
    assert place["start"] - PLACE_TOKENS <= start < place["end"] and place["end"] - place["start"] == PLACE_TOKENS
    (strip,) = gaze["strips"]
    assert (strip["document"], max(strip["cells"]), strip["cells"].count(0)) == (tale, 99, 159)
    assert gaze["sentences"][0]["places"][0]["start"] == place["start"]
    assert [event.payload["places"][0]["document"] for event in events if event.kind == "gaze"] == [tale]


def test_automatic_takes_what_was_measured(desk: Desk, machine: Machine, tale: int) -> None:
    for question, limit, mode in (
        ("Who kept the lamp?", 200_000, "reread"),
        ("What is this book about?", 200_000, "whole"),
        ("What is this book about?", 8000, "reread"),
    ):
        machine.limit = limit
        turn, _ = ask(desk, question, tale)
        # what is general stands in no passage: then the whole is all there is, or its passages are
        assert (turn.reading or {}).get("mode", "refused") == ("refused" if limit == 8000 else mode), question


def test_a_question_without_a_word_in_the_text_is_for_the_whole(desk: Desk, machine: Machine, tale: int) -> None:
    turn, _ = ask(desk, "Zanzibar?", tale, mode="reread")
    assert turn.reading["mode"] == "whole" and turn.answer


def test_the_mode_follows_the_model_and_the_length(desk: Desk) -> None:
    model = desk.model()
    assert choose("auto", model, "Who kept the lamp?", model.window, fits=True) == "reread"
    assert choose("auto", model, "Who kept the lamp?", model.window - 1, fits=True) == "whole"
    assert choose("whole", model, "Who?", 10**9, fits=False) == "whole"
    for name, found in rereading.MEASURED.items():
        known = replace(model, name=name, window=10**6)
        modes = [choose("auto", known, "Who kept the lamp?", found.from_tokens + by, fits=True) for by in (-1, 0)]
        assert modes == ["whole", "reread"], name
    assert is_general("Summarize the story.") and is_general("这本书讲什么？") and not is_general("Who is Ahab?")


def test_gaze_over_passages_is_in_the_documents_places(desk: Desk, tale: int) -> None:
    document = desk.library.document(desk.owner_id(OWNER), tale)
    pieces = [Piece(20, tale, range(1000, 1301)), Piece(340, tale, range(5000, 5101))]
    looks = Looks(Map({1: pieces}), [Source(desk.library, document)])
    engine = PlainEngine("plain", Machine(eyes=(1, 22)))
    looks.add(0, engine._gaze())
    first = looks.now()[0]
    assert 5000 <= first["start"] < first["end"] <= 5100
    assert looks.now() == [] and looks.stored("An answer.")["sentences"][0]["stop"] == 10  # type: ignore[index]
    engine.machine.eyes = 1, 0  # before the first passage
    looks.add(0, engine._gaze())
    assert all(place["start"] >= 1000 for place in looks.stored("An answer.")["places"])  # type: ignore[index]


def test_nothing_is_found_behind_the_spoiler_guard(desk: Desk, machine: Machine, tale: int) -> None:
    text = desk.library.text(desk.library.document(desk.owner_id(OWNER), tale).text_sha256)
    turn, _ = ask(desk, "Who kept the lamp of the hills?", tale, mode="reread", upto={tale: text.index(LAMP)})
    assert LAMP not in text_of(machine) and turn.reading["passages"]
    assert all(one["end"] <= text.index(LAMP) for one in turn.reading["passages"])
