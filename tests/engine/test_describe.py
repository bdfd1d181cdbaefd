"""engine/describe.py: what a checkpoint is, told from config.json and the headers of its weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint import describe, resolve
from engine.describe import combine, count_parameters, rope
from engine.errors import CheckpointDamaged, CheckpointUnsupported
from engine.protocol import ModelInfo

Make = Callable[..., Path]


@pytest.fixture
def folder(tiny_checkpoint: Make, tmp_path: Path) -> Path:
    """A tiny Qwen2 that a test may change."""
    return shutil.copytree(tiny_checkpoint("qwen2"), tmp_path / "model")


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def told(folder: Path, **options: Any) -> ModelInfo:
    settings = {"dtype": "float32", "device": "cpu"} | options
    return describe(resolve(str(folder), cache=folder.parent / "cache"), **settings)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_the_facts_of_a_model(family: str, tiny_checkpoint: Make, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = tiny_checkpoint(family)
    facts = describe(resolve(str(folder), cache=tmp_path), dtype="bfloat16", device="cpu")
    assert facts.family == family and facts.folder == str(folder) and facts.small
    assert facts.parameters == AutoModelForCausalLM.from_pretrained(folder).num_parameters()
    assert facts.kv_bytes == 2 * 2 * 2 * 16 * 2  # k and v, layers, heads, numbers, bytes
    assert (facts.window, facts.limit) == (4096, 16_384)
    assert (facts.chunk_size, facts.local_size) == (4096, 1024)


@pytest.mark.parametrize(
    ("window", "local"),
    [
        (8_192, 1_024),
        (32_768, 4_096),
        (262_144, 32_768),
        (40_960, 5_120),
        (2_048, 1_024),
        (10_000, 1_808),
        (1_171, 147),
    ],
)
def test_chunks_are_whole_pages(window: int, local: int, folder: Path) -> None:
    change(folder, max_position_embeddings=window)
    facts = told(folder)
    assert (facts.chunk_size, facts.local_size, facts.limit) == (window, local, 4 * window)
    assert (facts.chunk_size - facts.local_size) % 1024 == 0


def test_a_window_below_a_page_needs_its_numbers_told(folder: Path) -> None:
    change(folder, max_position_embeddings=256)
    with pytest.raises(CheckpointUnsupported, match="256 tokens only"):
        told(folder)
    facts = told(folder, chunk_size=256, local_size=32, limit=9_999)
    assert (facts.chunk_size, facts.local_size, facts.limit, facts.window) == (256, 32, 9_999, 256)


@pytest.mark.parametrize(("chunk", "local"), [(4096, 0), (4096, 4096), (8192, 1024), (0, 0)])
def test_numbers_that_cannot_be_are_refused(chunk: int, local: int, folder: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match="do not fit"):
        told(folder, chunk_size=chunk, local_size=local)


def test_the_numbers_of_a_model_made_for_a_million(folder: Path) -> None:
    own = {"chunk_size": 262_144, "local_size": 8_192, "original_max_position_embeddings": 262_144}
    change(folder, max_position_embeddings=1_010_000, dual_chunk_attention_config=own)
    facts = told(folder)
    assert (facts.window, facts.limit) == (262_144, 1_010_000)
    assert (facts.chunk_size, facts.local_size) == (262_144, 8_192)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"model_type": "gemma3"}, "model type is gemma3"),
        ({"model_type": "qwen3_moe"}, "mixture of experts"),
        ({"num_local_experts": 8}, "mixture of experts"),
        ({"model_type": "deepseek_v3"}, "latent"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantized"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "1 of its layers"),
        ({"layer_types": None, "use_sliding_window": True, "max_window_layers": 1}, "sliding window"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "type dynamic"),
        ({"rope_parameters": None, "rope_scaling": {"type": "longrope"}}, "type longrope"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "part of each head"),
    ],
)
def test_what_the_engine_cannot_compute_is_refused(values: dict[str, Any], reason: str, folder: Path) -> None:
    change(folder, **values)
    with pytest.raises(CheckpointUnsupported, match=reason):
        told(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"layer_types": None, "use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 0},
        {"layer_types": None, "use_sliding_window": True, "max_window_layers": 2},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0}},
        {"num_experts": 0},
    ],
)
def test_what_only_looks_like_it_is_taken(values: dict[str, Any], folder: Path) -> None:
    change(folder, **values)
    assert told(folder).window == 4096


def test_rotary_settings_of_old_and_new_files_read_alike() -> None:
    new = {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}}
    old = {"rope_scaling": {"type": "llama3", "factor": 8.0}, "rope_theta": 5e5}
    assert {key: rope(old)[key] for key in rope(new)} == rope(new)
    assert rope({"rope_theta": 1e6}) == {"rope_type": "default", "rope_theta": 1e6}


def test_the_identity_follows_all_that_pages_depend_on(folder: Path, tiny_checkpoint: Make) -> None:
    first = told(folder)
    assert told(folder).identity == first.identity
    assert told(folder, device="cuda").identity == first.identity  # where it runs is provenance
    others = [told(folder, dtype="bfloat16"), told(folder, chunk_size=2048, local_size=1024)]
    others.append(told(tiny_checkpoint("qwen2", seed=1)))
    change(folder, rms_norm_eps=1e-5)
    others.append(told(folder))
    change(folder, rms_norm_eps=1e-6)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    others.append(told(folder))
    assert len({first.identity, *(other.identity for other in others)}) == 6
    change(folder, transformers_version="4.0", use_cache=False)
    assert told(folder).identity == others[-1].identity


def test_a_change_of_one_number_in_the_weights_is_seen(folder: Path) -> None:
    before = told(folder).identity
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert told(folder).identity != before


def test_weights_outside_the_cache_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine import fetch

    said: list[Path] = []
    real = fetch.sha256

    def counted(path: Path, report: Any = None) -> str:
        said.append(path)
        return real(path, report)

    monkeypatch.setattr(fetch, "sha256", counted)
    assert told(folder).identity == told(folder).identity
    assert said == [folder / "model.safetensors"]


def test_a_damaged_list_of_hashes_is_made_anew(folder: Path) -> None:
    first = told(folder).identity
    store = folder.parent / "cache" / "hashes.json"
    for text in ("", "[]", '{"a": 1}', json.dumps({str(folder / "model.safetensors"): 3})):
        store.write_text(text)
        assert told(folder).identity == first
    assert str(folder / "model.safetensors") in json.loads(store.read_text())


def test_shards_count_together(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    whole = count_parameters(folder)
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder.parent / "shards", max_shard_size="100KB")
    shards = folder.parent / "shards"
    shutil.copy(folder / "tokenizer.json", shards)
    assert len(list(shards.glob("*.safetensors"))) > 2 and count_parameters(shards) == whole
    assert told(shards).parameters == whole
    next(shards.glob("*.safetensors")).unlink()
    with pytest.raises(CheckpointDamaged, match="missing"):
        told(shards)


def test_an_index_that_points_elsewhere_is_damage(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "../../etc/passwd"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointDamaged, match="outside its folder"):
        count_parameters(folder)


def test_weights_cut_short_are_damage(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for keep in (len(data) - 1, 20, 4, 0):
        path.write_bytes(data[:keep])
        with pytest.raises(CheckpointDamaged, match=r"model\.safetensors"):
            told(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model_type": "qwen2"}'])
def test_a_damaged_config_is_told(text: str, folder: Path) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointDamaged, match=r"config\.json"):
        told(folder)


def test_an_unknown_dtype_is_a_mistake(folder: Path) -> None:
    with pytest.raises(ValueError, match="float8"):
        told(folder, dtype="float8")


def test_the_hash_of_weights_does_not_depend_on_other_files() -> None:
    assert combine({"a.safetensors": "1", "config.json": "2"}) == combine({"a.safetensors": "1"})
    assert combine({"a.safetensors": "1"}) != combine({"b.safetensors": "1"})


def test_the_embedded_models_are_what_the_design_says(smollm2: Path, default_model: Path) -> None:
    cache = smollm2.parent.parent
    small = describe(resolve("smollm2-135m", cache=cache), dtype="bfloat16", device="cpu")
    assert (small.window, small.limit, small.chunk_size, small.local_size) == (8192, 32_768, 8192, 1024)
    assert (small.kv_bytes, small.parameters, small.small) == (23_040, 134_515_008, True)
    default = describe(resolve("qwen2.5-coder-0.5b", cache=cache), dtype="bfloat16", device="cpu")
    assert (default.window, default.limit, default.chunk_size, default.local_size) == (32_768, 1_048_576, 32_768, 4096)
    assert (default.kv_bytes, default.parameters, default.small) == (12_288, 494_032_768, True)
