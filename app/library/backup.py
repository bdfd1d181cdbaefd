"""A library as one file and back: a ZIP of the database, the originals, and a manifest of their SHA-256.

What was read (kept pages) is no part of it: it can be made again, and is many times larger.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from app.errors import BackupDamaged, BackupExists, HomeNotEmpty, LibraryFull, OriginalDamaged
from app.library.database import BUSY_SECONDS, translated
from app.library.files import CHUNK_BYTES, flush_folder, private_folder
from app.library.values import now

if TYPE_CHECKING:
    from app.library.store import Library

FORMAT = "lectern-backup"
VERSION = 1
MANIFEST = "manifest.json"
DATABASE = "library.db"
# all that a backup may hold: a name from elsewhere must not lead out of the home
_MEMBER = re.compile(r"library\.db|files/([0-9a-f]{2})/\1[0-9a-f]{62}\.[a-z0-9]{1,8}")
# what a home may hold before it is one: other commands make these
_IGNORED = {"logs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """``files`` and ``size``: how many originals, and all bytes before compression."""

    path: str
    documents: int
    files: int
    size: int


Told = Callable[[int, int], None]
"""(done, total), in bytes: what is written, then all of it again as it is read back. What it raises ends the backup."""


def back_up(library: Library, path: Path, told: Told | None = None) -> Backup:
    """Write the library to ``path`` while others use it, and read it back. Raises BackupExists, OriginalDamaged for an
    original that is missing or has changed, BackupDamaged where what was written is not what is read back, LibraryFull
    where the disk has no room for it, OSError."""
    path = Path(path)
    if path.exists():
        raise BackupExists(str(path))
    part = path.with_name(path.name + ".part")
    try:
        # where the sweep finds what a killed process leaves
        copy = library.files.incoming / f"{uuid.uuid4().hex}.db"
        try:
            # one state of the library; every file it names stands already, and stays
            with library.snapshot() as connection:
                connection.execute("VACUUM INTO ?", [str(copy)])
            files = [(*one, library.files.path(*one)) for one in _files(copy)]
            total = copy.stat().st_size + sum(place.stat().st_size for *_, place in files if place.is_file())
            if shutil.disk_usage(path.absolute().parent).free < total:
                # books are compressed already, most of them
                raise LibraryFull(str(path.absolute().parent))
            count = _Count(2 * total, told)
            with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
                    members = [_put(archive, DATABASE, copy, count)]
                    for sha256, format, place in files:
                        if not place.is_file():
                            raise OriginalDamaged(_filename(copy, sha256), "it is missing from the library")
                        member = _put(archive, f"files/{sha256[:2]}/{sha256}.{format}", place, count)
                        if member["sha256"] != sha256:
                            raise OriginalDamaged(_filename(copy, sha256), "its bytes no longer match its name")
                        members.append(member)
                    manifest = {"format": FORMAT, "version": VERSION, "created": now(), "members": members}
                    archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
                file.flush()
                os.fsync(file.fileno())
            documents = _documents(copy)
        finally:
            copy.unlink(missing_ok=True)
        with zipfile.ZipFile(part) as archive:
            for member in members:
                _copy_member(archive, member, None, str(path), count)
        os.replace(part, path)
        flush_folder(path.absolute().parent)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    size = sum(member["size"] for member in members)
    return Backup(path=str(path), documents=documents, files=len(members) - 1, size=size)


def restore(path: Path, home: Path) -> Backup:
    """Make ``home``, which holds nothing yet, a copy of the library backed up in ``path``. All of it is verified
    before any of it is in its place.

    Raises BackupDamaged, HomeNotEmpty naming what is there, OSError.
    """
    path, home = Path(path), private_folder(Path(home))
    there = sorted(entry.name for entry in home.iterdir() if entry.name not in _IGNORED)
    if there:
        raise HomeNotEmpty(str(home), there)
    folder = Path(tempfile.mkdtemp(dir=home, prefix="restore-"))
    try:
        try:
            with zipfile.ZipFile(path) as archive:
                members = _manifest(archive, str(path))
                for member in members:
                    place = folder / member["name"]
                    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    with open(place, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                        _copy_member(archive, member, file, str(path))
                        file.flush()
                        os.fsync(file.fileno())
        except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise BackupDamaged(str(path), str(error) or type(error).__name__) from error
        documents = _documents(folder / DATABASE)
        if (folder / "files").exists():
            os.replace(folder / "files", home / "files")
        # the database last: with it the home is one
        os.replace(folder / DATABASE, home / DATABASE)
        flush_folder(home)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    size = sum(member["size"] for member in members)
    return Backup(path=str(path), documents=documents, files=len(members) - 1, size=size)


class _Count:
    def __init__(self, total: int = 0, told: Told | None = None) -> None:
        self._done, self._total, self._told = 0, total, told

    def add(self, size: int) -> None:
        self._done += size
        if self._told is not None:
            self._told(min(self._done, self._total), self._total)


def _put(archive: zipfile.ZipFile, name: str, path: Path, count: _Count) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as reader, archive.open(name, "w", force_zip64=True) as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            writer.write(chunk)
            count.add(len(chunk))
    return {"name": name, "sha256": digest.hexdigest(), "size": size}


def _manifest(archive: zipfile.ZipFile, path: str) -> list[dict[str, Any]]:
    try:
        manifest = json.loads(archive.read(MANIFEST))
        if manifest["format"] != FORMAT or not isinstance(manifest["version"], int):
            raise ValueError("it is no backup of Lectern")
        if manifest["version"] > VERSION:
            raise ValueError("a newer Lectern wrote it")
        members = [
            {"name": str(one["name"]), "sha256": str(one["sha256"]), "size": int(one["size"])}
            for one in manifest["members"]
        ]
    except KeyError as error:
        raise BackupDamaged(path, f"it has no {error}") from None
    except (ValueError, TypeError) as error:
        raise BackupDamaged(path, str(error)) from None
    names = [member["name"] for member in members]
    if DATABASE not in names or len(set(names)) != len(names):
        raise BackupDamaged(path, "its manifest names no database, or a file twice")
    for name in names:
        if not _MEMBER.fullmatch(name):
            raise BackupDamaged(path, f"it names {name!r}, which is no part of a library")
    return members


def _copy_member(
    archive: zipfile.ZipFile, member: dict[str, Any], to: IO[bytes] | None, path: str, count: _Count | None = None
) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        reader = archive.open(member["name"])
    except KeyError:
        raise BackupDamaged(path, f"{member['name']} is missing") from None
    with reader:
        # never more than was promised: a bomb ends here
        while size <= member["size"] and (chunk := reader.read(CHUNK_BYTES)):
            digest.update(chunk)
            size += len(chunk)
            if to is not None:
                to.write(chunk)
            if count is not None:
                count.add(len(chunk))
    if size != member["size"] or digest.hexdigest() != member["sha256"]:
        raise BackupDamaged(path, f"{member['name']} does not match its SHA-256")


def _query(database: Path, query: str) -> list[Any]:
    import sqlite3

    with translated(database):
        address = f"{database.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as connection:
            return connection.execute(query).fetchall()


def _files(database: Path) -> list[tuple[str, str]]:
    return _query(database, "SELECT sha256, format FROM files ORDER BY sha256")


def _filename(database: Path, sha256: str) -> str:
    """What its owner calls a file; its name in the library if no document is of it any more."""
    names = _query(database, "SELECT sha256, filename FROM documents ORDER BY deleted_at IS NOT NULL, id")
    return next((str(filename) for of, filename in names if of == sha256), sha256)


def _documents(database: Path) -> int:
    return int(_query(database, "SELECT count(*) FROM documents WHERE deleted_at IS NULL")[0][0])
