"""Policies through whole models: exact where everything is chosen, and never beyond what was chosen."""

from __future__ import annotations

import dataclasses
import json
import shutil
from array import array
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag

import pytest
import torch

from engine import budgets, sparsity
from engine.budgets import FILE, Budgets, read_budgets, write_budgets
from engine.config import EngineConfig
from engine.cost import Work
from engine.errors import OutOfMemory, SparsityConfigBad, UnknownPolicy
from engine.keptfile import read_header
from engine.kvcache import Arena
from engine.model import LanguageModel
from engine.pages import Pages, layout_of
from engine.prefill import Reading, read
from engine.protocol import Prompt, Segment
from engine.snapshots import Store
from engine.sparsity.policy import View
from tests import tolerances
from tests.engine.reference import random_ids

FAMILIES = ("llama", "qwen2", "qwen3")
POLICIES = ("block", "vertical_slash")
CHUNK_SIZE, LOCAL_SIZE = 1280, 256  # chunk_len 1024: long prompts cross several borders


def language_model(folder: Path, policy: str | None) -> LanguageModel:
    return LanguageModel(
        EngineConfig(
            folder=folder, readings=None, identity="test", chunk_size=CHUNK_SIZE, local_size=LOCAL_SIZE,
            limit=1 << 20, dtype="float32", device="cpu", policy=policy,
        )
    )  # fmt: skip


def prefilled(model: LanguageModel, *texts: array[int], store: Store | None = None, need_last: bool = True) -> Reading:
    prompt = Prompt(segments=tuple(Segment(name=str(i), ids=ids) for i, ids in enumerate(texts)))
    pages = Pages(model.shape, store)
    return read(
        model, pages, prompt, limit=1 << 20, chunk_tokens=1024, cancel=Flag(), emit=lambda _: None, need_last=need_last
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("policy", POLICIES)
def test_choosing_everything_is_dense_attention(tiny_checkpoint: Callable[..., Path], family: str, policy: str) -> None:
    """Over Dual Chunk Attention's borders, over the gap between two documents, and in a chunk that is not full."""
    folder = tiny_checkpoint(family)
    texts = random_ids(2061, seed=1), random_ids(2500, seed=2)
    dense = prefilled(language_model(folder, "dense"), *texts)
    model = language_model(folder, policy)
    assert model.policy is not None
    model.policy.budgets = Budgets.uniform(model.shape.layers, model.shape.kv_heads, 1 << 20)  # type: ignore[attr-defined]
    chosen = prefilled(model, *texts)
    assert dense.hidden is not None and chosen.hidden is not None and chosen.cache.arena is not None
    assert (
        model.logits(chosen.hidden[None]) - model.logits(dense.hidden[None])
    ).abs().max() < tolerances.FLOAT32_LOGITS
    measured = model.gauge.take()
    assert measured is None or measured.mean == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_small_budget_is_kept_and_told(tiny_checkpoint: Callable[..., Path], policy: str) -> None:
    model = language_model(tiny_checkpoint("llama"), policy)
    assert model.policy is not None
    model.policy.budgets = Budgets.uniform(model.shape.layers, model.shape.kv_heads, 64)  # type: ignore[attr-defined]
    seen: list[sparsity.Chosen] = []
    choose = model.policy.choose

    def watched(view: View) -> sparsity.Chosen:
        seen.append(choose(view))
        own = (view.start + torch.arange(view.query_blocks) * sparsity.QUERY_BLOCK) // sparsity.BLOCK
        for head in range(len(seen[-1].counts)):
            for number, count in enumerate(seen[-1].counts[head].tolist()):
                listed = seen[-1].blocks[head, number, :count]
                assert (listed.diff() > 0).all() and int(listed[-1]) == own[number] - 1 and int(listed[0]) == 0
        return seen[-1]

    model.policy.choose = watched  # type: ignore[method-assign]
    reading = prefilled(model, random_ids(5000))
    assert reading.finished and seen
    always = 64 // 16 + 256 // 16
    if policy == "block":
        assert max(int(chosen.counts.max()) for chosen in seen) == always + 4
    recall = model.gauge.take()
    assert recall is None or 0.0 < recall.low <= recall.mean < 1.0


@pytest.mark.parametrize("policy", POLICIES)
def test_stopped_and_gone_on_is_bit_for_bit_the_whole(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, policy: str
) -> None:
    model = language_model(tiny_checkpoint("qwen2"), policy)
    ids = random_ids(5000)
    whole = prefilled(model, ids)

    store = Store(tmp_path, "test", layout_of(model.shape))
    prefilled(model, ids[:3072], store=store, need_last=False)
    resumed = prefilled(model, ids, store=Store(tmp_path, "test", layout_of(model.shape)))
    assert resumed.reused == 3072 and resumed.hidden is not None and whole.hidden is not None
    assert torch.equal(resumed.hidden, whole.hidden)
    headers = [read_header(path).provenance for path in store.folder.glob("*.kv")]
    assert {header["policy"] for header in headers} == {"dense", policy}  # type: ignore[index]
    assert any("recall" in header for header in headers)  # type: ignore[operator]


def one_key_that_matters() -> tuple[View, int]:
    """128 rows after 2,048 keys, and the block that they ask for."""
    generator = torch.Generator().manual_seed(1)
    rows, start, dim = 128, 2048, 16
    key = torch.randn((1, start + rows, dim), generator=generator) * 0.1
    wanted = torch.nn.functional.normalize(torch.randn(dim, generator=generator), dim=0)
    key[0, 777] += 4 * wanted
    # the other keys of its block point elsewhere, so that their mean says nothing of it
    key[0, 768:784] -= 4 * wanted / 16
    view = View(
        layer=0,
        queries=(8 * wanted).expand(1, 1, 2, rows, dim).contiguous(),
        key=key,
        means=key.view(1, -1, 16, dim).mean(2),
        start=start,
        borders=[0],
        scale=0.25,
    )
    return view, 777 // 16


def test_one_key_that_matters_is_found_among_many_that_do_not() -> None:
    view, wanted = one_key_that_matters()
    one = Budgets(((16,),))
    found = [
        wanted in sparsity.BlockPolicy(one, by_means=by_means).choose(view).blocks[0, 0] for by_means in (False, True)
    ]
    assert found == [True, False]


@pytest.mark.parametrize(("border", "many", "found"), [(2049, 128, True), (2048, 129, True), (2048, 128, False)])
def test_farther_on_fewer_rows_of_long_chunks_look(
    monkeypatch: pytest.MonkeyPatch, border: int, many: int, found: bool
) -> None:
    view, wanted = one_key_that_matters()
    # of every eighth row the first, of every sixteenth none
    asking = torch.arange(128) == 4
    view = dataclasses.replace(view, queries=view.queries * asking[:, None])
    monkeypatch.setattr("engine.sparsity.block.FAR_ROWS", many)
    monkeypatch.setattr(budgets, "STRIDES", ((border, 16), (0, 8)))
    assert (wanted in sparsity.BlockPolicy(Budgets(((16,),))).choose(view).blocks[0, 0]) == found


def test_a_short_text_is_read_densely(tiny_checkpoint: Callable[..., Path]) -> None:
    model = language_model(tiny_checkpoint("llama"), "block")
    assert prefilled(model, random_ids(sparsity.CROSSOVER)).cache.arena is None
    assert not model.reads_sparsely(sparsity.CROSSOVER, sparsity.LEAST_ROWS - 1)
    assert not model.reads_sparsely(sparsity.CROSSOVER + 3, 1024)
    assert model.reads_sparsely(sparsity.CROSSOVER, sparsity.LEAST_ROWS)


def test_an_unknown_policy_is_refused_before_any_work(tiny_checkpoint: Callable[..., Path]) -> None:
    with pytest.raises(UnknownPolicy, match="dense, block, vertical_slash"):
        language_model(tiny_checkpoint("llama"), "guess")


def test_what_does_not_fit_is_refused_before_the_weights_are_loaded(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("the weights were asked for")

    monkeypatch.setattr("engine.model.AutoModelForCausalLM.from_pretrained", loaded)
    with pytest.raises(UnknownPolicy):
        language_model(tiny_checkpoint("llama"), "guess")
    folder = Path(shutil.copytree(tiny_checkpoint("llama"), tmp_path / "model"))
    write_budgets(folder, [[128, 128]] * 7, [[128, 128]] * 7, group=2, scores=[[0.0, 0.0]] * 7)
    with pytest.raises(SparsityConfigBad, match="it has 7 layers, the model 2"):
        language_model(folder, "block")


def test_no_room_for_an_arena_is_told_as_such(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = language_model(tiny_checkpoint("llama"), "block")

    def refuses(*_: object) -> Arena:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr("engine.placing.Arena", refuses)
    with pytest.raises(OutOfMemory, match="What was read so far is kept"):
        prefilled(model, random_ids(4000))


def test_a_model_that_was_not_measured_is_read_densely(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint("llama"), tmp_path / "model"))
    model = language_model(folder, None)
    assert model.policy is None
    shape, heads = model.shape, model.heads
    table = [[128] * shape.kv_heads] * shape.layers
    write_budgets(folder, table, table, group=heads // shape.kv_heads, scores=table)
    measured = language_model(folder, None).policy
    assert measured is not None and measured.name == "block"


def test_the_time_left_counts_chosen_keys(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a chunk is expected to cost is what its chosen keys cost: a quarter of dense attention here, or less."""
    model = language_model(tiny_checkpoint("llama"), "block")
    assert model.policy is not None
    model.policy.budgets = Budgets.uniform(model.shape.layers, model.shape.kv_heads, 64)  # type: ignore[attr-defined]
    asked: list[Work] = []
    work = model.work
    monkeypatch.setattr("engine.prefill.BAR", 0.0)
    model.work = lambda *args: asked.append(work(*args)) or asked[-1]  # type: ignore[method-assign, func-returns-value]
    prefilled(model, random_ids(6000))
    assert [one.before for one in asked[:6]] == list(range(0, 6000, 1024))
    far = [one for one in asked if one.before >= sparsity.CROSSOVER and one.tokens == 1024]
    assert far and all(one.attention < work(one.before, 1024, "dense").attention / 4 for one in far)


def test_budgets_grow_with_the_text() -> None:
    budgets = Budgets(((100, 4000),))
    assert [budgets.keys(0, 1, context) for context in (10, 16384, 65536)] == [4000, 4000, 8000]
    assert budgets.mean(1000) == (100 + 1000) / 2
    bound = Budgets(((100, 4000),), most=6000)
    assert [bound.keys(0, 1, context) for context in (10, 65536)] == [4000, 6000]
    assert bound.widened(2).keys(0, 1, 65536) == 12000


def test_budgets_beside_a_checkpoint_are_read_as_written(tmp_path: Path) -> None:
    write_budgets(tmp_path, [[16, 2048], [512, 128]], [[0, 0], [0, 0]], group=2, scores=[[0.5, 0.25], [0, 1]])
    assert read_budgets(tmp_path, layers=2, heads=4, kv_heads=2) == Budgets(((16, 2048), (512, 128)))


def test_the_format_of_qwen_1m_is_understood(tmp_path: Path) -> None:
    layer = {str(head): ["vertical_and_slash", 1000, 6096 + head, 0.9] for head in range(4)}
    (tmp_path / FILE).write_text(json.dumps([layer]))
    assert read_budgets(tmp_path, layers=1, heads=4, kv_heads=2) == Budgets(((7097, 7099),))


@pytest.mark.parametrize(
    ("name", "layers", "heads", "kv_heads"), [("smollm2-135m", 30, 9, 3), ("qwen2.5-coder-0.5b", 24, 14, 2)]
)
def test_the_models_lectern_comes_with_have_measured_budgets(
    tmp_path: Path, name: str, layers: int, heads: int, kv_heads: int
) -> None:
    budgets = read_budgets(tmp_path / name, layers=layers, heads=heads, kv_heads=kv_heads)
    assert budgets is not None and budgets != Budgets.uniform(layers, kv_heads)
    assert all(keys >= 128 for row in budgets.table for keys in row)


GOOD = {str(head): ["block", 64, 0, 0.5] for head in range(2)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("{}", "layers"),
        (json.dumps([GOOD]), "it has 1 layers, the model 2"),
        (json.dumps([GOOD, {"0": ["block", 64, 0, 0.5]}]), "layer 1 does not list heads 0 to 1"),
        (json.dumps([GOOD, GOOD | {"1": ["block", 0, 0, 0.5]}]), "head 1 of layer 1 has a budget of 0 keys"),
        (json.dumps([GOOD, GOOD | {"1": ["triangle", 64, 0, 0.5]}]), "head 1 of layer 1 is"),
        (json.dumps([GOOD, GOOD | {"1": ["block", -4, 0, 0.5]}]), "head 1 of layer 1 is"),
    ],
)
def test_budgets_of_another_model_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(SparsityConfigBad, match=reason):
        read_budgets(tmp_path, layers=2, heads=2, kv_heads=2)


def test_an_arena_knows_its_means_and_holes(tiny_checkpoint: Callable[..., Path]) -> None:
    shape = dataclasses.replace(language_model(tiny_checkpoint("llama"), "block").shape)
    arena = Arena(shape, 3000, 16)
    extents = []
    for start, length in ((0, 1003), (1024, 40), (2048, 900)):
        extent = shape.allocate(start, length, length)
        extent.data.normal_()
        extents.append(arena.put(extent))
        assert arena.holds(extents[-1]) and not arena.holds(extent)
        assert torch.equal(extents[-1].data, extent.data)
    empty, partial = arena.holes(extents)
    assert partial == {62: 11, 66: 8}
    assert empty == [63, *range(67, 128)]
    for block in (0, 17, 64, 128):
        mean = arena.data[:, 0, :, block * 16 : block * 16 + 16].mean(2)
        assert torch.allclose(arena.means[:, :, block], mean, atol=1e-6)
    assert torch.allclose(arena.means[:, :, 62], arena.data[:, 0, :, 992:1003].mean(2), atol=1e-6)
