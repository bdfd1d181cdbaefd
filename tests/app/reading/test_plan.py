from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from app.errors import RoomExceeded
from app.reading.plan import DISK_RESERVE, LEAST_ANSWER, Part, Plan, duration, plan
from engine.protocol import Prompt, Segment

from .conftest import Machine, PlainEngine

MODEL = replace(PlainEngine("plain", Machine()).model, limit=900_000, window=32_768, kv_bytes=10_000, parameters=0)
BOOKS = [
    Part(id=1, title="Alice", tokens=40_000),
    Part(id=2, title="War", tokens=800_000),
    Part(id=3, title="Moby", tokens=360_000),
]


def make(**values: object) -> Plan:
    return plan(MODEL, **({"opening": 100, "documents": BOOKS[:1], "conversation": 50, "answer": 1024} | values))  # type: ignore[arg-type]


def test_positions_are_counted_as_the_engine_lays_them_out() -> None:
    sizes = [100, 1024, 1025, 50]
    prompt = Prompt(segments=tuple(Segment(name="x", ids=array("i", [0] * size)) for size in sizes))
    made = make(documents=[Part(id=1, title="a", tokens=1024), Part(id=2, title="b", tokens=1025)])
    assert (made.tokens, made.end) == (prompt.tokens, prompt.end)


def test_what_does_not_fit_is_refused_with_numbers_and_what_to_leave_out() -> None:
    made = make(documents=BOOKS)
    assert not made.fits
    assert made.message == (
        "These 3 books are 1.2 M tokens; this model can hold 0.9 M. Leave out one of “War” (0.8 M), “Moby” (360,000), "
        "or choose a model with a longer window (`lectern model` shows what fits this machine)."
    )
    with pytest.raises(RoomExceeded) as refused:
        made.check()
    assert str(refused.value) == made.message
    assert refused.value.limit == 900_000


def test_room_is_left_for_an_answer_and_longer_answers_are_shortened() -> None:
    tight = make(documents=[Part(id=1, title="a", tokens=898_000)])
    assert tight.end == 878 * 1024 + 50
    assert tight.fits
    assert tight.answer == 900_000 - tight.end < 1024
    over = make(documents=[Part(id=1, title="a", tokens=898_000)], conversation=800)
    assert not over.fits
    assert over.needed == over.end + LEAST_ANSWER
    # a short answer needs no more room than itself
    assert over.end + 24 < over.limit
    assert make(documents=over.documents, conversation=800, answer=24).fits


def test_kept_readings_take_no_more_than_their_budget() -> None:
    full = make(readings_free=10_000 * 10_000)
    assert not full.fits and full.bound == "budget"
    assert full.limit < 10_000 + full.end - full.tokens + full.kept
    assert "LECTERN_READINGS_BUDGET" in full.message
    assert make(readings_free=10_000 * 10_000, kept=40_000).fits
    assert make(readings_free=10**12).fits


def test_what_makes_way_is_said() -> None:
    made = make(evicts=["Old", "Older"], evicted_bytes=3_000_000)
    assert made.message.endswith(" What was not used for the longest makes way for it (3 MB: Old, Older).")
    assert make(evicts=list("abcdefg"), evicted_bytes=1).message.endswith("a, b, c, d, e and others).")


def test_positions_skipped_take_no_room() -> None:
    wide = make(end=200_000, memory=10**9, disk_free=10**9, readings_free=600_000_000)
    assert wide.fits and (wide.end, wide.bound) == (200_000, "budget")


def test_the_disk_holds_what_is_not_kept_yet() -> None:
    free = DISK_RESERVE + 10_000 * 10_000
    full = make(disk_free=free)
    assert not full.fits
    assert (full.bound, full.limit) == ("disk", full.disk_limit)
    assert "the free space on the disk" in full.message
    # the same book, read before, needs almost none
    assert make(disk_free=free, kept=40_000).fits
    assert not make(disk_free=0, kept=40_000).fits


def test_memory_must_hold_the_weights_and_the_context() -> None:
    model = replace(MODEL, parameters=1_000_000_000, dtype="bfloat16")
    made = plan(model, opening=0, documents=BOOKS[:1], memory=3_000_000_000)
    assert made.memory_limit == made.end - made.tokens + (int(3_000_000_000 * 0.85) - 2_000_000_000) // 10_000
    assert made.fits
    assert plan(model, opening=0, documents=BOOKS[:1], memory=2_400_000_000).bound == "memory"
    assert plan(model, opening=0, documents=BOOKS[:1], memory=1).limit == 0


def test_what_is_still_to_read_and_how_long_it_takes() -> None:
    made = make(kept=39_150, speed=100.0)
    assert (made.kept, made.to_read, made.seconds_left) == (39_150, 1000, 10.0)
    assert made.message == (
        "40,150 tokens, 1,000 still to read (about 10 s); "
        "beyond the 32,768 that this model was trained on, so it may miss things."
    )
    assert make(kept=39_150).seconds_left is None
    assert make(documents=[Part(id=1, title="a", tokens=10)], kept=160).message == "160 tokens, all read."
    assert make(estimated=True, documents=[]).message == "About 150 tokens."


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (5370, "1 h 30 min"), (5300, "88 min"), (90_000, "25 h 0 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
