"""One model, its kept pages, and the two jobs: read a prompt, answer one. In whatever process it is made."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable
from dataclasses import replace
from threading import Event as Flag

from torch import Tensor

from engine import chunkplan, decode, prefill
from engine.config import EngineConfig
from engine.errors import ContextTooLong, ReadingsFull, StorageFull
from engine.gaze import BLANK, Blanks, Gazer, Layout, look, weighted
from engine.keptfile import Damaged
from engine.kvcache import KVCache
from engine.model import LanguageModel
from engine.pages import Pages, layout_of
from engine.protocol import Done, Event, Loading, Progress, Prompt, Sampling
from engine.snapshots import Store
from engine.tokenizer import Tokenizer

log = logging.getLogger(__name__)

Emit = Callable[[Event], None]


class Session:
    """Loads the weights at the first job. Jobs run one at a time, in the caller's thread."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.tokenizer = Tokenizer(config.folder)
        self._model: LanguageModel | None = None
        self._pages: Pages | None = None
        self._blanks: Blanks | None = None

    def load(self, emit: Emit | None = None) -> tuple[LanguageModel, Pages, float]:
        """The model and its pages, and the seconds that loading took just now (0 when it was there)."""
        begun = time.perf_counter()
        if self._model is None or self._pages is None:
            if emit is not None:
                emit(Loading(text="loading"))
            self._model = LanguageModel(self.config)
            store, folder, layout = None, self.config.readings, layout_of(self._model.shape)
            if folder is not None:
                limit, share = self.config.readings_limit, self.config.readings_share
                store = Store(folder, self.config.identity, layout, limit=limit, share=share)
                store.sweep()
                chunkplan.sweep(store)
            self._pages = Pages(self._model.shape, store)
            return self._model, self._pages, time.perf_counter() - begun
        return self._model, self._pages, 0.0

    def read(self, prompt: Prompt, emit: Emit, cancel: Flag) -> Done:
        """Read the prompt and keep it."""
        model, pages, loading = self.load(emit)
        begun = time.perf_counter()
        reading = self._prefill(model, pages, prompt, emit, cancel, need_last=False)
        if reading.finished:
            # who had a text read will ask
            model.prepare_row()
            model.keep_arena(reading.cache)
            if self.config.storage == "int8":
                pages.compact(prompt, cancel)
        return Done(
            finish="stop" if reading.finished else "stopped",
            context=prompt.tokens,
            reused=reading.reused,
            prefilled=reading.prefilled,
            seconds_load=loading,
            seconds_prefill=time.perf_counter() - begun,
            provenance=pages.provenance(prompt),
        )

    def generate(self, prompt: Prompt, sampling: Sampling, emit: Emit, cancel: Flag) -> Done:
        """Read what is not kept of the prompt, answer it, and keep the answer too."""
        model, pages, loading = self.load(emit)
        model.prepare_row()
        begun = time.perf_counter()
        room = min(sampling.max_tokens, self.config.limit) + decode.TAIL_TOKENS
        reading = self._prefill(model, pages, prompt, emit, cancel, need_last=True, room=room)
        read = time.perf_counter()
        first: list[float] = []

        def told(event: Event) -> None:
            if not first:
                first.append(time.perf_counter())
            emit(event)

        answer = decode.Answer(ids=array("i"), finish="stopped", fed=0, tails=[])
        if reading.finished:
            assert reading.hidden is not None
            answer = decode.answer(
                model,
                self.tokenizer,
                reading.cache,
                reading.hidden,
                sampling,
                # a whole book would switch off every common word: only the conversation counts
                prompt_ids=prompt.segments[-1].ids,
                limit=self.config.limit,
                cancel=cancel,
                emit=told,
                gazer=self._gazer(model, prompt, reading.cache),
            )
            model.keep_arena(reading.cache)
        ended = time.perf_counter()
        self._keep_answer(pages, prompt.segments[-1].name, reading.key, answer)
        return Done(
            finish=answer.finish,
            context=prompt.tokens,
            reused=reading.reused,
            prefilled=reading.prefilled,
            answered=len(answer.ids),
            ids=tuple(answer.ids),
            seconds_load=loading,
            seconds_prefill=read - begun,
            seconds_first_token=(first[0] if first else ended) - begun,
            seconds_decode=ended - read,
        )

    def look(self, prompt: Prompt, rows: int, emit: Emit, cancel: Flag) -> Done:
        """Read what is not kept of the prompt, and tell what its last ``rows`` tokens look at. Raises ValueError."""
        asked = prompt.segments[-1].ids
        if not 0 < rows <= len(asked):
            raise ValueError(f"the last segment has {len(asked)} tokens: {rows} of them cannot be a question")
        model, pages, loading = self.load(emit)
        begun = time.perf_counter()
        head = prompt.head(prompt.tokens - rows)
        while True:
            reading = self._prefill(model, pages, head, emit, cancel, need_last=False)
            try:
                reading.cache.touch()
                break
            except Damaged as damage:
                pages.drop(damage)
        read = time.perf_counter()
        if reading.finished:
            heads = model.gaze_heads
            start = prompt.end - rows
            mass = weighted(look(model, reading.cache, asked[-rows:], start, heads.weights > 0), heads) / rows
            if heads.baseline:
                mass = mass - self._blank(model, prompt, reading.cache)[: len(mass)]
            emit(Layout(prompt).gaze(mass, measured=heads.measured))
            model.keep_arena(reading.cache)
        return Done(
            finish="stop" if reading.finished else "stopped",
            context=prompt.tokens,
            reused=reading.reused,
            prefilled=reading.prefilled,
            seconds_load=loading,
            seconds_prefill=read - begun,
            seconds_decode=time.perf_counter() - read,
        )

    def _gazer(self, model: LanguageModel, prompt: Prompt, cache: KVCache) -> Gazer | None:
        """What follows an answer's eyes. Calibrated heads cost nothing before the first token."""
        if not self.config.gaze or len(prompt.segments) < 2:
            return None
        if cache.arena is not None and not cache.arena.on_device:
            # every token that is watched would bring all keys from the machine's memory
            return None
        heads = model.gaze_heads
        return Gazer(heads, prompt, None if heads.measured else self._blank(model, prompt, cache))

    def _blank(self, model: LanguageModel, prompt: Prompt, cache: KVCache) -> Tensor:
        """What an empty question looks at: [blocks of the prompt]."""
        if self._blanks is None:
            ids = self.tokenizer.encode([BLANK])[0].ids + self.tokenizer.frame("").to_answer
            self._blanks = Blanks(model, ids)
        return self._blanks.get(prompt, cache)

    def _prefill(
        self,
        model: LanguageModel,
        pages: Pages,
        prompt: Prompt,
        emit: Emit,
        cancel: Flag,
        *,
        need_last: bool,
        room: int = 0,
    ) -> prefill.Reading:
        """Read the prompt. Where kept pages are missing or prove bad in its middle, only those are read again.

        Before it returns, everything that decoding will attend to is verified: nothing was said yet.
        """

        def read(upto: int | None = None) -> prefill.Reading:
            def told(event: Progress) -> None:
                emit(event if upto is None else replace(event, total=prompt.tokens, seconds_left=None))

            reading = prefill.read(
                model,
                pages,
                prompt,
                limit=self.config.limit,
                chunk_tokens=self.config.prefill_tokens,
                chunking=self.config.prefill_chunking,
                cancel=cancel,
                emit=told,
                need_last=need_last and upto is None,
                upto=upto,
                room=room,
            )
            if need_last and upto is None and reading.finished:
                reading.cache.touch()
            return reading

        mended, filled = 0, set[int | None]()
        if prompt.end > self.config.limit:
            raise ContextTooLong(prompt.end, self.config.limit)
        if prompt.composed and pages.store is None:
            raise ValueError("a composed prompt is made of kept pages, and nothing is kept here")
        while True:
            # each turn of this loop drops a file, or fills another gap, or is the last
            try:
                for alone in prompt.parts:
                    if pages.kept(alone) < alone.tokens:
                        part = self._prefill(model, pages, alone, emit, cancel, need_last=False)
                        mended += part.prefilled
                        if not part.finished:
                            return replace(part, reused=0, prefilled=mended)
                gap = pages.gap(prompt) if prompt.end <= self.config.limit else None
                if gap is not None and gap not in filled:
                    filled.add(gap)
                    part = read(upto=gap)
                    mended += part.prefilled
                    if part.finished:
                        continue
                    return replace(part, reused=part.reused - (mended - part.prefilled), prefilled=mended)
                reading = read()
            except Damaged as damage:
                pages.drop(damage)
                continue
            except prefill.Incomplete:
                continue
            return replace(reading, reused=reading.reused - mended, prefilled=reading.prefilled + mended)

    def _keep_answer(self, pages: Pages, segment: str, key: bytes, answer: decode.Answer) -> None:
        done = 0
        for extent in answer.tails:
            ids = answer.ids[done : done + extent.length]
            if ids:
                try:
                    key, _ = pages.keep(key, extent, ids, {"written_by": "decode", "segment": segment})
                except (StorageFull, ReadingsFull) as error:
                    # it was said: without its pages, its tokens are read with the next question
                    log.warning("an answer's pages are not kept: %s", type(error).__name__)
                    return
            done += extent.length
