"""Finds the extracts of documents that a question is about: by full-text search, by the model's attention, or by both.

Attention is what the question looks at over the kept reading, through the model's query-focused heads (QRHead,
arXiv 2506.09944). Both are fused by reciprocal ranks (Cormack et al., 2009). Which of them finds best was measured for
the models that Lectern comes with (``tests.bench.finders``); where nothing was measured, full-text search finds.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.documents.model import Chapter, Paragraph
from app.reading.bm25 import Bm25
from app.reading.extracts import Extract, extracts
from app.reading.gaze import Spot
from app.reading.source import Source

Finder = Literal["text", "attention", "fusion"]

# of reciprocal rank fusion
SOFT = 20
KEPT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An extract of a document, ``text[start:end]``, and how much it is what was asked for, in the finder's measure."""

    document: int
    start: int
    end: int
    score: float


class Cut:
    """A text in extracts, ready to be searched."""

    def __init__(self, text: str, paragraphs: Sequence[Paragraph], chapters: Sequence[Chapter]) -> None:
        self.extracts: list[Extract] = extracts(text, paragraphs, chapters)
        self.index = Bm25([text[one.start : one.end] for one in self.extracts])


class Cuts:
    """By text, the last few of them. Safe from any thread."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[str, Cut] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, source: Source, paragraphs: Sequence[Paragraph]) -> Cut:
        """A second for a long novel that was not met before."""
        key = source.record.text_sha256
        with self._lock:
            if key not in self._kept:
                self._kept[key] = Cut(source.text, paragraphs, source.chapters)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return self._kept[key]


def by_text(question: str, cuts: Mapping[int, Cut]) -> list[Found]:
    """What full-text search finds in documents by their ids, best first; nothing where none of the words stand."""
    found = [
        Found(document=document, start=extract.start, end=extract.end, score=score)
        for document, cut in cuts.items()
        for extract, score in zip(cut.extracts, cut.index.scores(question), strict=True)
        if score > 0
    ]
    return sorted(found, key=lambda one: -one.score)


def by_attention(spots: Mapping[Spot, float], cuts: Mapping[int, Cut]) -> list[Found]:
    """Extracts by the attention mass on them, heaviest first. A block on a border counts where most of it lies."""
    found = []
    masses: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for (document, start, end), weight in spots.items():
        masses[document][(start + end) // 2] += weight
    for document, cut in cuts.items():
        middles = sorted(masses[document])
        place = 0
        for extract in cut.extracts:
            score = 0.0
            while place < len(middles) and middles[place] < extract.end:
                score += masses[document][middles[place]]
                place += 1
            found.append(Found(document=document, start=extract.start, end=extract.end, score=score))
    return sorted(found, key=lambda one: -one.score)


def fuse(*rankings: Sequence[Found]) -> list[Found]:
    """One ranking of several, by the sum of reciprocal ranks; what is in none of a ranking's places counts nothing."""
    scores: dict[tuple[int, int, int], float] = defaultdict(float)
    for ranking in rankings:
        for rank, one in enumerate(ranking):
            scores[one.document, one.start, one.end] += 1 / (SOFT + rank)
    found = [
        Found(document=document, start=start, end=end, score=score) for (document, start, end), score in scores.items()
    ]
    return sorted(found, key=lambda one: -one.score)


def within(found: Sequence[Found], shown: Sequence[Spot]) -> list[Found]:
    """What of it lies in the parts of documents that are shown, cut at their borders; less than half is not told."""
    told = []
    for one in found:
        for document, first, last in shown:
            start, end = max(one.start, first), min(one.end, last)
            if document == one.document and 2 * (end - start) >= one.end - one.start:
                told.append(replace(one, start=start, end=end))
                break
    return told
