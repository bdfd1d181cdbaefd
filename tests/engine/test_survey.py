"""Readings from files alone, and which of them are given up first."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest

from engine.snapshots import Store
from engine.survey import USE_SECONDS, Reading, Survey, evict, note_use, victims
from tests.engine.test_snapshots import LAYOUT, data, ids, prompt


def keep(store: Store, parent: bytes, start: int, part: array[int], segment: str, used: float) -> tuple[Path, bytes]:
    path, key = store.write(
        parent, start, part, memoryview(data(len(part))), memoryview(b""), provenance={"segment": segment}
    )
    os.utime(path, (used, used))
    return path, key


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "identity", LAYOUT)


def shelf(store: Store) -> dict[str, list[Path]]:
    """An opening; A, with B behind it and a conversation behind both; C alone."""
    opening, key = keep(store, store.root_key, 0, ids(40, 1), "opening", 400)
    a1, middle = keep(store, key, 1024, ids(2048, 2), "document:1", 300)
    a2, end_of_a = keep(store, middle, 3072, ids(1024, 3), "document:1", 300)
    b, end_of_b = keep(store, end_of_a, 4096, ids(500, 4), "document:2", 300)
    turn, after = keep(store, end_of_b, 5120, ids(30, 5), "conversation:7", 100)
    answer, _ = keep(store, after, 5150, ids(20, 6), "conversation:7", 100)
    c, _ = keep(store, key, 1024, ids(1500, 7), "document:3", 200)
    return {"opening": [opening], "a": [a1, a2], "b": [b], "turn": [turn, answer], "c": [c]}


def named(readings: list[Reading]) -> list[str | None]:
    return [one.segment for one in readings]


def test_files_are_readings_behind_one_another(store: Store, tmp_path: Path) -> None:
    paths = shelf(store)
    # one that is not sound is left out
    (store.folder / "bad.kv").write_bytes(b"nothing")
    found = {str(one.segment): one for one in Survey(tmp_path).readings()}
    assert {name: len(one.files) for name, one in found.items()} == {
        "opening": 1, "document:1": 2, "document:2": 1, "conversation:7": 2, "document:3": 1
    }  # fmt: skip
    turn = found["conversation:7"]
    assert named(turn.behind()) == ["opening", "document:1", "document:2"]
    assert (turn.tokens, turn.used, turn.bytes) == (50, 100, sum(path.stat().st_size for path in paths["turn"]))


def test_a_document_that_fills_its_last_page_ends_all_the_same(store: Store, tmp_path: Path) -> None:
    """B begins where A ends; only the names tell them apart."""
    shelf(store)
    found = {str(one.segment): one for one in Survey(tmp_path).readings()}
    assert found["document:2"].files[0].header.start == found["document:1"].files[-1].end


def test_the_longest_unused_leaf_goes_first(store: Store, tmp_path: Path) -> None:
    paths = shelf(store)
    readings = Survey(tmp_path).readings()
    size = {name: sum(path.stat().st_size for path in found) for name, found in paths.items()}
    everything = named(victims(readings, 10**12, lambda _: False)[0])
    assert everything == ["conversation:7", "document:3", "document:2", "document:1", "opening"]
    chosen, freed = victims(readings, size["turn"] + 1, lambda _: False)
    assert named(chosen) == ["conversation:7", "document:3"] and freed == size["turn"] + size["c"]
    assert victims(readings, 0, lambda _: False) == ([], 0)


def test_what_is_protected_stays_with_all_that_it_stands_on(store: Store, tmp_path: Path) -> None:
    paths = shelf(store)
    survey = Survey(tmp_path)
    chosen, freed = victims(survey.readings(), 10**12, lambda one: one.segment == "document:2")
    assert named(chosen) == ["conversation:7", "document:3"]
    assert evict(chosen) == freed
    assert sorted(store.folder.glob("*.kv")) == sorted(paths["opening"] + paths["a"] + paths["b"])
    assert store.find(prompt(ids(40, 1), ids(2048, 2) + ids(1024, 3), ids(500, 4)))[1] == 3612
    assert named(survey.readings()) == ["opening", "document:1", "document:2"]


def test_a_use_is_noted_now_and_then(store: Store) -> None:
    opening = shelf(store)["opening"][0]
    note_use([opening, opening.with_name("gone.kv")], 400 + USE_SECONDS - 1)
    assert opening.stat().st_mtime == 400
    note_use([opening], 400 + USE_SECONDS)
    assert opening.stat().st_mtime == 400 + USE_SECONDS
