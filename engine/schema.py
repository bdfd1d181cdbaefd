"""The JSON Schemas that an answer can be held to, and the shortest way to end what was begun. No torch here.

A dialect that is always bounded, so that an answer ends within its tokens whatever the weights say: ``object`` (all
properties, in their order), ``array`` (``minItems``, ``maxItems``), ``string`` (``maxLength``), ``integer``
(``minimum``, ``maximum``), ``boolean``, ``enum`` and ``const`` of strings, integers and booleans. Text is compact JSON
with ", " and ": " between; a string begins with something visible, and holds no escape, no quotation mark ``"`` and no
control character. Annotations (``title``, ``description``, ``x-…``) are ignored.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import SchemaUnsupported

BETWEEN, AFTER_KEY = ", ", ": "
# what ends a string that ran out of room; alone, it says that there was none
CUT = "…"
STRING_LIMIT = 4000
ITEMS_LIMIT = 500
DEPTH_LIMIT = 8

_ANNOTATIONS = {"title", "description", "$schema", "default", "examples"}
# of one character: the first must be seen, the others may be spaces
_FIRST = r"[^\s\"\\\u0000-\u001f\u007f-\u00a0\ufffd]"
_OTHER = r"[^\"\\\u0000-\u001f\u007f-\u009f\ufffd]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string of ``least`` (1 or more) to ``most`` characters."""

    least: int
    most: int


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


Node = Text | Number | Choice | Items | Fields


def parse(schema: str | Mapping[str, Any]) -> Node:
    """Raises SchemaUnsupported, saying where and why."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise SchemaUnsupported("", f"it is not JSON ({error})") from error
    return _node(schema, "", 0)


def _node(schema: Any, where: str, depth: int) -> Node:
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
        _only(said, {"type", "minLength", "maxLength"}, where)
        least, most = _bounds(schema, "minLength", "maxLength", where, lowest=0, highest=STRING_LIMIT)
        if most == 0:
            raise SchemaUnsupported(where, "maxLength must be 1 or more")
        return Text(least=max(1, least), most=most)
    if kind == "integer":
        _only(said, {"type", "minimum", "maximum"}, where)
        least, most = _bounds(schema, "minimum", "maximum", where, lowest=0, highest=10**9)
        return Number(least=least, most=most)
    if kind == "array":
        _only(said, {"type", "items", "minItems", "maxItems"}, where)
        least, most = _bounds(schema, "minItems", "maxItems", where, lowest=0, highest=ITEMS_LIMIT)
        return Items(item=_node(schema.get("items"), f"{where}/items", depth + 1), least=least, most=most)
    if kind == "object":
        return _fields(schema, said, where, depth)
    raise SchemaUnsupported(where, f"its type is {kind!r}, not object, array, string, integer or boolean")


def _fields(schema: Mapping[str, Any], said: set[str], where: str, depth: int) -> Fields:
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
        fields=tuple((str(name), _node(one, f"{where}/{name}", depth + 1)) for name, one in properties.items())
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


def strict(node: Node) -> dict[str, Any]:
    """The schema of exactly what ``close`` can end, for a grammar library."""
    match node:
        case Text():
            return {"type": "string", "pattern": f"^{_FIRST}{_OTHER}{{{node.least - 1},{node.most - 1}}}$"}
        case Number():
            return {"type": "integer", "minimum": node.least, "maximum": node.most}
        case Choice():
            return {"enum": [json.loads(value) for value in node.values]}
        case Items():
            return {"type": "array", "items": strict(node.item), "minItems": node.least, "maxItems": node.most}
        case Fields():
            names = [name for name, _ in node.fields]
            return {
                "type": "object",
                "properties": {name: strict(one) for name, one in node.fields},
                "required": names,
                "additionalProperties": False,
            }


def fault(node: Node, value: Any, where: str = "") -> str | None:
    """What is wrong with a value, for an engine that only tries to keep to a schema; None if nothing is."""
    match node:
        case Text():
            fine = isinstance(value, str) and node.least <= len(value) <= node.most and bool(value.strip())
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


@dataclass(frozen=True, slots=True)
class Close:
    """rest: the shortest ending of what was begun; begun: array items begun beyond what their arrays need."""

    rest: bytes
    begun: int


def close(node: Node, said: bytes) -> Close:
    """How to end ``said``: UTF-8, the beginning of a value of ``node``, perhaps cut inside a character.

    Raises ValueError where it is no such beginning.
    """
    cursor = _Cursor(said)
    _walk(node, cursor)
    if cursor.place < len(said):
        raise ValueError(f"something goes on after the value at {cursor.place}")
    return Close(b"".join(cursor.rest), cursor.begun)


def shortest(node: Node) -> str:
    return close(node, b"").rest.decode()


@dataclass(slots=True)
class _Cursor:
    """Reads what was said, and where that ends, writes on."""

    said: bytes
    place: int = 0
    begun: int = 0
    rest: list[bytes] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.place >= len(self.said)

    def take(self, literal: bytes) -> None:
        """Meet ``literal``; what of it lies behind the end is written."""
        there = self.said[self.place : self.place + len(literal)]
        if not literal.startswith(there):
            raise ValueError(f"{literal!r} expected at {self.place}")
        self.place += len(there)
        self.rest.append(literal[len(there) :])


def _walk(node: Node, cursor: _Cursor) -> None:
    match node:
        case Text():
            _text(node, cursor)
        case Number():
            _number(node, cursor)
        case Choice():
            left = cursor.said[cursor.place :]
            values = [value.encode() for value in node.values]
            # the whole value, or one that what is there begins
            fits = [one for one in values if left.startswith(one)] or [one for one in values if one.startswith(left)]
            if not fits:
                raise ValueError(f"no value of the choice at {cursor.place}")
            cursor.take(min(fits, key=len))
        case Items():
            _items(node, cursor)
        case Fields():
            for number, (name, one) in enumerate(node.fields):
                cursor.take(b"{" if number == 0 else BETWEEN.encode())
                cursor.take(f"{json.dumps(name, ensure_ascii=False)}{AFTER_KEY}".encode())
                _walk(one, cursor)
            cursor.take(b"}")


def _text(node: Text, cursor: _Cursor) -> None:
    cursor.take(b'"')
    stop = cursor.said.find(b'"', cursor.place)
    if stop < 0:
        content = cursor.said[cursor.place :]
        cursor.place = len(cursor.said)
        decoder = codecs.getincrementaldecoder("utf-8")()
        size = len(decoder.decode(content))
        partial = decoder.getstate()[0]
        if partial:
            # any character that these bytes begin
            cursor.rest.append(character(partial).encode()[len(partial) :])
            size += 1
        cursor.rest.append((CUT * max(node.least - size, int(size < node.most))).encode())
    else:
        cursor.place = stop
    cursor.take(b'"')


def character(partial: bytes) -> str:
    """One that is no space or control character and whose UTF-8 begins so."""
    size = 2 if partial[0] < 0xE0 else 3 if partial[0] < 0xF0 else 4
    for first in (0xA5, 0x95, 0x85):
        for fill in (0xA5, 0x90, 0x80):
            # what is missing behind the first byte; only the second one's range differs
            missing = bytes([first if len(partial) == 1 else fill, fill, fill])[: size - len(partial)]
            try:
                found = (partial + missing).decode()
            except UnicodeDecodeError:
                continue
            if not found.isspace() and found >= "\xa1" and found != "\ufffd":
                return found
    raise ValueError(f"no character begins with {partial!r}")


def _number(node: Number, cursor: _Cursor) -> None:
    stop = cursor.place
    while cursor.said[stop : stop + 1].isdigit():
        stop += 1
    digits = cursor.said[cursor.place : stop].decode()
    if stop < len(cursor.said):
        if not digits or not node.least <= int(digits) <= node.most:
            raise ValueError(f"no number from {node.least} to {node.most} at {cursor.place}")
        cursor.place = stop
        return
    cursor.take(_least_number(node, digits).encode())


def _least_number(node: Number, digits: str) -> str:
    """The smallest number of the range that is written with these digits first."""
    if len(digits) > 1 and digits.startswith("0"):
        raise ValueError(f"{digits} is no number of JSON")
    first, last = (int(digits), int(digits)) if digits else (node.least, node.most)
    while True:
        found = max(first, node.least)
        if found <= min(last, node.most):
            return str(found)
        if first > node.most or first == 0:
            raise ValueError(f"{digits} begins no number from {node.least} to {node.most}")
        first, last = first * 10, last * 10 + 9


def _items(node: Items, cursor: _Cursor) -> None:
    cursor.take(b"[")
    count = 0
    while True:
        if count >= node.least and (cursor.ended or cursor.said.startswith(b"]", cursor.place)):
            break
        if count:
            cursor.take(BETWEEN.encode())
        # even where only the separator's beginning is there: then the item must come
        cursor.begun += count >= node.least
        _walk(node.item, cursor)
        count += 1
    if count > node.most:
        raise ValueError(f"more than {node.most} items")
    cursor.take(b"]")
