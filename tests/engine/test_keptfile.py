"""One kept file: what is verified when, and what older versions wrote."""

from __future__ import annotations

import json
import random
import struct
import zlib
from array import array
from pathlib import Path

import pytest

from engine.keptfile import ALIGNMENT, MAGIC, Damaged, Header, Layout, Mapped, check_file, read_header
from engine.protocol import PAGE_TOKENS
from engine.snapshots import Store

LAYOUT = Layout(layers=3, kv_heads=2, dim=4, dtype="float32", itemsize=4)
TOKENS = 2500


@pytest.fixture
def path(tmp_path: Path) -> Path:
    generator = random.Random(0)
    data = memoryview(generator.randbytes(TOKENS * LAYOUT.token_bytes))
    means = memoryview(generator.randbytes(LAYOUT.token_bytes // 2 * -(-TOKENS // 16)))
    store = Store(tmp_path, "identity", LAYOUT)
    return store.write(store.root_key, 0, array("i", range(TOKENS)), data, means, provenance={"policy": "test"})[0]


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def place(header: Header, layer: int, plane: int, token: int) -> int:
    """Where the keys or values of a token of one head lie."""
    row = LAYOUT.dim * LAYOUT.itemsize
    return header.data_offset + ((layer * header.planes + plane) * TOKENS + token) * row


@pytest.mark.parametrize(("layer", "plane", "token"), [(0, 0, 0), (1, 3, 1500), (2, 1, 2499)])
def test_only_what_is_touched_is_verified(path: Path, layer: int, plane: int, token: int) -> None:
    flip(path, place(read_header(path), layer, plane, token))
    mapped = Mapped(path)
    page = token // PAGE_TOKENS
    for other in range(3):
        for first in range(0, TOKENS, PAGE_TOKENS):
            if (other, first // PAGE_TOKENS) != (layer, page):
                mapped.verify(other, first, min(first + PAGE_TOKENS, TOKENS))
    mapped.verify_means()
    for _ in range(2):
        # it stays bad, whoever asks, and however small a part of the page is wanted
        with pytest.raises(Damaged, match=rf"layer {layer}, head {plane % 2}") as caught:
            mapped.verify(layer, page * PAGE_TOKENS, page * PAGE_TOKENS + 1)
    assert caught.value.path == path and ("keys" if plane < 2 else "values") in caught.value.reason
    with pytest.raises(Damaged):
        check_file(path)


def test_a_page_is_verified_once(path: Path) -> None:
    mapped = Mapped(path)
    mapped.verify(1, 0, TOKENS)
    flip(path, place(mapped.header, 1, 0, 5))
    # the same bytes in memory, so the damage is there to be seen
    assert mapped.buffer[place(mapped.header, 1, 0, 5)] == path.read_bytes()[place(mapped.header, 1, 0, 5)]
    mapped.verify(1, 0, TOKENS)
    with pytest.raises(Damaged):
        Mapped(path).verify(1, 0, TOKENS)


def test_bad_means_are_found(path: Path) -> None:
    flip(path, read_header(path).means_offset + 3)
    mapped = Mapped(path)
    for layer in range(3):
        mapped.verify(layer, 0, TOKENS)
    with pytest.raises(Damaged, match="mean keys"):
        mapped.verify_means()
    with pytest.raises(Damaged, match="mean keys"):
        check_file(path)


def write_old(path: Path, **changes: object) -> bytes:
    """A file as it was written before there were means, with crc32."""
    data = random.Random(1).randbytes(100 * LAYOUT.token_bytes)
    size = len(data) // 12
    header = {
        "parent": "00" * 32,
        "start": 0,
        "tokens": 100,
        "pieces": [("11" * 32, 100)],
        "layers": 3,
        "kv_heads": 2,
        "dim": 4,
        "dtype": "float32",
        "checksums": [zlib.crc32(data[first : first + size]) for first in range(0, len(data), size)],
        "provenance": {},
    }
    text = json.dumps(header | changes).encode()
    whole = MAGIC + struct.pack("<II", len(text), zlib.crc32(text)) + text
    path.write_bytes(whole + bytes(-len(whole) % ALIGNMENT) + data)
    return data


def test_a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.kv"
    data = write_old(path)
    mapped = Mapped(path)
    for layer in range(3):
        mapped.verify(layer, 0, 100)
    mapped.verify_means()
    assert mapped.buffer[mapped.header.data_offset :] == data and check_file(path).algorithm == "crc32"
    flip(path, path.stat().st_size - 1)
    with pytest.raises(Damaged):
        Mapped(path).verify(2, 0, 100)


@pytest.mark.parametrize(
    "changes", [{"algorithm": "of tomorrow"}, {"checksums": [1]}, {"dtype": "int3"}, {"tokens": "many"}]
)
def test_a_header_that_makes_no_sense_is_damage(tmp_path: Path, changes: dict[str, object]) -> None:
    write_old(tmp_path / "old.kv", **changes)
    with pytest.raises(Damaged, match="cannot be understood"):
        read_header(tmp_path / "old.kv")
