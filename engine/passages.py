"""Text that quotations are taken from, cut into words. No torch here.

A quotation is a run of whole words of one passage: it begins with a letter, a digit or an opening bracket, and ends
with a letter, a digit or a closing one. White space counts as one space; a straight quotation mark or a backslash,
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

    def has(self, text: str) -> bool:
        """Whether it is a run of whole words of one passage."""
        said = text.encode()
        ends = self._ends
        for start in self._places(said):
            at = bisect_left(ends, start + len(said))
            if at < len(ends) and ends[at] == start + len(said):
                return True
        return False

    def longest(self, most: int) -> int:
        """Characters of the longest quotation that has at most ``most``; 0 if there is none."""
        best = 0
        for start in self._starts:
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

    def ending(self, said: bytes, least: int, most: int) -> bytes:
        """The shortest of the next endings of a quotation that begins so. Raises ValueError where none does."""
        found: list[bytes] = []
        for start in self._places(said):
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

    def _places(self, said: bytes) -> Iterator[int]:
        """Where a quotation that begins so can start."""
        if not said:
            yield from self._starts
            return
        place = self._data.find(said)
        while place >= 0:
            if place in self._known:
                yield place
            place = self._data.find(said, place + 1)

    def _characters(self, start: int, end: int) -> int:
        return len(self._data[start:end].decode())


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"
