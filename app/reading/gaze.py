"""Where an answer looked as it was written: the engine's blocks of tokens as places in the documents.

A place is ``PLACE_TOKENS`` tokens of a text; neighbours are one place. Of a finished answer are kept: the places looked
at most, a strip along each document, and the places of each sentence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.library.records import DocumentRecord
from app.library.store import Library
from app.reading import prompt as prompts
from app.reading.quotations import sentences
from app.reading.source import Source
from engine.protocol import BLOCK_TOKENS, Engine, Gaze, Segment

# a hundred words, and so many of them are told of an answer, of a sentence, at a time while it is written
PLACE_TOKENS = 128
PLACES, OF_SENTENCE, AT_ONCE = 10, 4, 12
# of the heaviest place: what weighs less is not told
LEAST = 0.05
# cells of the strip along a document
CELLS = 160


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens ``first`` .. of a segment that stand in a document: token i of them begins at ``offsets[i]``.

    offsets: one more than tokens, code points.
    """

    first: int
    document: int
    offsets: Sequence[int]

    @property
    def end(self) -> int:
        return self.first + len(self.offsets) - 1


Spot = tuple[int, int, int]  # document, start, end


class Map:
    """Segments of a prompt, by their number, as pieces of documents."""

    def __init__(self, pieces: Mapping[int, Sequence[Piece]]) -> None:
        self._pieces = {number: sorted(given, key=lambda piece: piece.first) for number, given in pieces.items()}

    def spots(self, gaze: Gaze, tokens: int = BLOCK_TOKENS) -> dict[Spot, float]:
        """What is looked at, by ``tokens``, a multiple of a block; what stands in no document is left out."""
        found: dict[Spot, float] = defaultdict(float)
        each = tokens // BLOCK_TOKENS
        for segment, block, weight in zip(gaze.segments, gaze.blocks, gaze.weights, strict=True):
            pieces = self._pieces.get(segment, ())
            place = bisect_right(pieces, block * BLOCK_TOKENS + BLOCK_TOKENS // 2, key=lambda piece: piece.first) - 1
            if place < 0:
                continue
            piece = pieces[place]
            first = (block - (block - piece.first // BLOCK_TOKENS) % each) * BLOCK_TOKENS - piece.first
            last = min(first + tokens, len(piece.offsets) - 1)
            if block * BLOCK_TOKENS < piece.end and last > 0:
                found[piece.document, piece.offsets[max(0, first)], piece.offsets[last]] += weight
        return found


def document_pieces(
    engine: Engine, library: Library, document: DocumentRecord, segment: Segment, upto: int | None = None
) -> list[Piece]:
    """What stands of the text within a document's segment, in order. upto: as the segment was made with."""
    offsets = prompts.tokens(engine, library, document).offsets
    ranges = prompts.token_ranges(offsets, library.read_spans(document.id), upto)
    closing = len(engine.encode([prompts.CLOSING])[0].ids)
    first = len(segment.ids) - closing - sum(last - begin for begin, last in ranges)
    pieces = []
    for begin, last in ranges:
        pieces.append(Piece(first, document.id, offsets[begin : last + 1]))
        first += last - begin
    return pieces


class Looks:
    """Gathers what one answer looks at. ``add`` with every piece of text, in order."""

    def __init__(self, map: Map, sources: Sequence[Source]) -> None:
        self._map = map
        self._sources = {source.record.id: source for source in sources}
        self._seen: list[tuple[int, dict[Spot, float]]] = []
        self._fresh: dict[Spot, float] = defaultdict(float)
        self.measured = False

    def add(self, at: int, gaze: Gaze) -> None:
        """at: how many characters of the answer were written before."""
        self.measured = gaze.measured
        spots = self._map.spots(gaze, PLACE_TOKENS)
        self._seen.append((at, spots))
        for spot, weight in spots.items():
            self._fresh[spot] += weight

    def now(self) -> list[dict[str, Any]]:
        """Where it looked since this was asked last: document, start, end, weight, heaviest first, of their sum."""
        fresh, self._fresh = self._fresh, defaultdict(float)
        return _told(fresh, AT_ONCE)

    def stored(self, answer: str) -> dict[str, Any] | None:
        """As it is kept with the turn, None where nothing was seen.

        measured; places: {document, title, start, end, page, chapter, weight}, heaviest first; strips: {document,
        title, characters, cells}, ``CELLS`` numbers from 0 to 99; sentences: {start, stop, places}, code points of the
        answer.
        """
        whole = _sum(spots for _, spots in self._seen)
        if not whole:
            return None
        places = [self._placed(place) for place in _told(whole, PLACES)]
        return {
            "measured": self.measured,
            "places": places,
            "strips": self._strips(whole),
            "sentences": self._sentences(answer),
        }

    def _placed(self, place: dict[str, Any]) -> dict[str, Any]:
        source = self._sources[place["document"]]
        middle = (place["start"] + place["end"]) // 2
        title = source.record.title
        return {**place, "title": title, "page": source.page(middle), "chapter": source.chapter(middle)}

    def books(self) -> list[dict[str, Any]]:
        """What a strip stands for: document, title, characters."""
        records = [source.record for source in self._sources.values()]
        return [{"document": one.id, "title": one.title, "characters": one.characters} for one in records]

    def _strips(self, spots: Mapping[Spot, float]) -> list[dict[str, Any]]:
        found = {id: [0.0] * CELLS for id in self._sources}
        for (document, start, end), weight in spots.items():
            size = max(1, self._sources[document].record.characters)
            found[document][min(CELLS - 1, (start + end) * CELLS // (2 * size))] += weight
        top = max(max(cells) for cells in found.values()) or 1.0
        return [
            {**book, "cells": [round(99 * cell / top) for cell in found[book["document"]]]} for book in self.books()
        ]

    def _sentences(self, answer: str) -> list[dict[str, Any]]:
        told = []
        for sentence in sentences(answer):
            seen = [spots for at, spots in self._seen if sentence.start <= at < sentence.stop]
            places = _told(_sum(seen), OF_SENTENCE)
            if places:
                told.append({"start": sentence.start, "stop": sentence.stop, "places": places})
        return told


def _sum(many: Iterable[Mapping[Spot, float]]) -> dict[Spot, float]:
    total: dict[Spot, float] = defaultdict(float)
    for spots in many:
        for spot, weight in spots.items():
            total[spot] += weight
    return total


def _told(spots: Mapping[Spot, float], most: int) -> list[dict[str, Any]]:
    """The heaviest, neighbours joined; weights are shares of all that stands in documents."""
    whole = sum(spots.values())
    heaviest = sorted(spots, key=lambda spot: -spots[spot])[: 2 * most]
    joined: list[list[Any]] = []
    for document, start, end in sorted(heaviest):
        weight = spots[document, start, end] / whole
        if weight < LEAST * spots[heaviest[0]] / whole:
            continue
        if joined and joined[-1][0] == document and joined[-1][2] >= start:
            joined[-1][2], joined[-1][3] = end, joined[-1][3] + weight
        else:
            joined.append([document, start, end, weight])
    joined.sort(key=lambda place: -place[3])
    return [
        {"document": document, "start": start, "end": end, "weight": round(weight, 4)}
        for document, start, end, weight in joined[:most]
    ]
