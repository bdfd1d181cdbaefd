"""Books read alone, once, and opened together: found, placed, kept apart from an exact reading, mended."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import torch

from engine import prefill
from engine.config import EngineConfig
from engine.kvcache import KVCache
from engine.protocol import Prompt, Sampling, Segment
from engine.session import Session
from tests import tolerances
from tests.engine.reference import random_ids

OPENING, A, B, C = (random_ids(size, seed=size) for size in (20, 2500, 3500, 1024))
TURN, SECOND = random_ids(30, seed=1), random_ids(10, seed=2)
CHUNK_LEN = 3072
GREEDY = Sampling(temperature=0.0, repetition_penalty=1.0, max_tokens=6)


def alone(*books: array[int]) -> list[Prompt]:
    return [Prompt(segments=(Segment(name="opening", ids=OPENING), Segment(name="book", ids=book))) for book in books]


def together(turn: array[int], *books: array[int]) -> Prompt:
    segments = [Segment(name="book", ids=book, alone=True) for book in books]
    opening, last = Segment(name="opening", ids=OPENING), Segment(name="turn", ids=turn)
    return Prompt(segments=(opening, *segments, last), stride=CHUNK_LEN)


@pytest.fixture
def make(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[..., Session]:
    def session(**changes: Any) -> Session:
        values: dict[str, Any] = {
            "folder": tiny_checkpoint("qwen2"), "readings": tmp_path / "readings", "identity": "tiny",
            "chunk_size": 4096, "local_size": 1024, "limit": 32768, "dtype": "float32", "device": "cpu",
            "chunk_tokens": 1024,
        }  # fmt: skip
        return Session(EngineConfig(**(values | changes)))

    return session


def test_each_book_lies_at_the_residue_it_had_alone() -> None:
    prompt = together(TURN, A, B, C)
    assert prompt.starts == (0, 1024, 1024 + CHUNK_LEN, 1024 + 3 * CHUNK_LEN, 1024 + 3 * CHUNK_LEN + 1024)
    assert prompt.composed == 20 + 2500 + 3500 + 1024 == prompt.tokens - 30
    assert prompt.parts == tuple(alone(A, B, C))
    assert [prompt.name_at(place) for place in (0, 1024, 1023 + CHUNK_LEN, 1024 + CHUNK_LEN)] == [
        "opening", "book", "book", "book"
    ]  # fmt: skip
    # half of a prompt is laid out as the whole is, and an exact one as ever
    assert prompt.head(3000).starts == prompt.starts[:3]
    assert together(TURN, A).starts == Prompt(segments=together(TURN, A).segments).starts == (0, 1024, 4096)


def test_books_read_alone_are_opened_together_without_reading(make: Callable[..., Session]) -> None:
    session = make()
    for book in alone(A, B):
        session.read(book, lambda _: None, Flag())
    done = session.generate(together(TURN, A, B), GREEDY, lambda _: None, Flag())
    assert (done.reused, done.prefilled) == (20 + 2500 + 3500, 30)
    # another order, another set, another process
    assert make().generate(together(TURN, B, A), GREEDY, lambda _: None, Flag()).prefilled == 30
    # the conversation goes on from its own pages
    answered = array("i", done.ids)
    again = make().generate(together(TURN + answered + SECOND, A, B), GREEDY, lambda _: None, Flag())
    assert again.reused >= done.context + len(answered) - 1 and again.prefilled <= len(SECOND) + 1
    # asking the same again reads one token
    assert make().generate(together(TURN, A, B), GREEDY, lambda _: None, Flag()).prefilled == 1


def test_what_is_composed_is_not_taken_for_exact(make: Callable[..., Session]) -> None:
    """An exact prompt of the same segments finds A, and nothing that was read behind a composition."""
    session = make()
    session.generate(together(TURN, A, B), GREEDY, lambda _: None, Flag())
    exact = Prompt(segments=tuple(Segment(name=one.name, ids=one.ids) for one in together(TURN, A, B).segments))
    done = make().read(exact, lambda _: None, Flag())
    assert (done.reused, done.prefilled) == (2520, 3530)


def test_a_book_that_is_not_read_is_read_alone(make: Callable[..., Session]) -> None:
    session = make()
    session.read(alone(A)[0], lambda _: None, Flag())
    done = session.generate(together(TURN, A, B), GREEDY, lambda _: None, Flag())
    assert (done.reused, done.prefilled) == (2520, 3530)
    assert make().read(alone(B)[0], lambda _: None, Flag()).prefilled == 0


def test_attention_over_a_composition_is_the_definition(make: Callable[..., Session]) -> None:
    """The turn's state equals one from extents read alone and placed by hand."""
    session, whole = make(), together(TURN, A, B)
    session.generate(whole, GREEDY, lambda _: None, Flag())
    model, pages, _ = session.load()
    cache, found, _ = pages.open(whole, leave=30)
    cache.touch()
    assert found == 6020
    state = model.prefill(TURN, whole.starts[-1], cache)[1]
    by_hand = KVCache(model.shape)
    for number, book in enumerate(alone(A, B)):
        read = prefill.read(
            model, make(readings=None).load()[1], book, limit=32768, chunk_tokens=1024, cancel=Flag(),
            emit=lambda _: None, need_last=False,
        )  # fmt: skip
        for extent in read.cache.extents:
            if extent.start >= 1024:
                extent.start += number * CHUNK_LEN
            elif number:
                continue
            by_hand.append(extent)
    wanted = model.prefill(TURN, whole.starts[-1], by_hand)[1]
    assert torch.isfinite(wanted).all() and (state - wanted).abs().max() < tolerances.FLOAT32_LOGITS


def test_a_damaged_book_is_mended_alone(make: Callable[..., Session], tmp_path: Path) -> None:
    session = make()
    before = session.generate(together(TURN, A, B), GREEDY, lambda _: None, Flag())
    path = max((tmp_path / "readings").rglob("*.kv"), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = make().generate(together(TURN, A, B), GREEDY, lambda _: None, Flag())
    assert 1024 <= done.prefilled <= 1024 + 30 and done.ids == before.ids


def test_without_kept_pages_there_is_nothing_to_compose(make: Callable[..., Session]) -> None:
    with pytest.raises(ValueError, match="kept"):
        make(readings=None).generate(together(TURN, A, B), GREEDY, lambda _: None, Flag())
