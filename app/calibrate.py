"""``lectern calibrate``: the heads of the model in hand that look for what is asked, written beside it."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import QuestionsBad
from app.library.records import DocumentRecord
from app.reading import prompt as prompts
from app.reading.desk import Desk
from app.reading.finder import Cut
from app.reading.gaze import document_pieces
from app.reading.source import Source

if TYPE_CHECKING:
    from engine.calibrate import Question

LEAST = 8
BOTH = (5, 10)


def read_questions(path: Path) -> list[dict[str, Any]]:
    """[{"document": id, "question": text, "anchors": [words of the place that answers it]}]. Raises QuestionsBad."""
    try:
        found = json.loads(path.read_text("utf-8-sig"))
        good = [
            {
                "document": int(one["document"]),
                "question": str(one["question"]),
                "anchors": [str(each) for each in one["anchors"]],
            }
            for one in found
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise QuestionsBad(str(path), f"{type(error).__name__}: {error}") from error
    if len(good) < LEAST:
        raise QuestionsBad(str(path), f"it has {len(good)} questions, {LEAST} are the least")
    return good


def spots(text: str, anchors: Sequence[str]) -> list[tuple[int, int]]:
    """Where the anchors stand; white space counts as white space."""
    patterns = [r"\s+".join(map(re.escape, anchor.split())) for anchor in anchors if anchor.strip()]
    return [one.span() for pattern in patterns for one in re.finditer(pattern, text)]


def prepare(
    desk: Desk, documents: Mapping[Any, DocumentRecord], asked: Sequence[Mapping[str, Any]], key: str = "document"
) -> tuple[list[Question], list[list[float]]]:
    """The questions for ``engine.calibrate``, and full-text search's scores of their extracts. ``key`` names a
    question's document in ``documents``. Raises QuestionsBad."""
    from engine.calibrate import Question

    engine = desk.engines.get(desk.settings.model)
    frame = engine.frame(prompts.SYSTEM)
    made: list[Question] = []
    scores: list[list[float]] = []
    known: dict[Any, tuple[str, Cut, Any, Any]] = {}
    for one in asked:
        name = one[key]
        if name not in known:
            document = documents[name]
            source = Source(desk.library, document)
            prompt = prompts.reading_prompt(engine, desk.library, document)
            pieces = document_pieces(engine, desk.library, document, prompt.segments[-1])
            cut = Cut(source.text, desk.library.paragraphs(document.id), source.chapters)
            known[name] = source.text, cut, prompt, pieces
        text, cut, prompt, pieces = known[name]
        places = spots(text, one["anchors"])
        right = [
            number
            for number, each in enumerate(cut.extracts)
            if any(start < each.end and each.start < stop for start, stop in places)
        ]
        if not right:
            raise QuestionsBad(one["question"], f"{one['anchors']} stand nowhere in document {name}")
        made.append(
            Question(
                group=str(name),
                prompt=prompt,
                ids=engine.encode([one["question"]])[0].ids + frame.to_answer,
                extracts=tuple(_tokens(each.start, each.end, pieces) for each in cut.extracts),
                right=tuple(right),
            )
        )
        scores.append(cut.index.scores(one["question"]))
    return made, scores


def _tokens(start: int, end: int, pieces: Sequence[Any]) -> tuple[int, int]:
    """An extract in tokens of its segment; empty where it is not read."""
    for piece in pieces:
        if piece.offsets[0] < end and start < piece.offsets[-1]:
            first = piece.first + bisect_left(piece.offsets, start)
            return first, min(piece.end, piece.first + bisect_left(piece.offsets, end))
    return pieces[-1].end, pieces[-1].end


def calibrate_model(
    desk: Desk, owner: str, asked: Sequence[Mapping[str, Any]], tell: Callable[[int, int], None]
) -> dict[str, Any]:
    """Measure in this process and write the file beside the checkpoint. Raises QuestionsBad, DocumentNotFound."""
    # imported late: with these comes torch
    from engine.calibrate import calibrate, hits, look_at
    from engine.config import EngineConfig
    from engine.gaze import write_heads
    from engine.session import Session

    owner_id = desk.owner_id(owner)
    documents = {id: desk.library.document(owner_id, id) for id in {one["document"] for one in asked}}
    ordered = sorted(asked, key=lambda one: int(one["document"]))
    made, _ = prepare(desk, documents, ordered)
    info = desk.engines.get(desk.settings.model).model
    session = Session(
        EngineConfig(
            folder=Path(info.folder),
            readings=desk.settings.readings,
            identity=info.identity,
            chunk_size=info.chunk_size,
            local_size=info.local_size,
            limit=info.limit,
            dtype=info.dtype,  # type: ignore[arg-type]
            device=info.device,  # type: ignore[arg-type]
            temperature=info.temperature,
        )
    )
    looked = look_at(session, made, lambda number, _: tell(number + 1, len(made)))
    heads = session.load()[0].heads
    found = calibrate(looked, heads)
    told = {most: hits(found.ranks, most) for most in BOTH}
    file = write_heads(
        Path(info.folder), found.heads, baseline=found.baseline, questions=len(made), hits={"attention": told}
    )
    return {
        "file": str(file),
        "heads": [[layer, head] for layer, head, _ in found.heads],
        "baseline": found.baseline,
        "questions": len(made),
        "hits": told,
        "hits_by_all_heads": {most: hits(found.all_ranks, most) for most in BOTH},
    }
