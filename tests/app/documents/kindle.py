"""MOBI and AZW3 files of a few lines, written by hand."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

NONE = 0xFFFFFFFF
Entry = tuple[bytes, Sequence[tuple[int, Sequence[int]]]]


def pack(data: bytes) -> bytes:
    """Palm's LZ77 as a simple writer makes it: copies where there is one, letters otherwise."""
    out = bytearray()
    at = 0
    while at < len(data):
        for size in range(10, 2, -1):
            before = data.rfind(data[at : at + size], max(0, at - 2047), at + size - 1)
            if before >= 0 and before < at and len(data) - at >= size:
                pair = 0x8000 | (at - before) << 3 | (size - 3)
                out += bytes((pair >> 8, pair & 255))
                at += size
                break
        else:
            byte = data[at]
            if byte == 0x20 and at + 1 < len(data) and 0x40 <= data[at + 1] < 0x80:
                out.append(data[at + 1] ^ 0x80)
                at += 2
                continue
            out += bytes((byte,)) if byte == 0 or 9 <= byte < 0x80 else bytes((1, byte))
            at += 1
    return bytes(out)


def huffman(phrases: Sequence[tuple[bytes, bool]]) -> list[bytes]:
    """HUFF and CDIC in which the byte 255 - n is the code of phrase n; a phrase that is no plain one is codes."""
    first = struct.pack(">256I", *([8 | 0x80 | 255 << 8] * 256))
    huff = b"HUFF" + struct.pack(">5I", 24, 24, 24 + 1024, 0, 0) + first + struct.pack(">64I", *([0] * 64))
    body, places = b"", []
    for phrase, plain in phrases:
        places.append(2 * len(phrases) + len(body))
        body += struct.pack(">H", len(phrase) | (0x8000 if plain else 0)) + phrase
    cdic = b"CDIC" + struct.pack(">3I", 16, len(phrases), 16) + struct.pack(f">{len(places)}H", *places) + body
    return [huff, cdic]


def _number(value: int) -> bytes:
    out = [value & 0x7F | 0x80]
    while value := value >> 7:
        out.insert(0, value & 0x7F)
    return bytes(out)


def index(entries: Sequence[Entry], tags: Sequence[tuple[int, int]], labels: Sequence[bytes] = ()) -> list[bytes]:
    """Records of an index of one control byte: each tag (number, numbers it holds) has one bit."""
    table = b"".join(bytes((tag, width, 1 << n, 0)) for n, (tag, width) in enumerate(tags)) + bytes((0, 0, 0, 1))
    tagx = b"TAGX" + struct.pack(">II", 12 + len(table), 1) + table
    head = b"INDX" + struct.pack(">13I", 192, 0, 0, 0, 0, 1, 65001, NONE, 0, 0, 0, 0, int(bool(labels)))
    head = head.ljust(192, b"\0") + tagx
    body, places = b"", []
    for name, given in entries:
        places.append(192 + len(body))
        control = sum(1 << n for n, (tag, _) in enumerate(tags) if tag in dict(given))
        numbers = b"".join(_number(value) for tag, _ in tags for value in dict(given).get(tag, ()))
        body += bytes((len(name),)) + name + bytes((control,)) + numbers
    start = 192 + len(body)
    record = b"INDX" + struct.pack(">6I", 192, 0, 1, 0, start, len(entries))
    idxt = b"IDXT" + struct.pack(f">{len(places)}H", *places)
    records = [head, record.ljust(192, b"\0") + body + idxt]
    if labels:
        records.append(b"".join(_number(len(label)) + label for label in labels))
    return records


def labels_at(labels: Sequence[bytes]) -> list[int]:
    places, at = [], 0
    for label in labels:
        places.append(at)
        at += len(_number(len(label))) + len(label)
    return places


def mobi(
    path: Path,
    text: bytes,
    *,
    version: int = 6,
    compression: int = 2,
    encryption: int = 0,
    title: str = "Of Lamps",
    fields: Mapping[int, bytes] | None = None,
    contents: Sequence[tuple[str, int, Sequence[int]]] = (),
    skeletons: Sequence[Entry] = (),
    fragments: Sequence[Entry] = (),
    codes: Sequence[bytes] = (),
    record_size: int = 4096,
    trailing: bytes = b"",
    more: Sequence[bytes] = (),
) -> Path:
    """contents: (title, tag, numbers), tag 1 an offset, 6 a fragment and an offset; codes: HUFF and CDIC."""
    parts = [text[at : at + record_size] for at in range(0, len(text), record_size)]
    packed = [(pack(part) if compression == 2 else part) + trailing for part in parts]
    records: list[bytes] = [b"", *packed]
    numbers = {"ncx": NONE, "fragment": NONE, "skeleton": NONE, "huff": 0, "picture": NONE}

    def put(name: str, new: Sequence[bytes]) -> None:
        if new:
            numbers[name] = len(records)
            records.extend(new)

    if contents:
        names = [name.encode() for name, _, _ in contents]
        places = labels_at(names)
        rows = [(b"%03d" % n, [(3, (places[n],)), (4, (0,)), (tag, at)]) for n, (_, tag, at) in enumerate(contents)]
        put("ncx", index(rows, [(3, 1), (4, 1), (1, 1), (6, 2)], names))
    put("fragment", index(fragments, [(6, 2)]) if fragments else [])
    put("skeleton", index(skeletons, [(1, 1), (6, 2)]) if skeletons else [])
    put("huff", codes)
    put("picture", more)

    exth = b""
    for kind, value in (fields or {100: b"Ada Stone", 524: b"en-GB", 106: b"1865-11-26"}).items():
        exth += struct.pack(">II", kind, 8 + len(value)) + value
    count = len(fields) if fields else 3
    exth = b"EXTH" + struct.pack(">II", 12 + len(exth), count) + exth
    head = bytearray(16 + 264)
    struct.pack_into(">HHIHHH", head, 0, compression, 0, len(text), len(parts), record_size, encryption)
    head[16:20] = b"MOBI"
    struct.pack_into(">5I", head, 20, 264, 2, 65001, 1, version)
    name = title.encode()
    struct.pack_into(">II", head, 84, 280 + len(exth), len(name))
    struct.pack_into(">I", head, 108, numbers["picture"])
    struct.pack_into(">II", head, 112, numbers["huff"], len(codes))
    struct.pack_into(">I", head, 128, 0x40)
    struct.pack_into(">I", head, 192, NONE)
    struct.pack_into(">H", head, 242, 0b10 if trailing else 0)
    struct.pack_into(">III", head, 244, numbers["ncx"], numbers["fragment"], numbers["skeleton"])
    records[0] = bytes(head) + exth + name + b"\0\0"

    out = bytearray(b"Of_Lamps".ljust(60, b"\0") + b"BOOKMOBI" + bytes(8) + struct.pack(">H", len(records)))
    at = len(out) + 8 * len(records) + 2
    for n, record in enumerate(records):
        out += struct.pack(">II", at, 2 * n)
        at += len(record)
    path.write_bytes(bytes(out) + b"\0\0" + b"".join(records))
    return path
