"""Arrays of integers as compact bytes, and back.

Three bytes of head (the item's width, 1 if differences are stored, 1 if zlib packed the rest), then little-endian
items. Offsets grow by a few characters a token, so their differences take a byte each instead of eight.
"""

from __future__ import annotations

import operator
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, islice
from typing import Literal

_HEAD = struct.Struct("<BBB")
# how wide each signed and unsigned item is, whatever the platform calls it
_SIGNED = {array(code).itemsize: code for code in "qlihb"}
_UNSIGNED = {array(code).itemsize: code for code in "QLIHB"}
# a widening of the array type costs nothing to read; packing must save a tenth to be worth its time
_WORTH = 0.9


def pack(values: Sequence[int], *, differences: bool = False) -> bytes:
    """Bytes of ``values``, each fitting 64 bits; ``differences`` suits what grows slowly."""
    items: Sequence[int] = values
    if differences:
        items = array("q", chain(islice(values, 1), map(operator.sub, islice(values, 1, None), values)))
    low, high = min(items, default=0), max(items, default=0)
    if low >= 0:
        code = next(_UNSIGNED[width] for width in (1, 2, 4, 8) if high < 1 << 8 * width)
    else:
        code = next(_SIGNED[width] for width in (1, 2, 4, 8) if -low - 1 < (half := 1 << 8 * width - 1) and high < half)
    packed = array(code, items)
    if sys.byteorder == "big":
        packed.byteswap()
    plain = packed.tobytes()
    small = zlib.compress(plain, 3)
    dense = len(small) < _WORTH * len(plain)
    # an unsigned width is stored as it is, a signed one with its high bit set
    width = packed.itemsize | (0 if low >= 0 else 0x80)
    return _HEAD.pack(width, differences, dense) + (small if dense else plain)


def unpack(blob: bytes, typecode: Literal["i", "q"]) -> array[int]:
    """The array that was packed. Raises ValueError for bytes that ``pack`` did not make."""
    if len(blob) < _HEAD.size:
        raise ValueError("a packed array is cut short")
    width, differences, dense = _HEAD.unpack_from(blob)
    codes = _SIGNED if width & 0x80 else _UNSIGNED
    if width & 0x7F not in (1, 2, 4, 8) or differences > 1 or dense > 1:
        raise ValueError("a packed array has an unknown head")
    try:
        plain = zlib.decompress(blob[_HEAD.size :]) if dense else blob[_HEAD.size :]
    except zlib.error as error:
        raise ValueError(f"a packed array is damaged: {error}") from None
    items = array(codes[width & 0x7F])
    items.frombytes(plain)
    if sys.byteorder == "big":
        items.byteswap()
    values: Iterable[int] = accumulate(items) if differences else items
    try:
        return array(typecode, values)
    except OverflowError:
        raise ValueError("a packed array holds numbers that are too large") from None
