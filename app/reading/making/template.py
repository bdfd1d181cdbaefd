"""Templates: what is asked, in which structure it is answered, how it is shown. One JSON file each.

id: letters, digits and hyphens · group: of the list it stands in · title, about, prompt: {"en", "zh"} · item: the JSON
Schema of one item (an object; the place is added to it) · items: [least, most] a step · view: one of VIEWS ·
over: "windows" or "chapters" of the text · only: a regular expression: only sentences that hold it are shown ·
collect: a property into which everything that ``only`` finds is taken, whether a model names it or not ·
names: properties whose value is taken from the text word for word · merge: properties that make two items one ·
join: {"prompt", "item", "items", "sources": [least, most], "across"}: a last step over all items, numbered; across:
those of several documents in turn, so that each step of it sees some of every document ·
inputs: what the person chooses, [{"id", "title", "kind": "text" | "number" | "choice" | "list", "default", …}] ·
tokens: of one step's answer. ``{audience}`` in a prompt and ``"$audience"`` in a schema stand for an input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from app.reading.making.errors import InputInvalid

View = Literal["text", "list", "table", "graph", "timeline", "cards", "quiz"]
Over = Literal["windows", "chapters"]
VIEWS = get_args(View)
GROUPS = ("analysis", "papers", "teaching", "data", "writing", "own")
LANGUAGES = ("en", "zh")
TOKENS = 256
MOST_TOKENS = 4096
# the properties that Lectern adds: words of the text, the number of a sentence, the items that a join rests on
QUOTE, AT, FROM = "quote", "at", "from"
# characters of a quotation, and of one in a script without spaces
QUOTE_LENGTHS, WIDE_QUOTE_LENGTHS = (16, 96), (6, 40)
# and of a name in such a script
WIDE_NAME = 12
# stands for a text where only the form of an answer matters
SAMPLE = ("Here stands a sentence, as long as those that are quoted.",)

SLOT = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What a person chooses. default: a value, or one a language; choices: of a "choice", by their names in each
    language, chosen by the English one; least, most: of a number, of a text's characters, of a list's names."""

    id: str
    title: dict[str, str]
    kind: Literal["text", "number", "choice", "list"]
    default: Any
    choices: tuple[dict[str, str], ...] = ()
    least: int = 0
    most: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    prompt: dict[str, str]
    item: dict[str, Any]
    items: tuple[Any, Any]
    sources: tuple[int, int]
    across: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """See the module; ``source`` is the file's content, ``own``: whether a person wrote it."""

    id: str
    group: str
    title: dict[str, str]
    about: dict[str, str]
    prompt: dict[str, str]
    item: dict[str, Any]
    items: tuple[int, int]
    view: View
    over: Over
    only: str | None
    collect: str | None
    names: tuple[str, ...]
    merge: tuple[str, ...]
    join: Join | None
    inputs: tuple[Input, ...]
    tokens: int
    source: dict[str, Any]
    own: bool = False

    @property
    def last(self) -> dict[str, Any]:
        """The schema of the items that are shown."""
        return self.join.item if self.join is not None else self.item

    def label(self, name: str, language: str) -> str:
        said = self.last["properties"].get(name) or self.item["properties"].get(name) or {}
        return str((said.get("x-label") or {}).get(language) or said.get("title") or name)

    def choose(self, given: Mapping[str, Any], language: str = "en") -> dict[str, Any]:
        """The inputs, with their defaults where nothing is given. Raises InputInvalid."""
        unknown = sorted(set(given) - {one.id for one in self.inputs})
        if unknown:
            known = ", ".join(one.id for one in self.inputs) or "none"
            raise InputInvalid(unknown[0], f"this template asks for: {known}")
        return {one.id: chosen_value(one, given.get(one.id, default(one, language))) for one in self.inputs}

    def schema(
        self, inputs: Mapping[str, Any], *, texts: Sequence[str] = SAMPLE, join: int | None = None
    ) -> dict[str, Any]:
        """Of one step's answer over ``texts``, which it quotes; of a join over so many numbered items."""
        made = self.join if join is not None and self.join is not None else self
        properties = dict(filled(made.item, inputs)["properties"])
        least, most = (filled(one, inputs) for one in made.items)
        whole: dict[str, Any] = {}
        if join is not None and self.join is not None:
            fewest, greatest = (min(one, max(1, join)) for one in self.join.sources)
            number = {"type": "integer", "minimum": 1, "maximum": max(1, join)}
            place = {FROM: {"type": "array", "items": number, "minItems": fewest, "maxItems": greatest}}
        else:
            shortest, longest = WIDE_QUOTE_LENGTHS if _is_wide(texts) else QUOTE_LENGTHS
            place = {QUOTE: {"type": "string", "quoted": True, "minLength": shortest, "maxLength": longest}}
            whole["passages"] = list(texts)
            if self.join is None:
                for name in self.names:
                    if properties[name].get("type") == "string":
                        properties[name] = {"quoted": True, "minLength": 2, **properties[name]}
            if _is_wide(texts):
                properties = {name: _wide(one) for name, one in properties.items()}
        item = {"type": "object", "properties": {**place, **properties}}
        items = {"type": "array", "minItems": least, "maxItems": max(least, most), "items": item}
        return {**whole, "type": "object", "properties": {"items": items}}

    def asked(self, language: str, inputs: Mapping[str, Any], *, join: bool = False) -> str:
        prompt = self.join.prompt if join and self.join is not None else self.prompt
        named = {one.id: {choice["en"]: choice[language] for choice in one.choices} for one in self.inputs}
        said = {
            key: ", ".join(value) if isinstance(value, list) else named.get(key, {}).get(value, str(value))
            for key, value in inputs.items()
        }
        return SLOT.sub(lambda slot: said.get(slot[1], slot[0]), prompt[language])


def default(one: Input, language: str) -> Any:
    value = one.default
    return value.get(language, next(iter(value.values()), None)) if isinstance(value, dict) else value


def chosen_value(one: Input, value: Any) -> Any:
    if one.kind == "number":
        try:
            value = int(value)
        except (TypeError, ValueError):
            raise InputInvalid(one.id, "it must be a whole number") from None
        if not one.least <= value <= one.most:
            raise InputInvalid(one.id, f"it must lie in {one.least}..{one.most}")
        return value
    if one.kind == "choice":
        known = [choice["en"] for choice in one.choices]
        if value not in known:
            raise InputInvalid(one.id, f"it must be one of {', '.join(known)}")
        return value
    if one.kind == "list":
        parts = re.split(r"[,，;；\n]", value) if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise InputInvalid(one.id, "it must be a list")
        listed = list(dict.fromkeys(" ".join(str(part).split()) for part in parts if str(part).strip()))
        if not one.least <= len(listed) <= one.most or any(len(part) > 60 for part in listed):
            raise InputInvalid(one.id, f"it must be {one.least} to {one.most} names of at most 60 characters")
        # what JSON would write as an escape cannot be a value to choose
        if any(json.dumps(part, ensure_ascii=False) != f'"{part}"' for part in listed):
            raise InputInvalid(one.id, "names hold no quotation marks or backslashes")
        return listed
    said = " ".join(str(value or "").split())
    if not one.least <= len(said) <= one.most:
        raise InputInvalid(one.id, f"it must have {one.least} to {one.most} characters")
    return said


def filled(value: Any, inputs: Mapping[str, Any]) -> Any:
    """A schema with ``"$name"`` replaced."""
    if isinstance(value, str) and value.startswith("$") and value[1:] in inputs:
        return inputs[value[1:]]
    if isinstance(value, dict):
        return {key: filled(one, inputs) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, inputs) for one in value]
    return value


def _wide(one: Any) -> Any:
    """A string of a script that says in a character what others say in several."""
    if not isinstance(one, dict) or one.get("type") != "string" or "maxLength" not in one:
        return one
    most = WIDE_NAME if one.get("quoted") == "name" else max(WIDE_NAME, one.get("minLength", 0), one["maxLength"] // 2)
    return {**one, "maxLength": min(one["maxLength"], most)}


def _is_wide(texts: Sequence[str]) -> bool:
    """Whether most of it is Chinese, Japanese or Korean."""
    sample = "".join(texts)[:4000]
    return sum(ord(character) >= 0x2E80 for character in sample) * 2 > len(sample)
