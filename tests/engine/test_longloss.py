"""What Dual Chunk Attention is for, on a real model and a real book: 16,384 tokens of a model trained to 8,192."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tolerances
from tests.bench.longloss import measure


@pytest.mark.slow
def test_the_loss_beyond_the_trained_window_stays_what_it_is_inside(smollm2: Path, shared: Path) -> None:
    """With plain RoPE it is 9.6."""
    row = measure("smollm2-135m", 16384, shared / "books" / "war-and-peace.txt", attention="dca")
    assert abs(float(str(row["loss"])) - 2.94) < tolerances.LONG_LOSS
