"""``lectern refine``: budgets of attention for the model in hand, written beside it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.settings import Settings


def refine_model(settings: Settings, options: argparse.Namespace, tell: Callable[[int, int], None]) -> dict[str, Any]:
    """Measure in this process; ``tell(done, total)`` counts heads. Returns what the command says."""
    # imported late: with these comes torch
    from engine.checkpoint import describe, resolve
    from engine.config import EngineConfig, default_device, default_dtype
    from engine.sparsity.refine import refine_checkpoint

    text = options.text.read_bytes().decode("utf-8-sig", "replace")
    device = default_device() if settings.device == "auto" else settings.device
    dtype = default_dtype(device) if settings.dtype == "auto" else settings.dtype
    info = describe(resolve(settings.model, cache=settings.cache), dtype=dtype, device=device)
    config = EngineConfig(
        folder=Path(info.folder),
        readings=None,
        identity=info.identity,
        chunk_size=info.chunk_size,
        local_size=info.local_size,
        limit=info.limit,
        dtype=dtype,
        device=device,
        policy="dense",
    )
    file, refined = refine_checkpoint(config, text, tokens=options.tokens, average=options.average, tell=tell)
    return {
        "file": str(file),
        "keys_a_head": refined.average,
        "divergence_left": refined.left,
        "divergence_left_by_equal_budgets": refined.uniform,
        "budgets": refined.table,
    }
