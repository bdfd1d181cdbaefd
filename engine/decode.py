"""The answering loop: sample, tell, feed back, until a stop token, a stop text, the length, or the person says so."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Event as Flag

import torch
from torch import Tensor

from engine.errors import NumericalFailure
from engine.gaze import Gazer
from engine.kvcache import Extent, KVCache
from engine.model import LanguageModel
from engine.protocol import Delta, Finish, Gaze, Sampling
from engine.tokenizer import Tokenizer

# room for an answer is taken in steps of this many tokens
TAIL_TOKENS = 256


class Sampler:
    """Draws token ids from logits as ``Sampling`` says. Same seed, same logits: same ids."""

    def __init__(self, sampling: Sampling, seen: Iterable[int], vocabulary: int) -> None:
        self._sampling = sampling
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)
        self._seen = torch.zeros(vocabulary, dtype=torch.bool)
        for token in seen:
            self._seen[token] = True

    def __call__(self, logits: Tensor, allowed: Tensor | None = None) -> int:
        """logits: [vocabulary], float32; allowed: [vocabulary], bool: of which the token must be one."""
        sampling = self._sampling
        logits = logits.cpu().clone()
        if sampling.repetition_penalty != 1.0:
            penalty = sampling.repetition_penalty
            repeated = logits[self._seen]
            logits[self._seen] = torch.where(repeated > 0, repeated / penalty, repeated * penalty)
        if allowed is not None:
            logits[~allowed] = -torch.inf
        greedy = sampling.temperature == 0.0
        token = int(logits.argmax()) if greedy else self._draw(logits / sampling.temperature)
        self._seen[token] = True
        return token

    def _draw(self, logits: Tensor) -> int:
        sampling = self._sampling
        count = min(sampling.top_k or len(logits), len(logits))
        values, order = logits.topk(count)  # descending
        probabilities = values.softmax(0)
        keep = torch.ones_like(probabilities, dtype=torch.bool)
        if sampling.top_p < 1.0:
            # a token stays while the mass before it has not reached top_p, so the first always stays
            keep &= probabilities.cumsum(0) - probabilities < sampling.top_p
        if sampling.min_p > 0.0:
            keep &= probabilities >= sampling.min_p * probabilities[0]
        chosen = torch.multinomial(probabilities * keep, 1, generator=self._generator)
        return int(order[chosen])


@dataclass(slots=True)
class Answer:
    """ids: without the stop token; fed: how many of them have keys and values in the cache; tails: where those lie."""

    ids: array[int]
    finish: Finish
    fed: int
    tails: list[Extent]


def grow_tail(model: LanguageModel, cache: KVCache, tails: list[Extent]) -> None:
    """See that the cache's last extent has room for one token, inside the same DCA chunk."""
    if tails and tails[-1].length < tails[-1].capacity:
        return
    start = cache.end
    capacity = min(TAIL_TOKENS, model.dual_chunk.border_after(start) - start)
    extent = cache.allocate(start, capacity)
    extent.length = 0
    cache.append(extent)
    tails.append(extent)


def answer(
    model: LanguageModel,
    tokenizer: Tokenizer,
    cache: KVCache,
    hidden: Tensor,
    sampling: Sampling,
    *,
    prompt_ids: Iterable[int],
    limit: int,
    cancel: Flag,
    emit: Callable[[Delta], None],
    gazer: Gazer | None = None,
) -> Answer:
    """Decode after a prompt whose last hidden state is ``hidden``; text goes to ``emit`` as it becomes certain.

    prompt_ids: the ids that the repetition penalty counts from the start; limit: positions the model can tell apart;
    gazer: tells what some tokens were written from, never the first.
    Raises NumericalFailure; of a schema SchemaUnsupported, SchemaTooLong.
    """
    logits = model.logits(hidden[None])[0]
    sampler = Sampler(sampling, prompt_ids, len(logits))
    decoder = tokenizer.detokenizer()
    constraint = None
    if sampling.schema is not None:
        # not before it is asked for: its library need not be there where nothing is held to a schema
        from engine.constraint import Constraint

        most = min(sampling.max_tokens, limit - cache.end + 1)
        constraint = Constraint(sampling.schema, tokenizer.folder, len(logits), most)
    held = StopText(() if constraint is not None else sampling.stop + tokenizer.stop_texts)
    ids, tails, fed = array("i"), list[Extent](), 0
    gaze: Gaze | None = None
    finish: Finish = "length"
    while True:
        if cancel.is_set():
            finish = "stopped"
            break
        if not torch.isfinite(logits).all():
            raise NumericalFailure(None, cache.end)
        if constraint is not None:
            token = constraint.take(sampler(logits, torch.from_numpy(constraint.allowed())))
        else:
            token = sampler(logits)
        if token in tokenizer.stop_ids:
            finish = "stop"
            break
        ids.append(token)
        text = held.push(decoder.push((token,)))
        emit(Delta(text=text, ids=(token,), gaze=gaze))
        if held.found or (constraint is not None and constraint.finished):
            finish = "stop"
            break
        if len(ids) >= sampling.max_tokens or cache.end >= limit:
            break
        grow_tail(model, cache, tails)
        watching = gazer if gazer is not None and gazer.due() else None
        logits = model.step(token, cache, watching)
        gaze = None if watching is None else watching.take()
        fed += 1
    if not held.found:
        text = held.push(decoder.flush()) + held.flush()
        if text:
            emit(Delta(text=text))
    return Answer(ids, finish, fed, tails)


class StopText:
    """Passes text on, holding back what may turn out to be the beginning of a stop text."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        if not self._stops or self.found:
            return "" if self.found else text
        self._held += text
        ends = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if ends:
            self.found = True
            return self._held[: min(ends)]
        longest = max(len(stop) for stop in self._stops) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self._stops):
                break
        else:
            size = 0
        ready, self._held = self._held[: len(self._held) - size], self._held[len(self._held) - size :]
        return ready

    def flush(self) -> str:
        ready, self._held = self._held, ""
        return ready
