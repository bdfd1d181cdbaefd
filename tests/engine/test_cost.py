"""The cost model on made-up machines, whose coefficients are known."""

from __future__ import annotations

import random

import pytest

from engine.cost import CostModel, Work

RATE = 1e12
FIXED, BEFORE, SLOW = 0.05, 2e-6, 3.0


def work(before: int, tokens: int) -> Work:
    pairs = before * tokens + tokens * tokens / 2
    return Work(before=before, tokens=tokens, linear=2e8 * tokens, attention=8e4 * pairs)


def seconds(one: Work) -> float:
    return FIXED + BEFORE * one.before + one.linear / RATE + SLOW * one.attention / RATE


def test_nothing_is_told_before_anything_was_seen() -> None:
    assert CostModel().seconds(work(0, 2048)) is None


def test_one_chunk_gives_a_rate_of_operations() -> None:
    cost = CostModel()
    one = work(0, 2048)
    cost.observe(one, 2.0)
    assert cost.seconds(one) == pytest.approx(2.0, rel=1e-6)
    half = work(0, 1024)
    assert cost.seconds(half) == pytest.approx(2.0 * half.whole / one.whole, rel=1e-3)


def test_chunks_of_all_kinds_give_the_coefficients() -> None:
    cost = CostModel()
    for before in range(0, 65536, 4096):
        for tokens in (1024, 4096):
            cost.observe(work(before, tokens), seconds(work(before, tokens)))
    for far in (work(200_000, 2048), work(100_000, 4096), work(0, 2048)):
        assert cost.seconds(far) == pytest.approx(seconds(far), rel=0.1)
    assert all(value >= 0 for value in cost.coefficients)


def test_a_few_noisy_chunks_tell_the_time_left_within_a_quarter() -> None:
    noise = random.Random(3)
    for _ in range(20):
        cost = CostModel()
        for number in range(6):
            one = work(number * 2048, 2048)
            cost.observe(one, seconds(one) * noise.uniform(0.9, 1.1))
        left = [work(number * 2048, 2048) for number in range(6, 32)]
        told = sum(cost.seconds(one) or 0.0 for one in left)
        assert told == pytest.approx(sum(map(seconds, left)), rel=0.25)


def test_a_machine_that_slows_down_is_believed() -> None:
    cost = CostModel()
    for number in range(30):
        one = work(number * 512, 512)
        cost.observe(one, seconds(one) * (1 if number < 15 else 3))
    assert cost.seconds(work(16384, 512)) == pytest.approx(3 * seconds(work(16384, 512)), rel=0.2)
