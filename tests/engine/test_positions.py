from __future__ import annotations

import pytest
import torch

from engine.positions import DualChunk, Relation, rotate

QWEN_1M = DualChunk(chunk_size=262144, local_size=8192)


def test_chunk_len_of_qwen_1m_holds_whole_pages() -> None:
    assert QWEN_1M.chunk_len == 253952 == 248 * 1024
    QWEN_1M.check_pages()
    with pytest.raises(ValueError, match="multiple of 1024"):
        DualChunk(chunk_size=4096, local_size=1000).check_pages()


@pytest.mark.parametrize("local_size", [0, 64, 65, -1])
def test_refuses_a_local_size_that_leaves_no_chunk(local_size: int) -> None:
    with pytest.raises(ValueError, match="local_size"):
        DualChunk(chunk_size=64, local_size=local_size)


def test_relations_and_borders() -> None:
    dual = DualChunk(chunk_size=32, local_size=8)
    assert [dual.relation(3, key) for key in (3, 2, 1, 0)] == [
        Relation.INTRA,
        Relation.SUCCESSIVE,
        Relation.INTER,
        Relation.INTER,
    ]
    assert [dual.border_after(position) for position in (0, 23, 24, 47)] == [24, 24, 48, 48]
    with pytest.raises(ValueError, match="future"):
        dual.relation(0, 1)


def test_no_relative_distance_leaves_the_window_and_near_ones_are_true() -> None:
    """Every query against every earlier key: the distance is true within local_size, and never chunk_size or more."""
    dual = DualChunk(chunk_size=32, local_size=8)
    for query in range(4 * dual.chunk_len):
        inside = torch.tensor([query % dual.chunk_len])
        for key in range(query + 1):
            relation = dual.relation(dual.chunk(query), dual.chunk(key))
            distance = int(inside + dual.shift(relation, inside)) - key % dual.chunk_len
            assert 0 <= distance <= dual.chunk_size
            if query - key <= dual.local_size or query < dual.chunk_size:
                assert distance == query - key


def test_rotations_compose() -> None:
    """Rotating by 5 and then by 100,000 more is rotating by 100,005."""
    inv_freq = 10000.0 ** -(torch.arange(0, 32, 2) / 32)
    states = torch.randn(2, 3, 7, 32, generator=torch.Generator().manual_seed(0))
    five = torch.full((7,), 5)
    twice = rotate(rotate(states, five, inv_freq), torch.full((7,), 100_000), inv_freq)
    torch.testing.assert_close(twice, rotate(states, torch.full((7,), 100_005), inv_freq), atol=1e-5, rtol=0)
    assert torch.equal(rotate(states, torch.zeros(7, dtype=torch.long), inv_freq), states)
