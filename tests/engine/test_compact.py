"""Kept files as int8: the same file smaller, found, verified, mended and attended to as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import torch

from engine.compact import compact_file
from engine.config import EngineConfig
from engine.keptfile import Damaged, Mapped, check_file, read_header
from engine.protocol import Prompt, Sampling, Segment
from engine.session import Session
from tests.engine.reference import random_ids

OPENING, BOOK, TURN = random_ids(20, seed=1), random_ids(5000, seed=2), random_ids(30, seed=3)
GREEDY = Sampling(temperature=0.0, repetition_penalty=1.0, max_tokens=12)


def prompt(*parts: Any) -> Prompt:
    return Prompt(segments=tuple(Segment(name=str(index), ids=part) for index, part in enumerate(parts)))


@pytest.fixture
def make(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[..., Session]:
    def session(**changes: Any) -> Session:
        values: dict[str, Any] = {
            "folder": tiny_checkpoint("qwen2"), "readings": tmp_path / "readings", "identity": "tiny",
            "chunk_size": 4096, "local_size": 1024, "limit": 16384, "dtype": "float32", "device": "cpu",
            "chunk_tokens": 1024,
        }  # fmt: skip
        return Session(EngineConfig(**(values | changes)))

    return session


def hidden(session: Session, given: Prompt) -> torch.Tensor:
    """The last token's state, everything before it as it is kept."""
    model, pages, _ = session.load()
    cache, found, _ = pages.open(given, leave=1)
    cache.touch()
    ((start, ids),) = given.rest(found)
    return model.prefill(ids, start, cache)[1]


def test_a_compacted_reading_is_smaller_and_nearly_the_same(make: Callable[..., Session], tmp_path: Path) -> None:
    session, whole = make(), prompt(OPENING, BOOK)
    session.read(whole, lambda _: None, Flag())
    exact = hidden(make(), whole)
    files = sorted((tmp_path / "readings").rglob("*.kv"), key=lambda path: read_header(path).start)
    before = [path.stat() for path in files]
    saved = [compact_file(path) for path in files]
    # the opening is less than a page
    assert saved[0] == 0 and all(saved[1:-1]) and not list(tmp_path.rglob("*.part"))
    for path, was, by in zip(files, before, saved, strict=True):
        assert path.stat().st_size == was.st_size - by and path.stat().st_mtime_ns == was.st_mtime_ns
        check_file(path)
        assert compact_file(path) == 0
    assert files[1].stat().st_size < 0.4 * before[1].st_size
    header = read_header(files[1])
    assert header.group and header.provenance["kept_as"] == "int8" and header.provenance["policy"] == "dense"
    # found by another process, nothing is read again, and the state moves a little only
    smaller = make()
    found = hidden(smaller, whole)
    assert 0 < (found - exact).abs().max() < 0.05 * exact.abs().max()
    # the one that compacted still maps what the files were
    assert torch.equal(hidden(session, whole), exact)


def test_a_session_compacts_after_a_reading(make: Callable[..., Session], tmp_path: Path) -> None:
    session, whole = make(storage="int8"), prompt(OPENING, BOOK)
    done = session.read(whole, lambda _: None, Flag())
    assert done.prefilled == 5020
    headers = [read_header(path) for path in (tmp_path / "readings").rglob("*.kv")]
    assert {header.tokens for header in headers if not header.group} == {20, 904}
    asked = session.generate(prompt(OPENING, BOOK, TURN), GREEDY, lambda _: None, Flag())
    again = make().generate(prompt(OPENING, BOOK, TURN), GREEDY, lambda _: None, Flag())
    assert asked.reused == 5020 and again.reused >= 5020 and asked.ids == again.ids
    # what was read behind int8 says so
    turn = [header for header in headers_of(tmp_path) if header.tokens == 30]
    assert [header.provenance["after"] for header in turn] == ["int8"]


def headers_of(folder: Path) -> list[Any]:
    return [read_header(path) for path in folder.rglob("*.kv")]


def test_a_prompt_that_leaves_in_the_middle_of_a_file_reads_from_a_group_on(
    make: Callable[..., Session], tmp_path: Path
) -> None:
    """A chunk of two pages, compacted, of which another prompt uses the first; and one that begins within a group."""
    other = BOOK[:1500]
    other[1200] += 1
    whole = prompt(OPENING, BOOK[:3000])
    make(chunk_tokens=2048).read(whole, lambda _: None, Flag())
    exact = hidden(make(), prompt(OPENING, other))
    for path in (tmp_path / "readings").rglob("*.kv"):
        if read_header(path).tokens == 2048:
            compact_file(path)
    found = hidden(make(), prompt(OPENING, other))
    assert 0 < (found - exact).abs().max() < 0.05 * exact.abs().max()


def test_damage_to_codes_and_steps_is_found_and_mended(make: Callable[..., Session], tmp_path: Path) -> None:
    session, whole = make(storage="int8"), prompt(OPENING, BOOK)
    session.read(whole, lambda _: None, Flag())
    path = next(path for path in (tmp_path / "readings").rglob("*.kv") if read_header(path).start == 2048)
    header, content = read_header(path), path.read_bytes()
    for place in (header.data_offset + 5, header.means_offset + 2, header.steps_offset + 40, len(content) - 1):
        wrong = bytearray(content)
        wrong[place] ^= 1
        path.write_bytes(wrong)
        with pytest.raises(Damaged):
            check_file(path)
        mapped = Mapped(path)
        with pytest.raises(Damaged):
            for layer in range(header.layout.layers):
                mapped.verify(layer, 0, header.tokens)
            mapped.verify_means()
        assert compact_file_fails(path) is None
    asked = make().generate(prompt(OPENING, BOOK, TURN), GREEDY, lambda _: None, Flag())
    # the chunk is read again alone, exactly this time
    assert asked.prefilled == 1024 + 30 and read_header(path).group == 0


def compact_file_fails(path: Path) -> None:
    # it is int8 already: nothing is written over it, sound or not
    assert compact_file(path) == 0


def test_a_damaged_file_is_not_made_smaller(make: Callable[..., Session], tmp_path: Path) -> None:
    make().read(prompt(OPENING, BOOK), lambda _: None, Flag())
    path = next(path for path in (tmp_path / "readings").rglob("*.kv") if read_header(path).start == 2048)
    content = bytearray(path.read_bytes())
    content[read_header(path).data_offset + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged):
        compact_file(path)
    assert path.read_bytes() == content


def test_reading_on_sparsely_behind_int8(tiny_checkpoint: Callable[..., Path], make: Callable[..., Session]) -> None:
    """A long reading copies what is kept into an arena."""
    first, second = random_ids(3000, seed=5), random_ids(2500, seed=6)
    wide = {"policy": "block", "chunk_size": 8192, "local_size": 1024}
    make(storage="int8", **wide).read(prompt(first), lambda _: None, Flag())
    done = make(**wide).read(prompt(first, second), lambda _: None, Flag())
    assert done.reused == 3000 and done.prefilled == 2500
