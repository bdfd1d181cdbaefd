"""Finds a passage in a long text, word for word or nearly, without going through the text.

Seed and extend: every run of five folded characters (two in scripts without spaces) has a bucket of the places where
it stands. A passage is verbatim at a place of its rarest run; it is nearly there where many of its runs lie on one
diagonal, and the edit distance is then counted exactly (Sellers, 1980: the passage against any part of the region).
So a passage of fewer than a dozen letters, edited in its middle, is not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from app.reading.folding import WIDE, Codes, Folded, fold, to_codes

# a passage is nearly in a text if at most this share of its folded characters must be changed
NEAR_SHARE = 0.2

_LONG, _SHORT = 5, 2
_BUCKETS = 1 << 16
_FACTORS = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F, 0x165667B1)
# places of seeds looked at in one text, and seeds of one passage: common runs tell little and are left out first
_PLACES = 24_000
_SEEDS = 256
# from so many places on, the rarest run is no help
_COMMON = 4096
# regions of one text that are worth an alignment
_REGIONS = 3


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """``text.folded[begin:end]`` is the passage after ``edits`` changes, insertions and deletions of a character."""

    edits: int
    begin: int
    end: int


class TextIndex:
    """One canonical text, ready to be searched. About 11 bytes a character, 0.1 s a million characters to make."""

    def __init__(self, text: str) -> None:
        self.text = text
        folded = fold(text)
        self.folded, self.origin = folded.text, folded.origin
        keys = _keys(folded.codes)
        self._places = np.argsort(keys, kind="stable").astype(np.int32)
        counts = np.bincount(keys, minlength=_BUCKETS)
        self._starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)

    @cached_property
    def size(self) -> int:
        """Bytes of memory."""
        strings = sum(len(one) * (1 if one.isascii() else 2) for one in (self.text, self.folded))
        return strings + self.origin.nbytes + self._places.nbytes + self._starts.nbytes

    def place(self, begin: int, end: int) -> tuple[int, int]:
        """Where ``folded[begin:end]`` stands in ``text``."""
        return int(self.origin[begin]), int(self.origin[end - 1]) + 1

    # word for word

    def verbatim(self, passage: Folded, begin: int = 0, end: int | None = None) -> Iterator[Hit]:
        """Every place within ``folded[begin:end]`` where the passage stands as whole words, in order."""
        size = len(passage.text)
        end = len(self.folded) if end is None else end
        if not size:
            return
        for place in self._verbatim(passage, begin, end - size):
            if self.is_whole(place, place + size):
                yield Hit(0, place, place + size)

    def _verbatim(self, passage: Folded, begin: int, last: int) -> Iterator[int]:
        offsets, keys = _seeds(passage.codes)
        if offsets.size:
            counts = self._starts[keys.astype(np.int32) + 1] - self._starts[keys]
            rarest = int(np.argmin(counts))
            if counts[rarest] <= _COMMON:
                places = self._bucket(int(keys[rarest])) - int(offsets[rarest])
                for place in places[(places >= begin) & (places <= last)].tolist():
                    if self.folded.startswith(passage.text, place):
                        yield place
                return
        place = self.folded.find(passage.text, begin, last + len(passage.text))
        while place >= 0:
            yield place
            place = self.folded.find(passage.text, place + 1, last + len(passage.text))

    def is_whole(self, begin: int, end: int) -> bool:
        """Whether no word is cut at either end."""
        return not self._cuts(begin) and not self._cuts(end)

    def _cuts(self, at: int) -> bool:
        if at <= 0 or at >= len(self.folded) or self.origin[at] - self.origin[at - 1] != 1:
            return False
        return _spaced(self.folded[at - 1]) and _spaced(self.folded[at])

    # nearly

    def regions(self, passage: Folded, begin: int = 0, end: int | None = None) -> list[tuple[int, int, int]]:
        """(seeds on it, begin, end) of the parts of ``folded`` that may be an edited copy of the passage."""
        offsets, keys = _seeds(passage.codes)
        size, end = len(passage.text), len(self.folded) if end is None else end
        if not offsets.size or end <= begin:
            return []
        counts = self._starts[keys.astype(np.int32) + 1] - self._starts[keys]
        order = np.argsort(counts, kind="stable")
        order = order[: max(1, int(np.searchsorted(np.cumsum(counts[order]), _PLACES, side="right")))]
        if order.size > _SEEDS:
            # evenly over the passage, so that its every part has a say
            order = np.sort(order)[np.linspace(0, order.size - 1, _SEEDS).astype(np.int64)]
        lines = np.concatenate([self._bucket(int(keys[one])) - int(offsets[one]) for one in order])
        lines = lines[(lines >= begin - size) & (lines < end)] - (begin - size)
        if not lines.size:
            return []
        slack = most_edits(size)
        shift = max(2, slack.bit_length())
        votes = np.bincount(lines >> shift)
        votes = votes + np.append(votes[1:], 0)
        found = []
        for _ in range(_REGIONS):
            best = int(np.argmax(votes))
            if votes[best] < 1:
                break
            first = (best << shift) + begin - size
            around = first - slack, first + (2 << shift) + size + slack
            found.append((int(votes[best]), max(begin, around[0]), min(end, around[1])))
            votes[max(0, best - 2) : best + 3] = 0
        return found

    def near(self, passage: Folded, region: tuple[int, int], most: int | None = None) -> Hit | None:
        """The part of ``folded[region]``, whole words, closest to the passage, if ``most`` edits are enough."""
        most = most_edits(len(passage.text)) if most is None else most
        begin, end = region
        area = to_codes(self.folded[begin:end])
        ending = _align(passage.codes, area, most)
        if ending is None:
            return None
        # back from where it ends: there it must begin
        edits, stop = ending
        back = _align(passage.codes[::-1], area[:stop][::-1], most, anchored=True)
        assert back is not None, "a passage that is found forwards is found backwards"
        first, last = begin + stop - back[1], begin + stop
        while self._cuts(first):
            first, edits = first - 1, edits + 1
        while self._cuts(last):
            last, edits = last + 1, edits + 1
        return Hit(edits, first, last) if edits <= most and first < last else None

    def _bucket(self, key: int) -> npt.NDArray[np.int32]:
        return self._places[self._starts[key] : self._starts[key + 1]]


def most_edits(size: int) -> int:
    """How many edits a passage of so many folded characters may need and still be near."""
    return int(NEAR_SHARE * size)


def _spaced(character: str) -> bool:
    """Of a script that puts spaces between words."""
    return character.isdigit() or character.lower() != character.upper()


def _keys(codes: Codes) -> npt.NDArray[np.uint16]:
    """The bucket of the run that begins at each character; beyond the end stands nothing."""
    padded = np.concatenate((codes, np.zeros(_LONG - 1, dtype=np.uint32)))
    mixed = np.zeros(codes.size, dtype=np.uint32)
    for place, factor in enumerate(_FACTORS):
        if place == _SHORT:
            short = mixed.copy()
        mixed += padded[place : place + codes.size] * np.uint32(factor)
    mixed = np.where(codes >= WIDE, short, mixed)
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x2C1B3C6D)
    return (mixed >> np.uint32(16)).astype(np.uint16)


def _seeds(codes: Codes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """Offsets of all runs that lie wholly in a passage, and their buckets."""
    lengths = np.where(codes >= WIDE, _SHORT, _LONG)
    offsets = np.flatnonzero(np.arange(codes.size) + lengths <= codes.size)
    return offsets, _keys(codes)[offsets]


def _align(passage: Codes, area: Codes, most: int, *, anchored: bool = False) -> tuple[int, int] | None:
    """(edits, end): the part of ``area`` closest to the passage ends there; None if it takes more than ``most`` edits.

    The part begins anywhere, or anchored at 0. Rows hold distance - column: an insertion then costs nothing, and one
    running minimum settles it for the whole row.
    """
    columns = np.arange(area.size + 1, dtype=np.int32)
    row = np.zeros_like(columns) if anchored else -columns
    costs: dict[int, npt.NDArray[np.int32]] = {}
    following = np.empty_like(row)
    for number, code in enumerate(passage.tolist(), 1):
        cost = costs.get(code)
        if cost is None:
            cost = costs[code] = (area != code).astype(np.int32) - 1
        following[0] = number
        np.minimum(row[:-1] + cost, row[1:] + 1, out=following[1:])
        np.minimum.accumulate(following, out=following)
        row, following = following, row
        if number % 16 == 0 and int((row + columns).min()) > most:
            return None
    distances = row + columns
    # of equals the longer one: it keeps what the passage has at its end
    end = area.size - int(np.argmin(distances[::-1]))
    return (int(distances[end]), end) if distances[end] <= most else None
