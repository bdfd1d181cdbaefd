"""The JSON Schemas that an answer can be held to. No torch here.

A dialect that is always bounded, so that an answer ends within its tokens whatever the weights say: ``object`` (all
properties, in their order), ``array`` (``minItems``, ``maxItems``), ``string`` (``maxLength``), ``integer``
(``minimum``, ``maximum``), ``boolean``, ``enum`` and ``const`` of strings, integers and booleans. Text is compact JSON
with ", " and ": " between; a string begins with something visible, and holds no escape, no quotation mark ``"``, no
brace (a small model that loses the thread goes on with JSON there) and no control character. Annotations (``title``,
``description``, ``x-…``) are ignored.

A string with ``"quoted": true`` is a quotation: words that stand, next to each other, in one of the passages that the
whole schema lists as ``passages``; with ``"quoted": "name"`` the first of them begins with a capital letter, if it can.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import SchemaUnsupported
from engine.passages import Passages

BETWEEN, AFTER_KEY = ", ", ": "
# what ends a string that ran out of room; alone, it says that there was none
CUT = "…"
STRING_LIMIT = 4000
ITEMS_LIMIT = 500
DEPTH_LIMIT = 8

_ANNOTATIONS = {"title", "description", "$schema", "default", "examples"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string of ``least`` (1 or more) to ``most`` characters."""

    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A string of ``least`` to ``most`` characters that stands in ``passages``, as a name or as any words."""

    least: int
    most: int
    passages: Passages
    name: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of these JSON values, none of which begins another."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    item: Node
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    fields: tuple[tuple[str, Node], ...]


Node = Text | Quote | Number | Choice | Items | Fields


def parse(schema: str | Mapping[str, Any]) -> Node:
    """Raises SchemaUnsupported, saying where and why."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise SchemaUnsupported("", f"it is not JSON ({error})") from error
    passages = None
    if isinstance(schema, Mapping) and "passages" in schema:
        passages = _passages(schema["passages"])
        schema = {key: value for key, value in schema.items() if key != "passages"}
    return _node(schema, "", 0, passages)


def _passages(said: Any) -> Passages:
    if not isinstance(said, Sequence) or isinstance(said, str) or not all(isinstance(one, str) for one in said):
        raise SchemaUnsupported("/passages", "it must be a list of texts")
    return Passages(said)


def _node(schema: Any, where: str, depth: int, passages: Passages | None) -> Node:
    if not isinstance(schema, Mapping):
        raise SchemaUnsupported(where, "a schema is an object")
    if depth > DEPTH_LIMIT:
        raise SchemaUnsupported(where, f"it is nested more than {DEPTH_LIMIT} deep")
    said = {key for key in schema if key not in _ANNOTATIONS and not key.startswith("x-")}
    if "const" in said or "enum" in said:
        _only(said, {"const", "enum", "type"}, where)
        return _choice([schema["const"]] if "const" in said else schema["enum"], where)
    kind = schema.get("type")
    if kind == "boolean":
        _only(said, {"type"}, where)
        return Choice(values=("true", "false"))
    if kind == "string":
        _only(said, {"type", "minLength", "maxLength", "quoted"}, where)
        least, most = _bounds(schema, "minLength", "maxLength", where, lowest=0, highest=STRING_LIMIT)
        if most == 0:
            raise SchemaUnsupported(where, "maxLength must be 1 or more")
        quoted = schema.get("quoted", False)
        if quoted not in (True, False, "name"):
            raise SchemaUnsupported(where, 'quoted must be true, false or "name"')
        if quoted:
            return _quote(passages, max(1, least), most, where, name=quoted == "name")
        return Text(least=max(1, least), most=most)
    if kind == "integer":
        _only(said, {"type", "minimum", "maximum"}, where)
        least, most = _bounds(schema, "minimum", "maximum", where, lowest=0, highest=10**9)
        return Number(least=least, most=most)
    if kind == "array":
        _only(said, {"type", "items", "minItems", "maxItems"}, where)
        least, most = _bounds(schema, "minItems", "maxItems", where, lowest=0, highest=ITEMS_LIMIT)
        return Items(item=_node(schema.get("items"), f"{where}/items", depth + 1, passages), least=least, most=most)
    if kind == "object":
        return _fields(schema, said, where, depth, passages)
    raise SchemaUnsupported(where, f"its type is {kind!r}, not object, array, string, integer or boolean")


def _quote(passages: Passages | None, least: int, most: int, where: str, *, name: bool) -> Node:
    if passages is None:
        raise SchemaUnsupported(where, "it is quoted, and the schema has no passages")
    # passages too short for what is asked are quoted as far as they go
    fit = passages.longest(most, name=name)
    if fit == 0 and name:
        return _quote(passages, least, most, where, name=False)
    if fit == 0:
        raise SchemaUnsupported(where, f"no passage has words to quote within {most} characters")
    return Quote(least=min(least, fit), most=most, passages=passages, name=name)


def _fields(schema: Mapping[str, Any], said: set[str], where: str, depth: int, passages: Passages | None) -> Fields:
    _only(said, {"type", "properties", "required", "additionalProperties"}, where)
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise SchemaUnsupported(where, "an object needs properties")
    required = schema.get("required", list(properties))
    if not isinstance(required, list) or set(map(str, required)) != set(properties):
        raise SchemaUnsupported(where, "all properties must be required, and no others")
    if schema.get("additionalProperties", False) is not False:
        raise SchemaUnsupported(where, "additionalProperties must be false")
    return Fields(
        fields=tuple(
            (str(name), _node(one, f"{where}/{name}", depth + 1, passages)) for name, one in properties.items()
        )
    )


def _choice(values: Any, where: str) -> Choice:
    if not isinstance(values, list) or not values:
        raise SchemaUnsupported(where, "enum must be a list with values")
    for value in values:
        if not isinstance(value, str | int):
            raise SchemaUnsupported(where, f"{value!r} is no string, integer or boolean")
        if isinstance(value, str) and json.dumps(value, ensure_ascii=False) != f'"{value}"':
            raise SchemaUnsupported(where, f"{value!r} holds a character that JSON writes as an escape")
    written = tuple(dict.fromkeys(json.dumps(value, ensure_ascii=False) for value in values))
    for one in written:
        if any(other != one and other.startswith(one) for other in written):
            raise SchemaUnsupported(where, f"{one} begins another value: give integers a minimum and a maximum")
    return Choice(values=written)


def _bounds(
    schema: Mapping[str, Any], least: str, most: str, where: str, *, lowest: int, highest: int
) -> tuple[int, int]:
    first, last = schema.get(least, lowest), schema.get(most)
    if not (isinstance(first, int) and isinstance(last, int)) or isinstance(first, bool) or isinstance(last, bool):
        raise SchemaUnsupported(where, f"it needs {most}, a whole number")
    if not lowest <= first <= last <= highest:
        raise SchemaUnsupported(where, f"{least} {first} and {most} {last} must rise, within {lowest}..{highest}")
    return first, last


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _only(said: set[str], known: set[str], where: str) -> None:
    unknown = sorted(said - known)
    if unknown:
        raise SchemaUnsupported(where, f"{', '.join(unknown)} cannot be enforced here")


def fault(node: Node, value: Any, where: str = "") -> str | None:
    """What is wrong with a value, for an engine that only tries to keep to a schema; None if nothing is."""
    match node:
        case Text():
            fine = isinstance(value, str) and node.least <= len(value) <= node.most and bool(value.strip())
        case Quote():
            fine = (
                isinstance(value, str)
                and node.least <= len(value) <= node.most
                and node.passages.has(value, name=node.name)
            )
        case Number():
            fine = _is_count(value) and node.least <= value <= node.most
        case Choice():
            fine = json.dumps(value, ensure_ascii=False) in node.values
        case Items():
            if not isinstance(value, list) or not node.least <= len(value) <= node.most:
                return f"{where or '/'} is no list of {node.least} to {node.most}"
            faults = (fault(node.item, one, f"{where}/{number}") for number, one in enumerate(value))
            return next((one for one in faults if one), None)
        case Fields():
            if not isinstance(value, dict) or set(value) != {name for name, _ in node.fields}:
                return f"{where or '/'} has not the properties asked for"
            faults = (fault(one, value[name], f"{where}/{name}") for name, one in node.fields)
            return next((one for one in faults if one), None)
    return None if fine else f"{where or '/'} is not what was asked for"
