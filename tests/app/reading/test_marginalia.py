"""The spoiler guard at the prompt, in the search and on the page; notes through the desk."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from app.errors import PlaceInvalid
from app.reading import prompt as prompts
from app.reading.desk import Desk
from app.reading.noted import as_anki, as_json, as_markdown
from app.reading.runner import Runner
from engine.protocol import PAGE_TOKENS

from .conftest import OWNER, Machine

SECRET = "The butler did it"


@pytest.fixture
def mystery(desk: Desk, tmp_path: Path) -> int:
    """Twelve chapters of 1,000 characters; the last tells who it was."""
    parts = []
    for number in range(1, 13):
        body = SECRET + " in the end. " if number == 12 else "Nobody knew anything yet. "
        parts.append(
            f"CHAPTER {number}. Part {number}\n\n" + "\n\n".join([(body + f"Line {n}. " * 9).strip() for n in range(8)])
        )
    path = tmp_path / "mystery.txt"
    path.write_text("\n\n".join(parts), encoding="utf-8")
    return desk.add(OWNER, path, path.name).document.id


def answer(desk: Desk, runner: Runner, question: str, **given: object) -> str:
    """What the engine was told when it answered."""
    run = desk.ask(OWNER, question, **given)  # type: ignore[arg-type]
    runner.start(until=[run.job_id])
    list(desk.follow(OWNER, run.job_id))
    runner.close()
    return "".join(chr(one) for segment in told(desk)[-1].segments for one in segment.ids)


def told(desk: Desk) -> list:
    return desk.engines.get("plain").machine.prompts  # type: ignore[attr-defined]


def test_what_is_not_read_is_not_in_the_prompt(desk: Desk, runner: Runner, mystery: int) -> None:
    assert SECRET in answer(desk, runner, "Who?", document_ids=[mystery])
    chapter = desk.find_place(OWNER, mystery, "Chapter 5. Part 5")
    text = desk.library.text(desk.library.document(1, mystery).text_sha256)
    assert text[chapter:].startswith("CHAPTER 5")
    assert desk.guard(OWNER, mystery, chapter).upto == chapter
    prompt = answer(desk, Runner(desk), "Who?", document_ids=[mystery])
    assert SECRET not in prompt and "CHAPTER 5" not in prompt
    assert text[:chapter].rstrip() in prompt and prompts.CLOSING in prompt
    desk.guard(OWNER, mystery, None)
    assert SECRET in answer(desk, Runner(desk), "Who?", document_ids=[mystery])


def test_a_question_may_be_limited_alone_and_never_beyond_the_guard(desk: Desk, mystery: int) -> None:
    five, nine = (desk.find_place(OWNER, mystery, f"Chapter {n}. Part {n}") for n in (5, 9))
    document = desk.library.document(1, mystery)
    assert desk.allowed(1, [document], {mystery: nine}) == {mystery: nine}
    desk.guard(OWNER, mystery, five)
    assert desk.allowed(1, [document], {mystery: nine}) == {mystery: five}
    assert desk.allowed(1, [document]) == {mystery: five} == desk.guards(OWNER)


def test_an_answer_that_knew_more_is_not_told_again(desk: Desk, runner: Runner, machine: Machine, mystery: int) -> None:
    machine.words = ["It was ", "the butler."]
    run = desk.ask(OWNER, "Who did it?", document_ids=[mystery])
    runner.start(until=[run.job_id])
    list(desk.follow(OWNER, run.job_id))
    runner.close()
    desk.guard(OWNER, mystery, desk.find_place(OWNER, mystery, "50%"))
    prompt = answer(desk, Runner(desk), "And now?", thread_id=run.thread_id)
    assert "the butler" not in prompt and "Who did it?" not in prompt
    # of the guarded answer the next guarded question knows, and of one that was told less
    machine.words = ["Nobody ", "knows."]
    prompt = answer(desk, Runner(desk), "Sure?", thread_id=run.thread_id)
    assert "And now?" in prompt
    desk.guard(OWNER, mystery, None)
    assert "Who did it?" in answer(desk, Runner(desk), "At last?", thread_id=run.thread_id)


def test_whole_pages_of_the_reading_are_used_again(desk: Desk, runner: Runner, mystery: int) -> None:
    (job,) = desk.read(OWNER, [mystery])
    runner.start(until=[job])
    list(desk.follow(OWNER, job))
    runner.close()
    desk.guard(OWNER, mystery, desk.find_place(OWNER, mystery, "50%"))
    plan = desk.room(OWNER, [mystery], question="Who?")
    opening, segment = told(desk)[-1].segments[:2]
    assert plan.documents[0].tokens < len(segment.ids)
    whole = plan.documents[0].tokens // PAGE_TOKENS * PAGE_TOKENS
    assert whole and plan.kept == len(opening.ids) + whole


def test_a_token_across_the_border_is_left_out(desk: Desk, mystery: int) -> None:
    from array import array
    from types import SimpleNamespace

    document = desk.library.document(1, mystery)
    size = document.characters
    # tokens of five characters; the border lies within the third, then before a character of three tokens
    offsets = array("q", [*range(0, size, 5), size])
    desk.library.save_tokenization(document.text_sha256, "fives", array("i", range(len(offsets) - 1)), offsets)
    fives = SimpleNamespace(model=SimpleNamespace(tokenizer="fives"))
    cut = {upto: list(prompts.text_ids(fives, desk.library, document, upto=upto)) for upto in (0, 4, 5, 12, 15, size)}  # type: ignore[arg-type]
    assert cut == {0: [], 4: [], 5: [0], 12: [0, 1], 15: [0, 1, 2], size: list(range(len(offsets) - 1))}
    offsets = array("q", [0, 5, 5, 5, 6, size])
    desk.library.save_tokenization(document.text_sha256, "bytes", array("i", range(5)), offsets)
    pieces = SimpleNamespace(model=SimpleNamespace(tokenizer="bytes"))
    assert list(prompts.text_ids(pieces, desk.library, document, upto=5)) == [0]  # type: ignore[arg-type]


def test_search_stops_at_the_guard(desk: Desk, mystery: int) -> None:
    everywhere = desk.search(OWNER, "Line 3.").count
    assert desk.search(OWNER, SECRET).count == 8
    desk.guard(OWNER, mystery, desk.find_place(OWNER, mystery, "50%"))
    found = desk.search(OWNER, "Line 3.", limit=100)
    assert desk.search(OWNER, SECRET).count == 0 and 0 < found.count < everywhere
    assert all(hit.stop <= desk.guards(OWNER)[mystery] for hit in found.hits)


def test_places_are_named_as_people_name_them(desk: Desk, mystery: int) -> None:
    def find(said: str) -> int:
        return desk.find_place(OWNER, mystery, said)

    assert find("chapter 7") == find("CHAPTER 7. PART 7") == find("Part 7") > find("Chapter 6") > 0
    # "Chapter 1" is not Chapter 12
    assert find("Chapter 1") < find("Chapter 2") < find("Chapter 12")
    assert find("500") == 500 and find("100%") == desk.library.document(1, mystery).characters
    for wrong in ("Chapter 77", "Part", "…"):
        with pytest.raises(PlaceInvalid):
            find(wrong)
    with pytest.raises(PlaceInvalid):
        desk.guard(OWNER, mystery, 0)


def test_notes_are_written_out(desk: Desk, mystery: int) -> None:
    text = desk.library.text(desk.library.document(1, mystery).text_sha256)
    at = text.index("Nobody knew")
    desk.add_note(OWNER, mystery, at, at + 11, note='Why "nobody"? <b>\n# not a heading', colour="green")
    late = text.index(SECRET)
    desk.add_note(OWNER, mystery, late, late + len(SECRET))
    noted = desk.noted(OWNER)
    assert [mark.chapter for mark in noted[0].marks] == ["CHAPTER 1. Part 1", "CHAPTER 12. Part 12"]
    markdown = as_markdown(noted)
    assert "> Nobody knew\n\nWhy" in markdown and "## CHAPTER 12. Part 12" in markdown
    lines = as_anki(noted).splitlines(keepends=True)
    assert next(line for line in lines if line.startswith("#")) == "#separator:Comma\n"
    rows = list(csv.reader(io.StringIO("".join(line for line in lines if not line.startswith("#")))))
    assert [row[0] for row in rows] == ["Nobody knew", SECRET] and all(len(row) == 3 for row in rows)
    assert rows[0][1].startswith('Why "nobody"? &lt;b&gt;<br># not a heading') and "green" in rows[0][2]
    assert [row["quote"] for row in json.loads(as_json(noted))] == ["Nobody knew", SECRET]
    assert as_markdown([]) == "" and desk.noted(OWNER, [mystery]) == noted
