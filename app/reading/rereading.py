"""Re-reading: find the passages that matter, then answer from those alone, each one cited by its number.

A small model loses detail over a long book. A few passages of a few hundred tokens fit the window it was trained on,
and take seconds where the whole book takes minutes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.library.records import TurnRecord
from app.reading import prompt as prompts
from app.reading.bm25 import asked, stem
from app.reading.finder import Finder, Found
from app.reading.gaze import Piece
from app.reading.source import Source
from engine.protocol import Engine, ModelInfo, Prompt, Segment

Mode = Literal["whole", "reread", "auto"]
Used = Literal["whole", "reread"]
MODES: tuple[Mode, ...] = ("auto", "whole", "reread")

# passages given to the model, and their tokens in all
PASSAGES = 6
TOKENS = 2400
# turns before the question that it may refer to
TURNS = 2
# what is asked of a whole book, in no passage of it
_GENERAL_WORDS = (
    "book story text document paper novel about summary summarize summarise theme plot main overview general author "
    "describe explain whole all end begin happen character 本书 这本 全书 书讲 书说 故事 内容 概括 总结 主题 大意 主要 "
    "介绍 讲述 文章 结局 人物"
)
_GENERAL = frozenset(map(stem, _GENERAL_WORDS.split()))

INTRODUCTION = "Passages of {titles}:\n\n"
HEAD = "[{number}] {place}\n"
REQUEST = (
    "Answer the question from these passages, briefly and in its language, and name the passage, as in [1]. "
    "If they do not say it, say so.\n\nQuestion: "
)


@dataclass(frozen=True, slots=True)
class Measured:
    """finder: what ``tests.bench.finders`` found best for a model; from_tokens: the context from which passages are
    read instead of the whole."""

    finder: Finder
    from_tokens: int


# a model that was not measured finds by words, which need no calibration, and reads passages from the end of the window
# that it was trained on. The default model: 35 of 79 questions from passages, 14 from the whole of 22,070 to 30,628
# tokens; of 19 within the first 8,192, 10 and 5 (``tests.bench.answers``). SmolLM2's answers are not measured
MEASURED: dict[str, Measured] = {
    "qwen2.5-coder-0.5b": Measured("fusion", 8192),
    "smollm2-135m": Measured("text", 8192),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What is given to the model as [number]: ``text[start:end]`` of a document, and where it stands."""

    number: int
    document: int
    title: str
    start: int
    end: int
    page: int | None
    chapter: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rereading:
    """The prompt, its passages, and where they stand in its last segment."""

    prompt: Prompt
    passages: tuple[Passage, ...]
    pieces: tuple[Piece, ...]


def measured(model: ModelInfo) -> Measured:
    return MEASURED.get(model.name, Measured("text", model.window))


def choose(mode: Mode, model: ModelInfo, question: str, tokens: int, *, fits: bool) -> Used:
    """tokens: of the whole context, which ``fits`` this model and machine, or does not.

    Automatic reads passages where that was measured to answer better, and where the whole does not fit; a question
    that no passage can answer ("What is this book about?") is for the whole.
    """
    if mode != "auto":
        return mode
    if not fits:
        return "reread"
    if is_general(question):
        return "whole"
    return "reread" if tokens >= measured(model).from_tokens else "whole"


def is_general(question: str) -> bool:
    """Whether it names nothing that could stand in a passage."""
    return all(term in _GENERAL for term in asked(question))


def passages(found: Sequence[Found], sources: Sequence[Source]) -> tuple[Passage, ...]:
    """The best extracts, in the order of the documents and their texts, numbered from 1."""
    by_id = {source.record.id: source for source in sources}
    order = {source.record.id: number for number, source in enumerate(sources)}
    best = sorted(found[:PASSAGES], key=lambda one: (order[one.document], one.start))
    told = []
    for number, one in enumerate(best, 1):
        source = by_id[one.document]
        told.append(
            Passage(
                number=number,
                document=one.document,
                title=source.record.title,
                start=one.start,
                end=one.end,
                page=source.page(one.start),
                chapter=source.chapter(one.start),
                text=source.text[one.start : one.end],
            )
        )
    return tuple(told)


def build(engine: Engine, given: Sequence[Passage], turns: Sequence[TurnRecord], question: str) -> Rereading:
    """opening · the last turns · passages · question, tokenized apart so that each passage keeps its places."""
    frame = engine.frame(prompts.SYSTEM)
    before = [turn for turn in turns if prompts.is_answered(turn)][-TURNS:]
    ids: array[int] = array("i")
    for turn in before:
        ids += prompts.conversation_ids(engine, frame, (), turn.question)
        ids += engine.encode([turn.answer])[0].ids + frame.to_turn
    titles = list(dict.fromkeys(one.title for one in given))
    several = len(titles) > 1
    ids += engine.encode([INTRODUCTION.format(titles=", ".join(f"“{title}”" for title in titles))])[0].ids
    pieces, used = [], []
    left = TOKENS
    for one in given:
        head, text, gap = engine.encode([HEAD.format(number=one.number, place=_place(one, several)), one.text, "\n\n"])
        if used and len(text.ids) > left:
            continue
        left -= len(text.ids)
        ids += head.ids
        offsets = [one.start + offset for offset in text.offsets]
        pieces.append(Piece(len(ids), one.document, offsets))
        used.append(one)
        ids += text.ids + gap.ids
    ids += engine.encode([REQUEST + question.strip()])[0].ids + frame.to_answer
    prompt = Prompt(segments=(prompts.opening_segment(frame), Segment(name="conversation", ids=ids)))
    return Rereading(prompt=prompt, passages=tuple(used), pieces=tuple(pieces))


def stored(asked_for: Mode, used: Used, finder: Finder | None, given: Sequence[Passage]) -> dict[str, Any]:
    """As it is kept with the turn."""
    rows = [{name: value for name, value in asdict(one).items() if name != "text"} for one in given]
    return {"asked": asked_for, "mode": used, "finder": finder, "passages": rows}


def _place(one: Passage, several: bool) -> str:
    said = [f"“{one.title}”"] if several else []
    said += [one.chapter] if one.chapter else []
    said += [f"p. {one.page}"] if one.page else []
    return ", ".join(said)


__all__ = [
    "MEASURED",
    "MODES",
    "Measured",
    "Mode",
    "Passage",
    "Rereading",
    "Used",
    "build",
    "choose",
    "is_general",
    "measured",
    "passages",
    "stored",
]
