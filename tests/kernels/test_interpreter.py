"""What the tests of kernels without a GPU stand on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from tests.kernels.interpreter import Interpreter


def fresh(impl: str) -> tuple[Tensor, bool]:
    from triton import knobs

    return torch.empty(7), knobs.runtime.interpret


def test_fresh_memory_shows_and_only_the_other_process_interprets(interpreter: Interpreter) -> None:
    memory, interprets = interpreter(fresh)
    assert memory.isnan().all() and interprets and "TRITON_INTERPRET" not in os.environ


def test_kernels_are_imported_without_triton() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, kernels.sparse_attention as op, kernels.block_scores\n"
        "x, n = torch.ones(1, 1, 1, 16, 64), torch.zeros(1, 1, 1, dtype=torch.int32)\n"
        "given = dict(start=0, borders=[0], block=16, query_block=16, scale=1.0)\n"
        "op.sparse_attention(x, x[0, 0], x[0, 0], n, n[0], **given)\n"
        "try: op.sparse_attention(x, x[0, 0], x[0, 0], n, n[0], **given, impl='triton')\n"
        "except ModuleNotFoundError: sys.exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2]).returncode == 7
