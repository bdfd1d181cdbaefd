from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from app.reading.making.items import alternating, answering, begun, ended, named, numbered, parsed, rested
from app.reading.making.template_file import shipped

WRITTEN = '{"items": [{"quote": "Alice was", "name": "Alice, 7", "wrong": ["a", "b"], "n": 12}, {"from": [1, 2], "name": "B"}]}'


def test_an_answer_on_its_way_only_grows() -> None:
    told = [begun(WRITTEN[:size]) for size in range(len(WRITTEN) + 1)]
    for before, after in pairwise(told):
        assert len(before) <= len(after)
        for one, other in zip(before, after, strict=False):
            assert len(str(one)) <= len(str(other)) or set(one) < set(other), (one, other)
    first = {"name": "Alice, 7", "wrong": ["a", "b"], "n": 12, "quote": "Alice was"}
    assert told[-1] == [first, {"name": "B", "quote": None}]
    # a word is told as soon as it is there
    assert begun(WRITTEN[: WRITTEN.index("lice, 7") + 4]) == [{"name": "Alice", "quote": "Alice was"}]


def test_what_is_no_answer_says_nothing() -> None:
    for text in ("", "{", "[1, 2", '{"items": 7', "plain words", '{"items": ["a"]}'):
        assert begun(text) == []


def claim(text: str, document: int, sentence: str = "") -> dict[str, Any]:
    return {"claim": text, "evidence": [{"document": document, "start": 0, "end": 9, "text": sentence or text}]}


def test_documents_take_turns_before_a_join() -> None:
    found = [claim("a", 1), claim("b", 1), claim("c", 1), claim("d", 2)]
    assert alternating([0, 1, 2, 3], found) == [0, 3, 1, 2]
    template = shipped()["contradictions"]
    assert numbered(template, found[2:], {1: "One", 2: "Two"}) == ["(One) c", "(Two) d"]
    assert numbered(template, found[2:], {1: "One"}) == ["c", "d"]


def test_numbers_and_names_that_no_source_has() -> None:
    sources = [claim("The lamp of Tobias burns 9 hours.", 1), claim("It is light.", 1)]
    told = [
        {
            "from": [1],
            "headline": "Meet The Lamp Of Norway",
            "body": "Burns 9 hours, says Tobias, or 12 of them in Norway: F1.",
        },
        {"from": [1, 2], "headline": "Light", "body": "The lamp of Tobias."},
    ]
    first, second = rested(told, sources)
    assert first["unsupported"] == ["12", "Norway"] and "unsupported" not in second
    assert len(second["evidence"]) == 1


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("Alice's first thought was that it might", "Alice"),
        ("Alice's head", "Alice's head"),
        ("Alice, who", "Alice"),
        ("The Hatter. But he went", "The Hatter"),
        ("Mr. Darcy", "Mr. Darcy"),
        ("J. K. Jerome", "J. K. Jerome"),
        ("贾政已看了妹丈之书，即忙请入", "贾政已看了妹丈之书"),
        ("A", "A"),
    ],
)
def test_a_name_ends_with_its_clause(words: str, name: str) -> None:
    assert named(words) == name


def test_an_answer_that_repeats_its_question() -> None:
    asked = shipped()["characters"].schema({}, texts=["Alice was beginning to get very tired of it."])
    question = "List the characters in this excerpt: the name as the text writes it, or “friend of”. 以 JSON 作答：每条"
    for name, about, said in (
        ("The name as the text writes it", "She is tired.", False),
        ("Alice", "The name as the text writes it.", True),
        ("Alice", "friend of", False),
        ("Alice", "以 JSON 作答：", True),
        ("Alice", "Alice says the name as the text writes it", True),
    ):
        item = {"quote": "Alice", "name": name, "about": about}
        assert answering([item], question, asked) == ([] if said else [item])


def test_a_list_says_nothing_twice() -> None:
    asked = shipped()["quiz"].schema({}, texts=["Alice was beginning to get very tired of it."])
    item = {"quote": "Alice was beginning", "question": "Who?", "answer": "Alice", "wrong": ["Bob", "alice", "“Bob”"]}
    for wrong, kept in ((item["wrong"], ["Bob"]), (["Alice"] * 3, ["Alice"])):
        (found,) = parsed(json.dumps({"items": [item | {"wrong": wrong}]}), asked)
        assert found["wrong"] == kept


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("It ensures that all is well. This importance is not,", 56, "It ensures that all is well."),
        ("The Importance of Consistency in Design: A", 48, "The Importance of Consistency in Design"),
        ("The Importance of Consistency in Design: a tale", 480, "The Importance of Consistency in Design: a tale"),
        ("The Importance of Consistency in Design: A", 480, "The Importance of Consistency in Design"),
        ("It ensures that all of it is well. It is not,", 480, "It ensures that all of it is well."),
        ("What it comes to", 480, "What it comes to"),
        ("A whole sentence, which just fits.", 34, "A whole sentence, which just fits."),
        ("No mark stands in this one at all", 33, "No mark stands in this one at all"),
        ("黛玉进了贾府的大门。众人都来见，而", 17, "黛玉进了贾府的大门。"),
        ("众人都来见她，而且", 9, "众人都来见她"),
    ],
)
def test_a_text_that_was_cut_ends_with_a_sentence(text: str, most: int, kept: str) -> None:
    assert ended(text, most) == kept
