"""How fast this machine reads memory, as the kernels of ``kernels.decode_row`` do: what bounds a decoded token."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numba import njit

from kernels.decode_row.primitives import fetch
from kernels.parallel import each


@njit(nogil=True, fastmath=True)
def _sum(numbers: Any, first: int, last: int) -> int:
    total = 0
    for begin in range(first, last, 512):
        fetch(numbers.ctypes.data + 8 * begin + 4096, 4096)
        for place in range(begin, min(last, begin + 512)):
            total += numbers[place]
    return total


def read_rate() -> float:
    """Bytes a second that all threads read when they ask for memory ahead."""
    numbers, threads = np.ones(1 << 26, np.int64), torch.get_num_threads()
    ends = [len(numbers) * number // threads for number in range(threads + 1)]
    best = float("inf")
    for _ in range(6):
        begun = time.perf_counter()
        each(lambda part: _sum(numbers, ends[part], ends[part + 1]), range(threads))
        best = min(best, time.perf_counter() - begun)
    return numbers.nbytes / best
