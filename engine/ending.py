"""The shortest way to end an answer that is held to a schema (``engine.schema``): what keeps it within its tokens."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field

from engine.schema import AFTER_KEY, BETWEEN, CUT, Choice, Fields, Items, Node, Number, Quote, Text


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
        case Quote():
            _quote(node, cursor)
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


def _quote(node: Quote, cursor: _Cursor) -> None:
    cursor.take(b'"')
    stop = cursor.said.find(b'"', cursor.place)
    content = cursor.said[cursor.place :] if stop < 0 else cursor.said[cursor.place : stop]
    cursor.place += len(content)
    if stop < 0:
        cursor.rest.append(node.passages.ending(content, node.least, node.most, name=node.name))
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
