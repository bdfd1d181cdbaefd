"""The reading loop: a prompt, chunk by chunk, each chunk kept as it is done."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event as Flag
from typing import Literal

import torch
from torch import Tensor

from engine.chunkplan import (
    DENSE,
    NARROWEST,
    WIDEST,
    ChunkPlan,
    PlannedChunk,
    Plans,
    chunk_length,
    even_chunks,
    timed_chunks,
)
from engine.config import Chunking
from engine.cost import CostModel, Work
from engine.errors import ContextTooLong, OutOfMemory
from engine.kvcache import Arena, Extent, KVCache
from engine.model import LanguageModel
from engine.pages import Pages
from engine.placing import out_of_memory, place
from engine.positions import DualChunk
from engine.protocol import PAGE_TOKENS, Progress, Prompt
from engine.sparsity import Policy
from engine.sparsity.recall import BAR, Recall

log = logging.getLogger(__name__)

# how often progress is told, in seconds
PROGRESS_SECONDS = 0.4
# chunks after which those of equal time are cut, and the least that such a chunk has
FITTED_CHUNKS = 3
LEAST_TIMED = 4096


class Incomplete(Exception):
    """A part of a composed prompt is not kept: it must be read alone first."""


class _Cancelled(Exception):
    """Leaves the model in the middle of a chunk. Never leaves this module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A prompt in a cache. reused, prefilled: tokens; key: of the last token kept; hidden: [hidden], the last token's.

    ``finished`` is False if it was stopped: the cache then holds what was done. ``hidden`` is None if all was reused.
    """

    cache: KVCache
    reused: int
    prefilled: int
    key: bytes
    hidden: Tensor | None
    finished: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens ``ids`` at positions from ``start``; in one segment, one page border to another, one DCA chunk."""

    start: int
    ids: array[int]


def next_chunk(start: int, ids: array[int], dual_chunk: DualChunk, tokens: int) -> Chunk:
    """The first chunk of ``ids``, see ``chunk_length``."""
    return Chunk(start, ids[: chunk_length(start, len(ids), dual_chunk, tokens)])


def chunks(prompt: Prompt, found: int, dual_chunk: DualChunk, tokens: int) -> Iterator[Chunk]:
    """What is left of the prompt after its first ``found`` tokens, in chunks of as many."""
    for start, ids in prompt.rest(found):
        for chunk in even_chunks(start, start + len(ids), dual_chunk, tokens):
            yield Chunk(chunk.start, ids[chunk.start - start : chunk.end - start])


class Meter:
    """Measures a reading: tokens a second, and the seconds left, by what a chunk's operations turn out to take."""

    def __init__(self, *, total: int, reused: int) -> None:
        self._total, self._reused = total, reused
        self._begun = time.perf_counter()
        self._last = 0.0
        self._left: list[Work] = []
        self.cost = CostModel()
        self.done = reused

    def plan(self, left: Sequence[Work]) -> None:
        """What is still to be read, the chunk in hand first."""
        self._left = list(left)

    def finished(self, seconds: float) -> None:
        """The chunk in hand is done."""
        work = self._left.pop(0)
        self.done += work.tokens
        # tiny chunks are all overhead and would mislead
        if work.tokens >= 128 or not self.cost.observations:
            self.cost.observe(work, seconds)

    def progress(self, *, part: float = 0.0, force: bool = False) -> Progress | None:
        """What to tell now, or None if it was told a moment ago. ``part`` of the chunk in hand is done."""
        now = time.perf_counter()
        if not force and now - self._last < PROGRESS_SECONDS:
            return None
        self._last = now
        elapsed = now - self._begun
        left = None
        if self.cost.observations:
            each = [self.cost.seconds(work) or 0.0 for work in self._left]
            left = sum(each) - (part * each[0] if each else 0.0)
        done = self.done + (int(part * self._left[0].tokens) if self._left else 0)
        fresh = done - self._reused
        return Progress(
            done=done,
            total=self._total,
            reused=self._reused,
            tokens_per_second=fresh / elapsed if elapsed > 0 and fresh > 0 else 0.0,
            seconds_left=left,
        )


def read(
    model: LanguageModel,
    pages: Pages,
    prompt: Prompt,
    *,
    limit: int,
    chunk_tokens: int,
    cancel: Flag,
    emit: Callable[[Progress], None],
    need_last: bool,
    upto: int | None = None,
    chunking: Chunking = "equal tokens",
    room: int = 0,
) -> Reading:
    """Bring the whole prompt into a cache: what is kept is mapped, the rest is read and kept chunk by chunk.

    limit: positions the model can tell apart; chunk_tokens: the most to read at a time; need_last: the last token is
    run again if all was kept, so that there is something to answer from; upto: end after so many tokens of the prompt;
    room: tokens of an answer, to lie beside the prompt's on a GPU.
    Chunks and budgets are those of the plans kept with the reading (``engine.chunkplan``), made now where there are
    none. Raises ContextTooLong and KeysDoNotFit before any work, OutOfMemory where even a page at a time is too much.
    Whatever ends it, chunks done by then stay kept. Raises Damaged where a kept page proves bad, before it was used;
    Incomplete where a part of a composed prompt is not kept.
    """
    if prompt.end > limit:
        raise ContextTooLong(prompt.end, limit)
    if not prompt.tokens:
        raise ValueError("a prompt needs at least one token")
    reader = _Reader(model, pages, prompt, chunk_tokens, chunking, cancel, emit, upto, room)
    return reader.run(leave=1 if need_last else 0)


class _Reader:
    """One call of ``read``."""

    def __init__(
        self,
        model: LanguageModel,
        pages: Pages,
        prompt: Prompt,
        chunk_tokens: int,
        chunking: Chunking,
        cancel: Flag,
        emit: Callable[[Progress], None],
        upto: int | None,
        room: int,
    ) -> None:
        self._model, self._pages, self._prompt = model, pages, prompt
        self._tokens = prompt.tokens if upto is None else upto
        self._chunk_tokens, self._chunking, self._room = chunk_tokens, chunking, room
        self._cancel, self._emit = cancel, emit
        self._plans: list[ChunkPlan] = []
        self._maker = Plans(
            pages.store,
            model.dual_chunk,
            tokens=chunk_tokens,
            policy="dense" if model.policy is None else model.policy.name,
            budgets=None if model.policy is None else model.policy.budgets,
            fixed=model.policy_asked,
        )

    def run(self, *, leave: int) -> Reading:
        self._leave = leave
        cache, reused, key = self._pages.open(self._prompt.head(self._tokens), leave=leave, arena=self._arena)
        if reused < self._prompt.composed:
            raise Incomplete
        # keys that were read behind smaller ones are not quite those of an exact reading
        self._after = {"after": "int8"} if cache.smaller else {}
        for number in range(len(cache.extents) - 1, 0, -1):
            if together(self._model.dual_chunk, *cache.extents[number - 1 : number + 1]):
                cache.join(number)
        self._cache, self._key, self._hidden = cache, key, None
        self._meter = Meter(total=self._tokens, reused=reused)
        self._meter.plan(self._works(reused))
        self._tell(force=True)
        finished = True
        at = reused
        for start, ids, plan in self._segments(reused):
            position, end = start, start + min(len(ids), self._tokens - at)
            while position < end and finished:
                done = self._next(plan, position, ids[position - start : end - start])
                finished = done > 0
                position += done
                at += done
        return Reading(
            cache=cache,
            reused=reused,
            prefilled=self._meter.done - reused,
            key=self._key,
            hidden=self._hidden,
            finished=finished,
        )

    _hidden: Tensor | None

    def _arena(self, found: int) -> Arena | None:
        """An arena for the whole prompt, if a segment that is still to be read was planned to choose its keys.

        By its whole plan, not by what is left of it: in an arena the parts that dense attention merges are others, and
        whoever goes on with a reading must merge the same.
        """
        self._plans = self._maker.of(self._prompt, found)
        model = self._model
        if model.in_arena:
            positions = -(-(self._prompt.end + self._room) // PAGE_TOKENS) * PAGE_TOKENS
            return place(model, positions, min(self._chunk_tokens, self._prompt.tokens))
        if self._tokens - found <= self._leave:
            return None
        sparse = any(
            plan.policy != "dense" and model.reads_sparsely(chunk.start, chunk.tokens, model.policy_of(plan, NARROWEST))
            for plan in self._plans
            for chunk in plan.chunks
        )
        return place(model, self._prompt.end, self._chunk_tokens) if sparse else None

    def _segments(self, found: int) -> Iterator[tuple[int, array[int], ChunkPlan]]:
        """(position, ids, plan) of what is left of each segment after the first ``found`` tokens."""
        left = list(self._prompt.rest(found))
        plans = self._plans[len(self._plans) - len(left) :]
        yield from ((start, ids, plan) for (start, ids), plan in zip(left, plans, strict=True))

    def _left(self, found: int) -> Iterator[tuple[PlannedChunk, Policy | Literal["dense"]]]:
        """The chunks to come, and how each will be read."""
        at = found
        for start, ids, plan in self._segments(found):
            end = start + min(len(ids), self._tokens - at)
            at += max(0, end - start)
            for chunk in plan.left(start):
                if chunk.start < end:
                    chunk = PlannedChunk(chunk.start, min(chunk.end, end) - chunk.start, chunk.widen)
                    yield chunk, self._policy(plan, chunk)

    def _policy(self, plan: ChunkPlan, chunk: PlannedChunk) -> Policy | Literal["dense"]:
        policy = self._model.policy_of(plan, chunk.widen)
        if policy is None or not self._model.reads_sparsely(chunk.start, chunk.tokens, policy):
            return "dense"
        return policy

    def _works(self, found: int) -> list[Work]:
        works, context = [], found
        for chunk, policy in self._left(found):
            works.append(self._model.work(context, chunk.tokens, policy))
            context += chunk.tokens
        return works

    def _next(self, plan: ChunkPlan, position: int, ids: array[int]) -> int:
        """Read and keep the chunk at ``position``: its tokens, 0 if it was stopped."""
        while True:
            chunk = plan.at(position)
            chunk = PlannedChunk(position, min(chunk.tokens, len(ids)), chunk.widen)
            policy = self._policy(plan, chunk)
            begun = time.perf_counter()
            self._model.gauge.take()
            try:
                extent, hidden = self._run(Chunk(position, ids[: chunk.tokens]), policy)
            except _Cancelled:
                return 0
            except (MemoryError, RuntimeError) as error:
                needed = out_of_memory(error)
                if needed is None:
                    raise
                if chunk.tokens <= PAGE_TOKENS:
                    raise OutOfMemory(needed or None, self._model.free_memory(), chunk.tokens) from error
                extent = None
            if extent is None:
                # not while the error's frames still hold what there is too much of
                self._shorten(plan, position, chunk.tokens)
                continue
            recall = self._model.gauge.take()
            if recall is not None and recall.mean < BAR and policy != "dense":
                self._cache.drop_last()
                widen = DENSE if chunk.widen >= WIDEST else chunk.widen * 2
                wider = "all keys" if widen == DENSE else f"{widen} times the keys"
                told = "recall of %.0f %% in tokens %d to %d: read again with %s"
                log.warning(told, 100 * recall.mean, chunk.start, chunk.end, wider)
                plan.widen(position, widen)
                self._meter.plan(self._works(self._meter.done))
                continue
            said = provenance(policy, recall, chunk.widen) | {"segment": self._prompt.name_at(position)} | self._after
            self._keep(extent, ids[: chunk.tokens], said)
            self._hidden = hidden
            self._meter.finished(time.perf_counter() - begun)
            self._time_chunks()
            self._tell(force=True)
            return chunk.tokens

    def _run(self, chunk: Chunk, policy: Policy | Literal["dense"]) -> tuple[Extent | None, Tensor]:
        layers = self._model.shape.layers

        def on_layer(layer: int) -> None:
            if self._cancel.is_set():
                raise _Cancelled
            self._tell(part=layer / layers)

        return self._model.prefill(chunk.ids, chunk.start, self._cache, on_layer, policy)

    def _keep(self, extent: Extent, ids: array[int], said: dict[str, str]) -> None:
        cache = self._cache
        own = cache.arena is None
        self._key, kept = self._pages.keep(self._key, extent, ids, said, remap=own)
        if own:
            cache.replace_last(kept)
        elif len(cache.extents) > 1 and together(self._model.dual_chunk, *cache.extents[-2:]):
            cache.join_last()

    def _shorten(self, plan: ChunkPlan, position: int, tokens: int) -> None:
        """Halve the chunks from ``position`` on, and those of later segments."""
        size = max(PAGE_TOKENS, tokens // 2 // PAGE_TOKENS * PAGE_TOKENS)
        log.warning("out of memory: chunks of %d tokens from now on", size)
        borders = self._model.dual_chunk
        for one in self._plans[self._plans.index(plan) :]:
            one.recut(position, lambda start, end: even_chunks(start, end, borders, size), timed=True)
        self._meter.plan(self._works(self._meter.done))
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _time_chunks(self) -> None:
        """Once, when a few chunks were read: cut the rest into chunks of equal time, where that is wanted."""
        if self._chunking != "equal time" or self._meter.cost.observations != FITTED_CHUNKS:
            return
        before = self._meter.done
        for start, ids, plan in self._segments(before):
            if not plan.timed:
                plan.recut(start, self._cut(plan, before - start), timed=True)
            before += len(ids)
        self._meter.plan(self._works(self._meter.done))

    def _cut(self, plan: ChunkPlan, offset: int) -> Callable[[int, int], list[PlannedChunk]]:
        """offset: tokens before a position, less the position."""
        model, most = self._model, self._chunk_tokens

        def seconds(position: int, tokens: int) -> float:
            policy = self._policy(plan, PlannedChunk(position, tokens))
            return self._meter.cost.seconds(model.work(max(0, position + offset), tokens, policy)) or 0.0

        target = seconds(0, most)
        return lambda start, end: timed_chunks(
            start, end, model.dual_chunk, most, seconds, target=target, least=min(LEAST_TIMED, most)
        )

    def _tell(self, *, part: float = 0.0, force: bool = False) -> None:
        progress = self._meter.progress(part=part, force=force)
        if progress is not None:
            self._emit(progress)


def together(dual_chunk: DualChunk, before: Extent, last: Extent) -> bool:
    return dual_chunk.chunk(before.start) == dual_chunk.chunk(last.start)


def provenance(policy: Policy | Literal["dense"], recall: Recall | None, widen: int) -> dict[str, str]:
    """How a chunk was read, to be kept with it."""
    said = {"written_by": "prefill", "policy": policy if isinstance(policy, str) else policy.name}
    if recall is not None and policy != "dense":
        said |= {"recall": f"{recall.mean:.4f}", "recall_low": f"{recall.low:.4f}"}
    if widen == DENSE or (widen != NARROWEST and policy != "dense"):
        said["widened"] = "dense" if widen == DENSE else str(widen)
    return said
