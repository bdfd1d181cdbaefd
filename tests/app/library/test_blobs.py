"""Packed arrays come back as they were, small, and damage is seen."""

from __future__ import annotations

import random
from array import array
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.library.blobs import pack, unpack

LOW, HIGH = -(2**63), 2**63 - 1


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_ids_come_back(values: list[int]) -> None:
    assert unpack(pack(array("i", values)), "i") == array("i", values)


@given(st.lists(st.integers(LOW, HIGH)))
def test_any_number_of_64_bits_comes_back(values: list[int]) -> None:
    assert unpack(pack(array("q", values)), "q") == array("q", values)


@given(st.lists(st.integers(0, 300)), st.integers(0, 2**40))
def test_offsets_come_back_from_their_differences(steps: list[int], first: int) -> None:
    offsets = array("q", accumulate(steps, initial=first))
    assert unpack(pack(offsets, differences=True), "q") == offsets


@pytest.mark.parametrize("edge", [0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 2**31 - 1, 2**32, HIGH])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_edges_of_each_width(edge: int, sign: int) -> None:
    values = array("q", [0, sign * edge])
    assert unpack(pack(values), "q") == values


def test_the_layout_is_little_endian_and_does_not_change() -> None:
    # what was stored by one version is read by the next: these bytes are the format
    assert pack(array("i", [1, 258])) == bytes([2, 0, 0, 1, 0, 2, 1])
    assert pack(array("q", [0, 3, 3, 7]), differences=True) == bytes([1, 1, 0, 0, 3, 0, 4])
    assert pack(array("i", [-1])) == bytes([0x81, 0, 0, 0xFF])
    assert unpack(pack(array("i", [7] * 1000)), "i") == array("i", [7] * 1000)
    assert pack(array("i", [7] * 1000))[:3] == bytes([1, 0, 1])


def test_a_book_takes_a_fraction_of_its_arrays() -> None:
    chance = random.Random(1)
    # about the spread of a real tokenizer: few ids often, many rarely, tokens of a few characters
    ids = array("i", (int(chance.paretovariate(0.5)) % 150_000 for _ in range(20_000)))
    offsets = array("q", accumulate((chance.randint(1, 9) for _ in ids), initial=0))
    packed = len(pack(ids)) + len(pack(offsets, differences=True))
    assert packed < 0.35 * (ids.itemsize * len(ids) + offsets.itemsize * len(offsets))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\x01\x00",
        b"\x03\x00\x00abc",
        b"\x01\x02\x00abc",
        b"\x04\x00\x00abc",
        pack(array("i", [7] * 1000))[:-4],
        pack(array("i", [7] * 1000))[:10] + b"x" + pack(array("i", [7] * 1000))[11:],
        pack(array("q", [2**40])),
    ],
)
def test_damage_is_seen(damage: bytes) -> None:
    with pytest.raises(ValueError, match=r"packed array|multiple of item size"):
        unpack(damage, "i")
