"""How long a reading takes, on made-up machines, and for models that are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.budgets import Budgets
from engine.catalogue import CATALOGUE, find
from engine.checkpoint import describe, resolve
from engine.pace import CROSSOVER_TILES, Pace, entry_pace, pace_of

DENSE = Pace(linear=2e8, pair=7e4, budgets=None, tiles=True)
SPARSE = replace(DENSE, budgets=Budgets.uniform(30, 3, 1600))


@pytest.mark.parametrize("pace", [DENSE, SPARSE])
def test_parts_make_the_whole(pace: Pace) -> None:
    for border in (1000, CROSSOVER_TILES, 40_000):
        parts = pace.work(0, border) + pace.work(border, 131_072)
        assert parts == pytest.approx(pace.work(0, 131_072), rel=0.02)


def test_choosing_keys_is_cheaper_beyond_the_crossover_only() -> None:
    assert SPARSE.work(0, CROSSOVER_TILES) == DENSE.work(0, CROSSOVER_TILES)
    assert SPARSE.work(0, 131_072) < DENSE.work(0, 131_072) / 3


def test_a_short_reading_tells_how_long_a_long_one_takes() -> None:
    """Not its tokens a second: those fall."""
    rate = 5e11
    took = SPARSE.work(0, 8192) / rate
    told = SPARSE.seconds(0, 131_072, cores=1, done=8192, took=took)
    assert told == pytest.approx(SPARSE.work(0, 131_072) / rate) and told > 1.1 * took * 16
    # what is kept already is not read again
    assert SPARSE.seconds(100_000, 131_072, cores=1, done=8192, took=took) < told / 2
    # and where nothing was read, more cores are faster
    assert SPARSE.seconds(0, 8192, cores=2) == pytest.approx(SPARSE.seconds(0, 8192, cores=1) / 2)


@pytest.mark.parametrize("tiles", [True, False])
def test_every_model_of_the_catalogue_has_a_pace(tiles: bool) -> None:
    found = {entry.name: entry_pace(entry, tiles=tiles).seconds(0, 50_000, cores=2) for entry in CATALOGUE}
    assert 0 < found["smollm2-135m"] < found["qwen2.5-coder-0.5b"] < found["qwen2.5-7b-1m"] < found["qwen2.5-14b-1m"]
    slow = entry_pace(CATALOGUE[0], tiles=False).seconds(0, 50_000, cores=2)
    assert found[CATALOGUE[0].name] <= slow / (3 if tiles else 1)


def test_a_checkpoint_has_the_pace_of_its_numbers(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    for family in ("llama", "qwen2", "qwen3"):
        there = resolve(str(tiny_checkpoint(family)), cache=tmp_path)
        info = describe(there, dtype="float32", device="cpu")
        found = pace_of(info)
        assert found is not None and found.linear > 0 and not found.tiles and found.budgets is None
        assert pace_of(replace(info, device="cuda")) is None and pace_of(replace(info, folder=str(tmp_path))) is None


def test_operations_are_those_of_the_weights() -> None:
    entry = find("qwen2.5-7b-1m")
    assert entry is not None
    shape = entry.shape
    embedding = 2 * shape.vocabulary * shape.hidden
    assert shape.linear_operations == pytest.approx(2 * (shape.parameters - embedding), rel=1e-3)
