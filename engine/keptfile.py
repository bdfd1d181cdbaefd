"""One file of kept pages: how it lies on disk, its checksums, and which of them were verified. No torch here.

    magic "LECTERN1" · u32 header bytes · u32 crc32 of the header · header (JSON) · padding to 4096
    data [layer][k, v][kv head][token][dim], just as it is attended to
    means [layer][kv head][block][dim], the mean key of every 16 tokens, since choosing keys must not read them all

A file that was made smaller has ``"int8": {"group": tokens, "offset", "bytes", "checksum"}`` in its header. Its data
are int8, and from ``offset`` on (counted from the data, a multiple of 64) lies, in float32,

    steps [layer][k, v][kv head][group of tokens][step, centre][dim]: a key is code * step + centre

where groups are counted from the file's first token, the last as far as it is full. Its means stay as they were.

Every 1,024 tokens of one layer, head, and k or v have a checksum, and the means and the steps have one each. A mapped
file is not read when it is opened: each checksum is verified when its tokens are first attended to, once as long as it
stays mapped.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from engine.protocol import BLOCK_TOKENS, PAGE_TOKENS

MAGIC = b"LECTERN1"
SUFFIX = ".kv"
ALIGNMENT = 4096
STEPS_ALIGNMENT = 64
# xxh3 goes three times as fast as crc32, which files of older versions have
CHECKSUM = "xxh3_64"
_CHECKSUMS: dict[str, Callable[[memoryview], int]] = {"crc32": zlib.crc32, CHECKSUM: xxhash.xxh3_64_intdigest}
_ITEMSIZES = {"bfloat16": 2, "float16": 2, "float32": 4}


class Damaged(Exception):
    """A kept file does not hold what it says, or is gone. It is dropped and its tokens are read again."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Shape of one token's keys and values on disk."""

    layers: int
    kv_heads: int
    dim: int
    dtype: str
    itemsize: int

    @property
    def token_bytes(self) -> int:
        return 2 * self.layers * self.kv_heads * self.dim * self.itemsize

    def file_bytes(self, tokens: int) -> int:
        """About what a chunk of ``tokens`` takes on disk, means and header included."""
        pages = -(-tokens // PAGE_TOKENS)
        header = 1024 + pages * (80 + 2 * self.layers * self.kv_heads * 21)
        return tokens * self.token_bytes + blocks(tokens) * self.token_bytes // 2 + header + ALIGNMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says of itself. start: position of the first token; pieces: key and tokens of each.

    checksums: [layer][k, v][kv head][1,024 tokens]; data_offset, means_offset, steps_offset: where each begins in the
    file; group: tokens that share steps where the data are int8, 0 where they are the layout's dtype.
    """

    parent: bytes
    start: int
    tokens: int
    pieces: tuple[tuple[bytes, int], ...]
    layout: Layout
    algorithm: str
    checksums: tuple[int, ...]
    means_bytes: int
    means_checksum: int
    provenance: dict[str, str]
    data_offset: int
    means_offset: int
    group: int = 0
    steps_offset: int = 0
    steps_bytes: int = 0
    steps_checksum: int = 0

    @property
    def row(self) -> int:
        """Bytes of one token of one layer, head, and k or v."""
        return self.layout.dim * (1 if self.group else self.layout.itemsize)

    @property
    def end(self) -> int:
        """Bytes of the whole file."""
        return self.steps_offset + self.steps_bytes if self.group else self.means_offset + self.means_bytes

    @property
    def planes(self) -> int:
        """Of one layer: keys of each head, then values."""
        return 2 * self.layout.kv_heads

    @property
    def pages(self) -> int:
        return -(-self.tokens // PAGE_TOKENS)


def blocks(tokens: int) -> int:
    """Mean keys of so many tokens, a head and layer."""
    return -(-tokens // BLOCK_TOKENS)


def steps_bytes(layout: Layout, tokens: int, group: int) -> int:
    """What the steps and centres of so many tokens take."""
    return 2 * layout.layers * layout.kv_heads * -(-tokens // group) * 2 * layout.dim * 4


def steps_padding(before: int) -> int:
    """Zeros between what lies before the steps and them."""
    return -before % STEPS_ALIGNMENT


def prelude(
    parent: bytes,
    start: int,
    tokens: int,
    pieces: Sequence[tuple[bytes, int]],
    layout: Layout,
    data: memoryview,
    means: memoryview,
    provenance: dict[str, str],
    *,
    group: int = 0,
    steps: memoryview | None = None,
) -> bytes:
    """Everything before the data of a new file; with ``group`` the data are int8, and ``steps`` theirs."""
    digest = _CHECKSUMS[CHECKSUM]
    planes = 2 * layout.layers * layout.kv_heads
    row = data.nbytes // planes // tokens
    header: dict[str, object] = {
        "parent": parent.hex(),
        "start": start,
        "tokens": tokens,
        "pieces": [(key.hex(), length) for key, length in pieces],
        "layers": layout.layers,
        "kv_heads": layout.kv_heads,
        "dim": layout.dim,
        "dtype": layout.dtype,
        "algorithm": CHECKSUM,
        "checksums": [
            digest(data[(plane * tokens + first) * row : (plane * tokens + min(first + PAGE_TOKENS, tokens)) * row])
            for plane in range(planes)
            for first in range(0, tokens, PAGE_TOKENS)
        ],
        "means": {"bytes": means.nbytes, "checksum": digest(means)},
        "provenance": provenance,
    }
    if steps is not None:
        before = data.nbytes + means.nbytes
        place = before + steps_padding(before)
        header["int8"] = {"group": group, "offset": place, "bytes": steps.nbytes, "checksum": digest(steps)}
    text = json.dumps(header, separators=(",", ":")).encode()
    whole = MAGIC + struct.pack("<II", len(text), zlib.crc32(text)) + text
    return whole + bytes(-len(whole) % ALIGNMENT)


def read_header(path: Path) -> Header:
    """Raises Damaged, also where the file's size does not fit; OSError."""
    with open(path, "rb") as file:
        start = file.read(len(MAGIC) + 8)
        if len(start) < len(MAGIC) + 8 or not start.startswith(MAGIC):
            raise Damaged(path, "not a file of kept pages")
        length, checksum = struct.unpack("<II", start[len(MAGIC) :])
        text = file.read(length)
        size = os.fstat(file.fileno()).st_size
    if zlib.crc32(text) != checksum or len(text) != length:
        raise Damaged(path, "the header does not match its checksum")
    offset = -(-(len(start) + length) // ALIGNMENT) * ALIGNMENT
    try:
        header = _parse(json.loads(text), offset)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(path, f"the header cannot be understood ({type(error).__name__}: {error})") from error
    if size != header.end or not header.tokens:
        raise Damaged(path, f"the file has {size} bytes where {header.end} belong")
    return header


def _parse(said: dict[str, Any], offset: int) -> Header:
    layout = Layout(
        layers=int(said["layers"]),
        kv_heads=int(said["kv_heads"]),
        dim=int(said["dim"]),
        dtype=str(said["dtype"]),
        itemsize=_ITEMSIZES[said["dtype"]],
    )
    # files of older versions have no means, and crc32
    means = said.get("means", {"bytes": 0, "checksum": 0})
    int8 = said.get("int8", {"group": 0, "offset": 0, "bytes": 0, "checksum": 0})
    size = layout.token_bytes // layout.itemsize if int8["group"] else layout.token_bytes
    header = Header(
        parent=bytes.fromhex(said["parent"]),
        start=int(said["start"]),
        tokens=int(said["tokens"]),
        pieces=tuple((bytes.fromhex(key), int(tokens)) for key, tokens in said["pieces"]),
        layout=layout,
        algorithm=str(said.get("algorithm", "crc32")),
        checksums=tuple(said["checksums"]),
        means_bytes=int(means["bytes"]),
        means_checksum=int(means["checksum"]),
        provenance=dict(said["provenance"]),
        data_offset=offset,
        means_offset=offset + size * int(said["tokens"]),
        group=int(int8["group"]),
        steps_offset=offset + int(int8["offset"]),
        steps_bytes=int(int8["bytes"]),
        steps_checksum=int(int8["checksum"]),
    )
    if header.algorithm not in _CHECKSUMS:
        raise ValueError(f"checksums by {header.algorithm} are of a newer version")
    if len(header.checksums) != layout.layers * header.planes * header.pages:
        raise ValueError(f"{len(header.checksums)} checksums")
    if header.group and (
        header.steps_bytes != steps_bytes(layout, header.tokens, header.group)
        or header.steps_offset < header.means_offset + header.means_bytes
    ):
        raise ValueError(f"steps of {header.steps_bytes} bytes at {header.steps_offset}")
    return header


class Mapped:
    """A kept file in memory, copy-on-write, of whose pages only those are trusted that were verified.

    Any thread may verify; two that verify the same page only do it twice. Raises Damaged, OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = read_header(path)
        with open(path, "rb") as file:
            self.buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._view = memoryview(self.buffer)
        self._digest = _CHECKSUMS[self.header.algorithm]
        self._verified = bytearray(len(self.header.checksums))
        self._means_verified = not self.header.means_bytes
        self._steps_verified = not self.header.group

    def verify(self, layer: int, first: int, last: int) -> None:
        """See that keys and values of one layer, tokens ``first`` .. ``last`` of the file, are what was kept.

        Raises Damaged.
        """
        header = self.header
        if not self._steps_verified:
            if self._digest(self._view[header.steps_offset :]) != header.steps_checksum:
                raise Damaged(self.path, "the steps of its numbers do not match their checksum")
            self._steps_verified = True
        pages, row = header.pages, header.row
        first, last = first // PAGE_TOKENS, -(-last // PAGE_TOKENS)
        for plane in range(layer * header.planes, (layer + 1) * header.planes):
            place = plane * pages
            page = self._verified.find(0, place + first, place + last)
            while page >= 0:
                begin, end = (page - place) * PAGE_TOKENS, min((page - place + 1) * PAGE_TOKENS, header.tokens)
                base = header.data_offset + plane * header.tokens * row
                if self._digest(self._view[base + begin * row : base + end * row]) != header.checksums[page]:
                    half, head = divmod(plane % header.planes, header.layout.kv_heads)
                    raise Damaged(
                        self.path,
                        f"{('keys', 'values')[half]} of layer {layer}, head {head}, tokens {begin:,} to {end:,} "
                        "do not match their checksum",
                    )
                self._verified[page] = 1
                page = self._verified.find(0, page + 1, place + last)

    def verify_means(self) -> None:
        """The same of the mean keys. Raises Damaged."""
        if self._means_verified:
            return
        means = self._view[self.header.means_offset : self.header.means_offset + self.header.means_bytes]
        if self._digest(means) != self.header.means_checksum:
            raise Damaged(self.path, "the mean keys do not match their checksum")
        self._means_verified = True


def check_file(path: Path) -> Header:
    """Read all of a kept file, as it lies on disk, and verify it. Raises Damaged, OSError."""
    header = read_header(path)
    digest = _CHECKSUMS[header.algorithm]
    with open(path, "rb") as file:
        file.seek(header.data_offset)
        for number, (expected, size) in enumerate(zip(header.checksums, _sizes(header), strict=True)):
            if digest(memoryview(file.read(size))) != expected:
                raise Damaged(path, f"page {number} of its data does not match its checksum")
        if header.means_bytes and digest(memoryview(file.read(header.means_bytes))) != header.means_checksum:
            raise Damaged(path, "the mean keys do not match their checksum")
        file.seek(header.steps_offset)
        if header.group and digest(memoryview(file.read())) != header.steps_checksum:
            raise Damaged(path, "the steps of its numbers do not match their checksum")
    return header


def _sizes(header: Header) -> Iterator[int]:
    """Bytes of each page, in the order of the checksums."""
    row = header.row
    for _ in range(header.layout.layers * header.planes):
        for first in range(0, header.tokens, PAGE_TOKENS):
            yield (min(first + PAGE_TOKENS, header.tokens) - first) * row
