"""Files under their hashes: whole or not there, private, swept."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from pathlib import Path

import pytest

from app.errors import DocumentUnreadable, LibraryFull, LibraryNotWritable
from app.library import files
from app.library.files import FileStore, private_folder

BYTES = os.urandom(3 * files.CHUNK_BYTES + 17)
HASH = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.pdf"
    path.write_bytes(BYTES)
    return path


def _all(store: FileStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def test_a_file_is_kept_whole_under_its_hash(store: FileStore, source: Path) -> None:
    with store.take(source, "source.pdf", "pdf") as incoming:
        assert (incoming.sha256, incoming.size) == (HASH, len(BYTES))
        # a parser that goes by the suffix of the copy finds the right one
        assert incoming.path.suffix == ".pdf"
        place = store.keep(incoming, "pdf")
    assert place == store.path(HASH, "pdf") == store.root / HASH[:2] / f"{HASH}.pdf"
    assert place.read_bytes() == BYTES
    assert _all(store) == [place]
    assert source.read_bytes() == BYTES
    assert store.problem(HASH, "pdf") is None


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files exist on POSIX only")
def test_only_the_owner_may_look(store: FileStore, source: Path) -> None:
    source.chmod(0o666)
    old = os.umask(0)
    try:
        with store.take(source, "a", "pdf") as incoming:
            assert stat.S_IMODE(incoming.path.stat().st_mode) == 0o600
            place = store.keep(incoming, "pdf")
    finally:
        os.umask(old)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


def test_what_is_not_kept_leaves_nothing(store: FileStore, source: Path) -> None:
    with store.take(source, "a", "pdf"):
        pass
    with pytest.raises(KeyError), store.take(source, "a", "pdf"):
        raise KeyError("the parser failed")
    assert _all(store) == []


def test_it_is_flushed_before_it_is_renamed(store: FileStore, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    flush, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        flush(descriptor)

    def rename(source: Path, place: Path) -> None:
        done.append("rename")
        replace(source, place)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    with store.take(source, "a", "pdf") as incoming:
        store.keep(incoming, "pdf")
    assert done[:2] == ["file", "rename"]
    if sys.platform != "win32":
        assert done[2:] == ["folder", "folder"]


def test_a_damaged_copy_is_mended(store: FileStore, source: Path) -> None:
    store.path(HASH, "pdf").parent.mkdir()
    store.path(HASH, "pdf").write_bytes(b"half of i")
    assert "no longer match" in str(store.problem(HASH, "pdf"))
    with store.take(source, "a", "pdf") as incoming:
        store.keep(incoming, "pdf")
    assert store.problem(HASH, "pdf") is None
    store.path(HASH, "pdf").unlink()
    assert store.problem(HASH, "pdf") == "is missing"


def test_a_source_that_cannot_be_read(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(DocumentUnreadable, match="No such file"), store.take(tmp_path / "none", "none", "txt"):
        pass
    with pytest.raises(DocumentUnreadable), store.take(tmp_path, "folder", "txt"):
        pass
    assert _all(store) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [(errno.ENOSPC, LibraryFull), (errno.EROFS, LibraryNotWritable), (errno.EACCES, LibraryNotWritable)],
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses(
    step: str,
    code: int,
    expected: type[Exception],
    store: FileStore,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(expected, match="files"), store.take(source, "a", "pdf") as incoming:
        store.keep(incoming, "pdf")
    assert _all(store) == []


def test_what_a_dead_process_left_is_found(store: FileStore, source: Path) -> None:
    old, new = store.incoming / "old.pdf", store.incoming / "new.pdf"
    for path in (old, new):
        path.write_bytes(b"x")
    past = new.stat().st_mtime - files.STALE_SECONDS - 60
    os.utime(old, (past, past))
    assert store.stale() == [old]
    with store.take(source, "a", "pdf") as incoming:
        place = store.keep(incoming, "pdf")
    assert store.orphans({HASH}) == []
    assert store.orphans(set()) == [place]
    assert store.remove([old, place, store.incoming / "gone"]) == 2
    assert _all(store) == [new]


def test_a_private_folder_may_be_there_already(tmp_path: Path) -> None:
    assert private_folder(tmp_path / "a" / "b") == private_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    (tmp_path / "file").touch()
    with pytest.raises(LibraryNotWritable):
        private_folder(tmp_path / "file")
