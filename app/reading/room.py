"""Measures a context against this machine: what of it is kept, what disk and memory hold, how fast reading goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.library.records import DocumentRecord, TurnRecord
from app.library.store import Library
from app.reading import prompt as prompts
from app.reading.engines import Keeper
from app.reading.plan import KEPT_SHARE, Part, Plan, plan
from app.reading.storage import Storage, Way
from engine.machine import cores
from engine.pace import pace_of
from engine.protocol import Engine, Prompt, Sampling

# characters a token, where a text was not tokenized yet
CHARACTERS_A_TOKEN = 4
# tokens of a reading that tells how fast the machine is
LEAST_TOLD = 2048
DENSE_LANGUAGES = ("zh", "ja", "ko")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """memory: bytes in which weights, keys and values must find place, None: not limited."""

    engine: Engine
    library: Library
    storage: Storage
    owner_id: int
    memory: int | None = None

    def question(
        self,
        documents: Sequence[DocumentRecord],
        turns: Sequence[TurnRecord],
        question: str,
        sampling: Sampling,
        upto: Mapping[int, int] | None = None,
        *,
        quick: bool = False,
    ) -> Plan:
        """Quick, and changes nothing: documents that were never tokenized are estimated. ``upto``: as in a prompt."""
        tokenizer = self.engine.model.tokenizer
        counts = [self.library.token_count(one.text_sha256, tokenizer) for one in documents]
        if None not in counts:
            built = prompts.build_prompt(
                self.engine, self.library, documents, turns, question, freeze=False, upto=upto, quick=quick
            )
            return self.prompt(built, documents, sampling)
        frame = self.engine.frame(prompts.SYSTEM)
        return self._plan(
            opening=len(frame.opening),
            documents=[
                _part(one, int((_estimate(one) if count is None else count) * _share(one, upto)))
                for one, count in zip(documents, counts, strict=True)
            ],
            conversation=len(prompts.conversation_ids(self.engine, frame, prompts.within(turns, upto or {}), question)),
            kept=0,
            sampling=sampling,
            estimated=True,
        )

    def prompt(self, built: Prompt, documents: Sequence[DocumentRecord], sampling: Sampling | None = None) -> Plan:
        """The plan of a built prompt. ``sampling`` None: of a reading, which is not answered."""
        opening, *rest = built.segments
        parts = [_part(one, len(segment.ids)) for one, segment in zip(documents, rest, strict=False)]
        return self._plan(
            opening=len(opening.ids),
            documents=parts,
            conversation=sum(len(segment.ids) for segment in rest[len(parts) :]),
            kept=self.engine.kept(built),
            sampling=sampling,
            built=built,
        )

    def make_way(self, built: Prompt, sampling: Sampling) -> None:
        """See that a prompt which is no reading and no conversation fits, evicting for it what was unused for longest.

        Only for the holder of the engine's lock. Raises RoomExceeded.
        """
        made = self.prompt(built, [], sampling)
        made.check()
        self.storage.make_way(self.way(made, built))

    def way(self, made: Plan, built: Prompt) -> Way:
        """What makes way for a plan's reading and answer."""
        return self._way(made.to_read + made.answer, built)

    def _way(self, tokens: int, built: Prompt | None) -> Way:
        keep = self.engine.kept_files(built) if built is not None and isinstance(self.engine, Keeper) else []
        return self.storage.way(int(tokens * self.engine.model.kv_bytes * KEPT_SHARE), keep)

    def _plan(
        self,
        *,
        opening: int,
        documents: Sequence[Part],
        conversation: int,
        kept: int,
        sampling: Sampling | None,
        estimated: bool = False,
        built: Prompt | None = None,
    ) -> Plan:
        answer = 0 if sampling is None else sampling.max_tokens
        tokens = opening + sum(part.tokens for part in documents) + conversation
        way = self._way(tokens - min(kept, tokens) + answer, built)
        disk, budget = way.space.disk_free, way.space.budget_free
        return plan(
            self.engine.model,
            opening=opening,
            documents=documents,
            conversation=conversation,
            kept=kept,
            answer=answer,
            disk_free=None if disk is None else disk + way.freed,
            readings_free=None if budget is None else budget + way.freed,
            memory=self.memory,
            speed=self._speed(min(kept, tokens), tokens),
            estimated=estimated,
            end=None if built is None else built.end,
            evicts=self.storage.named(self.owner_id, way.readings) if way.readings else (),
            evicted_bytes=way.freed,
        )

    def _speed(self, first: int, last: int) -> float | None:
        """Tokens a second of reading [first, last), by this model's latest reading here.

        Where it never read, by the kind of processor if that is one that was measured, None otherwise.
        """
        readings = self.library.readings(self.owner_id, self.engine.model.identity).values()
        measured = [reading for reading in readings if reading.seconds > 0 and reading.done > 0]
        pace = pace_of(self.engine.model)
        if not measured:
            known = pace is not None and pace.tiles and first < last
            return (last - first) / pace.seconds(first, last, cores=cores()) if pace is not None and known else None
        # a page of text is mostly overhead, and would tell a slow machine
        long = [reading for reading in measured if reading.done >= LEAST_TOLD]
        latest = max(long or measured, key=lambda reading: reading.updated)
        if pace is None or first >= last:
            return latest.done / latest.seconds
        return (last - first) / pace.seconds(first, last, cores=1, done=latest.done, took=latest.seconds)


def _part(document: DocumentRecord, tokens: int) -> Part:
    return Part(id=document.id, title=document.title or document.filename, tokens=tokens)


def _share(document: DocumentRecord, upto: Mapping[int, int] | None) -> float:
    """How much of a document is told at all."""
    return (upto or {}).get(document.id, document.characters) / max(1, document.characters)


def _estimate(document: DocumentRecord) -> int:
    dense = (document.language or "").split("-")[0] in DENSE_LANGUAGES
    return document.characters if dense else document.characters // CHARACTERS_A_TOKEN + 1
