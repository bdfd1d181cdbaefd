"""In which number format this machine multiplies matrices fastest."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor


def product_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype to multiply matrices of this tensor's dtype in: its own, or float32 where that is faster, never less.

    Intel's processors without AMX multiply bfloat16 at half the rate of float32 (two cores at 2.3 GHz: 83 GFLOP/s a
    core against 160); AMD's at twice the rate of float32, and AMX at many times. Told from what the processor is and
    not by timing, so that a reading that goes on tomorrow goes on in the same numbers.
    """
    if tensor.device.type == "cpu" and tensor.dtype is torch.bfloat16 and _slow_bfloat16():
        return torch.float32
    return tensor.dtype


@lru_cache(maxsize=1)
def _slow_bfloat16() -> bool:
    try:
        return slow_bfloat16(Path("/proc/cpuinfo").read_text("utf-8"))
    except OSError:
        # not Linux: an Apple core has its own bfloat16 products, the rest emulate them
        return False


def slow_bfloat16(cpuinfo: str) -> bool:
    """Whether the processor that Linux describes so multiplies float32 faster than bfloat16."""
    lines = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    fields = {name.strip(): value.split() for name, value in lines.items()}
    flags = fields.get("flags", [])
    if "amx_bf16" in flags:
        return False
    return "flags" in fields and ("avx512_bf16" not in flags or fields.get("vendor_id") == ["GenuineIntel"])
