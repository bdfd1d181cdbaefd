from __future__ import annotations

import json
import random
from typing import Any

import pytest

from engine import ending, schema

PASSAGES = [
    "The Queen (in red) shouted “Off with his head!”  and\nnobody moved.",
    "So it was said.",
    "第二天一早，王熙凤往“宁国府”中来了。",
    "…",
]
NESTED = {
    "passages": PASSAGES,
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 12},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 4,
            "items": {
                "type": "object",
                "properties": {
                    "at": {"type": "integer", "minimum": 7, "maximum": 120},
                    "kind": {"enum": ["人物", "place", "placement"]},
                    "known": {"type": "boolean"},
                    "quote": {"type": "string", "quoted": True, "minLength": 6, "maxLength": 24},
                    "names": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 6}},
                },
            },
        },
    },
}


def value(rng: random.Random, node: schema.Node) -> Any:
    match node:
        case schema.Text():
            return "".join(rng.choice("ab 人é,}]{[:") for _ in range(rng.randint(node.least, node.most)))
        case schema.Quote():
            return rng.choice(["Queen (in red)", "So it was said", "第二天一早，王熙", "“宁国府”中来了", "it was"])
        case schema.Number():
            return rng.randint(node.least, node.most)
        case schema.Choice():
            return json.loads(rng.choice(node.values))
        case schema.Items():
            return [value(rng, node.item) for _ in range(rng.randint(node.least, node.most))]
        case schema.Fields():
            return {name: value(rng, one) for name, one in node.fields}


def test_every_beginning_can_be_ended() -> None:
    node = schema.parse(NESTED)
    for seed in range(30):
        whole = json.dumps(value(random.Random(seed), node), ensure_ascii=False).encode()
        for size in range(len(whole) + 1):
            rest = ending.close(node, whole[:size]).rest
            made = json.loads(whole[:size] + rest)
            fault = schema.fault(node, made)
            # a string of spaces only is no value, but only these tests write one
            assert fault is None or "names" in fault or "title" in fault, (whole[:size], rest)
        assert ending.close(node, whole).rest == b""


def test_the_shortest_value_is_one_of_the_schema() -> None:
    node = schema.parse(json.dumps(NESTED))
    assert schema.fault(node, json.loads(ending.shortest(node))) is None
    assert ending.close(node, b"").begun == 0


def test_items_that_nobody_asked_for_are_counted() -> None:
    node = schema.parse({"type": "array", "minItems": 1, "maxItems": 5, "items": {"type": "boolean"}})
    assert [ending.close(node, text.encode()).begun for text in ("[", "[true", "[true,", "[true, t", "[true, true, f")] == [
        0, 0, 1, 1, 2,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rest"),
    [("", "7"), ("1", "0"), ("12", ""), ("9", ""), ("0", None), ("121", None), ("2", "0")],
)
def test_numbers_end_within_their_range(text: str, rest: str | None) -> None:
    node = schema.Number(least=7, most=120)
    if rest is None:
        with pytest.raises(ValueError):
            ending.close(node, text.encode())
    else:
        assert ending.close(node, text.encode()).rest == rest.encode()


@pytest.mark.parametrize("text", ["[", '{"title": 1', '{"title": "a", "x"', '{"title": "a", "items": []'])
def test_what_begins_no_value_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        ending.close(schema.parse(NESTED), text.encode())


@pytest.mark.parametrize("first", range(0xC2, 0xF5))
def test_characters_cut_short_are_completed(first: int) -> None:
    made = ending.character(bytes([first]))
    assert made.encode()[0] == first and not made.isspace()
    for size in range(2, len(made.encode())):
        assert ending.character(made.encode()[:size]).encode()[:size] == made.encode()[:size]
