"""A backup is whole or refused, and a restored library is the same library."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from app.errors import BackupDamaged, BackupExists, HomeNotEmpty
from app.library.backup import MANIFEST, back_up, restore
from app.library.search import search
from app.library.store import Library
from app.library.tags import change_tags, tags
from tests.app.library.conftest import Book


@pytest.fixture
def saved(library: Library, owner: int, book: Book, tmp_path: Path) -> Path:
    for name in ("a.txt", "b.txt"):
        library.add_document(owner, book(name, f"A whale in {name}.\n"), name)
    change_tags(library, owner, [2], add=["sea"])
    path = tmp_path / "saved.zip"
    made = back_up(library, path)
    assert (made.documents, made.files) == (2, 2)
    return path


def rewritten(path: Path, change: dict[str, bytes | None]) -> Path:
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        names = [*old.namelist(), *(name for name in change if name not in old.namelist())]
        for name in names:
            data = change.get(name, old.read(name) if name in old.namelist() else None)
            if data is not None:
                new.writestr(name, data)
    return target


def test_there_and_back(library: Library, owner: int, saved: Path, tmp_path: Path) -> None:
    home = tmp_path / "second"
    assert restore(saved, home).documents == 2
    assert sorted(entry.name for entry in home.iterdir()) == ["files", "library.db"]
    with Library(home) as again:
        assert again.documents(owner) == library.documents(owner)
        assert tags(again, owner) == {2: ("sea",)}
        assert search(again, owner, "whale").count == 2
        assert again.check() == []
    assert not list(library.files.incoming.iterdir())


def test_it_refuses_to_write_over_anything(library: Library, saved: Path, home: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupExists):
        back_up(library, saved)
    with pytest.raises(HomeNotEmpty, match=r"library\.db"):
        restore(saved, home)
    assert len(library.documents(1)) == 2


def test_an_original_that_changed_is_no_backup(library: Library, saved: Path, tmp_path: Path) -> None:
    library.file_path(library.document(1, 1)).write_text("changed")
    with pytest.raises(BackupDamaged, match="no longer match"):
        back_up(library, tmp_path / "new.zip")
    assert not list(tmp_path.glob("new.zip*"))


def test_a_damaged_backup_restores_nothing(saved: Path, tmp_path: Path) -> None:
    home = tmp_path / "second"
    with zipfile.ZipFile(saved) as archive:
        manifest = json.loads(archive.read(MANIFEST))
        original = next(name for name in archive.namelist() if name.startswith("files/"))
    outside = {**manifest, "members": [*manifest["members"], {"name": "../evil", "sha256": "0" * 64, "size": 1}]}
    cut = saved.with_name("cut.zip")
    cut.write_bytes(saved.read_bytes()[:-200])
    damaged = [
        rewritten(saved, {original: b"other bytes"}),
        rewritten(saved, {original: None}).rename(saved.with_name("2.zip")),
        rewritten(saved, {MANIFEST: json.dumps(outside).encode()}).rename(saved.with_name("3.zip")),
        rewritten(saved, {MANIFEST: json.dumps({**manifest, "version": 99}).encode()}).rename(saved.with_name("4.zip")),
        rewritten(saved, {MANIFEST: None}).rename(saved.with_name("5.zip")),
        cut,
    ]
    rewritten(saved, {original: b"other bytes"})
    for path in damaged:
        with pytest.raises(BackupDamaged):
            restore(path, home)
        assert list(home.iterdir()) == [], path
    assert restore(saved, home).files == 2
