"""Recorded rows: what was measured, where, with which versions and commit."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).resolve().parents[2]


def machine() -> dict[str, Any]:
    processor = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            processor = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    found = {"processor": processor, "cores": os.cpu_count(), "system": platform.system()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def commit() -> str:
    """The commit measured, with "+" where the tree differs from it."""
    git = ["git", "-C", str(ROOT)]
    if shutil.which("git") is None:
        return "none"
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    # the recorded rows themselves do not change what is measured
    status = [*git, "status", "--porcelain", "--", ".", ":!tests/bench/results", ":!README.md"]
    changed = subprocess.run(status, capture_output=True, text=True).stdout.strip()
    return (head.stdout.strip() or "none") + ("+" if changed else "")


def record(op: str, row: dict[str, Any]) -> dict[str, Any]:
    """Append ``row`` to ``results/<op>.jsonl`` with where and when, print it as the last line, and return it."""
    whole = {
        "op": op,
        **row,
        "machine": machine(),
        "versions": {name: version(name) for name in ("torch", "transformers")} | {"python": sys.version.split()[0]},
        "commit": commit(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(whole, ensure_ascii=False)
    with open(RESULTS / f"{op}.jsonl", "a", encoding="utf-8") as file:
        file.write(text + "\n")
    print(text, flush=True)
    return whole


def rows(op: str) -> list[dict[str, Any]]:
    """All recorded rows of ``op``, oldest first."""
    path = RESULTS / f"{op}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
