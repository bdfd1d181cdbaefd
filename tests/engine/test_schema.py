from __future__ import annotations

import json
import random
from typing import Any

import pytest

from engine import schema
from engine.errors import SchemaUnsupported

NESTED = {
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
            rest = schema.close(node, whole[:size]).rest
            made = json.loads(whole[:size] + rest)
            fault = schema.fault(node, made)
            # a string of spaces only is no value, but only these tests write one
            assert fault is None or "names" in fault or "title" in fault, (whole[:size], rest)
        assert schema.close(node, whole).rest == b""


def test_the_shortest_value_is_one_of_the_schema() -> None:
    node = schema.parse(json.dumps(NESTED))
    assert schema.fault(node, json.loads(schema.shortest(node))) is None
    assert schema.close(node, b"").begun == 0


def test_items_that_nobody_asked_for_are_counted() -> None:
    node = schema.parse({"type": "array", "minItems": 1, "maxItems": 5, "items": {"type": "boolean"}})
    assert [schema.close(node, text.encode()).begun for text in ("[", "[true", "[true,", "[true, t", "[true, true, f")] == [
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
            schema.close(node, text.encode())
    else:
        assert schema.close(node, text.encode()).rest == rest.encode()


@pytest.mark.parametrize("text", ["[", '{"title": 1', '{"title": "a", "x"', '{"title": "a", "items": []'])
def test_what_begins_no_value_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        schema.close(schema.parse(NESTED), text.encode())


@pytest.mark.parametrize(
    ("made", "where"),
    [
        ({"type": "string"}, ""),
        ({"type": "object", "properties": {"a": {"type": "number"}}}, "/a"),
        ({"type": "object", "properties": {}}, ""),
        ({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": []}, ""),
        ({"type": "object", "properties": {"a": {"type": "string", "maxLength": 5, "pattern": "x"}}}, "/a"),
        ({"type": "array", "maxItems": 3, "items": {"type": "array", "items": {"type": "boolean"}}}, "/items"),
        ({"type": "array", "minItems": 4, "maxItems": 3, "items": {"type": "boolean"}}, ""),
        ({"enum": []}, ""),
        ({"enum": [1, 12]}, ""),
        ({"enum": ['say "so"']}, ""),
        ([], ""),
        ("{", ""),
    ],
)
def test_what_cannot_be_bounded_is_refused(made: Any, where: str) -> None:
    with pytest.raises(SchemaUnsupported) as caught:
        schema.parse(made)
    assert caught.value.where == where
    assert "cannot be used" in str(caught.value)


def test_faults_name_their_place() -> None:
    node = schema.parse(NESTED)
    good = value(random.Random(1), node)
    good["title"] = "a"
    assert schema.fault(node, good | {"items": []}) == "/items is no list of 1 to 4"
    assert schema.fault(node, good | {"more": 1}) == "/ has not the properties asked for"
    assert schema.fault(node, good | {"title": "  "}) == "/title is not what was asked for"
    assert "/items/0/at" in str(schema.fault(node, good | {"items": [good["items"][0] | {"at": True}]}))


@pytest.mark.parametrize("first", range(0xC2, 0xF5))
def test_characters_cut_short_are_completed(first: int) -> None:
    made = schema.character(bytes([first]))
    assert made.encode()[0] == first and not made.isspace()
    for size in range(2, len(made.encode())):
        assert schema.character(made.encode()[:size]).encode()[:size] == made.encode()[:size]
