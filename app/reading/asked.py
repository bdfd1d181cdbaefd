"""A question made ready: the mode is chosen, passages are found where it wants them, and the prompt is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app.library.records import DocumentRecord, TurnRecord
from app.reading import prompt as prompts
from app.reading.bm25 import asked as looked_for
from app.reading.finder import Cut, Finder, Found, by_attention, by_text, fuse, within
from app.reading.gaze import Looks, Map, Piece, Spot, document_pieces
from app.reading.plan import Plan
from app.reading.rereading import Mode, build, choose, measured, passages, stored
from app.reading.source import Source
from engine.protocol import Done, Engine, Event, Gaze, Prompt, Sampling

if TYPE_CHECKING:
    from app.reading.desk import Desk

# tokens that are read before the model looks for passages: more than that takes longer than it finds more
LOOKED_FOR = 4096

Tell = Callable[[Iterator[Event]], Iterator[Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """reading: the mode and the passages, as they are kept with the turn."""

    prompt: Prompt
    plan: Plan
    looks: Looks
    reading: dict[str, Any]


class Asked:
    """One question over documents, which see nothing but what stands in their texts."""

    def __init__(
        self,
        desk: Desk,
        engine: Engine,
        owner_id: int,
        documents: Sequence[DocumentRecord],
        before: Sequence[TurnRecord],
        question: str,
        sampling: Sampling,
        *,
        upto: Mapping[int, int] | None = None,
        thread_id: int | None = None,
        quick: bool = False,
    ) -> None:
        """upto: by document, the offset from which on nothing of it is read, found or told, nor what knew more;
        quick: the whole takes each document as it was read alone."""
        self._desk, self._engine = desk, engine
        self._upto = upto or {}
        self._documents, self._question = documents, question
        self._before = prompts.within(before, self._upto)
        self._sampling, self._thread_id, self._quick = sampling, thread_id, quick
        self._space = desk.space(engine, owner_id)
        self._sources = [Source(desk.library, document) for document in documents]

    def ready(self, mode: Mode, tell: Tell) -> Ready | None:
        """Finding by attention reads the little that is not read yet; ``tell`` passes on what the engine says of it.

        None if that was stopped. Raises RoomExceeded, EngineError, LibraryError.
        """
        whole = prompts.build_prompt(
            self._engine, self._desk.library, self._documents, self._before, self._question,
            upto=self._upto, thread_id=self._thread_id, quick=self._quick,
        )  # fmt: skip
        plan = self._space.prompt(whole, self._documents, self._sampling)
        used = choose(mode, self._engine.model, self._question, plan.needed, fits=plan.fits)
        if used == "reread":
            finder = measured(self._engine.model).finder
            unread = plan.to_read - len(whole.segments[-1].ids)
            if finder != "text" and (not plan.fits or unread > LOOKED_FOR):
                # who cannot hold the whole cannot look at it; and a book that is not read is not read for its passages
                finder = "text"
            if finder != "text":
                # looking reads the rest
                self._desk.storage.make_way(self._space.way(plan, whole))
            found = self._find(finder, whole, tell)
            if found is None:
                return None
            if found:
                return self._passages(mode, finder, found)
            # none of its words stands anywhere: the whole may tell, or say that it does not
            used = "whole"
        plan.check()
        pieces = self._pieces(whole)
        reading = stored(mode, used, None, ())
        if whole.stride:
            reading["quick"] = True
        return Ready(prompt=whole, plan=plan, looks=Looks(Map(pieces), self._sources), reading=reading)

    def _passages(self, mode: Mode, finder: Finder, found: Sequence[Found]) -> Ready:
        made = build(self._engine, passages(found, self._sources), self._before, self._question)
        plan = self._space.prompt(made.prompt, (), self._sampling)
        plan.check()
        looks = Looks(Map({len(made.prompt.segments) - 1: made.pieces}), self._sources)
        reading = stored(mode, "reread", finder, made.passages)
        return Ready(prompt=made.prompt, plan=replace(plan, documents=()), looks=looks, reading=reading)

    def _find(self, finder: Finder, whole: Prompt, tell: Tell) -> list[Found] | None:
        library = self._desk.library
        cuts = {
            source.record.id: self._desk.cuts.get(source, library.paragraphs(source.record.id))
            for source in self._sources
        }
        # a question such as "And then?" is about what was asked before
        words = self._question if looked_for(self._question) else self._with_the_last()
        # what does not stand in the prompt is not there
        text = within(by_text(words, cuts), self._shown(whole))
        if finder == "text":
            return text
        seen = self._look(whole, cuts, tell)
        if seen is None:
            return None
        found = seen if finder == "attention" else fuse(seen, text)
        return within(found, self._shown(whole))

    def _pieces(self, whole: Prompt) -> dict[int, list[Piece]]:
        """The texts of the documents in the whole prompt, by segment."""
        return {
            number: document_pieces(
                self._engine, self._desk.library, document, whole.segments[number], self._upto.get(document.id)
            )
            for number, document in enumerate(self._documents, 1)
        }

    def _shown(self, whole: Prompt) -> list[tuple[int, int, int]]:
        """(document, start, end) of all that stands in the whole prompt."""
        pieces = [piece for each in self._pieces(whole).values() for piece in each]
        return [(piece.document, piece.offsets[0], piece.offsets[-1]) for piece in pieces]

    def _with_the_last(self) -> str:
        return " ".join([*(turn.question for turn in self._before[-1:]), self._question])

    def _look(self, whole: Prompt, cuts: dict[int, Cut], tell: Tell) -> list[Found] | None:
        frame = self._engine.frame(prompts.SYSTEM)
        rows = len(prompts.conversation_ids(self._engine, frame, (), self._question))
        spots: dict[Spot, float] = {}
        for event in tell(self._engine.look(whole, rows)):
            if isinstance(event, Gaze):
                spots = Map(self._pieces(whole)).spots(event)
            elif isinstance(event, Done) and event.finish == "stopped":
                return None
        return by_attention(spots, cuts)
