"""A schema (``engine.schema``) as a grammar of llguidance: exactly the texts that ``engine.ending`` can end.

Lark, as llguidance reads it: rules in small letters, terminals, which are regular, in capitals. A quotation is what
stands in the passages and is a string that may be quoted: a substring expression and a pattern at once.
"""

from __future__ import annotations

import json

from engine.passages import CLOSING, OPENING
from engine.schema import AFTER_KEY, BETWEEN, Choice, Fields, Items, Node, Number, Quote, Text

# of one character: the first must be seen, the others may be spaces
_FIRST = r"[^\s\"\\{}\x{0}-\x{1f}\x{7f}-\x{a0}\x{fffd}]"
_OTHER = r"[^\"\\{}\x{0}-\x{1f}\x{7f}-\x{9f}\x{fffd}]"
# what is quoted stands as it stands
_ANY = r"[^\"\\\x{0}-\x{1f}\x{7f}-\x{9f}\x{fffd}]"


def _bracketed(characters: str) -> str:
    return "".join("\\" + one if one in "[]()" else one for one in characters)


_OPENS = rf"[\p{{L}}\p{{N}}{_bracketed(OPENING)}]"
_CAPITAL = r"[\p{Lu}\p{Lt}\p{Lo}]"
_CLOSES = rf"[\p{{L}}\p{{N}}{_bracketed(CLOSING)}]"


def lark(node: Node) -> str:
    writer = _Writer()
    return "\n".join([f"start: {writer.body(node)}", *writer.rules]) + "\n"


class _Writer:
    def __init__(self) -> None:
        self.rules: list[str] = []
        self._sources: dict[int, str] = {}

    def body(self, node: Node) -> str:
        match node:
            case Text():
                return self._named("T", f'/"{_FIRST}{_OTHER}{{{node.least - 1},{node.most - 1}}}"/')
            case Quote():
                mark = _said('"')
                return f"{mark} {self._quote(node)} {mark}"
            case Number():
                return f'%json {{"type": "integer", "minimum": {node.least}, "maximum": {node.most}}}'
            case Choice():
                return "(" + " | ".join(_said(value) for value in node.values) + ")"
            case Items():
                return self._items(node)
            case Fields():
                parts = []
                for number, (name, one) in enumerate(node.fields):
                    key = ("{" if number == 0 else BETWEEN) + json.dumps(name, ensure_ascii=False) + AFTER_KEY
                    parts += [_said(key), self._rule(one)]
                return " ".join([*parts, _said("}")])

    def _items(self, node: Items) -> str:
        if node.most == 0:
            return _said("[]")
        item = self._rule(node.item)
        more = f"({_said(BETWEEN)} {item}){{{max(0, node.least - 1)},{node.most - 1}}}"
        some = f"{item} {more}" if node.most > 1 else item
        return f"{_said('[')} {some if node.least else '(' + some + ')?'} {_said(']')}"

    def _quote(self, node: Quote) -> str:
        if id(node.passages) not in self._sources:
            chunks = json.dumps({"substring_chunks": node.passages.chunks}, ensure_ascii=False)
            self._sources[id(node.passages)] = self._named("S", f"%regex {chunks}")
        source = self._sources[id(node.passages)]
        least, most = max(0, node.least - 2), node.most - 2
        # one character opens and closes
        first = _CAPITAL if node.name else _OPENS
        long = f"{first}{_ANY}{{{least},{most}}}{_CLOSES}"
        short = (_CAPITAL if node.name else r"[\p{L}\p{N}]") if node.least == 1 else ""
        pattern = short if most < 0 else f"{long}|{short}" if short else long
        return self._named("Q", f"{source} & /{pattern}/")

    def _rule(self, node: Node) -> str:
        body = self.body(node)
        return body if body.isidentifier() else self._named("r", body)

    def _named(self, kind: str, body: str) -> str:
        name = f"{kind}{len(self.rules)}" if kind.islower() else f"{kind}_{len(self.rules)}"
        self.rules.append(f"{name}: {body}")
        return name


def _said(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
