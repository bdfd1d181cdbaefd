"""Plans of chunks: cut, changed, kept, followed; and a reading that was interrupted after each kind of change."""

from __future__ import annotations

import errno
import json
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import torch

from engine import chunkplan, prefill
from engine.budgets import Budgets
from engine.chunkplan import DENSE, ChunkPlan, PlannedChunk, chunk_length, even_chunks, load, timed_chunks
from engine.config import EngineConfig
from engine.errors import OutOfMemory, StorageFull
from engine.keptfile import read_header
from engine.positions import DualChunk
from engine.protocol import Done, Prompt, Segment
from engine.session import Session
from engine.sparsity.recall import Recall, RecallGauge
from tests.engine.reference import random_ids

BORDERS = DualChunk(chunk_size=12288, local_size=2048)  # borders at 10,240, 20,480 …
OPENING, BOOK = random_ids(20, seed=1), random_ids(6500, seed=2)


def prompt(*parts: array[int]) -> Prompt:
    return Prompt(segments=tuple(Segment(name=str(index), ids=part) for index, part in enumerate(parts)))


WHOLE = prompt(OPENING, BOOK)


@pytest.fixture
def make(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[..., Session]:
    def session(name: str = "readings", **changes: Any) -> Session:
        values: dict[str, Any] = {
            "folder": tiny_checkpoint("qwen2"), "readings": tmp_path / name, "identity": "tiny", "chunk_size": 4096,
            "local_size": 1024, "limit": 16384, "dtype": "float32", "device": "cpu", "chunk_tokens": 1024, "threads": 1,
        }  # fmt: skip
        return Session(EngineConfig(**(values | changes)))

    return session


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(session: Session) -> Done:
    return session.read(WHOLE, lambda _: None, Flag())


def interrupted(session: Session, after: int) -> None:
    """Stop as if killed after ``after`` chunks were kept."""
    _, pages, _ = session.load()
    keep, count = pages.keep, 0

    def counted(*args: Any, **given: Any) -> Any:
        nonlocal count
        if count == after:
            raise KeyboardInterrupt
        count += 1
        return keep(*args, **given)

    pages.keep = counted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        read(session)


def test_chunks_end_at_pages_and_borders() -> None:
    assert chunk_length(0, 99, BORDERS, 2048) == 99
    assert chunk_length(100, 9000, BORDERS, 2048) == 1948
    assert chunk_length(9216, 9000, BORDERS, 2048) == 1024
    found = even_chunks(1024, 25000, BORDERS, 4096)
    assert [chunk.tokens for chunk in found] == [4096, 4096, 1024, 4096, 4096, 2048, 4096, 424]
    assert found[-1].end == 25000


def test_timed_chunks_take_equal_time() -> None:
    wide = DualChunk(chunk_size=1 << 21, local_size=1 << 20)

    def seconds(start: int, tokens: int) -> float:
        return 0.01 + 1e-5 * tokens + 1e-10 * (2 * start * tokens + tokens**2)

    target = seconds(0, 32768)
    found = timed_chunks(0, 500_000, wide, 32768, seconds, target=target, least=2048)
    assert found[0].tokens == 32768 and found[-1].end == 500_000
    for chunk in found[:-1]:
        assert chunk.tokens % 1024 == 0 and seconds(chunk.start, chunk.tokens) <= target
        assert seconds(chunk.start, chunk.tokens + 1024) > target
    assert [chunk.tokens for chunk in found[:-1]] == sorted((c.tokens for c in found[:-1]), reverse=True)
    least = timed_chunks(390 * 1024, 500_000, wide, 32768, seconds, target=0.0, least=2048)
    assert {chunk.tokens for chunk in least[:-1]} == {2048}


def plan(path: Path | None = None) -> ChunkPlan:
    budgets = Budgets(((128, 256), (512, 1024)), most=4096)
    return ChunkPlan(even_chunks(1024, 9000, BORDERS, 2048), policy="block", budgets=budgets, parent=b"p", path=path)


def test_a_plan_knows_what_is_left() -> None:
    made = plan()
    assert made.at(1024) == PlannedChunk(1024, 2048) and made.at(2000) == PlannedChunk(2000, 1072)
    assert [chunk.start for chunk in made.left(4000)] == [4000, 5120, 7168]
    assert made.left(9000) == []
    with pytest.raises(ValueError, match="outside"):
        made.at(9000)


def test_a_wider_budget_stays_and_all_keys_do_not() -> None:
    made = plan()
    made.widen(3072, 2)
    assert [chunk.widen for chunk in made.chunks] == [1, 2, 2, 2]
    made.widen(5120, DENSE)
    assert [chunk.widen for chunk in made.chunks] == [1, 2, DENSE, 4]
    made.widen(3072, 4)
    assert [chunk.widen for chunk in made.chunks] == [1, 4, DENSE, 4]


def test_smaller_chunks_keep_how_widely_they_look() -> None:
    made = plan()
    made.widen(5120, DENSE)
    made.recut(4096, lambda start, end: even_chunks(start, end, BORDERS, 1024))
    assert [(chunk.start, chunk.tokens, chunk.widen) for chunk in made.chunks] == [
        (1024, 2048, 1), (3072, 1024, 1), (4096, 1024, 1), (5120, 1024, 0), (6144, 1024, 0), (7168, 1024, 4),
        (8192, 808, 4),
    ]  # fmt: skip
    assert made.end == 9000


def test_a_plan_is_kept_as_it_is(tmp_path: Path) -> None:
    made = plan(tmp_path / "folder" / "one.plan")
    made.widen(3072, 2)
    assert made.path is not None
    found = load(made.path)
    assert found is not None and found.chunks == made.chunks and found.budgets == made.budgets
    assert (found.policy, found.parent, found.start) == ("block", b"p", 1024)
    assert load(tmp_path / "none.plan") is None


@pytest.mark.parametrize("damage", ["cut", "bit", "json"])
def test_a_damaged_plan_is_no_plan(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "one.plan"
    plan(path).save()
    whole = path.read_bytes()
    bad = {"cut": whole[:-9], "bit": whole.replace(b"2048", b"4096", 1), "json": json.dumps([1]).encode()}[damage]
    path.write_bytes(bad)
    assert load(path) is None


def test_no_room_for_a_plan_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        plan(tmp_path / "one.plan").save()
    assert not list(tmp_path.iterdir())


def test_plans_of_which_nothing_is_kept_are_swept(make: Callable[..., Session], tmp_path: Path) -> None:
    read(make())
    plans = list(tmp_path.rglob("*.plan"))
    assert len(plans) == 1
    make().load()
    assert list(tmp_path.rglob("*.plan")) == plans
    for path in tmp_path.rglob("*.kv"):
        if read_header(path).start:
            path.unlink()
    make().load()
    assert not list(tmp_path.rglob("*.plan"))


def low_recall(monkeypatch: pytest.MonkeyPatch, bar: float) -> None:
    monkeypatch.setattr(prefill, "BAR", bar)


def sparse(session: Session, keys: int = 64) -> Session:
    model, _, _ = session.load()
    assert model.policy is not None
    model.policy.budgets = Budgets.uniform(model.shape.layers, model.shape.kv_heads, keys)
    return session


@pytest.mark.parametrize("bar", [0.12, 0.3, 1.1])
def test_a_low_recall_widens_and_a_resumed_reading_ends_bit_for_bit(
    make: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bar: float
) -> None:
    low_recall(monkeypatch, bar)
    done = read(sparse(make("whole", policy="block")))
    for after in (2, 4):
        name = f"cut {after}"
        interrupted(sparse(make(name, policy="block")), after)
        read(sparse(make(name, policy="block")))
        assert kept(tmp_path / name) == kept(tmp_path / "whole")
    [path] = (tmp_path / "whole").rglob("*.plan")
    made = load(path)
    assert made is not None
    widens = [chunk.widen for chunk in made.chunks]
    said = [read_header(path).provenance for path in (tmp_path / "whole").rglob("*.kv")]
    if bar > 1:
        # no recall reaches it: every chunk that would choose reads everything instead
        assert widens[2:-1] == [DENSE] * (len(widens) - 3)
        assert all(one["policy"] == "dense" for one in said) and "recall" not in done.provenance
        assert done.provenance["widened"] == str(sum(chunk.tokens for chunk in made.chunks if chunk.widen == DENSE))
    else:
        recalls = [float(one["recall"]) for one in said if "recall" in one]
        assert recalls and min(recalls) >= bar
        assert float(done.provenance["recall"]) == pytest.approx(sum(recalls) / len(recalls), abs=0.1)
    if bar == 0.3:
        assert set(widens) != {1} and any(one.get("widened") in ("2", "4") for one in said)


def test_a_chunk_that_is_read_again_after_damage_follows_its_plan(
    make: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low_recall(monkeypatch, 0.3)
    read(sparse(make(policy="block")))
    before = kept(tmp_path / "readings")
    headers = {path: read_header(path) for path in (tmp_path / "readings").rglob("*.kv")}
    gauged = [path for path, header in headers.items() if "recall" in header.provenance]
    max(gauged, key=lambda path: headers[path].start).unlink()
    looked: list[Recall] = []
    take = RecallGauge.take

    def watched(gauge: RecallGauge) -> Recall | None:
        found = take(gauge)
        looked.extend([] if found is None else [found])
        return found

    monkeypatch.setattr(RecallGauge, "take", watched)
    done = read(sparse(make(policy="block")))
    assert done.prefilled == 1024 and len(looked) == 1
    assert kept(tmp_path / "readings") == before


def test_a_reading_goes_on_with_the_budgets_it_began_with(make: Callable[..., Session], tmp_path: Path) -> None:
    """Better budgets may come with a newer version: half of a book is not read by others."""
    read(sparse(make("whole", policy="block"), 128))
    interrupted(sparse(make("cut", policy="block"), 128), 4)
    read(sparse(make("cut", policy="block"), 256))
    assert kept(tmp_path / "cut") == kept(tmp_path / "whole")
    interrupted(sparse(make("other", policy="block"), 128), 4)
    # a policy that was asked for by name is a wish
    read(make("other", policy="dense"))
    last = [read_header(path) for path in (tmp_path / "other").rglob("*.kv")]
    assert {header.provenance["policy"] for header in last if header.start >= 5120} == {"dense"}


def test_out_of_memory_shortens_the_chunks_of_the_plan(
    make: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(session: Session, most: int) -> Session:
        model, _, _ = session.load()
        hidden = model.hidden

        def limited(ids: array[int], *args: Any, **given: Any) -> torch.Tensor:
            if len(ids) > most:
                # as PyTorch's CPU allocator says it
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 512 bytes.")
            return hidden(ids, *args, **given)

        monkeypatch.setattr(model, "hidden", limited)
        return session

    read(short(make("whole", chunk_tokens=4096), 2048))
    [path] = (tmp_path / "whole").rglob("*.plan")
    made = load(path)
    assert made is not None and [chunk.tokens for chunk in made.chunks] == [2048, 1024, 1024, 1024, 1024, 356]
    # an interrupted one that has the memory after all still follows the plan
    interrupted(short(make("cut", chunk_tokens=4096), 2048), 2)
    read(make("cut", chunk_tokens=4096))
    assert kept(tmp_path / "cut") == kept(tmp_path / "whole")
    # and where a page is too much, that is told with figures, and what was read stays
    short(make("none", chunk_tokens=4096), 2048)
    session = make("none", chunk_tokens=4096)
    with pytest.raises(OutOfMemory, match=r"512 bytes|GB are free, even for 1,024 tokens") as caught:
        read(short(session, 1000))
    assert caught.value.needed == 512 and caught.value.chunk == 1024
    assert [read_header(path).tokens for path in (tmp_path / "none").rglob("*.kv")] == [20]


def test_timed_chunks_are_written_down_and_followed(
    make: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefill, "LEAST_TIMED", 1024)
    monkeypatch.setattr(prefill, "FITTED_CHUNKS", 2)
    whole = prompt(OPENING, random_ids(15000, seed=5))
    session = make("whole", chunk_tokens=2048, chunking="equal time", chunk_size=1 << 16, local_size=1 << 15)
    # chunks that take longer and longer, by the clock that the reading looks at
    clock = iter(range(1, 1 << 20))
    monkeypatch.setattr(prefill.time, "perf_counter", lambda: float(next(clock)) ** 2)
    session.read(whole, lambda _: None, Flag())
    monkeypatch.undo()
    [path] = (tmp_path / "whole").rglob("*.plan")
    made = load(path)
    assert made is not None and made.timed and made.end == 1024 + 15000
    lengths = [chunk.tokens for chunk in made.chunks]
    assert sum(lengths) == 15000 and lengths[0] == 2048 and min(lengths[:-1]) >= 1024 and 1024 in lengths
    (tmp_path / "cut" / path.parent.name).mkdir(parents=True)
    for one in [path, *path.parent.glob("*.kv")]:
        if one == path or read_header(one).start < 6000:
            (tmp_path / "cut" / path.parent.name / one.name).write_bytes(one.read_bytes())
    session = make("cut", chunk_tokens=2048, chunking="equal time", chunk_size=1 << 16, local_size=1 << 15)
    session.read(whole, lambda _: None, Flag())
    assert kept(tmp_path / "cut") == kept(tmp_path / "whole")


def test_a_shorter_book_that_begins_alike_has_its_own_plan(make: Callable[..., Session], tmp_path: Path) -> None:
    session = make()
    read(session)
    session.read(prompt(OPENING, BOOK[:5000]), lambda _: None, Flag())
    assert len(list(tmp_path.rglob(f"*{chunkplan.SUFFIX}"))) == 2
