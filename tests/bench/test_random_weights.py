"""The benchmarks with random weights run where nothing of Lectern is installed: on a lent GPU, say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# what such a machine does not have
ABSENT = (
    "gradio", "pymupdf", "fitz", "sqlite_utils", "gguf", "lxml", "striprtf", "charset_normalizer", "markdown_it",
    "platformdirs", "app", "numba", "llguidance",
)  # fmt: skip
RUN = """
import runpy, sys
from pathlib import Path
for name in {absent!r}:
    sys.modules[name] = None
from tests.bench import rows
rows.RESULTS = Path({results!r})
for op, *arguments in {calls!r}:
    sys.argv = ["bench", "--random", "tiny", "--device", "cpu", *arguments]
    runpy.run_module("tests.bench." + op, run_name="__main__")
"""
CALLS = [
    ("prefill", "--policy", "block", "--tokens", "3500", "--chunk-tokens", "1024"),
    ("decode", "--policy", "dense", "--tokens", "2000", "--steps", "8"),
]


def test_run_uninstalled(tmp_path: Path) -> None:
    script = RUN.format(absent=ABSENT, results=str(tmp_path), calls=CALLS)
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    told = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    for (op, *_), ceiling, row in zip(CALLS, told[::2], told[1::2], strict=True):
        # two layers, keys and values, one head of 64, in bfloat16 or float32
        assert ceiling["ceiling"]["kv_bytes"] in [row["tokens"] * 2 * 2 * 64 * size for size in (2, 4)]
        assert row["op"] == op and row["tokens_per_second"] > 0 and row["model"] == "random tiny"
        assert json.loads((tmp_path / f"{op}.jsonl").read_text("utf-8")) == row
