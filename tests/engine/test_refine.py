"""Budgets by what each head's sparseness does to the next token."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.budgets import FILE, Budgets, read_budgets, write_budgets
from engine.config import EngineConfig
from engine.errors import ContextTooShort
from engine.model import LanguageModel
from engine.sparsity.refine import EVERYTHING, _Run, allocate, refine, refine_checkpoint
from tests.engine.reference import random_ids

LEVELS = (64, 256)


def config(folder: Path) -> EngineConfig:
    return EngineConfig(
        folder=folder, readings=None, identity="test", chunk_size=1280, local_size=256,
        limit=1 << 20, dtype="float32", device="cpu",
    )  # fmt: skip


def test_keys_go_where_they_take_most_away() -> None:
    divergence = [[[5.0, 0.0], [0.1, 0.09]], [[0.0, 0.0], [3.0, 2.9]]]
    assert allocate(divergence, LEVELS, 64, 1000)[0] == [[64, 64], [64, 64]]
    assert allocate(divergence, LEVELS, 112, 1000)[0] == [[256, 64], [64, 64]]
    table, left = allocate(divergence, LEVELS, 346, 1000)
    assert table == [[256, 64], [64, 1000]] and left == pytest.approx(0.1)
    # no key is spent where it helps nothing
    table, left = allocate(divergence, LEVELS, 10**6, 1000)
    assert table == [[256, 1000], [64, 1000]] and left == 0


def test_a_head_that_attends_to_everything_diverges_by_nothing(tiny_checkpoint: Callable[..., Path]) -> None:
    model = LanguageModel(config(tiny_checkpoint("llama")))
    run = _Run(model, random_ids(4000), 300)
    run.policy.only(1, 0, EVERYTHING)
    assert run.divergence(1) == 0.0
    run.policy.only(1, 0, 0)
    assert run.divergence(1) > 0.0
    # layers before the one that changed are not run again, and their states are those of the whole run
    assert torch.equal(run._from(0, run._inputs[0]), run._from(1, run._inputs[1]))


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_refining_keeps_to_the_average(tiny_checkpoint: Callable[..., Path], family: str) -> None:
    model = LanguageModel(config(tiny_checkpoint(family)))
    told: list[tuple[int, int]] = []
    found = refine(model, random_ids(4096), average=200, levels=LEVELS, rows=256, tell=lambda *done: told.append(done))
    keys = [keys for row in found.table for keys in row]
    assert len(keys) == model.shape.layers * model.shape.kv_heads == told[-1][0] == told[-1][1]
    assert found.average <= 200 and set(keys) <= {*LEVELS, EVERYTHING}
    assert {keys for row in found.by_means for keys in row} <= {*LEVELS, EVERYTHING}
    assert 0 <= found.left <= found.uniform
    assert model.policy is None, "the model reads as it did before: densely, without budgets"


def test_the_file_is_used_by_the_next_reading(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint("qwen2"), tmp_path / "model"))
    model = LanguageModel(config(folder))
    heads = model.shape.kv_heads
    text = "The keeper wrote of the lamp and the sea and went to bed. " * 400
    path, found = refine_checkpoint(config(folder), text, tokens=3200, average=128, tell=lambda *_: None)
    assert path == folder / FILE
    budgets = read_budgets(folder, layers=model.shape.layers, heads=model.heads, kv_heads=heads)
    assert budgets is not None and budgets.table == found.table
    assert LanguageModel(config(folder)).policy is not None
    with pytest.raises(ContextTooShort, match="fewer --tokens"):
        refine_checkpoint(config(folder), "too short", tokens=3200, tell=lambda *_: None)


def test_too_little_to_measure_is_refused(tiny_checkpoint: Callable[..., Path]) -> None:
    model = LanguageModel(config(tiny_checkpoint("llama")))
    with pytest.raises(ContextTooShort):
        refine(model, random_ids(2500))
    with pytest.raises(ValueError, match="at least 128"):
        refine(model, random_ids(4096), average=64)


def test_written_budgets_are_read_again(tmp_path: Path) -> None:
    write_budgets(tmp_path, [[128, 4096]], [[0, 8192]], group=1, scores=[[0.0, 1.5]])
    assert read_budgets(tmp_path, layers=1, heads=2, kv_heads=2) == Budgets(((128, 4096),))
    assert read_budgets(tmp_path, layers=1, heads=2, kv_heads=2, by_means=True) == Budgets(((128, 8192),))
