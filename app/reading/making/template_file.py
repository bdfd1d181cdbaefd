"""A template's file: what it may hold, the first mistake in it, and those that Lectern brings along."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast, get_args

from app.reading.making.errors import InputInvalid, TemplateInvalid
from app.reading.making.template import (
    AT,
    FROM,
    GROUPS,
    LANGUAGES,
    MOST_TOKENS,
    QUOTE,
    SLOT,
    TOKENS,
    VIEWS,
    Input,
    Join,
    Over,
    Template,
    View,
    chosen_value,
    default,
    filled,
)
from engine import schema
from engine.errors import SchemaUnsupported

FOLDER = Path(__file__).resolve().parents[3] / "assets" / "templates"
SOURCE_LIMIT = 20_000
PROMPT_LIMIT = 4000

_KNOWN = {
    "id", "group", "title", "about", "prompt", "item", "items", "view", "over", "only", "names", "merge", "join",
    "inputs", "tokens", "order", "collect",
}  # fmt: skip
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")


def read(source: Any, *, own: bool = False) -> Template:
    """Raises TemplateInvalid, naming the first mistake and its place."""
    if not isinstance(source, dict):
        raise TemplateInvalid("?", "", "it is no JSON object")
    id = source.get("id")
    if not isinstance(id, str) or not _ID.match(id) or len(id) > 60:
        raise TemplateInvalid(str(id), "id", "an id has small letters, digits and hyphens between them")
    check = _Check(id)
    if len(json.dumps(source, ensure_ascii=False)) > SOURCE_LIMIT:
        raise check.wrong("", f"it has more than {SOURCE_LIMIT:,} characters")
    unknown = sorted(set(source) - _KNOWN)
    if unknown:
        raise check.wrong(unknown[0], f"nothing is known of this; known are {', '.join(sorted(_KNOWN))}")
    inputs = tuple(check.input(one, f"inputs/{n}") for n, one in enumerate(check.list(source, "inputs")))
    ids = [one.id for one in inputs]
    defaults = {one.id: default(one, "en") for one in inputs}
    join = source.get("join")
    made = Template(
        id=id,
        group=check.one_of(source, "group", GROUPS, "own"),
        title=check.both(source, "title", 80),
        about=check.both(source, "about", 300),
        prompt=check.prompt(source, "prompt", ids),
        item=check.item(source, "item", defaults),
        items=check.pair(source, "items", defaults, most=50),
        view=cast(View, check.one_of(source, "view", VIEWS, "list")),
        over=cast(Over, check.one_of(source, "over", get_args(Over), "windows")),
        only=check.expression(source, "only"),
        collect=source.get("collect"),
        names=(),
        merge=(),
        join=None if join is None else check.join(join, ids, defaults),
        inputs=inputs,
        tokens=check.count(source, "tokens", TOKENS, 32, MOST_TOKENS),
        source=source,
        own=own,
    )
    if made.collect is not None and (made.only is None or made.collect not in made.last["properties"]):
        raise check.wrong("collect", "it names a property of the item, and needs `only`")
    names, merge = check.names(source, "names", made.last), check.names(source, "merge", made.item)
    made = replace(made, names=names, merge=merge)
    for join_step in (False, True) if made.join is not None else (False,):
        try:
            schema.parse(made.schema(made.choose({}), join=99 if join_step else None))
        except SchemaUnsupported as error:
            raise check.wrong(f"{'join/' if join_step else ''}item{error.where}", error.reason) from error
    _check_view(made, check)
    return made


@lru_cache(maxsize=1)
def shipped() -> dict[str, Template]:
    """Lectern's own templates by id, in the order of their groups."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        try:
            template = read(json.loads(path.read_text("utf-8")))
        except ValueError as error:
            raise TemplateInvalid(path.stem, "", f"it is not JSON ({error})") from error
        found.append(template)
    found.sort(key=lambda one: (GROUPS.index(one.group), one.source.get("order", 0), one.id))
    return {one.id: one for one in found}


class _Check:
    def __init__(self, id: str) -> None:
        self.id = id

    def wrong(self, where: str, reason: str) -> TemplateInvalid:
        return TemplateInvalid(self.id, where, reason)

    def list(self, source: Mapping[str, Any], key: str) -> Sequence[Any]:
        value = source.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "it must be a list")
        return value

    def one_of(self, source: Mapping[str, Any], key: str, known: Sequence[str], default: str) -> str:
        value = source.get(key, default)
        if value not in known:
            raise self.wrong(key, f"{value!r} is none of {', '.join(known)}")
        return str(value)

    def both(self, source: Mapping[str, Any], key: str, most: int) -> dict[str, str]:
        """A text in one language or in both; one stands for the other where that is missing."""
        value = source.get(key)
        value = {"en": value, "zh": value} if isinstance(value, str) else value
        if not isinstance(value, dict) or not (said := {k: v for k, v in value.items() if k in LANGUAGES}):
            raise self.wrong(key, 'it must be a text, or {"en": …, "zh": …}')
        for language, text in said.items():
            if not isinstance(text, str) or not text.strip() or len(text) > most:
                raise self.wrong(f"{key}/{language}", f"it must be a text of 1 to {most:,} characters")
        first = next(iter(said.values()))
        return {language: said.get(language, first).strip() for language in LANGUAGES}

    def prompt(self, source: Mapping[str, Any], key: str, inputs: Sequence[str]) -> dict[str, str]:
        said = self.both(source, key, PROMPT_LIMIT)
        for language, text in said.items():
            for slot in SLOT.findall(text):
                if slot not in inputs:
                    known = ", ".join(inputs) or "it has none"
                    raise self.wrong(f"{key}/{language}", f"{{{slot}}} is none of its inputs ({known})")
        return said

    def item(self, source: Mapping[str, Any], key: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
        value = source.get(key)
        if not isinstance(value, dict) or not isinstance(value.get("properties"), dict) or not value["properties"]:
            raise self.wrong(key, "it must be the JSON Schema of an object with properties")
        taken = sorted({QUOTE, AT, FROM, "evidence"} & set(value["properties"]))
        if taken:
            raise self.wrong(f"{key}/{taken[0]}", "Lectern adds the place itself: call this property otherwise")
        for name in _slots(value):
            if name not in defaults:
                raise self.wrong(key, f"${name} is none of its inputs")
        return value

    def pair(self, source: Mapping[str, Any], key: str, defaults: Mapping[str, Any], *, most: int) -> tuple[Any, Any]:
        value = source.get(key, [1, 6])
        known = [filled(one, defaults) for one in value] if isinstance(value, list) else []
        if len(known) != 2 or not all(isinstance(one, int) for one in known) or not 1 <= known[0] <= known[1] <= most:
            raise self.wrong(key, f"it must be [least, most], from 1 to {most}: an empty list is no result")
        return value[0], value[1]

    def count(self, source: Mapping[str, Any], key: str, default: int, least: int, most: int) -> int:
        value = source.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"it must be a whole number from {least} to {most:,}")
        return value

    def expression(self, source: Mapping[str, Any], key: str) -> str | None:
        value = source.get(key)
        if value is None:
            return None
        try:
            re.compile(value)
        except (re.error, TypeError) as error:
            raise self.wrong(key, f"it is no regular expression ({error})") from error
        return str(value)

    def names(self, source: Mapping[str, Any], key: str, item: Mapping[str, Any]) -> tuple[str, ...]:
        value = self.list(source, key)
        for name in value:
            if name not in item["properties"]:
                raise self.wrong(key, f"{name!r} is no property of the item")
        return tuple(value)

    def join(self, value: Any, inputs: Sequence[str], defaults: Mapping[str, Any]) -> Join:
        if not isinstance(value, dict):
            raise self.wrong("join", "it must be an object")
        unknown = sorted(set(value) - {"prompt", "item", "items", "sources", "across"})
        if unknown:
            raise self.wrong(f"join/{unknown[0]}", "nothing is known of this")
        return Join(
            prompt=self.prompt(value, "prompt", inputs),
            item=self.item(value, "item", defaults),
            items=self.pair(value, "items", defaults, most=50),
            sources=self.pair({"sources": value.get("sources", [1, 3])}, "sources", {}, most=12),
            across=value.get("across") is True,
        )

    def input(self, value: Any, where: str) -> Input:
        if not isinstance(value, dict) or not isinstance(value.get("id"), str) or not value["id"].isidentifier():
            raise self.wrong(where, 'an input is an object with an "id" such as "audience"')
        kind = self.one_of(value, "kind", ("text", "number", "choice", "list"), "text")
        choices = tuple(self.both({"choice": one}, "choice", 60) for one in self.list(value, "choices"))
        if kind == "choice" and not choices:
            raise self.wrong(f"{where}/choices", "a choice needs some")
        made = Input(
            id=value["id"],
            title=self.both(value, "title", 80),
            kind=cast(Any, kind),
            default=value.get("default", choices[0]["en"] if choices else None),
            choices=choices,
            least=self.count(value, "least", 0 if kind == "number" else 1, 0, 10_000),
            most=self.count(value, "most", 8 if kind == "list" else 200, 1, 10_000),
        )
        for language in LANGUAGES:
            try:
                chosen_value(made, default(made, language))
            except InputInvalid as error:
                raise self.wrong(f"{where}/default", error.reason) from error
        return made


def _slots(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value[1:]} if re.fullmatch(r"\$[a-z_]+", value) else set()
    if isinstance(value, dict):
        return set().union(*(_slots(one) for key, one in value.items() if key != "x-label"))
    return set().union(*map(_slots, value)) if isinstance(value, list) else set()


def _check_view(made: Template, check: _Check) -> None:
    """What a view draws, the items must have."""
    needed = {"graph": ("a", "b", "relation"), "timeline": ("what",), "cards": ("front", "back"),
              "quiz": ("question", "answer")}.get(made.view, ())  # fmt: skip
    missing = [name for name in needed if name not in made.last["properties"]]
    if missing:
        raise check.wrong("view", f"{made.view} shows the properties {', '.join(needed)}; {missing[0]} is missing")
