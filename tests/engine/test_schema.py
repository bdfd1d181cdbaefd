from __future__ import annotations

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
        ({"type": "string", "maxLength": 9, "quoted": True}, ""),
        ({"passages": ["…"], "type": "string", "maxLength": 9, "quoted": True}, ""),
        ({"passages": "a", "type": "boolean"}, "/passages"),
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
    good = {"title": "a", "items": [{"at": 7, "kind": "人物", "known": True, "names": ["b"]}]}
    assert schema.fault(node, good | {"items": []}) == "/items is no list of 1 to 4"
    assert schema.fault(node, good | {"more": 1}) == "/ has not the properties asked for"
    assert schema.fault(node, good | {"title": "  "}) == "/title is not what was asked for"
    assert "/items/0/at" in str(schema.fault(node, good | {"items": [good["items"][0] | {"at": True}]}))


def test_a_quotation_is_whole_words_of_one_passage() -> None:
    node = schema.parse(
        {
            "passages": ["The Queen  said “no”.", "Never."],
            "type": "string",
            "quoted": True,
            "minLength": 4,
            "maxLength": 14,
        }
    )
    good = ["The Queen", "Queen said", "said “no”", "Never"]
    assert [schema.fault(node, one) for one in good] == [None] * 4
    for wrong in ("The Queen said", "The", "Quee", "ueen", "said “no”.", "no”. Never", "The queen", "", 7):
        wrong_one = schema.fault(node, wrong)
        assert (wrong_one is None) == (wrong == "The Queen said"), wrong
    # what is too short for what is asked is quoted as far as it goes
    short = schema.parse({"passages": ["So."], "type": "string", "quoted": True, "minLength": 9, "maxLength": 20})
    assert schema.fault(short, "So") is None
