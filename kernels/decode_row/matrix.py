"""Matrices by vectors, some rows at a time: what a member of a team does with the pieces that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.decode_row import bytes as coded_bytes
from kernels.decode_row.primitives import exp, fetch, widen
from kernels.decode_row.table import FAST
from kernels.jit import njit

# bytes of a matrix that are asked for before the phase in which they are read
WARM = 16384
# bytes of a piece, at most: a large matrix is shared out evenly all the same
PIECE = 65536


@njit(nogil=True, error_model="numpy", cache=True)
def _never(rows: Any, coded: Any, blocks: Any, ahead: Any, out: Any) -> None:
    """Where there is no ``four``: vectors are not coded there."""


@njit(nogil=True, error_model="numpy", cache=True)
def _never_coded(x: Any, codes: Any, offsets: Any, steps: Any) -> None:
    """Where there is no ``code``."""


four = coded_bytes.four if coded_bytes.available() else _never
code = coded_bytes.code if coded_bytes.available() else _never_coded


@njit(nogil=True, error_model="numpy", cache=True)
def share(rows: int, columns: int, itemsize: int, members: int) -> int:
    """Rows of a piece: a few pieces a member, of whole fours."""
    most = max(4, PIECE // (columns * itemsize) // 4 * 4)
    return min(most, max(8, rows // (members * 8) // 4 * 4))


@njit(nogil=True, error_model="numpy", cache=True)
def warm(weight: Any, members: int, me: int) -> None:
    """Ask for the beginning of a member's share of a matrix, while it waits for the others."""
    rows = weight.shape[0]
    per = share(rows, weight.shape[1], weight.itemsize, members)
    first = -(-rows // per) * me // members * per
    fetch(weight.ctypes.data + np.int64(first) * weight.shape[1] * weight.itemsize, WARM)


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def product(
    weight: Any, steps: Any, bias: Any, x: Any, coded: Any, first: int, last: int, out: Any, add: bool, quad: Any
) -> None:
    """out[first:last] (+)= ((weight * steps) @ x + bias)[first:last]

    coded: addresses of x as ``bytes.code`` makes them, or zeros; quad: float32 [4], to work in.
    """
    columns = weight.shape[1]
    row_bytes = columns * weight.itemsize
    for row in range(first, last, 4):
        here = min(4, last - row)
        place = weight.ctypes.data + np.int64(row) * row_bytes
        if coded[0]:
            # a row that is not there is the last one again
            rows = (place, place + min(1, here - 1) * row_bytes, place + min(2, here - 1) * row_bytes,
                    place + (here - 1) * row_bytes)  # fmt: skip
            four(rows, coded, columns // coded_bytes.BLOCK, 4 * row_bytes, quad.ctypes.data)
        else:
            fetch(place + 4 * row_bytes, 4 * row_bytes)
            for number in range(here):
                total = np.float32(0)
                for column in range(columns):
                    total += np.float32(weight[row + number, column]) * x[column]
                quad[number] = total
        for number in range(here):
            total = quad[number] * steps[row + number]
            if bias.shape[0]:
                total += bias[row + number]
            out[row + number] = out[row + number] + total if add else total


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def gated(weight: Any, steps: Any, bias: Any, x: Any, coded: Any, first: int, last: int, out: Any, quad: Any) -> None:
    """out = silu(gate) * up of rows [first, last) of each half of the product. Otherwise as ``product``."""
    columns, half = weight.shape[1], weight.shape[0] // 2
    row_bytes = columns * weight.itemsize
    for row in range(first, last, 2):
        here = min(2, last - row)
        gates = weight.ctypes.data + np.int64(row) * row_bytes
        ups = gates + np.int64(half) * row_bytes
        if coded[0]:
            rows = (gates, gates + (here - 1) * row_bytes, ups, ups + (here - 1) * row_bytes)
            four(rows, coded, columns // coded_bytes.BLOCK, 2 * row_bytes, quad.ctypes.data)
        else:
            fetch(gates + 2 * row_bytes, 2 * row_bytes)
            fetch(ups + 2 * row_bytes, 2 * row_bytes)
            for number in range(here):
                gate, up = np.float32(0), np.float32(0)
                for column in range(columns):
                    gate += np.float32(weight[row + number, column]) * x[column]
                    up += np.float32(weight[half + row + number, column]) * x[column]
                quad[number], quad[2 + number] = gate, up
        for number in range(here):
            gate = quad[number] * steps[row + number]
            up = quad[2 + number] * steps[half + row + number]
            if bias.shape[0]:
                gate += bias[row + number]
                up += bias[half + row + number]
            small = exp(-abs(gate))
            out[row + number] = up * gate * (np.float32(1) if gate > 0 else small) / (np.float32(1) + small)


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def normed(x: Any, eps: Any, out: Any) -> None:
    total = np.float32(0)
    for i in range(x.shape[0]):
        total += x[i] * x[i]
    factor = np.float32(1) / np.sqrt(total / np.float32(x.shape[0]) + eps)
    for i in range(x.shape[0]):
        out[i] = x[i] * factor


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def turned(x: Any, norm: Any, eps: Any, cos: Any, sin: Any, scale: Any, out: Any) -> None:
    """One head, normed if the model does that, rotated: out [dim]."""
    half = x.shape[0] // 2
    if norm.shape[0]:
        normed(x, eps, out)
        for d in range(x.shape[0]):
            out[d] *= norm[d]
    else:
        out[:] = x
    for d in range(half):
        first, second = out[d], out[d + half]
        out[d] = (first * cos[d] - second * sin[d]) * scale
        out[d + half] = (second * cos[d] + first * sin[d]) * scale


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def quantize(weight: Any, norm: Any, out: Any, steps: Any, first: int, last: int) -> None:
    """out * steps ~ weight * norm, a step a row, of rows [first, last)."""
    for row in range(first, last):
        top = np.float32(0)
        for column in range(weight.shape[1]):
            top = max(top, abs(widen(weight[row, column]) * norm[column]))
        step = max(top / np.float32(127), np.float32(1e-12))
        steps[row] = step
        for column in range(weight.shape[1]):
            out[row, column] = np.int8(np.rint(widen(weight[row, column]) * norm[column] / step))
