"""What compiled loops need and Numba does not have: addresses, bfloat16, and an exponential that vectorizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload


@intrinsic
def pointer(_: Any, address: Any) -> Any:
    def codegen(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@intrinsic
def as_float(_: Any, bits: Any) -> Any:
    def codegen(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), codegen


@intrinsic
def as_bits(_: Any, number: Any) -> Any:
    def codegen(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), codegen


def widen(number: Any) -> Any:
    """A stored number as float32: bfloat16 travels as its bits, uint16."""


def narrow(number: Any, like: Any) -> Any:
    """A float32 as it is stored in an array such as ``like``."""


# numba compares the annotations of both functions too
@overload(widen, inline="always")
def _widen(number: Any) -> Any:
    def shifted(number: Any) -> Any:
        return as_float(np.uint32(number) << np.uint32(16))

    def same(number: Any) -> Any:
        return number

    return shifted if number == types.uint16 else same


@overload(narrow, inline="always")
def _narrow(number: Any, like: Any) -> Any:
    def rounded(number: Any, like: Any) -> Any:
        bits = as_bits(number)
        return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

    def same(number: Any, like: Any) -> Any:
        return number

    return rounded if like.dtype == types.uint16 else same


@njit(inline="always")
def exp(x: Any) -> Any:
    """e ** x for x <= 0 to two units in the last place, in operations that vectorize (Cephes' polynomial)."""
    x = max(x, np.float32(-87.0))
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    f = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * f + np.float32(1.3981999507e-3)
    p = p * f + np.float32(8.3334519073e-3)
    p = p * f + np.float32(4.1665795894e-2)
    p = p * f + np.float32(1.6666665459e-1)
    p = p * f + np.float32(5.0000001201e-1)
    p = p * f * f + f + np.float32(1.0)
    return p * as_float(np.uint32(np.int32(n) + np.int32(127)) << np.uint32(23))
