"""Finds what an answer quotes: passages between quotation marks, Markdown's block quotes; or every sentence of it.

Knows no document. A single ' is an apostrophe and 《》 is a title: neither quotes. Code quotes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from markdown_it import MarkdownIt

Form = Literal["marks", "block", "sentence"]

PAIRS = {
    "“": "”", "„": "“”", "«": "»", "‹": "›", "「": "」", "『": "』", "‘": "’", '"': '"', "〝": "〞〟", "＂": "＂",
}  # fmt: skip
# what is no prose: code, the address and title of a link, html (which stays text when it is shown)
_NO_PROSE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)|\]\([^)\n]*\)|<[a-zA-Z/!][^<>\n]*>", re.DOTALL)
_NEWLINE = re.compile(r"\r\n?|\n")
_BLOCK_PREFIX = re.compile(r"[ \t]*(?:>[ \t]?)+")
_LIST_PREFIX = re.compile(r"[ \t]*(?:(?:[-*+]|\d{1,9}[.)]|#{1,6})[ \t]+|>[ \t]?)*")
_SOURCE_LINE = re.compile(r"\s*(?:—|–|--|―)")
_LATIN = re.compile(r"[^\W\d_]|\d")
_SENTENCE_END = re.compile(r"[.!?…]+[\"”’»)\]*_]*(?=\s)|[。！？…]+[”」』’）]*|$")
ABBREVIATIONS = frozenset(
    {"mr", "mrs", "ms", "dr", "st", "prof", "vs", "cf", "ch", "p", "pp", "no", "vol", "e.g", "i.e"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotation:
    """``answer[start:stop]`` is what is quoted, without its marks; of a block quote, the range holds the ``>`` of its
    lines, which ``text`` does not."""

    text: str
    start: int
    stop: int
    form: Form


def quotations(answer: str) -> list[Quotation]:
    """All quotations, in order. One within another is part of it. A mark that is never closed quotes nothing."""
    found: list[Quotation] = []
    for block in _blocks(answer):
        if block.quote:
            text = "\n".join(line for line in block.content.split("\n") if not _SOURCE_LINE.match(line))
            if text.strip():
                start = _BLOCK_PREFIX.match(answer, block.start, block.stop)
                begin = start.end() if start else block.start
                found.append(Quotation(text=text, start=begin, stop=block.stop, form="block"))
            continue
        prose = _prose(answer[block.start : block.stop])
        for first, last in _between_marks(prose):
            start, stop = block.start + first, block.start + last
            found.append(Quotation(text=answer[start:stop], start=start, stop=stop, form="marks"))
    return sorted(found, key=lambda one: one.start)


def sentences(answer: str) -> list[Quotation]:
    """Every sentence of every block, in order."""
    found: list[Quotation] = []
    for block in _blocks(answer):
        prefix = _LIST_PREFIX.match(answer, block.start, block.stop)
        start = prefix.end() if prefix else block.start
        prose = _prose(answer[start : block.stop])
        begin = 0
        for end in _SENTENCE_END.finditer(prose):
            said = prose[begin : end.end()]
            if _goes_on(said, prose[end.end() :]):
                continue
            lead = len(said) - len(said.lstrip())
            first, last = start + begin + lead, start + begin + len(said.rstrip())
            begin = end.end()
            if first < last:
                found.append(Quotation(text=answer[first:last], start=first, stop=last, form="sentence"))
    return found


def _goes_on(said: str, rest: str) -> bool:
    """Whether a full stop or an ellipsis ends no sentence."""
    last = said.split()[-1:]
    return rest.lstrip()[:1].islower() or bool(last and last[0].strip('(“".').lower() in ABBREVIATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Whole lines of an answer, ``answer[start:stop]``, that hold one paragraph, heading or row of a table."""

    start: int
    stop: int
    content: str
    quote: bool


def _blocks(answer: str) -> Iterator[_Block]:
    parser = MarkdownIt("commonmark", {"maxNesting": 20}).enable("table")
    breaks = list(_NEWLINE.finditer(answer))
    starts = [0, *(one.end() for one in breaks), len(answer)]
    stops = [*(one.start() for one in breaks), len(answer), len(answer)]
    depth = 0
    seen: set[tuple[int, int]] = set()
    for token in parser.parse(answer):
        depth += (token.type == "blockquote_open") - (token.type == "blockquote_close")
        if token.type != "inline" or token.map is None:
            continue
        first, last = token.map
        # the cells of a table's row share its line
        if (first, last) in seen or first >= len(starts):
            continue
        seen.add((first, last))
        yield _Block(start=starts[first], stop=stops[max(first, last - 1)], content=token.content, quote=depth > 0)


def _prose(text: str) -> str:
    """The text with blanks where it is no prose; of the same length."""
    return _NO_PROSE.sub(lambda found: " " * len(found[0]), text)


def _between_marks(text: str) -> Iterator[tuple[int, int]]:
    place = 0
    while place < len(text):
        closers = PAIRS.get(text[place])
        close = _closing(text, place, closers) if closers and _opens(text, place) else None
        if close is None:
            place += 1
            continue
        if text[place + 1 : close].strip():
            yield place + 1, close
        place = close + 1


def _opens(text: str, place: int) -> bool:
    """An opening mark stands before what it opens, and not within a word."""
    if place + 1 >= len(text) or text[place + 1].isspace():
        return False
    if text[place] not in '"‘＂':
        return True
    return place == 0 or not _in_word(text[place - 1])


def _closing(text: str, opened: int, closers: str) -> int | None:
    opener = text[opened]
    depth = 0
    for place in range(opened + 1, len(text)):
        character = text[place]
        if character in closers:
            if character in '"’＂':
                after = text[place + 1 : place + 2]
                # an apostrophe, or a mark that opens another quotation
                if (after and _in_word(after)) or text[place - 1].isspace():
                    continue
            if depth == 0:
                return place
            depth -= 1
        elif character == opener and opener not in "‘„":
            depth += 1
    return None


def _in_word(character: str) -> bool:
    return character < "\u2e80" and _LATIN.match(character) is not None
