"""Where keys and values lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.kvcache import ALIGNMENT, Arena, KVShape

CPU = torch.device("cpu")


def resident() -> int:
    """Bytes of anonymous memory that this process holds."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell memory so")
def test_an_arena_takes_the_memory_of_what_was_read_only() -> None:
    shape = KVShape(layers=4, kv_heads=2, dim=64, dtype=torch.bfloat16, device=CPU)
    before = resident()
    arena = Arena(shape, 1 << 17, 16)
    whole = arena.data.nbytes
    assert whole == 1 << 28 and resident() - before < whole // 16
    assert arena.data.data_ptr() % ALIGNMENT == 0 and arena.means.data_ptr() % ALIGNMENT == 0
    # what nothing was written to is zero, which a hole has to be
    assert not arena.keys(3)[:, -2048:].any()
    key = torch.ones((2, 1024, 64), dtype=torch.bfloat16)
    for layer in range(4):
        arena.write(layer, 2048, key, key)
    # 16 runs of 128 KB, each on a huge page or two of its own
    assert resident() - before < whole // 3
    assert arena.values(3)[:, 2048:3072].eq(1).all() and arena.means[3, :, 128:192].eq(1).all()
