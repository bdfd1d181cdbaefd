"""The container of MOBI and AZW3: records of a Palm database, their compression, their indexes. Knows no markup.

Field offsets are those of the MobileRead wiki's pages "MOBI" and "KF8". All numbers are big-endian. Whatever does not
fit together raises PalmError: nothing is read beyond a record, nothing grows beyond ``TEXT_LIMIT``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

TEXT_LIMIT = 64 * 2**20  # bytes of text, unpacked
RECORD_LIMIT = 65_535
_ENTRIES = 100_000  # of an index
_DEPTH = 32  # phrases of a dictionary that stand in phrases
_NONE = 0xFFFFFFFF
_PLAIN, _PALMDOC, _HUFFMAN = 1, 2, 17480


class PalmError(ValueError):
    """The bytes are no whole Palm database of a book; says what is wrong."""


class PalmLocked(PalmError):
    """The text is encrypted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of an index: its name, and for each tag the numbers it holds."""

    name: bytes
    tags: dict[int, list[int]]


@dataclass(slots=True)
class Book:
    """text: the markup, unpacked; version: 8 for KF8 (AZW3), 6 and 7 for MOBI; encoding: a codec's name.

    fields: EXTH records by type; contents, fragments, skeletons: indexes, empty where there is none; labels: of the
    contents, by offset; pictures: number of the first record that is one.
    """

    text: bytes
    version: int
    encoding: str
    title: bytes
    fields: dict[int, list[bytes]]
    contents: list[Entry] = field(default_factory=list)
    labels: dict[int, bytes] = field(default_factory=dict)
    fragments: list[Entry] = field(default_factory=list)
    skeletons: list[Entry] = field(default_factory=list)
    cover: bytes = b""


def read(data: bytes) -> Book:
    """The book in a Palm database; of a file that holds a MOBI and a KF8, the MOBI. Raises PalmError, PalmLocked."""
    try:
        return _read(data)
    except (struct.error, IndexError) as error:
        raise PalmError(f"a record is cut off ({error})") from None


def _read(data: bytes) -> Book:
    records = _records(data)
    head = records[0]
    compression, _, _, count, _, encryption = struct.unpack_from(">HHIHHH", head)
    if encryption:
        raise PalmLocked("its text is encrypted")
    if head[16:20] != b"MOBI":
        # the oldest of these files: text without a header of its own
        return Book(_text(records, 1, count, compression, 0, head), 1, "cp1252", data[:31].split(b"\0")[0], {})
    length, _, codepage, _, version = struct.unpack_from(">5I", head, 20)
    flags = _u16(head, 242) if length >= 0xE4 else 0
    text = _text(records, 1, count, compression, flags, head)
    fields = _exth(head, 16 + length) if _u32(head, 128) & 0x40 else {}
    at, size = struct.unpack_from(">II", head, 84)
    book = Book(
        text=text,
        version=version,
        encoding="utf-8" if codepage == 65001 else "cp1252",
        title=head[at : at + min(size, 2000)],
        fields=fields,
    )
    if version >= 8:
        # styles and drawings follow the text in parts of their own
        book.text = text[: _first_part(records, _u32(head, 192), len(text))]
        book.fragments = _optional(records, _u32(head, 248) if length >= 0xEC else _NONE)[0]
        book.skeletons = _optional(records, _u32(head, 252) if length >= 0xF0 else _NONE)[0]
    if length >= 0xE8:
        book.contents, book.labels = _optional(records, _u32(head, 244))
    book.cover = _cover(records, _u32(head, 108), fields)
    return book


def _records(data: bytes) -> list[bytes]:
    count = _u16(data, 76)
    if not 0 < count <= RECORD_LIMIT:
        raise PalmError("it names no records")
    starts = [_u32(data, 78 + 8 * n) for n in range(count)]
    if any(a > b for a, b in pairwise(starts)) or starts[-1] > len(data):
        raise PalmError("its records lie outside the file")
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


def _u16(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">H", data, at)[0])


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">I", data, at)[0])


def _exth(head: bytes, at: int) -> dict[int, list[bytes]]:
    if head[at : at + 4] != b"EXTH":
        return {}
    fields: dict[int, list[bytes]] = {}
    count = _u32(head, at + 8)
    at += 12
    for _ in range(min(count, 1000)):
        kind, size = struct.unpack_from(">II", head, at)
        if size < 8:
            break
        fields.setdefault(kind, []).append(head[at + 8 : at + size])
        at += size
    return fields


# text


def _text(records: list[bytes], first: int, count: int, compression: int, flags: int, head: bytes) -> bytes:
    unpack: Callable[[bytes], bytes]
    if compression == _PLAIN:
        unpack = bytes
    elif compression == _PALMDOC:
        unpack = unpack_palmdoc
    elif compression == _HUFFMAN:
        at, size = struct.unpack_from(">II", head, 112)
        if size < 2 or at + size > len(records):
            raise PalmError("its dictionary is missing")
        unpack = Huffman(records[at], records[at + 1 : at + size]).unpack
    else:
        raise PalmError(f"it is packed in an unknown way ({compression})")
    if first + count > len(records):
        raise PalmError("records of its text are missing")
    parts: list[bytes] = []
    total = 0
    for record in records[first : first + count]:
        part = unpack(record[: len(record) - _trailing(record, flags)])
        total += len(part)
        if total > TEXT_LIMIT:
            raise PalmError(f"its text unpacks to more than {TEXT_LIMIT // 2**20} MB")
        parts.append(part)
    return b"".join(parts)


def _trailing(record: bytes, flags: int) -> int:
    """How many bytes at a record's end are no text: each of them has its size at its own end."""
    size = 0
    for bit in range(15, 0, -1):
        if flags >> bit & 1 and size < len(record):
            size += _backward(record[: len(record) - size])
    if flags & 1 and size < len(record):
        size += (record[len(record) - size - 1] & 3) + 1
    return min(size, len(record))


def _backward(data: bytes) -> int:
    value = shift = 0
    for byte in reversed(data[-4:]):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            break
    return value


def unpack_palmdoc(data: bytes) -> bytes:
    """Palm's LZ77. Raises PalmError for a copy from before the beginning."""
    out = bytearray()
    at = 0
    while at < len(data):
        byte = data[at]
        at += 1
        if 1 <= byte <= 8:
            out += data[at : at + byte]
            at += byte
        elif byte < 0x80:
            out.append(byte)
        elif byte >= 0xC0:
            out += bytes((0x20, byte ^ 0x80))
        else:
            if at >= len(data):
                break
            pair = byte << 8 | data[at]
            at += 1
            distance, length = pair >> 3 & 0x7FF, (pair & 7) + 3
            if not 0 < distance <= len(out):
                raise PalmError("its text cannot be unpacked")
            for _ in range(length):
                out.append(out[-distance])
    return bytes(out)


class Huffman:
    """HUFF/CDIC: codes of up to 32 bits for phrases, which may be packed themselves."""

    def __init__(self, huff: bytes, dictionaries: list[bytes]) -> None:
        if huff[:4] != b"HUFF":
            raise PalmError("its dictionary is damaged")
        at, beyond = struct.unpack_from(">II", huff, 8)
        # by the first byte of a code: its length, whether that is final, and the largest code of that length
        self._first = [(v & 0x1F, v & 0x80, v >> 8) for v in struct.unpack_from(">256I", huff, at)]
        pairs = struct.unpack_from(">64I", huff, beyond)
        self._least = [0, *(low << (32 - n) for n, low in enumerate(pairs[0::2], 1))]
        self._most = [0, *(((high + 1) << (32 - n)) - 1 for n, high in enumerate(pairs[1::2], 1))]
        self._phrases: list[tuple[bytes, bool]] = []
        self._open: set[int] = set()
        for record in dictionaries:
            if record[:4] != b"CDIC":
                raise PalmError("its dictionary is damaged")
            count, bits = struct.unpack_from(">II", record, 8)
            count = min(1 << min(bits, 16), count - len(self._phrases))
            for place in struct.unpack_from(f">{max(count, 0)}H", record, 16):
                size = _u16(record, 16 + place)
                self._phrases.append((record[18 + place : 18 + place + (size & 0x7FFF)], bool(size & 0x8000)))

    def unpack(self, data: bytes, depth: int = 0) -> bytes:
        if depth > _DEPTH:
            raise PalmError("its dictionary leads nowhere")
        left = len(data) * 8
        data += b"\0" * 8
        out = bytearray()
        at = 0
        while True:
            window = int.from_bytes(data[at // 8 : at // 8 + 8], "big")
            code = window >> (32 - at % 8) & 0xFFFFFFFF
            length, final, high = self._first[code >> 24]
            if final:
                most = ((high + 1) << (32 - length)) - 1
            else:
                while length < 32 and code < self._least[length]:
                    length += 1
                most = self._most[length]
            if length == 0:
                raise PalmError("its text cannot be unpacked")
            at += length
            left -= length
            if left < 0:
                return bytes(out)
            number = most - code >> 32 - length
            if not 0 <= number < len(self._phrases):
                raise PalmError("its text cannot be unpacked")
            phrase, plain = self._phrases[number]
            if not plain:
                if number in self._open:
                    raise PalmError("its dictionary leads nowhere")
                self._open.add(number)
                phrase = self.unpack(phrase, depth + 1)
                self._open.discard(number)
                self._phrases[number] = (phrase, True)
            out += phrase
            if len(out) > TEXT_LIMIT:
                raise PalmError(f"its text unpacks to more than {TEXT_LIMIT // 2**20} MB")


def _first_part(records: list[bytes], number: int, size: int) -> int:
    """Where the text ends and styles begin (FDST)."""
    if number == _NONE or number >= len(records) or records[number][:4] != b"FDST":
        return size
    at, count = struct.unpack_from(">II", records[number], 4)
    return min(_u32(records[number], at + 4), size) if count else size


# indexes


def _optional(records: list[bytes], number: int) -> tuple[list[Entry], dict[int, bytes]]:
    """An index, or nothing where it is missing or makes no sense: a text is not refused for its contents."""
    if number == _NONE or number >= len(records):
        return [], {}
    try:
        return list(_index(records, number)), _labels(records, number)
    except (PalmError, struct.error, IndexError):
        return [], {}


def _index(records: list[bytes], number: int) -> Iterator[Entry]:
    head = records[number]
    if head[:4] != b"INDX":
        raise PalmError("an index is damaged")
    length, count = _u32(head, 4), _u32(head, 24)
    if head[length : length + 4] != b"TAGX":
        raise PalmError("an index is damaged")
    end, controls = struct.unpack_from(">II", head, length + 4)
    table = [tuple(head[at : at + 4]) for at in range(length + 12, min(length + end, len(head)) - 3, 4)]
    given = 0
    for record in records[number + 1 : number + 1 + count]:
        start, entries = struct.unpack_from(">II", record, 20)
        given += entries
        if given > _ENTRIES:
            raise PalmError("an index is too long")
        places = [*struct.unpack_from(f">{entries}H", record, start + 4), start]
        for at, until in pairwise(places):
            size = record[at]
            name = record[at + 1 : at + 1 + size]
            yield Entry(name, _tags(record[at + 1 + size : until], table, controls))


def _tags(data: bytes, table: list[tuple[int, ...]], controls: int) -> dict[int, list[int]]:
    """The numbers of an entry: which tags it has stands in its first ``controls`` bytes."""
    control = 0
    at = controls
    found: list[tuple[int, int, int]] = []  # tag, numbers of one value, how many numbers; negative: bytes
    for tag, width, mask, ends in table:
        if ends == 1:
            control += 1
            continue
        value = data[control] & mask
        if not value:
            continue
        if value == mask and mask.bit_count() > 1:
            size, at = _forward(data, at)
            found.append((tag, width, -size))
        else:
            while not mask & 1:
                mask >>= 1
                value >>= 1
            found.append((tag, width, value * width))
    tags: dict[int, list[int]] = {}
    for tag, _, amount in found:
        numbers: list[int] = []
        stop = at - amount
        while at < len(data) and (at < stop if amount < 0 else len(numbers) < amount):
            number, at = _forward(data, at)
            numbers.append(number)
        tags[tag] = numbers
    return tags


def _forward(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for n in range(4):
        byte = data[at + n]
        value = value << 7 | byte & 0x7F
        if byte & 0x80:
            return value, at + n + 1
    return value, at + 4


def _labels(records: list[bytes], number: int) -> dict[int, bytes]:
    """The texts that an index refers to, by their offset."""
    count, parts = _u32(records[number], 24), _u32(records[number], 52)
    labels: dict[int, bytes] = {}
    for n, record in enumerate(records[number + 1 + count : number + 1 + count + min(parts, 64)]):
        at = 0
        while at < len(record) and record[at]:
            size, start = _forward(record, at)
            labels[n * 0x10000 + at] = record[start : start + size]
            at = start + size
    return labels


def _cover(records: list[bytes], pictures: int, fields: dict[int, list[bytes]]) -> bytes:
    place = fields.get(201, [b""])[0]
    number = pictures + int.from_bytes(place, "big") if len(place) == 4 else len(records)
    return records[number] if pictures != _NONE and number < len(records) else b""
