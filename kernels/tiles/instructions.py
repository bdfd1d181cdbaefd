"""AMX for Numba: eight tiles of 16 rows of 64 bytes, named by number, and the product of two of them.

A tile of bfloat16 holds 16 x 32 numbers, one of float32 16 x 16. ``dot`` adds to C [16, 16] the product of A [16, 32]
and B [32, 16], where B lies in pairs: its row k holds, for every column, the numbers 2 k and 2 k + 1.
(Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BYTE, _LONG, _ADDRESS, _NOTHING = ir.IntType(8), ir.IntType(64), ir.PointerType(), ir.VoidType()


def _configuration() -> Any:
    """All eight tiles at their full size."""
    whole = np.zeros(64, np.uint8)
    whole[0] = 1  # the palette
    whole[16:32:2] = 64  # bytes a row
    whole[48:56] = 16  # rows
    return whole


# kept alive: the compiled code is given its address
CONFIGURATION = _configuration()


def _call(builder: Any, name: str, arguments: list[Any]) -> None:
    kind = ir.FunctionType(_NOTHING, [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86." + name), arguments)


def _numbers(*tiles: Any) -> list[Any]:
    return [ir.Constant(_BYTE, tile.literal_value) for tile in tiles]


@intrinsic
def configure(_: Any, address: Any) -> Any:
    """Set the tiles of this thread up as the 64 bytes at ``address`` say."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _call(builder, "ldtilecfg", [builder.inttoptr(arguments[0], _ADDRESS)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def configured(_: Any, address: Any) -> Any:
    """Write 64 bytes to ``address``: how the tiles of this thread are set up."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _call(builder, "sttilecfg", [builder.inttoptr(arguments[0], _ADDRESS)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic(prefer_literal=True)
def zero(_: Any, tile: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, ___: Any) -> Any:
        _call(builder, "tilezero", _numbers(tile))
        return context.get_dummy_value()

    return types.void(tile), codegen


@intrinsic(prefer_literal=True)
def load(_: Any, tile: Any, address: Any, stride: Any) -> Any:
    """Sixteen rows of 64 bytes, ``stride`` bytes apart."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _call(builder, "tileloadd64", [*_numbers(tile), builder.inttoptr(arguments[1], _ADDRESS), arguments[2]])
        return context.get_dummy_value()

    return types.void(tile, types.int64, types.int64), codegen


@intrinsic(prefer_literal=True)
def store(_: Any, tile: Any, address: Any, stride: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _call(builder, "tilestored64", [*_numbers(tile), builder.inttoptr(arguments[1], _ADDRESS), arguments[2]])
        return context.get_dummy_value()

    return types.void(tile, types.int64, types.int64), codegen


@intrinsic(prefer_literal=True)
def dot(_: Any, c: Any, a: Any, b: Any) -> Any:
    """c += a b, of bfloat16, in float32."""

    def codegen(context: Any, builder: Any, __: Any, ___: Any) -> Any:
        _call(builder, "tdpbf16ps", _numbers(c, a, b))
        return context.get_dummy_value()

    return types.void(c, a, b), codegen
