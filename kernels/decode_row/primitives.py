"""What compiled loops need and Numba does not have: addresses, bfloat16, and an exponential that vectorizes."""

from __future__ import annotations

import platform
import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from kernels.jit import njit


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


def _function(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


@intrinsic
def fetch(_: Any, address: Any, size: Any) -> Any:
    """Ask for ``size`` bytes that will be read soon: without it a core waits for most lines of a long row."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        address, size = arguments
        number = ir.IntType(32)
        ask = _function(builder, "llvm.prefetch.p0", ir.VoidType(), cgutils.voidptr_t, number, number, number)
        # to read, kept from the second cache on, data
        how = [ir.Constant(number, value) for value in (0, 2, 1)]
        lines = builder.lshr(builder.add(size, size.type(63)), size.type(6))
        with cgutils.for_range(builder, lines) as loop:
            line = builder.add(address, builder.shl(loop.index, size.type(6)))
            builder.call(ask, [builder.inttoptr(line, cgutils.voidptr_t), *how])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def add_to(_: Any, address: Any, number: Any) -> Any:
    """Add to the int64 at an address, at once for all threads; returns what was there."""

    def codegen(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        return builder.atomic_rmw("add", place, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def seen(_: Any, address: Any) -> Any:
    """The int64 at an address, and from here on what other threads wrote before they changed it."""

    def codegen(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        return builder.load_atomic(place, "acquire", 8, typ=ir.IntType(64))

    return types.int64(types.int64), codegen


@intrinsic
def pause(_: Any) -> Any:
    """A moment between two looks at a number that another thread will change."""

    def codegen(context: Any, builder: Any, __: Any, ___: Any) -> Any:
        if platform.machine().lower() in ("x86_64", "amd64"):
            builder.call(_function(builder, "llvm.x86.sse2.pause", ir.VoidType()), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def give_way(_: Any) -> Any:
    """Let another thread have this core, if one waits for it."""

    def codegen(context: Any, builder: Any, __: Any, ___: Any) -> Any:
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        builder.call(_function(builder, name, ir.IntType(32)), [])
        return context.get_dummy_value()

    return types.void(), codegen


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
