"""Kept pages on disk, found again by what was read. The folder is the store; no torch here.

A file (``engine.keptfile``) holds the keys and values of one prefill chunk and names itself. A chunk is cut into pieces
at page borders. A piece's key hashes its parent's key, its position and its tokens, so a text is found in any prompt
that begins alike, whatever chunks it was read in. A file is written beside its place, synced and renamed: the rename is
the commit, and what a crash leaves half-written is swept away at the next start.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import struct
import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import ReadingsFull, StorageFull
from engine.keptfile import SUFFIX, Damaged, Header, Layout, blocks, prelude, read_header
from engine.protocol import PAGE_TOKENS, Prompt

log = logging.getLogger(__name__)

# left free on the disk, so that the library's own database can always be written
RESERVE_BYTES = 64 * 2**20


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
    limit: bytes that the folders of all identities in ``root`` may take together, None for as much as the disk has;
    share: instead, their share of what the disk has free without them.
    """

    def __init__(
        self, root: Path, identity: str, layout: Layout, *, limit: int | None = None, share: float | None = None
    ) -> None:
        self.root = root
        self.folder = root / identity[:32]
        self.layout = layout
        self.limit = limit
        self.share = share
        self.root_key = hashlib.sha256(identity.encode()).digest()
        self._children: dict[bytes, list[Piece]] = {}
        self._names: set[str] = set()
        # passed over, or dropped although still there: not every system removes a mapped file
        self._bad: set[str] = set()
        self._lock = threading.Lock()

    # -- finding ---------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in files that were committed since, and forget those that are gone."""
        try:
            names = {entry.name for entry in os.scandir(self.folder) if entry.name.endswith(SUFFIX)}
        except FileNotFoundError:
            names = set()
        with self._lock:
            names -= self._bad
            gone = self._names - names
            self._names -= gone
            if gone:
                for key, pieces in list(self._children.items()):
                    self._children[key] = [piece for piece in pieces if piece.path.name not in gone]
            for name in sorted(names - self._names):
                path = self.folder / name
                try:
                    header = read_header(path)
                except (Damaged, OSError) as error:
                    self._bad.add(name)
                    log.warning("a kept file is passed over: %s: %s", name, getattr(error, "reason", error))
                    continue
                self._names.add(name)
                self._index(path, header)

    def holds(self, path: Path) -> bool:
        """Whether this file was there at the last look."""
        with self._lock:
            return path.name in self._names

    def holds_after(self, parent: bytes, start: int) -> bool:
        """Whether anything at position ``start`` was kept after ``parent`` at the last look."""
        with self._lock:
            return any(piece.start == start for piece in self._children.get(parent, ()))

    def _index(self, path: Path, header: Header) -> None:
        parent, start, offset = header.parent, header.start, 0
        for key, tokens in header.pieces:
            piece = Piece(key=key, parent=parent, start=start, tokens=tokens, path=path, offset=offset)
            self._children.setdefault(parent, []).append(piece)
            parent, start, offset = key, start + tokens, offset + tokens

    def find(self, prompt: Prompt) -> tuple[list[Run], int, bytes]:
        """The longest prefix of the prompt that is kept: its runs in order, its tokens, and its key.

        Runs never cross a segment's border or a page that another file holds. A segment that was read alone is found
        whole or not at all.
        """
        runs, _, found, key = self.walk(prompt)
        return runs, found, key

    def walk(self, prompt: Prompt) -> tuple[list[Run], list[bytes], int, bytes]:
        """As ``find``, and the key before each segment that was come to."""
        self.refresh()
        runs: list[Run] = []
        keys: list[bytes] = []
        found, key = 0, self.root_key
        alone: tuple[bytes, int] | None = None
        for start, segment in zip(prompt.starts, prompt.segments, strict=True):
            keys.append(key)
            if segment.alone:
                alone = alone or (key, start)
                parent, place = alone
                mine, end = self._chain(parent, place, segment.ids, shift=start - place)
                if sum(run.tokens for run in mine) < len(segment.ids):
                    break
                # read alone and where it lies now: no other prompt has this key
                key = hashlib.sha256(b"composed" + key + end + struct.pack("<q", start)).digest()
            else:
                mine, key = self._chain(key, start, segment.ids)
            runs += mine
            tokens = sum(run.tokens for run in mine)
            found += tokens
            if tokens < len(segment.ids):
                break
        return runs, keys, found, key

    def _chain(self, key: bytes, start: int, ids: array[int], shift: int = 0) -> tuple[list[Run], bytes]:
        """What is kept of one segment from its beginning, placed ``shift`` positions on; and its key."""
        runs: list[Run] = []
        done = 0
        while done < len(ids):
            piece = self._child(key, start + done, ids, done)
            if piece is None:
                break
            last = runs[-1] if runs else None
            if last is not None and last.path == piece.path and last.offset + last.tokens == piece.offset:
                runs[-1] = replace(last, tokens=last.tokens + piece.tokens)
            else:
                place = start + done + shift
                runs.append(Run(path=piece.path, start=place, offset=piece.offset, tokens=piece.tokens))
            key = piece.key
            done += piece.tokens
        return runs, key

    def gap(self, prompt: Prompt) -> int | None:
        """Tokens of the prompt after which kept pages begin again, where a file in the middle is missing."""
        _, found, key = self.find(prompt)
        if found < prompt.composed:
            # mended where they are read alone
            return None
        end = found
        for start, ids in prompt.rest(found):
            done = 0
            for length in piece_lengths(start, len(ids)):
                if end > found and self._child(key, start + done, ids, done) is not None:
                    return end
                key = piece_key(key, start + done, ids[done : done + length])
                done += length
                end += length
        return None

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
        dim], or none. Raises StorageFull or ReadingsFull, with nothing left behind.
        """
        layout = self.layout
        if data.nbytes != layout.token_bytes * len(ids):
            raise ValueError(f"{data.nbytes} bytes are not {len(ids)} tokens of {layout.token_bytes}")
        if means.nbytes not in (0, layout.token_bytes // 2 * blocks(len(ids))):
            raise ValueError(f"{means.nbytes} bytes are not the means of {len(ids)} tokens")
        pieces: list[tuple[bytes, int]] = []
        key, done = parent, 0
        for length in piece_lengths(start, len(ids)):
            key = piece_key(key, start + done, ids[done : done + length])
            pieces.append((key, length))
            done += length
        before = prelude(parent, start, len(ids), pieces, layout, data, means, provenance)
        # named by both ends: another plan of chunks may end at the same key and hold fewer pages
        path = self.folder / (hashlib.sha256(parent + key).hexdigest()[:40] + SUFFIX)
        self._commit(path, before, data, means)
        with self._lock:
            self._bad.discard(path.name)
        self.refresh()
        return path, key

    def _commit(self, path: Path, *parts: bytes | memoryview) -> None:
        needed = sum(memoryview(part).nbytes for part in parts)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.limit is not None or self.share is not None:
            taken = taken_bytes(self.root)
            limit = allowed_bytes(self.root, taken, self.share) if self.limit is None else self.limit
            if taken + needed > limit:
                raise ReadingsFull(needed, taken, limit)
        commit(path, *parts)

    def drop(self, path: Path, reason: str) -> None:
        """Remove a file that proved bad; its tokens will be read again."""
        log.warning("a kept file is dropped, its tokens are read again: %s: %s", path.name, reason)
        with self._lock:
            self._bad.add(path.name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("it cannot be removed: %s: %s", path.name, error.strerror)
        self.refresh()


def commit(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file beside its place, sync and rename it: all of it or nothing. Raises StorageFull, OSError."""
    needed = sum(memoryview(part).nbytes for part in parts)
    free = shutil.disk_usage(path.parent).free
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
            raise StorageFull(needed, shutil.disk_usage(path.parent).free) from error
        raise
    sync_folder(path.parent)


def taken_bytes(root: Path) -> int:
    """Bytes of all files in the folders of ``root``, half-written ones included."""
    taken = 0
    for folder in _entries(root):
        if folder.is_dir():
            for entry in _entries(Path(folder.path)):
                try:
                    taken += entry.stat().st_size
                except FileNotFoundError:
                    continue
    return taken


def allowed_bytes(root: Path, taken: int, share: float | None) -> int:
    """What a share of the disk comes to: the same while readings grow, less as others fill the disk."""
    while not root.exists():
        root = root.parent
    return int((taken + shutil.disk_usage(root).free) * (1.0 if share is None else share))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
