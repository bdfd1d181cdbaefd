"""Finds the heads that look for what a question asks, on questions whose places are known (QRHead, arXiv 2506.09944).

Each question is looked at over its kept reading, with every head apart. A head is good where much of the mass that it
puts on all extracts lies on the right one. The best few are kept; how well they find is told leaving out, for every
question, all questions over the same text, since heads must not be chosen by what they are tried on.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event as Flag

import torch
from torch import Tensor

from engine.gaze import BLANK, GazeHeads, blocks_of, look
from engine.kvcache import KVCache
from engine.model import LanguageModel
from engine.pages import Pages
from engine.prefill import read
from engine.protocol import BLOCK_TOKENS, PAGE_TOKENS, Prompt
from engine.session import Session

# heads kept, tried in this order: the fewest that find as much as any
COUNTS = (4, 8, 12, 16, 24, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question over a text. group: names the text; prompt: up to the text; ids: of the question, with what follows
    it up to the answer; extracts: (first, last) tokens of the prompt's last segment; right: which extracts answer."""

    group: str
    prompt: Prompt
    ids: array[int]
    extracts: tuple[tuple[int, int], ...]
    right: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """masses: [heads of all layers, extracts], attention a row, blank: the same of an empty question."""

    group: str
    masses: Tensor
    blank: Tensor
    right: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """heads: (layer, head, weight), best first; baseline: whether an empty question is subtracted; ranks: of the right
    extract for each question, from 0, with heads chosen without its text; all_ranks: with all heads instead."""

    heads: tuple[tuple[int, int, float], ...]
    baseline: bool
    ranks: tuple[int, ...]
    all_ranks: tuple[int, ...]


def look_at(session: Session, questions: Sequence[Question], tell: Callable[[int, Looked], None]) -> list[Looked]:
    """Look at each question with every head; texts that are not kept are read first. ``tell(number, looked)`` of each.

    Questions over one text should stand together.
    """
    model, pages, _ = session.load()
    empty = session.tokenizer.encode([BLANK])[0].ids + session.tokenizer.frame("").to_answer
    found: list[Looked] = []
    cache: KVCache | None = None
    blank = torch.empty(0)
    before: Question | None = None
    for number, question in enumerate(questions):
        if before is None or before.group != question.group:
            cache = _read(session, model, pages, question.prompt)
            blank = _masses(model, cache, question, empty)
        assert cache is not None
        before = question
        found.append(Looked(question.group, _masses(model, cache, question, question.ids), blank, question.right))
        tell(number, found[-1])
    return found


def calibrate(looked: Sequence[Looked], heads: int, *, counts: Sequence[int] = COUNTS) -> Calibrated:
    """heads: a layer's. The number of heads and whether to subtract are those that find most within five."""
    best: tuple[tuple[float, ...], bool, int] | None = None
    for baseline in (True, False):
        for count in counts:
            ranks = leaving_out(looked, count, baseline=baseline)
            value = (float(hits(ranks, 5)), float(hits(ranks, 10)), -float(count))
            if best is None or value > best[0]:
                best = value, baseline, count
    assert best is not None
    _, baseline, count = best
    chosen = choose(looked, count, baseline=baseline)
    everything = torch.ones(len(looked[0].masses))
    return Calibrated(
        heads=tuple((place // heads, place % heads, weight) for place, weight in chosen),
        baseline=baseline,
        ranks=tuple(leaving_out(looked, count, baseline=baseline)),
        all_ranks=tuple(rank(one, everything, baseline=True) for one in looked),
    )


def choose(looked: Sequence[Looked], count: int, *, baseline: bool) -> list[tuple[int, float]]:
    """(head of all layers, weight) of the best ``count``, best first."""
    quality = torch.stack([_quality(one, baseline) for one in looked]).mean(0)
    order = quality.argsort(descending=True)[:count]
    return [(int(place), 1.0) for place in order]


def leaving_out(looked: Sequence[Looked], count: int, *, baseline: bool) -> list[int]:
    """The rank of the right extract for each question, by heads chosen on the other texts."""
    by_group: dict[str, Tensor] = {}
    found = []
    for one in looked:
        if one.group not in by_group:
            others = [other for other in looked if other.group != one.group] or list(looked)
            weights = torch.zeros(len(one.masses))
            for place, weight in choose(others, count, baseline=baseline):
                weights[place] = weight
            by_group[one.group] = weights
        found.append(rank(one, by_group[one.group], baseline=baseline))
    return found


def rank(one: Looked, weights: Tensor, *, baseline: bool) -> int:
    """How many extracts come before the right one, by these heads: weights [heads of all layers]."""
    scores = weights @ (one.masses - one.blank if baseline else one.masses)
    return int((scores > scores[list(one.right)].max()).sum())


def hits(ranks: Sequence[int], most: int) -> int:
    return sum(rank < most for rank in ranks)


def _quality(one: Looked, baseline: bool) -> Tensor:
    """Of each head, the share of its mass that lies on the right extracts: [heads of all layers]."""
    masses = (one.masses - one.blank).clamp(min=0) if baseline else one.masses
    return masses[:, list(one.right)].sum(1) / masses.sum(1).clamp(min=1e-9) * (masses.sum(1) > 1e-4)


def _read(session: Session, model: LanguageModel, pages: Pages, prompt: Prompt) -> KVCache:
    reading = read(
        model,
        pages,
        prompt,
        limit=session.config.limit,
        chunk_tokens=session.config.prefill_tokens,
        cancel=Flag(),
        emit=lambda _: None,
        need_last=False,
    )
    reading.cache.touch()
    return reading.cache


def _masses(model: LanguageModel, cache: KVCache, question: Question, ids: array[int]) -> Tensor:
    """[heads of all layers, extracts], a row."""
    layers = model.shape.layers
    start = -(-question.prompt.end // PAGE_TOKENS) * PAGE_TOKENS
    everything = GazeHeads.all(layers, model.heads).weights > 0
    mass = look(model, cache, ids, start, everything).mass / len(ids)
    text = -(-Prompt(segments=question.prompt.segments[:-1]).end // PAGE_TOKENS) * PAGE_TOKENS
    assert mass.shape[1] == blocks_of(start)
    # a block on a border counts where its middle lies
    middles = torch.arange(mass.shape[1]) * BLOCK_TOKENS + BLOCK_TOKENS // 2 - text
    firsts = torch.tensor([first for first, _ in question.extracts])
    lasts = torch.tensor([last for _, last in question.extracts])
    place = torch.searchsorted(firsts, middles, right=True) - 1
    inside = (place >= 0) & (middles < lasts[place.clamp(min=0)])
    return torch.zeros((len(mass), len(firsts))).index_add_(1, place[inside], mass[:, inside])
