from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.documents.parse import parse_file
from app.errors import DocumentNotFound
from app.reading.desk import Desk
from app.reading.making.errors import FormatUnknown
from app.reading.runner import Runner
from app.reading.writing.errors import (
    DraftNotFound,
    OptionNotFound,
    RangeChanged,
    TaskIncomplete,
    TaskUnknown,
    VersionNotFound,
)
from app.reading.writing.tasks import tasks
from app.reading.writing.work import tidied
from engine import schema

from .conftest import OWNER, Machine, until

TEXT = "Tobias Wren lit the lamp at dusk. The sea was grey, and nobody came.\n\nHe wrote one line in the log."


@pytest.fixture
def draft(desk: Desk) -> int:
    return desk.new_draft(OWNER, "The Lamp", text=TEXT).id


@pytest.fixture
def done(desk: Desk, runner: Runner) -> Callable[..., list[Any]]:
    """Do a task to its end; its continuations."""

    def do(draft: int, task: str, **options: Any) -> list[Any]:
        run = desk.write(OWNER, draft, task, **options)
        if runner._thread is None:
            runner.start()
        until(lambda: desk.jobs.get(None, run.job_id).state in ("done", "failed"), task)
        job = desk.jobs.get(None, run.job_id)
        assert job.state == "done", job.error
        return desk.options(OWNER, draft, run.job_id)

    return do


def test_every_structured_task_can_be_enforced() -> None:
    assert {"continue", "rewrite", "expand", "shorten", "tone", "view", "dialogue", "describe", "brainstorm", "outline", "chapter", "scene", "style", "bible", "check"} <= set(tasks())  # fmt: skip
    for one in tasks().values():
        assert set(one.prompt) == set(one.title) == {"en", "zh"}
        if one.items is not None:
            schema.parse(one.schema() or {})


def test_several_continuations_one_is_chosen(
    desk: Desk, done: Callable[..., list[Any]], draft: int, machine: Machine
) -> None:
    machine.words = ["Then ", "a boat ", "came."]
    first, second, third = done(draft, "continue", versions=3)
    assert first.text == "Then a boat came." and (first.start, first.end) == (len(TEXT), len(TEXT))
    made = desk.choose_option(OWNER, draft, second.id)
    assert made.text == TEXT + " Then a boat came."
    assert [one.chosen for one in desk.options(OWNER, draft)] == [False, True, False]
    assert [one.why for one in desk.draft_versions(OWNER, draft)][:2] == ["continue", "before continue"]
    # the text goes on behind it: what was written for its end stands where it was written for
    assert desk.choose_option(OWNER, draft, third.id).text.count("boat") == 2
    with pytest.raises(OptionNotFound):
        desk.choose_option(OWNER, draft, 99)


def test_a_passage_is_rewritten_in_its_place(
    desk: Desk, done: Callable[..., list[Any]], draft: int, machine: Machine
) -> None:
    machine.words = ["Calm ", "water."]
    start = TEXT.index("The sea")
    end = TEXT.index("\n\n")
    (made,) = done(draft, "tone", start=start, end=end, wish="calm")
    assert made.before == "The sea was grey, and nobody came."
    changed = desk.choose_option(OWNER, draft, made.id)
    assert changed.text == TEXT[:start] + "Calm water." + TEXT[end:]
    with pytest.raises(RangeChanged):
        desk.choose_option(OWNER, draft, made.id)
    assert desk.draft(OWNER, draft).text == changed.text


def test_the_drafts_own_words_are_read_once(desk: Desk, done: Callable[..., list[Any]], machine: Machine) -> None:
    draft = desk.new_draft(OWNER, "Long", text="The lamp burned. " * 400).id
    done(draft, "continue")
    chunks = len(machine.chunks)
    done(draft, "continue", versions=2)
    # of the draft's seven pages none is read again: only what was asked anew, if anything
    assert len(machine.chunks) - chunks <= 2
    # and a draft that grew begins with what was read of it, to the token
    before = machine.prompts[-1].segments[1].ids
    desk.save_draft(OWNER, draft, "The lamp burned. " * 400 + "Then it went out.")
    done(draft, "continue")
    grown = machine.prompts[-1].segments[1].ids
    assert len(grown) > len(before) and grown[: len(before)] == before


def test_merging_reads_what_was_written(
    desk: Desk, done: Callable[..., list[Any]], draft: int, machine: Machine
) -> None:
    two = done(draft, "continue", versions=2)
    (merged,) = done(draft, "merge", options=[one.id for one in two])
    asked = "".join(map(chr, machine.prompts[-1].segments[-1].ids))
    assert asked.count(two[0].text.strip()) == 2 and merged.start == two[0].start


def test_lists_style_and_bible(
    desk: Desk, done: Callable[..., list[Any]], draft: int, machine: Machine, book: Callable[..., int]
) -> None:
    (outline,) = done(draft, "outline", wish="a keeper")
    assert len(outline.items) == 3 and set(outline.items[0]) == {"title", "happens"}
    first = outline.items[0]
    assert outline.text.startswith(f"# {first['title']}\n\n{first['happens']}\n\n# ")
    (style,) = done(draft, "style", passages=[{"document": book(), "start": 0, "end": 200}])
    assert desk.draft(OWNER, draft).style == style.text != ""
    machine.structured = lambda asked, _: {
        "items": [{"at": 1, "kind": "person", "name": "Tobias", "fact": "keeps the lamp"}]
    }
    done(draft, "bible")
    done(draft, "bible")
    (entry,) = desk.draft(OWNER, draft).bible
    assert entry["name"] == "Tobias" and TEXT[entry["place"]["start"] : entry["place"]["end"]] == entry["place"]["text"]
    done(draft, "continue")
    asked = "".join(map(chr, machine.prompts[-1].segments[-1].ids))
    assert "Tobias: keeps the lamp" in asked and style.text in asked


def test_continuity_against_the_bible_and_the_book(
    desk: Desk, done: Callable[..., list[Any]], machine: Machine, tmp_path: Path
) -> None:
    path = tmp_path / "book.txt"
    path.write_text("Tobias Wren was blind from birth.\n\nNobody else lived there.", "utf-8")
    document = desk.add(OWNER, path, path.name).document.id
    draft = desk.new_draft(OWNER, "Lamp", document_ids=[document], text=TEXT).id
    desk.change_draft(OWNER, draft, bible=[{"kind": "fact", "name": "the log", "fact": "it was lost"}])
    machine.structured = lambda asked, _: {"items": [{"at": 1, "against": 2, "why": "he could not see it"}]}
    (check,) = done(draft, "check")
    (problem,) = check.items
    assert TEXT[problem["place"]["start"] : problem["place"]["end"]] == problem["place"]["text"]
    known = problem["known"]
    text = desk.library.text(desk.library.document(desk.owner_id(OWNER), document).text_sha256)
    assert known["document"] == document and text[known["start"] : known["end"]] == known["text"]
    assert "Tobias Wren" in known["text"]
    machine.structured = lambda asked, _: {"items": []}
    (fine,) = done(draft, "check")
    assert fine.items == [] and fine.text == ""


def test_words_that_differ_from_the_book_are_shown_whatever_the_model_says(
    desk: Desk, done: Callable[..., list[Any]], machine: Machine, tmp_path: Path
) -> None:
    path = tmp_path / "book.txt"
    path.write_text("Tobias Wren had blue eyes.\n\nHis lamp had two wicks.\n\nHis dog came in later.", "utf-8")
    book = desk.add(OWNER, path, path.name).document
    text = "Tobias Wren looked up with brown eyes. The lamp had four wicks, and there was no dog."
    draft = desk.new_draft(OWNER, "Lamp", document_ids=[book.id], text=text).id
    machine.structured = lambda asked, _: {"items": []}
    (check,) = done(draft, "check")
    assert {one["why"] for one in check.items} == {
        "“with brown eyes” – “had blue eyes”",
        "“four wicks” – “two wicks”",
        "“no dog” – “His dog”",
    }
    body = desk.library.text(book.text_sha256)
    for one in check.items:
        assert text[one["place"]["start"] : one["place"]["end"]] == one["place"]["text"]
        assert body[one["known"]["start"] : one["known"]["end"]] == one["known"]["text"]
    # what is not read yet is not told
    desk.guard(OWNER, book.id, body.index("His dog"))
    (check,) = done(draft, "check")
    assert len(check.items) == 2


def test_nothing_that_was_written_is_lost(desk: Desk, draft: int) -> None:
    first = desk.draft(OWNER, draft)
    mine = desk.save_draft(OWNER, draft, "mine", base=first.revision)
    # another tab, which began with the same text
    theirs = desk.save_draft(OWNER, draft, "theirs", base=first.revision)
    assert theirs.text == "theirs" and theirs.revision > mine.revision
    assert "mine" in [one.text for one in desk.draft_versions(OWNER, draft)]
    number = next(one.number for one in desk.draft_versions(OWNER, draft) if one.text == "mine")
    assert desk.restore_draft(OWNER, draft, number).text == "mine"
    assert "theirs" in [one.text for one in desk.draft_versions(OWNER, draft)]
    with pytest.raises(VersionNotFound):
        desk.restore_draft(OWNER, draft, 99)


def test_files(desk: Desk, tmp_path: Path) -> None:
    text = "Before.\n\n# One\n\nThe lamp & the sea.\n\n# Two\n\nNobody came."
    draft = desk.new_draft(OWNER, "The: Lamp", text=text).id
    for format in ("md", "docx", "epub"):
        name, data = desk.draft_file(OWNER, draft, format)
        path = tmp_path / name
        path.write_bytes(data)
        book = parse_file(path, name)
        assert "The lamp & the sea." in book.text and "One" in [one.title for one in book.chapters]
    with pytest.raises(FormatUnknown):
        desk.draft_file(OWNER, draft, "exe")


def test_bad_input(desk: Desk, draft: int) -> None:
    with pytest.raises(TaskUnknown):
        desk.write(OWNER, draft, "sing")
    for task, missing in (("rewrite", "selection"), ("style", "passages"), ("merge", "options")):
        with pytest.raises(TaskIncomplete) as caught:
            desk.write(OWNER, draft, task)
        assert caught.value.missing == missing
    with pytest.raises(TaskIncomplete):
        desk.write(OWNER, draft, "tone", start=0, end=10)
    with pytest.raises(TaskIncomplete):
        desk.write(OWNER, desk.new_draft(OWNER, "Empty").id, "continue")
    with pytest.raises(TaskIncomplete):
        desk.write(OWNER, draft, "check")
    with pytest.raises(DocumentNotFound):
        desk.new_draft(OWNER, "x", document_ids=[77])
    with pytest.raises(DraftNotFound):
        desk.draft("another", draft)
    desk.remove_draft(OWNER, draft)
    with pytest.raises(DraftNotFound):
        desk.draft(OWNER, draft)
    assert json.dumps([one.id for one in desk.all_drafts(OWNER)])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("The passage:\nThe boat came.", "The boat came."),
        ("这一段：船来了。", "船来了。"),
        ("The scene was set: a boat.", "The scene was set: a boat."),
        ("He was late, and now even even even even even even so.", "He was late, and now even so."),
        ("She looked at it. She looked at it. She looked at it. She looked at it. She went.", "She looked at it. She went."),
        ("他笑着笑着笑着笑着笑着笑着笑着走了。", "他笑着走了。"),
        ("No, no, no.", "No, no, no."),
    ],
)  # fmt: skip
def test_what_a_small_model_adds_is_left_out(text: str, kept: str) -> None:
    assert tidied(text) == kept


def test_a_passage_that_comes_back_unchanged_is_drawn_again(
    desk: Desk, done: Callable[..., list[Any]], draft: int, machine: Machine
) -> None:
    machine.words = ["Tobias Wren ", "lit the lamp at dusk."]
    (option,) = done(draft, "rewrite", start=0, end=33)
    # three times the same: then it is what there is
    assert option.text == TEXT[:33]
    assert len(machine.prompts) == 3
    machine.words = ["At dusk ", "the lamp was lit."]
    (option,) = done(draft, "rewrite", start=0, end=33)
    assert option.text == "At dusk the lamp was lit." and len(machine.prompts) == 4
