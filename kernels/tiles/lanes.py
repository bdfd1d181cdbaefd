"""Sixteen float32 lanes at a time, for Numba: what a softmax over columns of tiles needs, at addresses.

Scores lie as [keys, 16 queries]: a lane is a query, and nothing ever goes across lanes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_ADDRESS, _INT, _SHORT, _LONG = ir.PointerType(), ir.IntType(32), ir.IntType(16), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(ir.FloatType(), 16), ir.VectorType(_INT, 16)
_SHORTS = ir.VectorType(_SHORT, 16)

# 2 ** f for f in [-1/2, 1/2] to 1.1e-4: weighted least squares, reweighted towards the worst error
_POWERS = (0.99992807, 0.69326099, 0.24261112, 0.05517163)
# weights are cut off to bfloat16, which takes half a step of 2 ** -7 from a mantissa: this makes it right on average
_HALF = 1.0 + 2.0**-8 * 0.6931
_LEAST = -126.0
# adding it rounds to a whole number, which then stands in the low bits
_ROUND = 12582912.0


def _all(kind: Any, value: Any) -> Any:
    return ir.Constant(kind, [value] * 16)


def _take(builder: Any, one: Any, other: Any, which: Iterable[int]) -> Any:
    places = list(which)
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INT, len(places)), places))


def _splat(builder: Any, value: Any) -> Any:
    nothing = ir.Constant(_FLOATS, ir.Undefined)
    return _take(builder, builder.insert_element(nothing, value, ir.Constant(_INT, 0)), nothing, [0] * 16)


def _load(builder: Any, address: Any, kind: Any = _FLOATS, align: int = 4) -> Any:
    found = builder.load(builder.inttoptr(address, _ADDRESS), typ=kind)
    found.align = align
    return found


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, _ADDRESS)).align = 4


def _after(builder: Any, address: Any, index: Any, shift: int) -> Any:
    """address + (index << shift)"""
    return builder.add(address, builder.shl(index, _LONG(shift)))


def _call(builder: Any, name: str, kind: Any, arguments: list[Any]) -> Any:
    signature = ir.FunctionType(kind, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def _fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    return _call(builder, "llvm.fma.v16f32", _FLOATS, [x, y, z])


def _max(builder: Any, x: Any, y: Any) -> Any:
    # 4: rounding as it is
    return _call(builder, "llvm.x86.avx512.max.ps.512", _FLOATS, [x, y, ir.Constant(_INT, 4)])


def _power(builder: Any, x: Any, factor: float) -> Any:
    """The bits of factor * 2 ** x, for x <= 0."""
    x = _max(builder, x, _all(_FLOATS, _LEAST))
    rounded = builder.fadd(x, _all(_FLOATS, _ROUND))
    rest = builder.fsub(x, builder.fsub(rounded, _all(_FLOATS, _ROUND)))
    series = _all(_FLOATS, _POWERS[-1] * factor)
    for coefficient in reversed(_POWERS[:-1]):
        series = _fma(builder, series, rest, _all(_FLOATS, coefficient * factor))
    exponent = builder.shl(builder.bitcast(rounded, _INTS), _all(_INTS, 23))
    return builder.add(builder.bitcast(series, _INTS), exponent)


class _Totals:
    """Several accumulators, so that additions need not wait for one another."""

    def __init__(self, builder: Any, first: Any, rest: Any, count: int) -> None:
        self._builder = builder
        self.slots = [cgutils.alloca_once(builder, _FLOATS) for _ in range(count)]
        for number, slot in enumerate(self.slots):
            builder.store(rest if number else first, slot)

    def get(self, number: int) -> Any:
        return self._builder.load(self.slots[number], typ=_FLOATS)

    def put(self, number: int, value: Any) -> None:
        self._builder.store(value, self.slots[number])


@intrinsic
def column_max(_: Any, scores: Any, keys: Any, top: Any) -> Any:
    """top[16] = max(top, scores[key, 16]) over ``keys``, a multiple of 8."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        scores, keys, top = arguments
        known = _load(builder, top)
        found = _Totals(builder, known, known, 8)
        with cgutils.for_range(builder, builder.lshr(keys, _LONG(3))) as loop:
            base = _after(builder, scores, loop.index, 9)
            for number in range(8):
                row = _load(builder, builder.add(base, _LONG(64 * number)))
                found.put(number, _max(builder, found.get(number), row))
        best = [found.get(number) for number in range(8)]
        while len(best) > 1:
            best = [_max(builder, *best[number : number + 2]) for number in range(0, len(best), 2)]
        _store(builder, best[0], top)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def fold(_: Any, scores: Any, keys: Any) -> Any:
    """scores[key, 16] += their other halves: lanes l and l + 8 both hold the sum of the two."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        scores, keys = arguments
        with cgutils.for_range(builder, keys) as loop:
            place = _after(builder, scores, loop.index, 6)
            row = _load(builder, place)
            other = _take(builder, row, row, [*range(8, 16), *range(8)])
            _store(builder, builder.fadd(row, other), place)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def rescale(_: Any, sums: Any, rows: Any, total: Any, top: Any, new: Any, factor: Any) -> Any:
    """top = new[16] >= top; sums[rows, 16] and total[16] *= 2 ** ((top - new) * factor), nothing where none is new."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        sums, rows, total, top, new, factor = arguments
        old, now = _load(builder, top), _load(builder, new)
        changed = builder.bitcast(builder.fcmp_ordered(">", now, old), _SHORT)
        with builder.if_then(builder.icmp_unsigned("!=", changed, _SHORT(0))):
            power = builder.fmul(builder.fsub(old, now), _splat(builder, factor))
            fix = builder.bitcast(_power(builder, power, 1.0), _FLOATS)
            _store(builder, builder.fmul(_load(builder, total), fix), total)
            _store(builder, now, top)
            with cgutils.for_range(builder, rows) as loop:
                place = _after(builder, sums, loop.index, 6)
                _store(builder, builder.fmul(_load(builder, place), fix), place)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.float32), codegen


@intrinsic
def soften(_: Any, scores: Any, weights: Any, pairs: Any, top: Any, total: Any, factor: Any) -> Any:
    """weights[pair, 16] = 2 ** (scores * factor - top * factor) of two keys as bfloat16; total[16] += both."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        scores, weights, pairs, top, total, factor = arguments
        steep = _splat(builder, factor)
        shift = builder.fneg(builder.fmul(_load(builder, top), steep))
        sums = _Totals(builder, _load(builder, total), _all(_FLOATS, 0.0), 2)
        high = _all(_INTS, -65536)
        with cgutils.for_range(builder, pairs) as loop:
            base = _after(builder, scores, loop.index, 7)
            both = []
            for number in range(2):
                row = _load(builder, builder.add(base, _LONG(64 * number)))
                bits = _power(builder, _fma(builder, row, steep, shift), _HALF)
                kept = builder.and_(bits, high)
                sums.put(number, builder.fadd(sums.get(number), builder.bitcast(kept, _FLOATS)))
                both.append(kept)
            joined = builder.or_(builder.lshr(both[0], _all(_INTS, 16)), both[1])
            _store(builder, joined, _after(builder, weights, loop.index, 6))
        _store(builder, builder.fadd(sums.get(0), sums.get(1)), total)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.float32), codegen


@intrinsic
def sum_powers(_: Any, scores: Any, keys: Any, level: Any, total: Any, factor: Any) -> Any:
    """total[16] += 2 ** (scores[key, 16] * factor - level[16]) over ``keys``, an even number."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        scores, keys, level, total, factor = arguments
        steep = _splat(builder, factor)
        shift = builder.fneg(_load(builder, level))
        sums = _Totals(builder, _load(builder, total), _all(_FLOATS, 0.0), 2)
        with cgutils.for_range(builder, builder.lshr(keys, _LONG(1))) as loop:
            base = _after(builder, scores, loop.index, 7)
            for number in range(2):
                row = _load(builder, builder.add(base, _LONG(64 * number)))
                power = builder.bitcast(_power(builder, _fma(builder, row, steep, shift), 1.0), _FLOATS)
                sums.put(number, builder.fadd(sums.get(number), power))
        _store(builder, builder.fadd(sums.get(0), sums.get(1)), total)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.float32), codegen


@intrinsic
def add_powers(_: Any, scores: Any, keys: Any, level: Any, shares: Any, factor: Any) -> Any:
    """shares[key, 16] += 2 ** (scores[key, 16] * factor - level[16]) for ``keys``."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        scores, keys, level, shares, factor = arguments
        steep = _splat(builder, factor)
        shift = builder.fneg(_load(builder, level))
        with cgutils.for_range(builder, keys) as loop:
            row = _load(builder, _after(builder, scores, loop.index, 6))
            power = builder.bitcast(_power(builder, _fma(builder, row, steep, shift), 1.0), _FLOATS)
            place = _after(builder, shares, loop.index, 6)
            _store(builder, builder.fadd(_load(builder, place), power), place)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.float32), codegen


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Sixteen vectors of sixteen 32-bit numbers, rows turned to columns: two steps within 128 bits, two between."""

    def interleaved(one: Any, other: Any, unit: int, high: bool) -> Any:
        places: list[int] = []
        half = 2 // unit
        for lane in range(0, 16, 4):
            for number in range(half):
                first = lane + (number + (half if high else 0)) * unit
                places += [*range(first, first + unit), *range(16 + first, 16 + first + unit)]
        return _take(builder, one, other, places)

    def quarters(one: Any, other: Any, odd: int) -> Any:
        return _take(builder, one, other, (q * 4 + n for q in (odd, odd + 2, odd + 4, odd + 6) for n in range(4)))

    twos = [interleaved(rows[n], rows[n + 1], 1, bool(h)) for n in range(0, 16, 2) for h in range(2)]
    fours = [
        interleaved(twos[n + m], twos[n + m + 2], 2, bool(h))
        for n in range(0, 16, 4)
        for m in range(2)
        for h in range(2)
    ]  # fours[4 n + c] holds, in its quarter q, column 4 q + c of rows 4 n .. 4 n + 3
    found = [None] * 16
    for column in range(4):
        for odd in range(2):
            upper = quarters(fours[column], fours[4 + column], odd)
            lower = quarters(fours[8 + column], fours[12 + column], odd)
            for half in range(2):
                found[odd * 4 + half * 8 + column] = quarters(upper, lower, half)
    return found


@intrinsic
def transpose(_: Any, source: Any, stride: Any, target: Any, step: Any) -> Any:
    """Sixteen rows of sixteen 32-bit numbers, ``stride`` bytes apart, to their columns, ``step`` bytes apart."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        source, stride, target, step = arguments
        rows = [_load(builder, builder.add(source, builder.mul(stride, _LONG(n))), _INTS) for n in range(16)]
        for number, column in enumerate(_transposed(builder, rows)):
            _store(builder, column, builder.add(target, builder.mul(step, _LONG(number))))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


@intrinsic
def transpose_shorts(_: Any, first: Any, second: Any, stride: Any, target: Any) -> Any:
    """Twice sixteen rows of sixteen 16-bit numbers, ``stride`` bytes apart, to target [16 columns, 32]."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        first, second, stride, target = arguments
        rows = []
        for base in (first, second):
            for number in range(0, 16, 2):
                pair = [
                    _load(builder, builder.add(base, builder.mul(stride, _LONG(number + n))), _SHORTS, 2)
                    for n in (0, 1)
                ]
                mixed = _take(builder, pair[0], pair[1], (place for n in range(16) for place in (n, 16 + n)))
                rows.append(builder.bitcast(mixed, _INTS))
        for number, column in enumerate(_transposed(builder, rows)):
            _store(builder, column, builder.add(target, _LONG(64 * number)))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen
