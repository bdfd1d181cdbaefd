"""The README's table of peers, from the rows of ``tests.bench.peers``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def peers_table(latest: Callable[..., list[dict[str, Any]]]) -> list[str]:
    found = latest("peers", "model", "tokens")
    if not found:
        return []
    lines = [
        "Against others, in turn and in one run, the same weights and threads (`python -m tests.bench.peers`; tokens/s):",
        "",
        "| model | tokens | reading: Lectern | llama.cpp | transformers | answering: Lectern | llama.cpp | transformers |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        cells = [
            f"{figures[what]:.{digits}f}" if (figures := row["peers"].get(peer)) else "not measured"
            for what, digits in (("prefill", 0), ("decode", 1))
            for peer in ("lectern", "llama.cpp", "sdpa")
        ]
        lines.append(f"| {row['model']} | {row['tokens']:,} | {' | '.join(cells)} |")
    return [*lines, ""]
