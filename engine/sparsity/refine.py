"""Finds how many keys each head needs, by what its sparseness does to the next token.

The text is read with all keys but for its last rows; these are then run once for every head and level of keys, with
that head alone choosing and all others attending to everything, and the divergence of the next token's distribution is
taken. Budgets then go, step by step, where a key takes most of the divergence away; once for reading, which chooses by
every key, and once by mean keys, as decoding chooses. (The Qwen2.5-1M report refines by
recall, arXiv 2501.15383, section 4; on the models tried here recall did not tell which heads matter.)
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.attention import Step
from engine.budgets import Budgets, write_budgets
from engine.config import CPU_CHUNK, EngineConfig
from engine.errors import ContextTooShort
from engine.kvcache import Arena, KVCache
from engine.model import LanguageModel
from engine.prefill import chunks
from engine.protocol import Prompt, Segment
from engine.sparsity.block import BlockPolicy
from engine.sparsity.policy import BLOCK, CROSSOVER
from engine.tokenizer import Tokenizer

# keys tried for each head; what a head gets beyond the last is all there are
LEVELS = (128, 512, 2048, 4096)
ROWS = 512
PASSAGE = 64
# keys a head on average: what the best budgets of SmolLM2 cost
AVERAGE = 1600
EVERYTHING = 1 << 20


@dataclass(frozen=True, slots=True)
class Refined:
    """table, by_means: keys, [layers][kv_heads]; divergence: nats, [layers][kv_heads] at each level. Of reading:

    average: keys a head at the length measured, where EVERYTHING is all there were; left: what the table leaves of the
    summed divergence; uniform: what the largest level within that average, for every head, leaves.
    """

    table: tuple[tuple[int, ...], ...]
    by_means: tuple[tuple[int, ...], ...]
    divergence: tuple[tuple[tuple[float, ...], ...], ...]
    average: float
    left: float
    uniform: float


class _Only(BlockPolicy):
    """One head of one layer chooses; all others attend to everything."""

    def __init__(self, layers: int, kv_heads: int) -> None:
        super().__init__(Budgets(((EVERYTHING,) * kv_heads,) * layers, most=None))

    def only(self, layer: int, head: int, keys: int) -> None:
        rows = [[EVERYTHING] * len(row) for row in self.budgets.table]
        rows[layer][head] = keys
        self.budgets = Budgets(tuple(tuple(row) for row in rows), most=None)


def refine_checkpoint(
    config: EngineConfig, text: str, *, tokens: int, average: int = AVERAGE, tell: Callable[[int, int], None]
) -> tuple[Path, Refined]:
    """Refine the checkpoint of ``config`` on the first ``tokens`` of ``text``; returns the file written beside it."""
    ids = Tokenizer(config.folder).encode([text])[0].ids
    if len(ids) < tokens:
        raise ContextTooShort(tokens, len(ids))
    model = LanguageModel(config)
    refined = refine(model, with_copies(ids[:tokens], ROWS // 2), average=average, tell=tell)
    shown = [[head[LEVELS.index(512)] for head in row] for row in refined.divergence]
    group = model.heads // model.shape.kv_heads
    return write_budgets(config.folder, refined.table, refined.by_means, group=group, scores=shown), refined


def with_copies(ids: array[int], rows: int) -> array[int]:
    """``ids`` whose last rows repeat passages laid over the text before: heads that copy must be seen to be needed.

    The passages are tokens of the text in random order, so that nothing but copying can foretell them.
    """
    generator, text, ends = random.Random(7), list(ids), []
    room = len(text) - rows
    count = max(1, rows // PASSAGE)
    for number in range(count):
        place = int((number + 0.5) / count * (room - PASSAGE))
        text[place : place + PASSAGE] = passage = generator.choices(ids, k=PASSAGE)
        ends.append(passage)
    generator.shuffle(ends)
    return array(
        "i", text[:room] + [token for passage in ends for token in passage][:rows] + text[room + count * PASSAGE :]
    )


def refine(
    model: LanguageModel,
    ids: array[int],
    *,
    average: int = AVERAGE,
    levels: Sequence[int] = LEVELS,
    rows: int = ROWS,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Refined:
    """Budgets of ``average`` keys a head, measured at the end of ``ids``. ``tell(done, total)`` after every head.

    Raises ContextTooShort.
    """
    if len(ids) < CROSSOVER + 2 * rows:
        raise ContextTooShort(CROSSOVER + 2 * rows, len(ids))
    if average < levels[0]:
        raise ValueError(f"average must be at least {levels[0]} keys, not {average}")
    run = _Run(model, ids, rows)
    layers, heads = model.shape.layers, model.shape.kv_heads
    found, coarse = ([[[0.0] * len(levels) for _ in range(heads)] for _ in range(layers)] for _ in range(2))
    for layer in range(layers):
        for head in range(heads):
            for run.policy.by_means, each in ((False, found), (True, coarse)):
                for place, keys in enumerate(levels):
                    run.policy.only(layer, head, keys)
                    each[layer][head][place] = run.divergence(layer)
            tell(layer * heads + head + 1, layers * heads)
    full = max(len(ids), levels[-1] + 1)
    table, left = allocate(found, levels, average, full)
    by_means, _ = allocate(coarse, levels, average, full)
    uniform = [place for place, keys in enumerate(levels) if keys <= average][-1]

    def longer(table: list[list[int]]) -> tuple[tuple[int, ...], ...]:
        """Who needs all keys here needs all of a longer text."""
        return tuple(tuple(EVERYTHING if keys == full else keys for keys in row) for row in table)

    return Refined(
        table=longer(table),
        by_means=longer(by_means),
        divergence=tuple(tuple(tuple(level) for level in row) for row in found),
        average=sum(map(sum, table)) / (layers * heads),
        left=left,
        uniform=sum(row[head][uniform] for row in found for head in range(heads)),
    )


def allocate(
    divergence: Sequence[Sequence[Sequence[float]]], levels: Sequence[int], average: int, full: int
) -> tuple[list[list[int]], float]:
    """Give keys where one takes most divergence away, until ``average`` a head: [layers][heads] keys, and what is left.

    divergence: [layers][heads][levels], nats; ``full`` keys leave none.
    """
    steps = [*levels, full]
    cost = [[[max(0.0, value) for value in head] + [0.0] for head in row] for row in divergence]
    at = [[0] * len(row) for row in cost]
    heads = sum(map(len, cost))
    spent = steps[0] * heads
    while True:
        best: tuple[float, int, int, int] | None = None
        for layer, row in enumerate(cost):
            for head, values in enumerate(row):
                now = at[layer][head]
                for target in range(now + 1, len(steps)):
                    if spent + steps[target] - steps[now] > average * heads:
                        break
                    gain = (values[now] - values[target]) / (steps[target] - steps[now])
                    if gain > 0 and (best is None or gain > best[0]):
                        best = (gain, layer, head, target)
        if best is None:
            break
        _, layer, head, target = best
        spent += steps[target] - steps[at[layer][head]]
        at[layer][head] = target
    left = sum(cost[layer][head][at[layer][head]] for layer in range(len(cost)) for head in range(len(cost[layer])))
    return [[steps[place] for place in row] for row in at], left


class _Run:
    """The last rows of a text after a dense reading of the rest, run again from any layer on."""

    def __init__(self, model: LanguageModel, ids: array[int], rows: int) -> None:
        self._model = model
        self.policy = _Only(model.shape.layers, model.shape.kv_heads)
        cache = KVCache(model.shape, Arena(model.shape, len(ids), BLOCK))
        # the last rows begin on a block's border, in one chunk
        start = (len(ids) - rows) // BLOCK * BLOCK
        start = max(start, model.dual_chunk.chunk(len(ids) - 1) * model.dual_chunk.chunk_len)
        kept, model.policy = model.policy, None
        try:
            before = Prompt(segments=(Segment(name="text", ids=ids[:start]),))
            for chunk in chunks(before, 0, model.dual_chunk, CPU_CHUNK):
                cache.append(cache.allocate(chunk.start, len(chunk.ids)))
                model.hidden(chunk.ids, chunk.start, cache)
        finally:
            model.policy = kept
        self.start, self._rows = start, len(ids) - start
        cache.append(cache.allocate(start, self._rows))
        self._step = Step(
            cache=cache,
            dual_chunk=model.dual_chunk,
            inv_freq=model.inv_freq,
            start=start,
            rows=self._rows,
            policy=self.policy,
        )
        self._inputs: list[Tensor] = []
        with torch.inference_mode():
            tokens = torch.tensor(ids[start:], device=model.device)[None]
            self._base = self._from(0, model.model.get_input_embeddings()(tokens), keep=True)
            self._weights = self._base.exp()

    def _from(self, layer: int, states: Tensor, *, keep: bool = False) -> Tensor:
        """Log-probabilities [rows, vocabulary] from the states that enter ``layer``."""
        body: Any = self._model.model.model
        first = self.start % self._model.dual_chunk.chunk_len
        places = torch.arange(first, first + self._rows, device=self._model.device)[None]
        turns = body.rotary_emb(states, places)
        for module in body.layers[layer:]:
            if keep:
                self._inputs.append(states)
            states = module(states, attention_mask=None, position_embeddings=turns, step=self._step)
        return self._model.logits(body.norm(states)[0]).log_softmax(-1)

    @torch.inference_mode()
    def divergence(self, layer: int) -> float:
        """Mean KL divergence (nats) of the policy's next-token distributions from the dense ones."""
        found = self._from(layer, self._inputs[layer])
        return float((self._weights * (self._base - found)).sum(-1).mean())
