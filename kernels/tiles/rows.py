"""Rows of bfloat16 numbers, as their bits: what stands between matrix products, in one pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.decode_row.primitives import exp, fetch, narrow, widen
from kernels.jit import njit

FAST = {"reassoc", "contract", "nsz", "arcp"}
# bytes ahead of those at hand that are asked for, and numbers between two such questions
AHEAD = 4096
SOME = 512


def bits(tensor: Tensor) -> Any:
    """In place."""
    return tensor.view(torch.uint16).numpy()


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def turn(states: Any, cos: Any, sin: Any, out: Any) -> None:
    """Rotate [rows, dim] by angles [rows, dim / 2]."""
    half = states.shape[1] // 2
    for row in range(states.shape[0]):
        for d in range(half):
            first, second = widen(states[row, d]), widen(states[row, d + half])
            out[row, d] = narrow(first * cos[row, d] - second * sin[row, d], out)
            out[row, d + half] = narrow(second * cos[row, d] + first * sin[row, d], out)


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def turn_heads(states: Any, cos: Any, sin: Any, first: int, last: int, out: Any) -> None:
    """Rotate rows [first, last) of [rows, heads, dim] by angles [rows, dim / 2], into [heads, rows, dim]."""
    half = states.shape[2] // 2
    row_bytes = 2 * states.shape[1] * states.shape[2]
    for row in range(first, last):
        fetch(states.ctypes.data + np.int64(row) * row_bytes + AHEAD, row_bytes)
        for head in range(states.shape[1]):
            for d in range(half):
                one, other = widen(states[row, head, d]), widen(states[row, head, d + half])
                out[head, row, d] = narrow(one * cos[row, d] - other * sin[row, d], out)
                out[head, row, d + half] = narrow(other * cos[row, d] + one * sin[row, d], out)


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def normed(states: Any, weight: Any, eps: Any, out: Any) -> None:
    """Root mean square norm of [rows, hidden], rounded before the weight as transformers does it."""
    row_bytes = 2 * states.shape[1]
    for row in range(states.shape[0]):
        fetch(states.ctypes.data + np.int64(row) * row_bytes + AHEAD, row_bytes)
        total = np.float32(0)
        for d in range(states.shape[1]):
            number = widen(states[row, d])
            total += number * number
        factor = np.float32(1) / np.sqrt(total / np.float32(states.shape[1]) + eps)
        for d in range(states.shape[1]):
            out[row, d] = narrow(widen(narrow(widen(states[row, d]) * factor, out)) * widen(weight[d]), out)


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def gated(gate: Any, up: Any) -> None:
    """up = silu(gate) * up of [n], rounded between as transformers does it."""
    for begin in range(0, gate.shape[0], SOME):
        fetch(gate.ctypes.data + 2 * begin + AHEAD, 2 * SOME)
        fetch(up.ctypes.data + 2 * begin + AHEAD, 2 * SOME)
        here, there = gate[begin : begin + SOME], up[begin : begin + SOME]
        for d in range(here.shape[0]):
            number = widen(here[d])
            small = exp(-abs(number))
            share = (np.float32(1) if number > 0 else small) / (np.float32(1) + small)
            there[d] = narrow(widen(narrow(number * share, up)) * widen(there[d]), up)
