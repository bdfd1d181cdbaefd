from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.documents import docx, markdown
from app.documents.write_docx import docx as written
from app.errors import ThreadNotFound
from app.library.records import ThreadRecord, TurnRecord
from app.reading import export
from app.reading.desk import Desk
from tests.app.reading.conftest import OWNER

TEXT = "# The Lamp\n\n## One\n\nThe keeper kept the brass key under the blue stone.\n"
ANSWER = "He kept “the brass key under the blue stone”.\n\n- **one**\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |"


@pytest.fixture
def thread(desk: Desk, tmp_path: Path) -> int:
    path = tmp_path / "tale.md"
    path.write_text(TEXT, encoding="utf-8")
    id = desk.add(OWNER, path, "tale.md").document.id
    made = desk.conversations.create(desk.owner_id(OWNER), [id], "Where is *the* key? / 钥匙:")
    turn = desk.conversations.add_turn(made.id, "Where is the *key*?\nSay <b>exactly</b>.")
    desk.conversations.save_answer(turn.id, answer=ANSWER, finish="stop", model="plain", tokens={"context": 9})
    desk.conversations.add_turn(made.id, "And now?")
    return made.id


def test_markdown_says_where_quotations_stand(desk: Desk, thread: int) -> None:
    made = export.conversation(desk, OWNER, thread, "md")
    text = made.data.decode()
    assert made.name == "Where is the key 钥匙.md"
    assert text.startswith(
        "# Where is \\*the\\* key? / 钥匙:\n\n- *The Lamp*\n\n## Where is the \\*key\\*? Say \\<b\\>exactly"
    )
    assert ANSWER in text and "- “the brass key under the blue stone” — The Lamp, One\n" in text
    assert text.endswith("## And now?\n\n…\n")


def test_json_holds_all_of_it(desk: Desk, thread: int) -> None:
    told = json.loads(export.conversation(desk, OWNER, thread, "json").data)
    assert (told["format"], told["version"], told["documents"][0]["title"]) == ("lectern-conversation", 1, "The Lamp")
    first, second = told["turns"]
    assert first["answer"] == ANSWER and first["quotes"][0]["kind"] == "exact" and second["answer"] == ""
    assert told["documents"][0]["sha256"] == desk.library.document(desk.owner_id(OWNER), 1).sha256


def test_docx_reads_back(desk: Desk, thread: int, tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(export.conversation(desk, OWNER, thread, "docx").data)
    found = docx.parse(path, "a.docx")
    found.check()
    assert found.title == "Where is *the* key? / 钥匙:"
    assert [one.title for one in found.chapters] == ["Where is the *key*? Say <b>exactly</b>.", "And now?"]
    assert "He kept “the brass key under the blue stone”.\n\n• one\n\n• two\n\na | b\n1 | 2" in found.text


def test_where_its_answers_looked_is_drawn(desk: Desk, thread: int) -> None:
    assert "Nothing to draw" in export.conversation(desk, OWNER, thread, "svg").data.decode()
    turn = desk.quoted(OWNER, thread)[1][-1]
    cells = [0] * 159 + [99]
    strips = [{"document": 1, "title": "The Lamp", "characters": len(TEXT), "cells": cells}]
    gaze = {"measured": True, "places": [], "strips": strips, "sentences": []}
    desk.conversations.save_answer(turn.id, answer="Now.", finish="stop", model="plain", gaze=gaze)
    made = export.conversation(desk, OWNER, thread, "svg", "zh")
    text = made.data.decode()
    assert made.name.endswith(".svg") and "And now?" in text and "The Lamp" in text and "回答时看了哪里" in text
    assert export.conversation(desk, OWNER, thread, "png").data.startswith(b"\x89PNG")


def test_a_document_that_left_the_shelf_is_named_still(desk: Desk, thread: int) -> None:
    desk.remove(OWNER, 1)
    assert "*The Lamp*" in export.conversation(desk, OWNER, thread, "md").data.decode()


def test_nobody_exports_anothers(desk: Desk, thread: int) -> None:
    with pytest.raises(ThreadNotFound):
        export.conversation(desk, "another", thread, "md")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc/passwd", "etc passwd"), ("a\nb\0c", "a b c"), ("con:?*", "con"), ("...", "conversation"),
        ("红" * 255, "红" * 80), ("", "conversation"),
    ],
)  # fmt: skip
def test_names_of_files(title: str, name: str) -> None:
    assert export.file_name(title) == name


LINES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)


@given(LINES, st.lists(st.tuples(LINES, LINES), max_size=4))
def test_any_conversation_comes_back_from_json(title: str, turns: list[tuple[str, str]]) -> None:
    told = json.loads(json.dumps(export.structure(_thread(title), _turns(turns), []), ensure_ascii=False))
    assert told["title"] == title and [(one["question"], one["answer"]) for one in told["turns"]] == turns


@given(st.lists(LINES.filter(lambda text: any(c.isalnum() for c in text)), min_size=1, max_size=4))
def test_any_question_is_a_heading_of_the_markdown(questions: list[str]) -> None:
    text = export.markdown(_thread("T"), _turns([(one, "An answer.") for one in questions]), [])
    found = markdown.parse(text.encode(), "a.md")
    found.check()
    assert len(found.chapters) == len(questions)
    data = written(text)
    assert data == written(text) and data[:2] == b"PK"


def _thread(title: str) -> ThreadRecord:
    return ThreadRecord(id=1, owner_id=1, title=title, document_ids=(), created="2026-01-01", updated="2026-01-01")


def _turns(turns: list[tuple[str, str]]) -> list[TurnRecord]:
    return [
        TurnRecord(
            id=n, thread_id=1, ordinal=n, question=question, answer=answer, answer_ids=None, finish="stop", tokens={},
            seconds={}, model=None, error=None, created="2026-01-01",
        )
        for n, (question, answer) in enumerate(turns, 1)
    ]  # fmt: skip
