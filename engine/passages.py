"""Text that quotations are taken from, cut into words. No torch here.

A quotation is a run of whole words of one passage: it begins with a letter, a digit or an opening bracket, and ends
with a letter, a digit or a closing one. A name is one that begins with a capital letter, or with a letter of a script
that has none. White space counts as one space; a straight quotation mark or a backslash,
which JSON would write as an escape, ends a passage. Offsets count bytes of UTF-8.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence

# between two passages: no string of JSON holds it
BORDER = "\n"
# Chinese, Japanese and Korean have no spaces between words: each character is one
_WORDS = re.compile(r"[\u2e80-\uffff]|[^\W_\u2e80-\uffff]+(?:['’\-][^\W_\u2e80-\uffff]+)*|\s|.")
_BREAK = re.compile(r'["\\\x00-\x1f\x7f-\x9f\ufffd]+')
OPENING, CLOSING = "[(（《〈「『“‘", "])）》〉」』”’"
# endings looked at before the shortest of them is taken
_TRIES = 8


class Passages:
    """Those of a schema. Raises nothing: what has no words cannot be quoted."""

    def __init__(self, texts: Sequence[str]) -> None:
        pieces = (piece.strip() for text in texts for piece in _BREAK.split(" ".join(text.split())))
        self.chunks: list[str] = []
        starts, ends, place = [], [], 0
        for piece in dict.fromkeys(pieces):
            for word in _WORDS.findall(piece):
                if _is_letter(word[0]) or word[0] in OPENING:
                    starts.append(place)
                self.chunks.append(word)
                place += len(word.encode())
                if _is_letter(word[-1]) or word[-1] in CLOSING:
                    ends.append(place)
            self.chunks.append(BORDER)
            place += 1
        self._starts, self._ends, self._known = starts, ends, frozenset(starts)
        self._data = "".join(self.chunks).encode()
        self._names = [start for start in starts if _is_capital(self._data[start : start + 4])]
        self._named = frozenset(self._names)

    def has(self, text: str, *, name: bool = False) -> bool:
        """Whether it is a run of whole words of one passage; name: that is a name."""
        said = text.encode()
        ends = self._ends
        for start in self._places(said, name):
            at = bisect_left(ends, start + len(said))
            if at < len(ends) and ends[at] == start + len(said):
                return True
        return False

    def longest(self, most: int, *, name: bool = False) -> int:
        """Characters of the longest quotation that has at most ``most``; 0 if there is none."""
        best = 0
        for start in self._names if name else self._starts:
            stop = self._data.find(BORDER.encode(), start)
            at = bisect_left(self._ends, stop + 1) - 1
            while at >= 0 and self._ends[at] > start:
                size = self._characters(start, self._ends[at])
                if size <= most:
                    best = max(best, size)
                    break
                # a character has four bytes at most
                at = min(at - 1, bisect_left(self._ends, start + 4 * most + 1) - 1)
            if best == most:
                break
        return best

    def ending(self, said: bytes, least: int, most: int, *, name: bool = False) -> bytes:
        """The shortest of the next endings of a quotation that begins so. Raises ValueError where none does."""
        found: list[bytes] = []
        for start in self._places(said, name):
            stop = self._data.find(BORDER.encode(), start)
            at = bisect_left(self._ends, max(start + 1, start + len(said)))
            while at < len(self._ends) and self._ends[at] <= stop:
                size = self._characters(start, self._ends[at])
                if size > most:
                    break
                if size >= least:
                    found.append(self._data[start + len(said) : self._ends[at]])
                    break
                at += 1
            if len(found) == _TRIES:
                break
        if not found:
            raise ValueError(f"no quotation begins with {said!r}")
        return min(found, key=len)

    def _places(self, said: bytes, name: bool) -> Iterator[int]:
        """Where a quotation that begins so can start."""
        if not said:
            yield from self._names if name else self._starts
            return
        known = self._named if name else self._known
        place = self._data.find(said)
        while place >= 0:
            if place in known:
                yield place
            place = self._data.find(said, place + 1)

    def _characters(self, start: int, end: int) -> int:
        return len(self._data[start:end].decode())


def _is_capital(first: bytes) -> bool:
    """Of the first bytes, one character and perhaps more of them."""
    return unicodedata.category(first.decode("utf-8", "ignore")[0]) in ("Lu", "Lt", "Lo")


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"
