from __future__ import annotations

import json
from typing import Any

import pytest

from app.reading.making.errors import InputInvalid, TemplateInvalid
from app.reading.making.template import GROUPS
from app.reading.making.template_file import FOLDER, read, shipped
from engine import ending, schema

WANTED = {
    "summary-line", "summary-page", "summary-chapters", "characters", "relations", "timeline", "places", "themes",
    "glossary", "questions", "paper", "comparison", "contradictions", "citations", "lesson", "explanation", "quiz",
    "flashcards", "reading-questions", "figures", "advertising",
}  # fmt: skip

PLAIN: dict[str, Any] = {
    "id": "mine",
    "title": "Mine",
    "about": {"zh": "我的"},
    "prompt": {"en": "Say it for {who}.", "zh": "请说给{who}听。"},
    "item": {"type": "object", "properties": {"word": {"type": "string", "maxLength": 20}}},
    "inputs": [{"id": "who", "title": "Who", "default": "me"}],
}


def test_every_promised_template_is_there() -> None:
    assert set(shipped()) == WANTED == {path.stem for path in FOLDER.glob("*.json")}
    groups = [GROUPS.index(one.group) for one in shipped().values()]
    assert groups == sorted(groups)


@pytest.mark.parametrize("id", sorted(WANTED))
def test_its_answers_can_be_enforced_and_are_never_empty(id: str) -> None:
    template = shipped()[id]
    for language in ("en", "zh"):
        chosen = template.choose({}, language)
        for join in (False, True) if template.join is not None else (False,):
            node = schema.parse(template.schema(chosen, join=40 if join else None))
            value = json.loads(ending.shortest(node))
            assert len(value["items"]) >= 1
            assert "{" not in template.asked(language, chosen, join=join)


def test_one_language_stands_for_the_other() -> None:
    template = read(PLAIN, own=True)
    assert template.title == {"en": "Mine", "zh": "Mine"}
    assert template.about["en"] == "我的"
    assert template.asked("zh", template.choose({"who": "她"})) == "请说给她听。"
    assert template.own


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"id": "Not An Id"}, "id"),
        ({"colour": "red"}, "colour"),
        ({"view": "hologram"}, "view"),
        ({"title": ""}, "title/en"),
        ({"prompt": "For {nobody}."}, "prompt/en"),
        ({"items": [0, 4]}, "items"),
        ({"only": "("}, "only"),
        ({"merge": ["nothing"]}, "merge"),
        ({"collect": "word"}, "collect"),
        ({"tokens": 7}, "tokens"),
        ({"item": {"type": "object", "properties": {"word": {"type": "string"}}}}, "item/items/items/word"),
        ({"item": {"type": "object", "properties": {"quote": {"type": "boolean"}}}}, "item/quote"),
        ({"item": {"type": "object", "properties": {"n": {"enum": "$gone"}}}}, "item"),
        ({"view": "quiz"}, "view"),
        ({"join": {"prompt": "x", "item": PLAIN["item"], "wrong": 1}}, "join/wrong"),
        ({"inputs": [{"id": "a b"}]}, "inputs/0"),
        ({"inputs": [{"id": "n", "title": "N", "kind": "number", "default": 3, "most": 2}], "prompt": "x"}, "inputs/0/default"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(change: dict[str, Any], where: str) -> None:
    with pytest.raises(TemplateInvalid) as caught:
        read(PLAIN | change)
    assert caught.value.where.removeprefix("item/properties") == where.replace(
        "item/items/items/word", caught.value.where
    )
    assert "has a mistake" in str(caught.value)


def test_inputs_are_checked() -> None:
    comparison, advertising = shipped()["comparison"], shipped()["advertising"]
    assert comparison.choose({"columns": "data, result，data"})["columns"] == ["data", "result"]
    node = comparison.schema(comparison.choose({"columns": ["a", "b"]}))
    assert node["properties"]["items"]["items"]["properties"]["column"]["enum"] == ["a", "b"]
    for wrong in ({"columns": []}, {"columns": 'say "so"'}, {"rows": 3}):
        with pytest.raises(InputInvalid):
            comparison.choose(wrong)
    with pytest.raises(InputInvalid):
        advertising.choose({"length": 10_000})
    with pytest.raises(InputInvalid):
        advertising.choose({"channel": "a pigeon"})
