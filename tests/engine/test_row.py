"""One row by our own forward pass against transformers' modules."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.config import EngineConfig
from engine.kvcache import Extent, KVCache
from engine.model import LanguageModel
from engine.pages import mean_keys
from engine.row import CROSSOVER, RowForward
from engine.sparsity import Budgets
from tests import tolerances
from tests.engine.reference import random_ids


def fed(model: LanguageModel, prompt: array[int], then: array[int], *, int8: bool | None) -> torch.Tensor:
    """Logits after each token of ``then``; int8 None for transformers' modules."""
    cache, start = KVCache(model.shape), 0
    while start < len(prompt):
        end = min(len(prompt), model.dual_chunk.border_after(start))
        model.prefill(prompt[start:end], start, cache)
        start = end
    rows = None if int8 is None else RowForward(model.model, model.shape, model.heads, model.dual_chunk, int8=int8)
    found = []
    for token in then:
        if model.dual_chunk.chunk(cache.end) != model.dual_chunk.chunk(cache.end - 1) or not found:
            cache.append(model.shape.allocate(cache.end, model.dual_chunk.border_after(cache.end) - cache.end))
        cache.extents[-1].length += 1
        if rows is None:
            found.append(model.logits(model.hidden(array("i", [token]), cache.end - 1, cache))[0])
        else:
            found.append(rows(token, cache))
    return torch.stack(found)


def language_model(folder: Path, dtype: str) -> LanguageModel:
    return LanguageModel(
        EngineConfig(
            folder=folder, readings=None, identity="test", chunk_size=32, local_size=8,
            limit=1 << 20, dtype=dtype, device="cpu",  # type: ignore[arg-type]
        )
    )  # fmt: skip


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("prompt", [5, 23, 70])
def test_a_row_is_what_transformers_computes(tiny_checkpoint: Callable[..., Path], family: str, prompt: int) -> None:
    """Inside, at and beyond Dual Chunk Attention's borders (chunk_len 24)."""
    model = language_model(tiny_checkpoint(family), "float32")
    ids = random_ids(prompt + 30)
    wanted = fed(model, ids[:prompt], ids[prompt:], int8=None)
    found = fed(model, ids[:prompt], ids[prompt:], int8=False)
    assert (found - wanted).abs().max() < tolerances.FLOAT32_LOGITS


def test_int8_is_near_on_a_real_model(smollm2: Path) -> None:
    """Mean KL divergence (nats) of 32 steps in bfloat16; two orders of bfloat16's own would be near 1e-3."""
    model = language_model(smollm2, "bfloat16")
    model.dual_chunk = type(model.dual_chunk)(chunk_size=8192, local_size=1024)
    ids = random_ids(96, vocabulary=40000)
    wanted = fed(model, ids[:64], ids[64:], int8=None).log_softmax(-1)
    found = fed(model, ids[:64], ids[64:], int8=True).log_softmax(-1)
    assert float((wanted.exp() * (wanted - found)).sum(-1).mean()) < tolerances.INT8_DIVERGENCE


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_choosing_all_keys_is_exact_and_fewer_are_near(tiny_checkpoint: Callable[..., Path], family: str) -> None:
    """A context long enough to choose in: with budgets for everything the logits are those of exact attention."""
    model = language_model(tiny_checkpoint(family), "float32")
    model.dual_chunk = type(model.dual_chunk)(chunk_size=8192, local_size=1024)
    prompt = random_ids(CROSSOVER + 300)
    cache = KVCache(model.shape)
    for start in range(0, len(prompt), 1024):
        extent, _ = model.prefill(prompt[start : start + 1024], start, cache)
        cache.replace_last(Extent(extent.start, extent.length, extent.data, mean_keys(extent.data)))
    cache.append(model.shape.allocate(cache.end, 64))

    def logits(budgets: Budgets | None) -> torch.Tensor:
        cache.extents[-1].length = 1
        args = (model.model, model.shape, model.heads, model.dual_chunk)
        return RowForward(*args, int8=False, budgets=budgets)(7, cache)

    exact = logits(None)
    layers, heads = model.shape.layers, model.shape.kv_heads
    everything = logits(Budgets.uniform(layers, heads, len(prompt)))
    some, few = (logits(Budgets.uniform(layers, heads, keys)) for keys in (4096, 64))
    assert (everything - exact).abs().max() < tolerances.FLOAT32_LOGITS
    assert 0 < (some - exact).abs().mean() < (few - exact).abs().mean()
