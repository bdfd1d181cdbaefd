"""Dual Chunk Attention through whole models, against an explicit relative-position reference."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag

import pytest
import torch

from engine.config import EngineConfig, Temperature
from engine.model import LanguageModel
from engine.pages import Pages
from engine.prefill import Reading, read
from engine.protocol import Prompt, Segment
from engine.sparsity import Budgets
from tests import tolerances
from tests.engine.reference import random_ids, reference_logits

FAMILIES = ("llama", "qwen2", "qwen3")
CHUNK_SIZE, LOCAL_SIZE = 32, 8  # chunk_len 24


def language_model(
    folder: Path, chunk_size: int = CHUNK_SIZE, local_size: int = LOCAL_SIZE, temperature: Temperature = "none"
) -> LanguageModel:
    return LanguageModel(
        EngineConfig(
            folder=folder,
            readings=None,
            identity="test",
            chunk_size=chunk_size,
            local_size=local_size,
            limit=1 << 20,
            dtype="float32",
            device="cpu",
            temperature=temperature,
        )
    )


def prefilled(model: LanguageModel, *segments: array[int], chunk_tokens: int) -> Reading:
    prompt = Prompt(segments=tuple(Segment(name=str(i), ids=ids) for i, ids in enumerate(segments)))
    return read(
        model,
        Pages(model.shape, None),
        prompt,
        limit=1 << 20,
        chunk_tokens=chunk_tokens,
        cancel=Flag(),
        emit=lambda _: None,
        need_last=True,
    )


def all_logits(model: LanguageModel, ids: array[int], prompt: int, chunk_tokens: int) -> torch.Tensor:
    """Logits after token prompt - 1 and after each one behind it, fed one by one: [len - prompt + 1, vocabulary]."""
    from engine.decode import grow_tail

    reading = prefilled(model, ids[:prompt], chunk_tokens=chunk_tokens)
    assert reading.hidden is not None
    rows = [model.logits(reading.hidden[None])[0]]
    tails: list = []
    for token in ids[prompt:]:
        grow_tail(model, reading.cache, tails)
        rows.append(model.step(token, reading.cache))
    return torch.stack(rows)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("prompt", "total"),
    [(10, 20), (24, 25), (20, 60), (47, 75), (200, 260)],
    ids=["inside", "at the border", "across", "two borders", "far beyond"],
)
def test_prefill_and_decode_agree_with_the_explicit_reference(
    tiny_checkpoint: Callable[..., Path], family: str, prompt: int, total: int
) -> None:
    folder = tiny_checkpoint(family)
    ids = random_ids(total)
    expected = reference_logits(folder, ids, range(total), chunk_size=CHUNK_SIZE, local_size=LOCAL_SIZE)[prompt - 1 :]
    got = all_logits(language_model(folder), ids, prompt, chunk_tokens=7)
    torch.testing.assert_close(got, expected, atol=tolerances.FLOAT32_LOGITS, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk_tokens", [1, 5, 24, 1000])
def test_the_size_of_chunks_does_not_matter(
    tiny_checkpoint: Callable[..., Path], family: str, chunk_tokens: int
) -> None:
    folder = tiny_checkpoint(family)
    ids = random_ids(83)
    expected = reference_logits(folder, ids, range(83), chunk_size=CHUNK_SIZE, local_size=LOCAL_SIZE)[-1]
    model = language_model(folder)
    reading = prefilled(model, ids, chunk_tokens=chunk_tokens)
    assert reading.hidden is not None
    torch.testing.assert_close(model.logits(reading.hidden[None])[0], expected, atol=tolerances.FLOAT32_LOGITS, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_segments_start_on_pages_and_the_positions_skipped_do_not_exist(
    tiny_checkpoint: Callable[..., Path], family: str
) -> None:
    folder = tiny_checkpoint(family)
    first, second, third = random_ids(30, seed=1), random_ids(1030, seed=2), random_ids(50, seed=3)
    positions = [*range(30), *range(1024, 2054), *range(3072, 3122)]
    expected = reference_logits(folder, first + second + third, positions, chunk_size=640, local_size=128)[-1]
    model = language_model(folder, 640, 128)
    reading = prefilled(model, first, second, third, chunk_tokens=256)
    assert reading.hidden is not None and reading.cache.end == 3122 and reading.cache.tokens == 1110
    torch.testing.assert_close(model.logits(reading.hidden[None])[0], expected, atol=tolerances.FLOAT32_LOGITS, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_inside_the_window_it_is_transformers_own_attention(tiny_checkpoint: Callable[..., Path], family: str) -> None:
    """Up to chunk_size, beyond chunk_len: distances are all true there."""
    from transformers import AutoModelForCausalLM

    folder = tiny_checkpoint(family)
    ids = random_ids(60)
    own = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    with torch.inference_mode():
        expected = own(input_ids=torch.tensor(list(ids))[None]).logits[0]
    got = all_logits(language_model(folder, 64, 16), ids, 40, chunk_tokens=13)
    torch.testing.assert_close(got, expected[39:], atol=tolerances.FLOAT32_LOGITS, rtol=0)


def test_beyond_the_window_it_differs_from_plain_rope(tiny_checkpoint: Callable[..., Path]) -> None:
    """That the reference and the engine agree because neither does anything must be ruled out."""
    folder = tiny_checkpoint("qwen2")
    ids = random_ids(200)
    plain = reference_logits(folder, ids, range(200), chunk_size=1 << 20, local_size=1 << 10)[-1]
    reading = prefilled(model := language_model(folder), ids, chunk_tokens=64)
    assert reading.hidden is not None
    assert (model.logits(reading.hidden[None])[0] - plain).abs().max() > 100 * tolerances.FLOAT32_LOGITS


@pytest.mark.parametrize("family", FAMILIES)
def test_the_temperature_is_the_definitions(tiny_checkpoint: Callable[..., Path], family: str) -> None:
    """Prefill and decode, across the trained window's end; and without it the result is another."""
    folder = tiny_checkpoint(family)
    ids = random_ids(150)
    shape = {"chunk_size": CHUNK_SIZE, "local_size": LOCAL_SIZE}
    expected = reference_logits(folder, ids, range(150), **shape, yarn=True)[24:]
    got = all_logits(language_model(folder, temperature="yarn"), ids, 25, chunk_tokens=7)
    torch.testing.assert_close(got, expected, atol=tolerances.FLOAT32_LOGITS, rtol=0)
    plain = all_logits(language_model(folder), ids, 25, chunk_tokens=7)
    torch.testing.assert_close(plain[:7], expected[:7], atol=tolerances.FLOAT32_LOGITS, rtol=0)
    assert (plain[-1] - expected[-1]).abs().max() > 20 * tolerances.FLOAT32_LOGITS


def test_the_temperature_holds_where_keys_are_chosen(tiny_checkpoint: Callable[..., Path]) -> None:
    """With budgets for everything, chunks that choose their keys give the dense result."""
    folder = tiny_checkpoint("qwen2")
    ids = random_ids(4200)
    found = []
    for policy in ("dense", "block"):
        config = EngineConfig(
            folder=folder, readings=None, identity="test", chunk_size=2560, local_size=512, limit=1 << 20,
            dtype="float32", device="cpu", policy=policy, temperature="yarn",
        )  # fmt: skip
        model = LanguageModel(config)
        if model.policy is not None:
            model.policy.budgets = Budgets.uniform(model.shape.layers, model.shape.kv_heads, 8192)
        reading = prefilled(model, ids, chunk_tokens=1024)
        assert reading.hidden is not None and (policy == "dense") == (reading.cache.arena is None)
        found.append(model.logits(reading.hidden[None])[0])
    torch.testing.assert_close(found[0], found[1], atol=tolerances.FLOAT32_LOGITS, rtol=0)
