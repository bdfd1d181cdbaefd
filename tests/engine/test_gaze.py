"""Where a row looks: the compiled row and transformers' modules tell the same, beyond Dual Chunk Attention's borders."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import torch

from engine.config import EngineConfig
from engine.errors import GazeHeadsBad
from engine.gaze import FILE, GazeHeads, Gazer, Layout, Masses, look, read_heads, weighted, write_heads
from engine.kvcache import KVCache
from engine.model import LanguageModel
from engine.protocol import BLOCK_TOKENS, Delta, Done, Event, Gaze, Prompt, Sampling, Segment
from engine.session import Session
from tests.engine.reference import random_ids

BOOK, QUESTION = random_ids(2100, seed=5), random_ids(9, seed=6)


def prompt(*parts: array[int]) -> Prompt:
    return Prompt(segments=tuple(Segment(name=str(number), ids=part) for number, part in enumerate(parts)))


@pytest.fixture
def folder(tiny_checkpoint: Callable[..., Path]) -> Iterator[Path]:
    folder = tiny_checkpoint("qwen2")
    yield folder
    # the checkpoint is every test's
    (folder / FILE).unlink(missing_ok=True)


def config(folder: Path, readings: Path | None = None, **changes: Any) -> EngineConfig:
    values: dict[str, Any] = {
        "folder": folder, "readings": readings, "identity": "tiny", "chunk_size": 1280, "local_size": 256,
        "limit": 8192, "dtype": "float32", "device": "cpu", "chunk_tokens": 1024,
    }  # fmt: skip
    return EngineConfig(**(values | changes))


def read(model: LanguageModel, given: Prompt) -> KVCache:
    cache = KVCache(model.shape)
    for position, ids in given.rest(0):
        while ids:
            now = ids[: model.dual_chunk.border_after(position) - position]
            model.prefill(now, position, cache)
            position, ids = position + len(now), ids[len(now) :]
    return cache


@pytest.mark.parametrize("few", [False, True])
def test_the_compiled_row_and_the_modules_look_at_the_same(folder: Path, few: bool) -> None:
    """Over three chunks and a gap between segments; a few heads, or all of them."""
    model = LanguageModel(config(folder))
    given = prompt(random_ids(20, seed=1), BOOK, QUESTION)
    heads = model.gaze_heads
    if few:
        weights = torch.zeros_like(heads.weights)
        weights[0, 1], weights[1, 2] = 0.25, 0.75
        heads = GazeHeads(weights=weights, measured=True, baseline=False)
    cache = read(model, given)
    cache.append(model.shape.allocate(cache.end, 8))
    gazer = Gazer(heads, given)
    model.step(7, cache, gazer)
    by_row = gazer.take()
    cache.extents.pop()
    masses = look(model, cache, array("i", [7]), given.end, heads.weights > 0)
    mass = weighted(masses, heads)
    by_modules = Layout(given).gaze(mass, measured=few, most=len(by_row.weights))

    assert by_row.measured is few and len(by_row.weights) == min(48, (2100 + 15) // 16 + 1)
    assert (by_row.segments, by_row.blocks) == (by_modules.segments, by_modules.blocks)
    assert torch.allclose(torch.tensor(by_row.weights), torch.tensor(by_modules.weights), atol=1e-5)
    # the whole of one row's attention
    assert abs(float(mass.sum()) - 1) < 1e-4
    assert cache.end == given.end


def test_blocks_are_counted_from_the_start_of_their_segment() -> None:
    given = prompt(random_ids(1030, seed=1), random_ids(40, seed=2), random_ids(17, seed=3))
    mass = torch.arange(1, given.end // BLOCK_TOKENS + 2, dtype=torch.float32)
    gaze = Layout(given).gaze(mass, measured=True)
    # the second segment starts at 2,048, the third at 3,072; the opening is not told of
    assert list(gaze.segments) == [1, 1, 1, 2, 2] and list(gaze.blocks) == [0, 1, 2, 0, 1]
    assert list(gaze.weights) == [129, 130, 131, 193, 194]
    least = Layout(given).gaze(mass - 131, measured=True, most=3)
    assert list(least.blocks) == [0, 1] and list(least.segments) == [2, 2], "nothing is looked at below nothing"


def test_a_question_is_looked_at_without_being_kept(folder: Path, tmp_path: Path) -> None:
    """All heads: an empty question looks nowhere once what it looks at is subtracted."""
    session = Session(config(folder, tmp_path / "readings"))
    empty = session.tokenizer.encode(["N/A"])[0].ids + session.tokenizer.frame("").to_answer
    found = []
    for asked in (QUESTION, empty):
        events: list[Event] = []
        done = session.look(prompt(BOOK[:20], BOOK, asked), len(asked), events.append, Flag())
        found.append(next(event for event in events if isinstance(event, Gaze)))
        assert done.finish == "stop" and done.prefilled == (2120 if asked is QUESTION else 0)
    question, nothing = found
    assert not question.measured and set(question.segments) == {1}
    assert len(question.weights) > 100 and not nothing.weights
    kept = sum(path.stat().st_size for path in (tmp_path / "readings").rglob("*.kv"))
    session.read(prompt(BOOK[:20], BOOK), lambda _: None, Flag())
    assert sum(path.stat().st_size for path in (tmp_path / "readings").rglob("*.kv")) == kept
    with pytest.raises(ValueError, match="10 of them"):
        session.look(prompt(BOOK, QUESTION), 10, lambda _: None, Flag())


@pytest.mark.parametrize("measured", [False, True])
def test_an_answer_tells_what_it_was_written_from(folder: Path, measured: bool) -> None:
    if measured:
        write_heads(folder, [(0, 1, 2.0), (1, 0, 1.0)], baseline=False, questions=3)
    given = prompt(BOOK[:20], BOOK, QUESTION)
    answers = []
    for gaze in (True, False):
        events: list[Event] = []
        session = Session(config(folder, gaze=gaze))
        sampling = Sampling(temperature=0.0, repetition_penalty=1.0, max_tokens=6)
        answers.append(session.generate(given, sampling, events.append, Flag()))
        looks = [event.gaze for event in events if isinstance(event, Delta) and event.ids]
        if not gaze:
            assert not any(looks)
            continue
        # of calibrated heads every second token, of all heads every fourth
        assert [one is not None for one in looks] == [False, True, False, measured, False, True]
        for one in filter(None, looks):
            assert one.measured is measured and len(one.weights) > 5
            assert set(one.segments) <= {1, 2} and 0 < sum(one.weights) <= 1 + 1e-5
    assert isinstance(answers[0], Done) and answers[0].ids == answers[1].ids


def test_an_answer_that_begins_within_the_last_block_is_not_looked_at_past_it() -> None:
    """A prompt of 20 tokens has two blocks; its answer's keys lie at 20 and on, those from 32 on in no block."""
    masses, query, lse = Masses(torch.ones(1, 1, dtype=torch.bool), 2), torch.zeros(1, 1, 1, 8), torch.zeros(1, 1, 1)
    masses.add(0, query, torch.randn(1, 30, 8), lse, 20, 1.0)
    assert masses.mass.tolist() == [[0.0, 12.0]]
    masses.add(0, query, torch.randn(1, 30, 8), lse, 32, 1.0)
    assert masses.mass.tolist() == [[0.0, 12.0]]


def test_heads_that_do_not_fit_are_named(folder: Path) -> None:
    assert not read_heads(folder, layers=2, heads=4).measured
    path = write_heads(folder, [(0, 1, 3.0), (1, 3, 1.0)], baseline=True)
    found = read_heads(folder, layers=2, heads=4)
    assert found.measured and found.baseline and found.weights[0, 1] == 0.75 and found.weights[1, 3] == 0.25
    for bad in ([[2, 0, 1.0]], [[0, 4, 1.0]], [[0, 0, -1.0]], [], [[0, 0]]):
        path.write_text(json.dumps({"heads": bad, "baseline": False}), "utf-8")
        with pytest.raises(GazeHeadsBad, match=FILE):
            read_heads(folder, layers=2, heads=4)
    path.write_text("{", "utf-8")
    with pytest.raises(GazeHeadsBad):
        read_heads(folder, layers=2, heads=4)
