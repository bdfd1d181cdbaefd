"""The reading loop: a prompt, chunk by chunk, each chunk kept as it is done."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event as Flag

import torch
from torch import Tensor

from engine.errors import ContextTooLong, OutOfMemory
from engine.kvcache import Arena, Extent, KVCache
from engine.model import LanguageModel
from engine.pages import Pages
from engine.positions import DualChunk
from engine.protocol import PAGE_TOKENS, Progress, Prompt
from engine.sparsity import BLOCK

log = logging.getLogger(__name__)

# how often progress is told, in seconds
PROGRESS_SECONDS = 0.4


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
    """The first chunk of ``ids``: at most ``tokens``, up to the next DCA border, ending on a page border if it can."""
    end = min(start + len(ids), start + tokens, dual_chunk.border_after(start))
    if end < start + len(ids) and end % PAGE_TOKENS and end - end % PAGE_TOKENS > start:
        end -= end % PAGE_TOKENS
    return Chunk(start, ids[: end - start])


def chunks(prompt: Prompt, found: int, dual_chunk: DualChunk, tokens: int) -> Iterator[Chunk]:
    """What is left of the prompt after its first ``found`` tokens, as it will be read."""
    for start, ids in prompt.rest(found):
        done = 0
        while done < len(ids):
            # one token more than fits, which says that there is more
            chunk = next_chunk(start + done, ids[done : done + tokens + 1], dual_chunk, tokens)
            yield chunk
            done += len(chunk.ids)


class Meter:
    """Measures a reading: tokens a second, and seconds left by counting operations, since later tokens cost more."""

    def __init__(self, model: LanguageModel, *, total: int, reused: int, to_do: float) -> None:
        self._model = model
        self._total, self._reused = total, reused
        self._work_left = to_do
        self._begun = time.perf_counter()
        self._last = 0.0
        self._rate: float | None = None
        self.done = reused

    def finished(self, before: int, tokens: int, seconds: float) -> None:
        work = self._model.work(before, tokens)
        self._work_left = max(0.0, self._work_left - work)
        self.done += tokens
        # tiny chunks are all overhead and would mislead
        if tokens >= 128 or self._rate is None:
            latest = work / max(seconds, 1e-9)
            self._rate = latest if self._rate is None else 0.5 * self._rate + 0.5 * latest

    def progress(
        self, *, part: float = 0.0, part_tokens: int = 0, before: int = 0, force: bool = False
    ) -> Progress | None:
        """What to tell now, or None if it was told a moment ago. ``part`` of a chunk of ``part_tokens`` is done."""
        now = time.perf_counter()
        if not force and now - self._last < PROGRESS_SECONDS:
            return None
        self._last = now
        elapsed = now - self._begun
        done = self.done + int(part * part_tokens)
        work_left = self._work_left - part * (self._model.work(before, part_tokens) if part_tokens else 0.0)
        fresh = done - self._reused
        return Progress(
            done=done,
            total=self._total,
            reused=self._reused,
            tokens_per_second=fresh / elapsed if elapsed > 0 and fresh > 0 else 0.0,
            seconds_left=max(0.0, work_left) / self._rate if self._rate else None,
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
) -> Reading:
    """Bring the whole prompt into a cache: what is kept is mapped, the rest is read and kept chunk by chunk.

    limit: positions the model can tell apart; chunk_tokens: the most to read at a time; need_last: the last token is
    run again if all was kept, so that there is something to answer from. Raises ContextTooLong before any work.
    Whatever ends it, chunks done by then stay kept. Raises Damaged where a kept page proves bad, before it was used;
    Incomplete where a part of a composed prompt is not kept.
    """
    if prompt.end > limit:
        raise ContextTooLong(prompt.end, limit)
    if not prompt.tokens:
        raise ValueError("a prompt needs at least one token")

    def arena(found: int) -> Arena | None:
        """An arena for the whole prompt, if any chunk of what is left will choose its keys."""
        left = chunks(prompt, found, model.dual_chunk, chunk_tokens)
        sparse = any(model.reads_sparsely(chunk.start, len(chunk.ids)) for chunk in left)
        return _arena(model, prompt.end) if sparse else None

    cache, reused, key = pages.open(prompt, leave=1 if need_last else 0, arena=arena)
    # keys that were read behind smaller ones are not quite those of an exact reading
    after = {"after": "int8"} if cache.smaller else {}
    if reused < prompt.composed:
        raise Incomplete
    work, context = 0.0, reused
    # chunk by chunk: the first is read densely, and what it costs says nothing of the others
    for chunk in chunks(prompt, reused, model.dual_chunk, chunk_tokens):
        work += model.work(context, len(chunk.ids))
        context += len(chunk.ids)
    meter = Meter(model, total=prompt.tokens, reused=reused, to_do=work)
    tell(emit, meter.progress(force=True))
    hidden: Tensor | None = None
    finished = True
    size = chunk_tokens
    for chunk_start, chunk_ids in prompt.rest(reused):
        start, ids = chunk_start, chunk_ids
        while ids and finished:
            before = cache.tokens
            chunk = next_chunk(start, ids, model.dual_chunk, size)
            begun = time.perf_counter()
            try:
                extent, hidden = _read_chunk(model, cache, chunk, cancel, emit, meter)
            except _Cancelled:
                finished = False
                break
            except (MemoryError, torch.OutOfMemoryError) as error:
                if size <= PAGE_TOKENS:
                    raise OutOfMemory() from error
                size = max(PAGE_TOKENS, size // 2 // PAGE_TOKENS * PAGE_TOKENS)
                log.warning("out of memory: chunks of %d tokens from now on", size)
                continue
            own = cache.arena is None
            how = provenance(model) | {"segment": prompt.name_at(chunk.start)} | after
            key, kept = pages.keep(key, extent, chunk.ids, how, remap=own)
            if own:
                cache.replace_last(kept)
            elif len(cache.extents) > 1 and together(model.dual_chunk, *cache.extents[-2:]):
                cache.join_last()
            meter.finished(before, len(chunk.ids), time.perf_counter() - begun)
            tell(emit, meter.progress(force=True))
            start, ids = start + len(chunk.ids), ids[len(chunk.ids) :]
    return Reading(cache=cache, reused=reused, prefilled=meter.done - reused, key=key, hidden=hidden, finished=finished)


def _arena(model: LanguageModel, tokens: int) -> Arena:
    """Raises OutOfMemory."""
    try:
        return Arena(model.shape, tokens, BLOCK)
    except (MemoryError, RuntimeError) as error:
        # PyTorch says "can't allocate memory" as a RuntimeError on a CPU
        if isinstance(error, RuntimeError) and "allocate" not in str(error):
            raise
        raise OutOfMemory(tokens * model.shape.token_bytes) from error


def together(dual_chunk: DualChunk, before: Extent, last: Extent) -> bool:
    return dual_chunk.chunk(before.start) == dual_chunk.chunk(last.start)


def provenance(model: LanguageModel) -> dict[str, str]:
    """How the chunk just read was read, to be kept with it."""
    recall = model.gauge.take()
    if model.policy is None or recall is None:
        return {"written_by": "prefill", "policy": "dense"}
    measured = {"recall": f"{recall.mean:.4f}", "recall_low": f"{recall.low:.4f}"}
    return {"written_by": "prefill", "policy": model.policy.name, **measured}


def tell(emit: Callable[[Progress], None], progress: Progress | None) -> None:
    if progress is not None:
        emit(progress)


def _read_chunk(
    model: LanguageModel, cache: KVCache, chunk: Chunk, cancel: Flag, emit: Callable[[Progress], None], meter: Meter
) -> tuple[Extent, Tensor]:
    before, tokens, layers = cache.tokens, len(chunk.ids), model.shape.layers

    def on_layer(layer: int) -> None:
        if cancel.is_set():
            raise _Cancelled
        tell(emit, meter.progress(part=layer / layers, part_tokens=tokens, before=before))

    return model.prefill(chunk.ids, chunk.start, cache, on_layer)
