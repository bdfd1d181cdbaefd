"""Decoding from an arena as a GPU does it: eagerly here, by the references and by the interpreted Triton kernels."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import torch
from torch import Tensor

from engine import decode, device, row
from engine.budgets import Budgets
from engine.config import EngineConfig
from engine.device import DeviceDecoder
from engine.kvcache import KVCache
from engine.model import LanguageModel
from engine.pages import Pages
from engine.prefill import read
from engine.protocol import Prompt, Sampling, Segment
from engine.row import RowForward
from engine.session import Session
from tests import tolerances
from tests.engine.reference import random_ids
from tests.kernels.interpreter import Interpreter

FAMILIES = ("llama", "qwen2", "qwen3")
CHUNK_SIZE, LOCAL_SIZE = 1280, 256  # chunk_len 1024


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    made = Interpreter()
    yield made
    made.close()


def language_model(folder: Path, **changes: Any) -> LanguageModel:
    values: dict[str, Any] = {
        "folder": folder, "readings": None, "identity": "test", "chunk_size": CHUNK_SIZE, "local_size": LOCAL_SIZE,
        "limit": 1 << 20, "dtype": "float32", "device": "cpu", "policy": "dense",
    }  # fmt: skip
    return LanguageModel(EngineConfig(**(values | changes)))


def prefilled(model: LanguageModel, *texts: array[int], room: int = 300) -> KVCache:
    """As on a GPU: in an arena, with room for an answer."""
    prompt = Prompt(segments=tuple(Segment(name=str(number), ids=ids) for number, ids in enumerate(texts)))
    reading = read(
        model, Pages(model.shape, None), prompt, limit=1 << 20, chunk_tokens=1024, cancel=Flag(), emit=lambda _: None,
        need_last=True, room=room,
    )  # fmt: skip
    return reading.cache


def decoder_of(model: LanguageModel, budgets: Budgets | None = None, **given: Any) -> DeviceDecoder:
    return DeviceDecoder(
        model.model, model.shape, model.heads, model.dual_chunk, model.inv_freq, budgets=budgets, **given
    )  # fmt: skip


def decoded(model: LanguageModel, cache: KVCache, tokens: array[int], step: Callable[[int, KVCache], Tensor]) -> Tensor:
    """Logits after each token, fed one by one."""
    tails: list[Any] = []
    found = []
    for token in tokens:
        decode.grow_tail(model, cache, tails)
        cache.extents[-1].length += 1
        found.append(step(token, cache))
    return torch.stack(found)


def by_modules(model: LanguageModel) -> Callable[[int, KVCache], Tensor]:
    return lambda token, cache: model.logits(model.hidden(array("i", [token]), cache.end - 1, cache))[0]


@pytest.fixture
def in_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LanguageModel, "in_arena", True)


@pytest.mark.usefixtures("in_arena")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", ["none", "yarn"])
def test_agrees_with_the_modules(tiny_checkpoint: Callable[..., Path], family: str, temperature: str) -> None:
    """Over two documents with a gap between them, past a border of Dual Chunk Attention, and on from there."""
    model = language_model(tiny_checkpoint(family), temperature=temperature)
    texts, tokens = (random_ids(1500, seed=1), random_ids(1015, seed=2)), random_ids(20, seed=3)
    cache = prefilled(model, *texts)
    decoder = decoder_of(model)
    assert decoder.fits(cache)
    found = decoded(model, cache, tokens, decoder)
    wanted = decoded(model, prefilled(model, *texts), tokens, by_modules(model))
    assert (found - wanted).abs().max() < tolerances.FLOAT32_LOGITS
    # another cache, then the first again
    other = prefilled(model, texts[0])
    decoded(model, other, tokens[:2], decoder)
    more = decoded(model, cache, tokens[:3], decoder)
    again = prefilled(model, *texts)
    decoded(model, again, tokens, by_modules(model))
    assert (more - decoded(model, again, tokens[:3], by_modules(model))).abs().max() < tolerances.FLOAT32_LOGITS


@pytest.mark.usefixtures("in_arena")
def test_chooses_the_keys_that_a_cpu_chooses(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(device, "CROSSOVER", 0)
    monkeypatch.setattr(row, "CROSSOVER", 0)
    # a group of one: a CPU has no mean of the answer's own keys, which would count in the shares that a group adds up
    model = language_model(tiny_checkpoint("qwen2", num_attention_heads=2))
    budgets = Budgets(((64, 128), (32, 96)))
    ids, tokens = random_ids(2051, seed=4), random_ids(9, seed=5)
    decoder = decoder_of(model, budgets)
    found = decoded(model, prefilled(model, ids), tokens, decoder)
    assert decoder._chosen is not None and all(decoder._chosen)
    by_row = RowForward(model.model, model.shape, model.heads, model.dual_chunk, int8=False, budgets=budgets)
    wanted = decoded(model, prefilled(model, ids), tokens, by_row)
    assert (found - wanted).abs().max() < tolerances.FLOAT32_LOGITS
    every = decoded(model, prefilled(model, ids), tokens, by_modules(model))
    assert (found - every).abs().max() > 10 * tolerances.FLOAT32_LOGITS


@pytest.mark.usefixtures("in_arena")
def test_a_cache_elsewhere_is_not_its_own(tiny_checkpoint: Callable[..., Path]) -> None:
    model = language_model(tiny_checkpoint("llama"))
    decoder = decoder_of(model)
    cache = prefilled(model, random_ids(900), room=0)
    assert decoder.fits(cache)
    cache.append(model.shape.allocate(cache.end, 10, 1))
    assert not decoder.fits(cache)
    assert not decoder.fits(KVCache(model.shape))


def through_triton(folder: Path, texts: list[array[int]], tokens: array[int], *, impl: Any) -> tuple[Tensor, int]:
    """A sparse reading and the decoding after it, all by the kernels of ``impl``: logits, and chunks that chose."""
    import engine.attention
    import engine.prefill
    import engine.sparsity.block

    seen = 0
    scores = engine.sparsity.block.block_scores

    def counted(*args: Any, **given: Any) -> Tensor:
        nonlocal seen
        seen += 1
        return scores(*args, **given, impl=impl)

    attend = engine.attention.sparse_attention
    LanguageModel.in_arena = True  # type: ignore[method-assign, assignment]
    device.CROSSOVER = 0
    engine.prefill.BAR = 0.0
    try:
        engine.sparsity.block.block_scores = counted
        engine.attention.sparse_attention = partial(attend, impl=impl)
        model = language_model(folder, policy="block")
        model.crossover = 1024
        budgets = Budgets(((64, 128),))
        assert model.policy is not None
        model.policy.budgets = budgets
        cache = prefilled(model, *texts)
        return decoded(model, cache, tokens, decoder_of(model, budgets, impl=impl)), seen
    finally:
        engine.sparsity.block.block_scores, engine.attention.sparse_attention = scores, attend


def test_sparse_reading_and_decoding_by_triton(
    interpreter: Interpreter, tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "CROSSOVER", 0)
    monkeypatch.setattr(LanguageModel, "in_arena", True)
    monkeypatch.setattr("engine.prefill.BAR", 0.0)
    folder = tiny_checkpoint("qwen2", head_dim=64, num_hidden_layers=1)
    texts, tokens = [random_ids(1024 + 205, seed=6)], random_ids(3, seed=7)
    found, seen = interpreter(through_triton, folder, texts, tokens)
    wanted, _ = through_triton(folder, texts, tokens, impl="reference")
    assert seen >= 1 and (found - wanted).abs().max() < tolerances.FLOAT32_LOGITS


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_cuda_graphs_decode_as_eager_steps_and_as_a_cpu(tiny_checkpoint: Callable[..., Path], family: str) -> None:
    folder = tiny_checkpoint(family, head_dim=64)
    model = language_model(folder, device="cuda")
    texts, tokens = (random_ids(1500, seed=1), random_ids(1015, seed=2)), random_ids(20, seed=3)
    found = decoded(model, prefilled(model, *texts), tokens, decoder_of(model))
    eager = decoded(model, prefilled(model, *texts), tokens, decoder_of(model, graphs=False))
    torch.testing.assert_close(found, eager, rtol=0, atol=tolerances.FLOAT32_LOGITS)
    on_cpu = language_model(folder)
    wanted = decoded(on_cpu, prefilled(on_cpu, *texts), tokens, by_modules(on_cpu))
    torch.testing.assert_close(found.cpu(), wanted, rtol=0, atol=10 * tolerances.FLOAT32_LOGITS)


@pytest.mark.gpu
def test_a_session_on_a_gpu_reads_sparsely_and_answers(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    config = EngineConfig(
        folder=tiny_checkpoint("qwen2", head_dim=64), readings=tmp_path, identity="tiny", chunk_size=4096,
        local_size=1024, limit=1 << 16, dtype="bfloat16", device="cuda", policy="block", chunk_tokens=2048,
    )  # fmt: skip
    session = Session(config)
    model, _, _ = session.load()
    model.crossover = 2048
    prompt = Prompt(segments=(Segment(name="text", ids=random_ids(9000)),))
    greedy = Sampling(temperature=0.0, repetition_penalty=1.0, max_tokens=12)
    first = session.generate(prompt, greedy, lambda _: None, Flag())
    again = session.generate(prompt, greedy, lambda _: None, Flag())
    assert first.ids == again.ids and again.reused == 8999
    assert session.read(prompt, lambda _: None, Flag()).provenance["policy"] == "dense, block"
