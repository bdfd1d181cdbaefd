"""Matches one quotation against texts: exact, near with the difference, or not found.

By string, never by a model. Exact: the same words and punctuation, where ``folding`` says what does not count. Near: at
most a fifth of the folded characters differ. An elision (… or [...]) splits a quotation into parts that must follow
one another in one text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice

from app.reading.folding import Folded, bare, fold_character
from app.reading.passages import Hit, TextIndex, most_edits

# (operation, what the quotation has, what the text has): "equal", "replace", "insert" (the text has more), "delete"
Difference = tuple[tuple[str, str, str], ...]

ELISION = re.compile(r"\s*(?:[\[(（［]\s*(?:…+|⋯+|\.(?: ?\.){2,})\s*[\])）］]|…+|⋯+|\.(?: ?\.){2,})\s*")
BETWEEN_PARTS = " […] "
# places of a quotation's longest part from which its other parts are looked for
_ANCHORS = 8
# an alignment costs as the square of a passage: so many of them for the most promising regions of all texts
_ALIGNMENTS = 6
_TOKEN = re.compile(
    r"[\u2e80-\U0003ffff]|(?:(?![\u2e80-\U0003ffff])[^\W_])+(?:['’](?:(?![\u2e80-\U0003ffff])[^\W_])+)*|\S"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Where a quotation stands: in the text number ``source``, its parts at ``spans`` (start, stop in code points).

    similarity: 1.0 for an exact match, else the share of folded characters that need no edit.
    """

    source: int
    spans: tuple[tuple[int, int], ...]
    similarity: float
    found: str
    difference: Difference

    @property
    def exact(self) -> bool:
        return self.similarity == 1.0


def match(quotation: str, texts: Sequence[TextIndex]) -> Match | None:
    """The best place of a quotation in any of the texts, the first of equals; None if it is in none of them."""
    whole = bare(quotation)
    if not whole.text:
        return None
    for source, text in enumerate(texts):
        for hit in text.verbatim(whole):
            return _match(source, text, quotation, [quotation], [hit], len(whole.text))
    parts = [part for part in ELISION.split(quotation) if bare(part).text]
    chained = _in_parts(quotation, parts, texts) if len(parts) > 1 else None
    if chained is not None and chained.exact:
        return chained
    near = _nearly(quotation, whole, texts)
    if chained is None or (near is not None and near.similarity > chained.similarity):
        return near
    return chained


def _nearly(quotation: str, whole: Folded, texts: Sequence[TextIndex]) -> Match | None:
    regions = [
        (votes, source, begin, end) for source, text in enumerate(texts) for votes, begin, end in text.regions(whole)
    ]
    regions.sort(key=lambda one: (-one[0], one[1], one[2]))
    most, best, where = most_edits(len(whole.text)), None, 0
    for votes, source, begin, end in regions[:_ALIGNMENTS]:
        # a region with a quarter of the best one's seeds is a phrase that books share
        if best is not None and votes * 4 < regions[0][0]:
            break
        hit = texts[source].near(whole, (begin, end), most)
        if hit is not None:
            # only a better one is of interest from here on
            best, where, most = hit, source, hit.edits - 1
            if most < 1:
                break
    return None if best is None else _match(where, texts[where], quotation, [quotation], [best], len(whole.text))


def _in_parts(quotation: str, parts: Sequence[str], texts: Sequence[TextIndex]) -> Match | None:
    """The parts in their order in one text: the longest one first, the others around it."""
    folded = [bare(part) for part in parts]
    size = sum(len(one.text) for one in folded)
    anchor = max(range(len(folded)), key=lambda number: len(folded[number].text))
    best: tuple[int, int, int, list[Hit]] | None = None
    for source, text in enumerate(texts):
        anchors = list(islice(text.verbatim(folded[anchor]), _ANCHORS))
        if not anchors:
            anchors = [hit for region in text.regions(folded[anchor]) if (hit := text.near(folded[anchor], region[1:]))]
        for hit in anchors:
            chain = _chain(text, folded, anchor, hit)
            if chain is None:
                continue
            edits, extent = sum(one.edits for one in chain), chain[-1].end - chain[0].begin
            if edits <= most_edits(size) and (best is None or (edits, extent) < best[:2]):
                best = edits, extent, source, chain
    return None if best is None else _match(best[2], texts[best[2]], quotation, parts, best[3], size)


def _chain(text: TextIndex, parts: Sequence[Folded], anchor: int, hit: Hit) -> list[Hit] | None:
    chain = [hit]
    for part in parts[anchor + 1 :]:
        following = _next(text, part, chain[-1].end, None)
        if following is None:
            return None
        chain.append(following)
    for part in reversed(parts[:anchor]):
        before = _next(text, part, 0, chain[0].begin)
        if before is None:
            return None
        chain.insert(0, before)
    return chain


def _next(text: TextIndex, part: Folded, begin: int, end: int | None) -> Hit | None:
    """The nearest place of a part after ``begin``, or, where ``end`` is given, the last one before that."""
    found = text.verbatim(part, begin, end)
    hit = next(found, None) if end is None else max(found, key=lambda one: one.begin, default=None)
    if hit is not None:
        return hit
    near = (text.near(part, region[1:]) for region in text.regions(part, begin, end))
    return min((one for one in near if one is not None), default=None)


def _match(source: int, text: TextIndex, quotation: str, parts: Sequence[str], hits: Sequence[Hit], size: int) -> Match:
    spans = tuple(_with_its_ends(text, part, hit) for part, hit in zip(parts, hits, strict=True))
    passages = [text.text[start:stop] for start, stop in spans]
    edits = sum(hit.edits for hit in hits)
    steps: list[tuple[str, str, str]] = []
    for part, passage in zip(parts, passages, strict=True):
        if steps:
            steps.append(("equal", BETWEEN_PARTS, BETWEEN_PARTS))
        steps += difference(part, passage) if edits else [("equal", part, passage)]
    return Match(
        source=source,
        spans=spans,
        similarity=1.0 if not edits else 1.0 - edits / size,
        found=BETWEEN_PARTS.join(passages),
        difference=tuple(steps),
    )


def _with_its_ends(text: TextIndex, part: str, hit: Hit) -> tuple[int, int]:
    """Where a hit stands, with the punctuation around it that the quotation has too."""
    start, stop = text.place(hit.begin, hit.end)
    lead, tail = _ends(part)
    while tail and stop < len(text.text) and _key(tail[0]) == _key(text.text[stop]) != "":
        tail, stop = tail[1:], stop + 1
    while lead and start and _key(lead[-1]) == _key(text.text[start - 1]) != "":
        lead, start = lead[:-1], start - 1
    return start, stop


def _ends(part: str) -> tuple[str, str]:
    """What stands before the first and after the last letter or digit."""
    places = [place for place, character in enumerate(part) if character.isalnum()]
    return part[: places[0]], part[places[-1] + 1 :]


def difference(quoted: str, found: str) -> list[tuple[str, str, str]]:
    """What must change to make one of the other, word by word (in Chinese, character by character).

    The pieces of either side, joined, are that side as it was. What differs without meaning counts as equal, as does
    punctuation at the two ends: where a quotation ends, a writer sets marks of their own.
    """
    sides = quoted, found
    tokens = [_tokens(side) for side in sides]
    starts = [[0, *(start for start, _ in found[1:]), len(side)] for found, side in zip(tokens, sides, strict=True)]
    keys = [[key for _, key in found] for found in tokens]
    steps: list[tuple[str, str, str]] = []
    for operation, a, b, c, d in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        ours, theirs = quoted[starts[0][a] : starts[0][b]], found[starts[1][c] : starts[1][d]]
        at_an_end = (a == 0 or b == len(keys[0])) and not any(key.isalnum() for key in keys[0][a:b] + keys[1][c:d])
        # a word that one side breaks in two
        if at_an_end or "".join(keys[0][a:b]) == "".join(keys[1][c:d]):
            operation = "equal"
        if steps and operation == "equal" == steps[-1][0]:
            ours, theirs = steps[-1][1] + ours, steps[-1][2] + theirs
            steps.pop()
        steps.append((operation, ours, theirs))
    return steps


def _tokens(text: str) -> list[tuple[int, str]]:
    """(start, what it folds to) of every word and mark; what folds to nothing belongs to the one before it."""
    found = ((one.start(), _key(one[0])) for one in _TOKEN.finditer(text))
    return [(start, key) for start, key in found if key] or [(0, "")]


def _key(text: str) -> str:
    return "".join(map(fold_character, text))
