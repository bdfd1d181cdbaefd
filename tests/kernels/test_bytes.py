"""Products of bytes against numpy's, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
from numba import njit

from kernels.decode_row import bytes as coded

if not coded.available():
    pytest.skip("this processor has no AVX512-VNNI", allow_module_level=True)


@njit
def products(weight: Any, codes: Any, offsets: Any, steps: Any, out: Any) -> None:
    address, columns = weight.ctypes.data, weight.shape[1]
    rows = (address, address + columns, address + 2 * columns, address + 3 * columns)
    made = (codes.ctypes.data, offsets.ctypes.data, steps.ctypes.data)
    coded.four(rows, made, columns // 64, 4 * columns, out.ctypes.data)


@pytest.mark.parametrize("columns", [64, 576, 896, 4864])
def test_a_coded_vector_keeps_four_digits(columns: int) -> None:
    """With outliers, as activations have them, and a block of zeros; weights at both ends of their range."""
    random = np.random.default_rng(columns)
    weight = random.integers(-128, 128, (4, columns), dtype=np.int8)
    weight[0], weight[1] = -128, 127
    x = random.normal(size=columns).astype(np.float32) * 10.0 ** random.integers(-2, 2, columns)
    x = x.astype(np.float32)
    if columns > 64:
        x[64:128] = 0
    blocks = columns // 64
    codes = np.full((blocks, 2, 64), 99, np.int8)
    offsets, steps = np.full((blocks, 16), 99, np.int32), np.full(blocks, np.nan, np.float32)
    coded.code(x, codes, offsets, steps)
    taken = (codes[:, 0] * 256.0 + codes[:, 1]) * steps[:, None]
    assert np.abs(taken.ravel() - x).max() <= np.abs(x).max() / (2 * 32512) * 1.01
    out = np.full(4, np.nan, np.float32)
    products(weight, codes, offsets, steps, out)
    exact = weight.astype(np.float64) @ x
    size = np.abs(weight.astype(np.float64)) @ np.abs(x)
    assert (np.abs(out - exact) <= 1e-4 * size).all()
