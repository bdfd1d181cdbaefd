from __future__ import annotations

import errno
import os
import random
import shutil
from array import array
from pathlib import Path

import pytest

from engine.errors import ReadingsFull, StorageFull
from engine.keptfile import ALIGNMENT, Damaged, Layout, Mapped, check_file, read_header
from engine.protocol import Prompt, Segment
from engine.snapshots import Store, piece_lengths, taken_bytes

LAYOUT = Layout(layers=2, kv_heads=2, dim=4, dtype="float32", itemsize=4)


def ids(count: int, seed: int) -> array[int]:
    generator = random.Random(seed)
    return array("i", [generator.randrange(1000) for _ in range(count)])


def prompt(*segments: array[int]) -> Prompt:
    return Prompt(segments=tuple(Segment(name=str(index), ids=part) for index, part in enumerate(segments)))


def data(tokens: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(tokens * LAYOUT.token_bytes)


def keep(store: Store, parent: bytes, start: int, part: array[int]) -> tuple[Path, bytes]:
    return store.write(
        parent, start, part, memoryview(data(len(part))), memoryview(b""), provenance={"written_by": "test"}
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "identity", LAYOUT)


def test_piece_lengths_cut_at_page_borders() -> None:
    assert list(piece_lengths(0, 2500)) == [1024, 1024, 452]
    assert list(piece_lengths(1000, 100)) == [24, 76]
    assert list(piece_lengths(2048, 1024)) == [1024]
    assert list(piece_lengths(5, 0)) == []


def test_what_was_written_is_found_by_another_process(store: Store, tmp_path: Path) -> None:
    opening, book = ids(40, 1), ids(2500, 2)
    _, key = keep(store, store.root_key, 0, opening)
    first, key = keep(store, key, 1024, book[:2048])
    second, key = keep(store, key, 3072, book[2048:])
    fresh = Store(tmp_path, "identity", LAYOUT)
    runs, found, found_key = fresh.find(prompt(opening, book, ids(10, 3)))
    assert (found, found_key) == (2540, key)
    assert [(run.path, run.start, run.offset, run.tokens) for run in runs[1:]] == [
        (first, 1024, 0, 2048),
        (second, 3072, 0, 452),
    ]
    mapped = Mapped(first)
    offset = mapped.header.data_offset
    assert offset % ALIGNMENT == 0 and mapped.buffer[offset:] == data(2048)


def test_a_text_is_found_whatever_chunks_it_was_read_in(store: Store) -> None:
    """A prompt that leaves the kept one in the middle of a file uses the pages before."""
    opening, book = ids(40, 1), ids(4096, 2)
    _, key = keep(store, store.root_key, 0, opening)
    keep(store, key, 1024, book)
    other = array("i", book)
    other[3000] += 1
    runs, found, _ = store.find(prompt(opening, other))
    assert found == 40 + 2048 and [run.tokens for run in runs] == [40, 2048]


@pytest.mark.parametrize(
    ("opening", "book"),
    [(ids(40, 9), ids(1024, 2)), (ids(39, 1), ids(1024, 2))],
    ids=["another opening", "a shorter opening"],
)
def test_a_book_after_another_opening_is_not_the_same(store: Store, opening: array[int], book: array[int]) -> None:
    _, key = keep(store, store.root_key, 0, ids(40, 1))
    keep(store, key, 1024, ids(1024, 2))
    assert store.find(prompt(opening, book))[1] == 0


def test_a_turn_goes_on_in_the_middle_of_a_page(store: Store) -> None:
    opening, turn, answer, second = ids(40, 1), ids(30, 2), ids(1200, 3), ids(20, 4)
    _, key = keep(store, store.root_key, 0, opening)
    _, key = keep(store, key, 1024, turn)
    _, key = keep(store, key, 1054, answer)
    runs, found, found_key = store.find(prompt(opening, turn + answer + second))
    assert (found, found_key) == (1270, key)
    assert [run.tokens for run in runs] == [40, 30, 1200]


def test_the_longest_kept_piece_is_used(store: Store) -> None:
    opening = ids(500, 1)
    keep(store, store.root_key, 0, opening[:100])
    keep(store, store.root_key, 0, opening)
    keep(store, store.root_key, 0, opening[:300])
    assert store.find(prompt(opening))[1] == 500


def test_two_plans_that_end_alike_do_not_overwrite_each_other(store: Store) -> None:
    book = ids(2048, 2)
    _, middle = keep(store, store.root_key, 0, book[:1024])
    whole, end = keep(store, store.root_key, 0, book)
    tail, same_end = keep(store, middle, 1024, book[1024:])
    assert end == same_end and whole != tail
    assert read_header(whole).tokens == 2048


def test_another_identity_shares_nothing(store: Store, tmp_path: Path) -> None:
    keep(store, store.root_key, 0, ids(40, 1))
    assert Store(tmp_path, "another model", LAYOUT).find(prompt(ids(40, 1)))[1] == 0


@pytest.mark.parametrize("place", ["magic", "header", "data", "short"])
def test_damage_is_noticed(store: Store, tmp_path: Path, place: str) -> None:
    part = ids(1500, 1)
    path, _ = keep(store, store.root_key, 0, part)
    content = bytearray(path.read_bytes())
    if place == "short":
        del content[-1:]
    else:
        content[{"magic": 0, "header": 40, "data": len(content) - 5}[place]] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged):
        check_file(path)
    fresh = Store(tmp_path, "identity", LAYOUT)
    # damage to the data shows when it is mapped; damage to the rest when it is looked at
    assert fresh.find(prompt(part))[1] == (1500 if place == "data" else 0)
    fresh.drop(path, "test")
    assert fresh.find(prompt(part))[1] == 0 and not path.exists()


def test_a_missing_file_in_the_middle_is_a_gap(store: Store, tmp_path: Path) -> None:
    opening, book, turn = ids(40, 1), ids(5000, 2), ids(30, 3)
    _, key = keep(store, store.root_key, 0, opening)
    paths = []
    for start in range(0, 5000, 2048):
        path, key = keep(store, key, 1024 + start, book[start : start + 2048])
        paths.append(path)
    whole = prompt(opening, book, turn)
    assert store.gap(whole) is None
    store.drop(paths[1], "test")
    assert store.find(whole)[1] == 40 + 2048 and store.gap(whole) == 40 + 4096
    # nothing is kept behind the end
    store.drop(paths[2], "test")
    assert store.gap(whole) is None


def test_the_store_holds_no_more_than_it_may(tmp_path: Path) -> None:
    store = Store(tmp_path, "identity", LAYOUT)
    keep(store, store.root_key, 0, ids(500, 1))
    taken = taken_bytes(tmp_path)
    other = Store(tmp_path, "another model", LAYOUT, limit=taken + 1000)
    with pytest.raises(ReadingsFull) as caught:
        keep(other, other.root_key, 0, ids(500, 2))
    assert (caught.value.taken, caught.value.limit) == (taken, taken + 1000)
    assert taken_bytes(tmp_path) == taken and not list(tmp_path.rglob("*.part"))
    other.limit = 2 * taken + 1000
    keep(other, other.root_key, 0, ids(500, 2))


@pytest.mark.parametrize("tokens", [1, 16, 1024, 5000])
def test_what_a_chunk_will_take_is_known_before(store: Store, tokens: int) -> None:
    means = bytes(LAYOUT.token_bytes // 2 * -(-tokens // 16))
    path, _ = store.write(
        store.root_key, 0, ids(tokens, 1), memoryview(data(tokens)), memoryview(means), provenance={"policy": "dense"}
    )
    size = path.stat().st_size
    assert size <= LAYOUT.file_bytes(tokens) <= size + 2 * ALIGNMENT


def test_the_sweep_takes_half_written_files_and_nothing_else(store: Store) -> None:
    path, _ = keep(store, store.root_key, 0, ids(10, 1))
    part = path.with_name("cut-short.part")
    part.write_bytes(b"half")
    store.sweep()
    assert path.exists() and not part.exists()


def test_a_full_disk_is_said_before_anything_is_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(store, store.root_key, 0, ids(10, 1))
    before = sorted(store.folder.iterdir())
    usage = shutil.disk_usage(store.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StorageFull) as caught:
        keep(store, store.root_key, 0, ids(11, 2))
    assert caught.value.free == 1000 and sorted(store.folder.iterdir()) == before


def test_a_disk_that_fills_up_in_the_middle_of_a_file_leaves_nothing_of_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, store.root_key, 0, ids(10, 1))
    before = sorted(store.folder.iterdir())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageFull):
            keep(store, store.root_key, 0, ids(11, 2))
    assert sorted(store.folder.iterdir()) == before
    keep(store, store.root_key, 0, ids(11, 2))
    assert store.find(prompt(ids(11, 2)))[1] == 11


def test_files_are_for_their_owner_only(store: Store) -> None:
    path, _ = keep(store, store.root_key, 0, ids(10, 1))
    assert path.stat().st_mode & 0o077 == 0 and store.folder.stat().st_mode & 0o077 == 0


def test_a_file_removed_by_hand_is_forgotten(store: Store) -> None:
    path, _ = keep(store, store.root_key, 0, ids(10, 1))
    path.unlink()
    assert store.find(prompt(ids(10, 1)))[1] == 0


def test_data_of_the_wrong_size_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="are not 5 tokens"):
        store.write(store.root_key, 0, ids(5, 1), memoryview(data(4)), memoryview(b""), provenance={})
