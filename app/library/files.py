"""The files of the library: each once, under the SHA-256 of its bytes. Knows no database.

A file is copied beside its place, flushed to the disk, and only then renamed into it, so that whatever stands under a
hash is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.errors import DocumentUnreadable, LecternError, LibraryFull, LibraryNotWritable

CHUNK_BYTES = 1 << 20
# a copy that is older belongs to nobody: parsing takes minutes at most, a laptop may sleep for a night
STALE_SECONDS = 24 * 3600

# a quota is not known on every system
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def private_folder(path: Path) -> Path:
    """Make ``path`` a folder that only its owner may enter (0700), and return it. Raises LibraryNotWritable.

    A folder that holds other people's things already (``--home /tmp``) keeps its mode: only what Lectern puts into it
    is private then.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = {entry.name for entry in path.iterdir()}
        if not names or "library.db" in names:
            path.chmod(0o700)
    except OSError as error:
        raise LibraryNotWritable(str(path)) from error
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A copy on its way in; ``size`` counts bytes."""

    path: Path
    sha256: str
    size: int


class FileStore:
    """Files under ``root``: ``ab/<sha256>.<format>``, and ``incoming/`` for those not yet accepted."""

    def __init__(self, root: Path) -> None:
        self.root = private_folder(root)
        self.incoming = private_folder(root / "incoming")

    def path(self, sha256: str, format: str) -> Path:
        return self.root / sha256[:2] / f"{sha256}.{format}"

    @contextmanager
    def take(self, source: Path, filename: str, format: str) -> Iterator[Incoming]:
        """Copy and hash ``source``; at the block's end the copy is gone, unless it was kept.

        Raises DocumentUnreadable, LibraryFull, LibraryNotWritable.
        """
        try:
            reader = source.open("rb")
        except OSError as error:
            raise DocumentUnreadable(filename, error.strerror or str(error)) from error
        copy = self.incoming / f"{uuid.uuid4().hex}.{format}"
        try:
            with reader:
                try:
                    with open(copy, "xb", opener=_private) as writer:
                        sha256, size = _copy(reader, writer, filename)
                except OSError as error:
                    raise self._refused(error) from error
            yield Incoming(path=copy, sha256=sha256, size=size)
        finally:
            with suppress(OSError):
                copy.unlink(missing_ok=True)

    def keep(self, incoming: Incoming, format: str) -> Path:
        """Move a copy to its place, over whatever stood there. The library's writer calls this in its transaction."""
        place = self.path(incoming.sha256, format)
        try:
            place.parent.mkdir(mode=0o700, exist_ok=True)
            try:
                os.replace(incoming.path, place)
            except PermissionError:
                # a system that locks open files: somebody reads the very bytes that are to be put here
                if not (place.is_file() and place.stat().st_size == incoming.size):
                    raise
            flush_folder(place.parent)
            flush_folder(self.root)
        except OSError as error:
            raise self._refused(error) from error
        return place

    def cover_path(self, sha256: str) -> Path:
        """Where the cover of a file lies, if it has one: beside it, under the same hash."""
        return self.root / sha256[:2] / f"{sha256}.cover.jpg"

    def keep_cover(self, sha256: str, image: bytes) -> None:
        """Put a cover beside its file, which is in its place already. One that cannot be written is done without."""
        copy = self.incoming / f"{uuid.uuid4().hex}.jpg"
        try:
            with open(copy, "xb", opener=_private) as writer:
                writer.write(image)
            os.replace(copy, self.cover_path(sha256))
        except OSError:
            with suppress(OSError):
                copy.unlink(missing_ok=True)

    def problem(self, sha256: str, format: str) -> str | None:
        """What is wrong with a kept file, or None. Reads all of it."""
        digest = hashlib.sha256()
        try:
            with self.path(sha256, format).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        return None if digest.hexdigest() == sha256 else "has changed: its bytes no longer match its name"

    def stale(self) -> list[Path]:
        """Copies that a process left behind when it died."""
        before = time.time() - STALE_SECONDS
        found = []
        for path in self.incoming.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    found.append(path)
        return found

    def orphans(self, known: set[str]) -> list[Path]:
        """Kept files whose hash is not in ``known``: a process died between the rename and the row."""
        return [path for path in self.root.glob("[0-9a-f][0-9a-f]/*") if path.name.partition(".")[0] not in known]

    def remove(self, paths: list[Path]) -> int:
        """Delete what can be deleted; returns how many went."""
        removed = 0
        for path in paths:
            with suppress(OSError):
                path.unlink()
                removed += 1
        return removed

    def _refused(self, error: OSError) -> LecternError:
        if error.errno in _FULL:
            return LibraryFull(str(self.root))
        return LibraryNotWritable(str(self.root))


def flush_folder(path: Path) -> None:
    """Write a folder's entries to the disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _copy(reader: IO[bytes], writer: IO[bytes], filename: str) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while True:
        try:
            chunk = reader.read(CHUNK_BYTES)
        except OSError as error:
            raise DocumentUnreadable(filename, error.strerror or str(error)) from error
        if not chunk:
            break
        digest.update(chunk)
        writer.write(chunk)
        size += len(chunk)
    writer.flush()
    os.fsync(writer.fileno())
    return digest.hexdigest(), size
