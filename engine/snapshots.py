"""Kept pages on disk, found again by what was read. The folder is the store; no torch here.

A file holds the keys and values of one prefill chunk and names itself:

    magic "LECTERN1" · u32 header bytes · u32 crc32 of the header · header (JSON) · padding to 4096
    data [layer][k, v][kv head][token][dim], just as it is attended to
    means [layer][kv head][block][dim], the mean key of every 16 tokens, since choosing keys must not read them all

A chunk is cut into pieces at page borders. A piece's key hashes its parent's key, its position and its tokens, so a
text is found in any prompt that begins alike, whatever chunks it was read in. A file is written beside its place,
synced and renamed: the rename is the commit, and what a crash leaves half-written is swept away at the next start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import shutil
import struct
import threading
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import StorageFull
from engine.protocol import BLOCK_TOKENS, PAGE_TOKENS, Prompt

log = logging.getLogger(__name__)

MAGIC = b"LECTERN1"
SUFFIX = ".kv"
ALIGNMENT = 4096
# left free on the disk, so that the library's own database can always be written
RESERVE_BYTES = 64 * 2**20


class Damaged(Exception):
    """A kept file does not hold what it says. It is dropped and its tokens are read again."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Tokens of one page in one file: ``tokens`` of them, from the file's token ``offset`` on."""

    key: bytes
    parent: bytes
    start: int
    tokens: int
    path: Path
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A part of a prompt that lies in one file: ``tokens`` from position ``start``, at the file's token ``offset``."""

    path: Path
    start: int
    offset: int
    tokens: int


def piece_key(parent: bytes, start: int, ids: array[int]) -> bytes:
    """The key of tokens ``ids`` at position ``start`` after everything that ``parent`` names."""
    digest = hashlib.sha256(parent)
    digest.update(struct.pack("<qq", start, len(ids)))
    digest.update(_little_endian(ids))
    return digest.digest()


def piece_lengths(start: int, tokens: int) -> Iterator[int]:
    """Cut ``tokens`` from position ``start`` at page borders."""
    while tokens > 0:
        length = min(tokens, PAGE_TOKENS - start % PAGE_TOKENS)
        yield length
        start += length
        tokens -= length


def _little_endian(ids: array[int]) -> bytes:
    if ids.typecode != "i" or ids.itemsize != 4:
        ids = array("i", ids)
    return ids.tobytes()


class Store:
    """The kept pages of one identity (weights, tokenizer, dtype, DCA), in one folder.

    Any process may look; only the holder of the engine's lock writes. ``find`` sees what other processes commit.
    """

    def __init__(self, root: Path, identity: str, layout: Layout) -> None:
        self.folder = root / identity[:32]
        self.layout = layout
        self.root_key = hashlib.sha256(identity.encode()).digest()
        self._children: dict[bytes, list[Piece]] = {}
        self._headers: dict[str, dict[str, object]] = {}
        self._lock = threading.Lock()

    # -- finding ---------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in files that were committed since, and forget those that are gone."""
        try:
            names = {entry.name for entry in os.scandir(self.folder) if entry.name.endswith(SUFFIX)}
        except FileNotFoundError:
            names = set()
        with self._lock:
            gone = self._headers.keys() - names
            for name in gone:
                del self._headers[name]
            if gone:
                for key, pieces in list(self._children.items()):
                    self._children[key] = [piece for piece in pieces if piece.path.name not in gone]
            for name in sorted(names - self._headers.keys()):
                path = self.folder / name
                try:
                    header = read_header(path)
                except (Damaged, OSError) as error:
                    log.warning("a kept file is passed over: %s: %s", name, error)
                    self._headers[name] = {}
                    continue
                self._headers[name] = header
                self._index(path, header)

    def _index(self, path: Path, header: dict[str, object]) -> None:
        parent = bytes.fromhex(str(header["parent"]))
        start, offset = int(str(header["start"])), 0
        pieces: list[list[object]] = header["pieces"]  # type: ignore[assignment]
        for hexkey, tokens in pieces:
            piece = Piece(
                key=bytes.fromhex(str(hexkey)),
                parent=parent,
                start=start,
                tokens=int(str(tokens)),
                path=path,
                offset=offset,
            )
            self._children.setdefault(parent, []).append(piece)
            parent, start, offset = piece.key, start + piece.tokens, offset + piece.tokens

    def find(self, prompt: Prompt) -> tuple[list[Run], int, bytes]:
        """The longest prefix of the prompt that is kept: its runs in order, its tokens, and its key.

        Runs never cross a segment's border or a page that another file holds.
        """
        self.refresh()
        runs: list[Run] = []
        found, key, position = 0, self.root_key, 0
        for segment in prompt.segments:
            position = -(-position // PAGE_TOKENS) * PAGE_TOKENS
            done = 0
            first_in_segment = True
            while done < len(segment.ids):
                piece = self._child(key, position, segment.ids, done)
                if piece is None:
                    return runs, found, key
                last = runs[-1] if runs and not first_in_segment else None
                if last is not None and last.path == piece.path and last.offset + last.tokens == piece.offset:
                    runs[-1] = Run(
                        path=last.path, start=last.start, offset=last.offset, tokens=last.tokens + piece.tokens
                    )
                else:
                    runs.append(Run(path=piece.path, start=position, offset=piece.offset, tokens=piece.tokens))
                first_in_segment = False
                key = piece.key
                done += piece.tokens
                position += piece.tokens
                found += piece.tokens
        return runs, found, key

    def _child(self, parent: bytes, start: int, ids: array[int], done: int) -> Piece | None:
        """The longest kept piece after ``parent`` whose tokens are the next ones of ``ids``."""
        with self._lock:
            candidates = sorted(self._children.get(parent, ()), key=lambda piece: -piece.tokens)
        keys: dict[int, bytes] = {}
        for piece in candidates:
            if piece.start != start or done + piece.tokens > len(ids):
                continue
            if piece.tokens not in keys:
                keys[piece.tokens] = piece_key(parent, start, ids[done : done + piece.tokens])
            if keys[piece.tokens] == piece.key:
                return piece
        return None

    # -- writing ---------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Remove what an interrupted write left behind. Only for the holder of the engine's lock."""
        if self.folder.is_dir():
            for path in self.folder.glob("*.part"):
                path.unlink(missing_ok=True)

    def write(
        self,
        parent: bytes,
        start: int,
        ids: array[int],
        data: memoryview,
        means: memoryview,
        *,
        provenance: dict[str, str],
    ) -> tuple[Path, bytes]:
        """Commit one chunk after ``parent``; returns its file and the key of its last piece.

        data: the bytes of [layers, 2, kv_heads, len(ids), dim], contiguous; means: those of [layers, kv_heads, blocks,
        dim], or none. Raises StorageFull, with nothing left behind.
        """
        layout = self.layout
        if data.nbytes != layout.token_bytes * len(ids):
            raise ValueError(f"{data.nbytes} bytes are not {len(ids)} tokens of {layout.token_bytes}")
        if means.nbytes not in (0, layout.token_bytes // 2 * blocks(len(ids))):
            raise ValueError(f"{means.nbytes} bytes are not the means of {len(ids)} tokens")
        pieces: list[tuple[str, int]] = []
        key, done = parent, 0
        for length in piece_lengths(start, len(ids)):
            key = piece_key(key, start + done, ids[done : done + length])
            pieces.append((key.hex(), length))
            done += length
        header = {
            "parent": parent.hex(),
            "start": start,
            "tokens": len(ids),
            "pieces": pieces,
            "layers": layout.layers,
            "kv_heads": layout.kv_heads,
            "dim": layout.dim,
            "dtype": layout.dtype,
            "checksums": _checksums(data, layout, len(ids)),
            "means": {"bytes": means.nbytes, "checksum": zlib.crc32(means)},
            "provenance": provenance,
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        prelude = MAGIC + struct.pack("<II", len(text), zlib.crc32(text)) + text
        prelude += bytes(-len(prelude) % ALIGNMENT)
        # named by both ends: another plan of chunks may end at the same key and hold fewer pages
        path = self.folder / (hashlib.sha256(parent + key).hexdigest()[:40] + SUFFIX)
        self._commit(path, prelude, data, means)
        with self._lock:
            if path.name not in self._headers:
                self._headers[path.name] = header
                self._index(path, header)
        return path, key

    def _commit(self, path: Path, *parts: bytes | memoryview) -> None:
        needed = sum(memoryview(part).nbytes for part in parts)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = shutil.disk_usage(self.folder).free
        if needed + RESERVE_BYTES > free:
            raise StorageFull(needed + RESERVE_BYTES, free)
        part = path.with_suffix(".part")
        try:
            with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                for each in parts:
                    file.write(each)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            if error.errno in (28, 122):  # ENOSPC, EDQUOT
                raise StorageFull(needed, shutil.disk_usage(self.folder).free) from error
            raise
        sync_folder(self.folder)

    def drop(self, path: Path, reason: str) -> None:
        """Remove a file that proved bad; its tokens will be read again."""
        log.warning("a kept file is dropped: %s: %s", path.name, reason)
        path.unlink(missing_ok=True)
        self.refresh()


def sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_header(path: Path) -> dict[str, object]:
    """The header of a kept file, with ``data_offset`` and ``means_offset`` added. Raises Damaged."""
    with open(path, "rb") as file:
        start = file.read(len(MAGIC) + 8)
        if len(start) < len(MAGIC) + 8 or not start.startswith(MAGIC):
            raise Damaged("not a file of kept pages")
        length, checksum = struct.unpack("<II", start[len(MAGIC) :])
        text = file.read(length)
        size = os.fstat(file.fileno()).st_size
    if zlib.crc32(text) != checksum or len(text) != length:
        raise Damaged("the header does not match its checksum")
    header: dict[str, object] = json.loads(text)
    offset = -(-(len(start) + length) // ALIGNMENT) * ALIGNMENT
    checksums: list[int] = header["checksums"]  # type: ignore[assignment]
    header["means_offset"] = expected = offset + _data_bytes(header)
    expected += _means(header)["bytes"]
    if size != expected or not checksums:
        raise Damaged(f"the file has {size} bytes where {expected} belong")
    header["data_offset"] = offset
    return header


def open_data(path: Path) -> tuple[mmap.mmap, dict[str, object]]:
    """Map a kept file copy-on-write and check every checksum. Raises Damaged.

    The data begins at the header's ``data_offset``, the means at its ``means_offset``.
    """
    header = read_header(path)
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tokens, layers = int(str(header["tokens"])), int(str(header["layers"]))
    bytes_a_token = _data_bytes(header) // tokens
    planes = layers * 2 * int(str(header["kv_heads"]))
    with memoryview(mapped) as view:
        data = view[int(str(header["data_offset"])) : int(str(header["means_offset"]))]
        found = _plane_checksums(data, planes, tokens, bytes_a_token // planes)
        data.release()
        means = view[int(str(header["means_offset"])) :]
        same = zlib.crc32(means) == _means(header)["checksum"]
        means.release()
    if found != header["checksums"] or not same:
        raise Damaged("the data does not match its checksums")
    return mapped, header


def blocks(tokens: int) -> int:
    """Mean keys of so many tokens, a head and layer."""
    return -(-tokens // BLOCK_TOKENS)


def _means(header: dict[str, object]) -> dict[str, int]:
    """What the header says of the means; files of older versions have none."""
    return header.get("means", {"bytes": 0, "checksum": 0})  # type: ignore[return-value]


def _data_bytes(header: dict[str, object]) -> int:
    sizes = {"bfloat16": 2, "float16": 2, "float32": 4}
    count = 2 * sizes[str(header["dtype"])]
    for name in ("layers", "kv_heads", "dim", "tokens"):
        count *= int(str(header[name]))
    return count


def _checksums(data: memoryview, layout: Layout, tokens: int) -> list[int]:
    planes = layout.layers * 2 * layout.kv_heads
    return _plane_checksums(
        data.cast("B") if data.format != "B" else data, planes, tokens, layout.token_bytes // planes
    )


def _plane_checksums(data: memoryview, planes: int, tokens: int, row_bytes: int) -> list[int]:
    """crc32 of every 1,024 tokens of one layer, head, and k or v."""
    sums = []
    for plane in range(planes):
        base = plane * tokens * row_bytes
        for first in range(0, tokens, PAGE_TOKENS):
            last = min(first + PAGE_TOKENS, tokens)
            sums.append(zlib.crc32(data[base + first * row_bytes : base + last * row_bytes]))
    return sums
