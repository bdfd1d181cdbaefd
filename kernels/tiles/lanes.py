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


class _Bfloat16(ir.Type):  # type: ignore[misc]
    """LLVM's ``bfloat``, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bfloat16)

    def __hash__(self) -> int:
        return hash(_Bfloat16)


_ADDRESS, _INT, _SHORT, _LONG = ir.PointerType(), ir.IntType(32), ir.IntType(16), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(ir.FloatType(), 16), ir.VectorType(_INT, 16)
_SHORTS, _PAIRS = ir.VectorType(_SHORT, 16), ir.VectorType(_Bfloat16(), 32)

# 2 ** f for f in [0, 1) to 7.5e-5: weighted least squares, reweighted towards the worst error
_POWERS = (0.99992523, 0.69583349, 0.22606718, 0.07802455)
# weights are cut off to bfloat16, which takes half a step of 2 ** -7 from a mantissa: this makes it right on average
_HALF = 1.0 + 2.0**-8 * 0.6931
# numbers below the normal ones take a core forty times as long
_LEAST = -126.0
# by how many powers of two the largest score may pass the one that weights are taken against
_SLACK = 8.0
# of a number, what is above the whole number below it
_FRACTION = 9
# rounding as it is
_AS_IS = 4


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
    return _call(builder, "llvm.x86.avx512.max.ps.512", _FLOATS, [x, y, _INT(_AS_IS)])


def _power(builder: Any, x: Any, factor: float) -> Any:
    """factor * 2 ** x, for x up to ``_SLACK``."""
    x = _max(builder, x, _all(_FLOATS, _LEAST))
    every, rounding = _SHORT(-1), _INT(_AS_IS)
    rest = _call(builder, "llvm.x86.avx512.mask.reduce.ps.512", _FLOATS, [x, _INT(_FRACTION), x, every, rounding])
    series = _all(_FLOATS, _POWERS[-1] * factor)
    for coefficient in reversed(_POWERS[:-1]):
        series = _fma(builder, series, rest, _all(_FLOATS, coefficient * factor))
    # times 2 to the whole number below x
    return _call(builder, "llvm.x86.avx512.mask.scalef.ps.512", _FLOATS, [series, x, x, every, rounding])


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
def block_max(_: Any, scores: Any, blocks: Any, size: Any, found: Any) -> Any:
    """found[block, 16] = the largest of scores[block * size + key, 16] over the ``size`` keys, a multiple of 8."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        scores, blocks, size, found = arguments
        eighths = builder.lshr(size, _LONG(3))
        best = cgutils.alloca_once(builder, _FLOATS)
        with cgutils.for_range(builder, blocks) as loop:
            begin = builder.add(scores, builder.shl(builder.mul(loop.index, eighths), _LONG(9)))
            builder.store(_load(builder, begin), best)
            with cgutils.for_range(builder, eighths) as inner:
                base = _after(builder, begin, inner.index, 9)
                rows = [_load(builder, builder.add(base, _LONG(64 * number))) for number in range(8)]
                while len(rows) > 1:
                    rows = [_max(builder, *rows[number : number + 2]) for number in range(0, len(rows), 2)]
                builder.store(_max(builder, builder.load(best, typ=_FLOATS), rows[0]), best)
            _store(builder, builder.load(best, typ=_FLOATS), _after(builder, found, loop.index, 6))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


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
    """top = new[16] >= top; sums[rows, 16] and total[16] *= 2 ** ((top - new) * factor).

    Nothing happens while no weight would pass 2 ** ``_SLACK``: sums of float32 have the room.
    """

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        sums, rows, total, top, new, factor = arguments
        old, now = _load(builder, top), _load(builder, new)
        rise = builder.fmul(builder.fsub(now, old), _splat(builder, factor))
        high = builder.bitcast(builder.fcmp_ordered(">", rise, _all(_FLOATS, _SLACK)), _SHORT)
        with builder.if_then(builder.icmp_unsigned("!=", high, _SHORT(0))):
            fix = _power(builder, builder.fneg(rise), 1.0)
            _store(builder, builder.fmul(_load(builder, total), fix), total)
            _store(builder, now, top)
            with cgutils.for_range(builder, rows) as loop:
                place = _after(builder, sums, loop.index, 6)
                _store(builder, builder.fmul(_load(builder, place), fix), place)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.float32), codegen


@intrinsic
def soften(_: Any, scores: Any, weights: Any, pairs: Any, top: Any, total: Any, factor: Any) -> Any:
    """weights[pair, 16] = 2 ** (scores * factor - top * factor) of two keys as bfloat16; total[16] += both.

    pairs: a multiple of 4.
    """

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        scores, weights, pairs, top, total, factor = arguments
        steep = _splat(builder, factor)
        shift = builder.fneg(builder.fmul(_load(builder, top), steep))
        sums = _Totals(builder, _load(builder, total), _all(_FLOATS, 0.0), 4)
        ones = builder.bitcast(_all(_INTS, 0x3F803F80), _PAIRS)
        with cgutils.for_range(builder, builder.lshr(pairs, _LONG(2))) as loop:
            base, target = _after(builder, scores, loop.index, 9), _after(builder, weights, loop.index, 8)
            for pair in range(4):
                both = []
                for key in range(2):
                    row = _load(builder, builder.add(base, _LONG(64 * (2 * pair + key))))
                    power = _power(builder, _fma(builder, row, steep, shift), _HALF)
                    both.append(builder.bitcast(power, _INTS))
                upper = builder.and_(both[1], _all(_INTS, -65536))
                joined = builder.or_(builder.lshr(both[0], _all(_INTS, 16)), upper)
                added = [sums.get(pair), builder.bitcast(joined, _PAIRS), ones]
                sums.put(pair, _call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", _FLOATS, added))
                _store(builder, joined, builder.add(target, _LONG(64 * pair)))
        halves = [builder.fadd(sums.get(number), sums.get(number + 1)) for number in (0, 2)]
        _store(builder, builder.fadd(*halves), total)
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
                power = _power(builder, _fma(builder, row, steep, shift), 1.0)
                sums.put(number, builder.fadd(sums.get(number), power))
        _store(builder, builder.fadd(sums.get(0), sums.get(1)), total)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.float32), codegen


@intrinsic
def powers(_: Any, scores: Any, keys: Any, level: Any, total: Any, factor: Any) -> Any:
    """scores[key, 16] = 2 ** (scores * factor - level[16]) over ``keys``, an even number; total[16] += them all."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        scores, keys, level, total, factor = arguments
        steep = _splat(builder, factor)
        shift = builder.fneg(_load(builder, level))
        sums = _Totals(builder, _load(builder, total), _all(_FLOATS, 0.0), 2)
        with cgutils.for_range(builder, builder.lshr(keys, _LONG(1))) as loop:
            base = _after(builder, scores, loop.index, 7)
            for number in range(2):
                place = builder.add(base, _LONG(64 * number))
                power = _power(builder, _fma(builder, _load(builder, place), steep, shift), 1.0)
                sums.put(number, builder.fadd(sums.get(number), power))
                _store(builder, power, place)
        _store(builder, builder.fadd(sums.get(0), sums.get(1)), total)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.float32), codegen


@intrinsic
def add_weighted(_: Any, scores: Any, keys: Any, weight: Any, shares: Any) -> Any:
    """shares[key, 16] += scores[key, 16] * weight[16] for ``keys``."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        scores, keys, weight, shares = arguments
        each = _load(builder, weight)
        with cgutils.for_range(builder, keys) as loop:
            place = _after(builder, shares, loop.index, 6)
            row = _load(builder, _after(builder, scores, loop.index, 6))
            _store(builder, _fma(builder, row, each, _load(builder, place)), place)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


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
