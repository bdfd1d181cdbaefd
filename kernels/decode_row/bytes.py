"""Products of int8 rows with a vector coded to sixteen bits, sixteen sums of four at a time (AVX512-VNNI).

The vector is coded in blocks of 64 with a step each, a code as two bytes, 256 high + low: with one byte the codes would
lose more than the int8 weights do, and memory is what a core waits for in either case. ``vpdpbusd`` multiplies
unsigned by signed bytes: a weight w is taken as w + 128, which is one bit turned over, and 128 times the sum of the
codes is taken off exactly, in integers.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.decode_row.table import FAST
from kernels.jit import njit

# numbers of the vector that share a step
BLOCK = 64

_ADDRESS, _LONG, _INT = ir.PointerType(), ir.IntType(64), ir.IntType(32)
_FLOAT = ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_INT, 16), ir.VectorType(_FLOAT, 16)
# four bytes of 128: what turns signed ones into unsigned ones
_TURNED = -0x7F7F7F80
# of a code: its high byte is at most 127
MOST = 127 * 256


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether this processor has the instruction."""
    if find_spec("llvmlite") is None:
        return False
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return all(features.get(name, False) for name in ("avx512f", "avx512bw", "avx512vnni"))


def _load(builder: Any, address: Any, kind: Any) -> Any:
    found = builder.load(builder.inttoptr(address, _ADDRESS), typ=kind)
    found.align = 4
    return found


def _dot(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """total[16] + the sums of four products each."""
    # LLVM calls the sixty-four bytes sixteen numbers up to version 21
    name, byte = "llvm.x86.avx512.vpdpbusd.512", ir.VectorType(ir.IntType(8), 64)
    kind = _bytes_kind(byte)
    signature = ir.FunctionType(_INTS, [_INTS, kind, kind])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, [total, builder.bitcast(unsigned, kind), builder.bitcast(signed, kind)])


def _bytes_kind(byte: Any) -> Any:
    from llvmlite import binding

    return byte if binding.llvm_version_info[0] >= 22 else _INTS


@intrinsic
def correct(_: Any, codes: Any, target: Any) -> Any:
    """target int32 [16] = -128 times the sum of each four of 64 codes, which lie as 64 high bytes and 64 low ones."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        codes, target = arguments
        zero = ir.Constant(_INTS, [0] * 16)
        high, low = (_load(builder, builder.add(codes, _LONG(at)), _INTS) for at in (0, BLOCK))
        total = _dot(builder, zero, ir.Constant(_INTS, [_TURNED] * 16), high)
        total = builder.shl(total, ir.Constant(_INTS, [8] * 16))
        total = _dot(builder, total, ir.Constant(_INTS, [_TURNED] * 16), low)
        builder.store(builder.sub(zero, total), builder.inttoptr(target, _ADDRESS)).align = 4
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def four(_: Any, rows: Any, coded: Any, blocks: Any, ahead: Any, out: Any) -> Any:
    """out float32 [4] = the products of four int8 rows, at addresses ``rows``, with a coded vector.

    coded: addresses of int8 [blocks, 2, 64], int32 [blocks, 16] and float32 [blocks]; ahead: bytes after each number of
    the rows to where memory is asked for that will be read soon.
    """

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        rows, coded, blocks, ahead, out = arguments
        rows = [builder.extract_value(rows, number) for number in range(4)]
        codes, offsets, steps = (builder.extract_value(coded, number) for number in range(3))

        def function(name: str, result: Any, *takes: Any) -> Any:
            return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, takes), name)

        ask = function("llvm.prefetch.p0", ir.VoidType(), _ADDRESS, _INT, _INT, _INT)
        fma = function("llvm.fma.v16f32", _FLOATS, *[_FLOATS] * 3)
        add = function("llvm.vector.reduce.fadd.v16f32", _FLOAT, _FLOAT, _FLOATS)
        how = [ir.Constant(_INT, value) for value in (0, 3, 1)]
        nothing, zero = ir.Constant(_FLOATS, [0.0] * 16), ir.Constant(_INTS, [0] * 16)
        turned, byte = ir.Constant(_INTS, [_TURNED] * 16), ir.Constant(_INTS, [8] * 16)
        sums = [cgutils.alloca_once(builder, _FLOATS) for _ in rows]
        for slot in sums:
            builder.store(nothing, slot)
        with cgutils.for_range(builder, blocks) as loop:
            at = builder.shl(loop.index, _LONG(6))
            pair = builder.add(codes, builder.shl(loop.index, _LONG(7)))
            high, low = _load(builder, pair, _INTS), _load(builder, builder.add(pair, _LONG(BLOCK)), _INTS)
            offset = _load(builder, builder.add(offsets, at), _INTS)
            step = builder.add(steps, builder.shl(loop.index, _LONG(2)))
            step = builder.load(builder.inttoptr(step, _ADDRESS), typ=_FLOAT)
            step = builder.insert_element(nothing, step, ir.Constant(_INT, 0))
            step = builder.shuffle_vector(step, nothing, zero)
            for row, slot in zip(rows, sums, strict=True):
                place = builder.add(row, at)
                builder.call(ask, [builder.inttoptr(builder.add(place, ahead), _ADDRESS), *how])
                weight = builder.xor(_load(builder, place, _INTS), turned)
                total = builder.shl(_dot(builder, zero, weight, high), byte)
                total = builder.add(total, _dot(builder, offset, weight, low))
                known = builder.load(slot, typ=_FLOATS)
                builder.store(builder.call(fma, [builder.sitofp(total, _FLOATS), step, known]), slot)
        for number, slot in enumerate(sums):
            start = ir.Constant(_FLOAT, 0.0)
            whole = builder.call(add, [start, builder.load(slot, typ=_FLOATS)], fastmath=("reassoc",))
            builder.store(whole, builder.inttoptr(builder.add(out, _LONG(4 * number)), _ADDRESS)).align = 4
        return context.get_dummy_value()

    addresses = types.UniTuple(types.int64, 4), types.UniTuple(types.int64, 3)
    return types.void(*addresses, types.int64, types.int64, types.int64), codegen


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def code(x: Any, codes: Any, offsets: Any, steps: Any) -> None:
    """Code a float32 vector. codes: int8 [blocks, 2, 64]; offsets: int32 [blocks, 16]; steps: float32 [blocks]."""
    for block in range(x.shape[0] // BLOCK):
        part = x[block * BLOCK : (block + 1) * BLOCK]
        top = np.float32(1e-30)
        for d in range(BLOCK):
            top = max(top, abs(part[d]))
        steps[block] = top / np.float32(MOST)
        turn = np.float32(MOST) / top
        for d in range(BLOCK):
            whole = np.int32(np.rint(part[d] * turn))
            high = (whole + 128) >> 8
            codes[block, 0, d] = np.int8(high)
            codes[block, 1, d] = np.int8(whole - (high << 8))
        correct(codes.ctypes.data + block * 2 * BLOCK, offsets.ctypes.data + block * BLOCK)
