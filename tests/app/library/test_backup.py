"""A backup is whole or refused, and a restored library is the same library."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.documents.model import Chapter
from app.documents.parse import parse_file
from app.errors import BackupDamaged, BackupExists, HomeNotEmpty, OriginalDamaged
from app.library.backup import MANIFEST, back_up, restore
from app.library.chapters import set_chapters
from app.library.search import search
from app.library.store import Library
from app.library.tags import change_tags, tags
from app.library.threads import Threads
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


def test_it_tells_how_far_it_is_and_stops_without_a_trace(
    library: Library, owner: int, saved: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    made = back_up(library, tmp_path / "told.zip", lambda done, total: told.append((done, total)))
    assert told == sorted(told) and told[-1] == (2 * made.size, 2 * made.size)

    def stop(done: int, total: int) -> None:
        if 2 * done > total:  # while it is read back
            raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        back_up(library, tmp_path / "stopped.zip", stop)
    assert sorted(tmp_path.iterdir()) == before and not list(library.files.incoming.iterdir())


def test_it_refuses_to_write_over_anything(library: Library, saved: Path, home: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupExists):
        back_up(library, saved)
    with pytest.raises(HomeNotEmpty, match=r"library\.db"):
        restore(saved, home)
    assert len(library.documents(1)) == 2


def test_an_original_that_changed_is_no_backup(library: Library, saved: Path, tmp_path: Path) -> None:
    document = library.document(1, 1)
    original = library.file_path(document)
    mended = tmp_path / document.filename
    mended.write_bytes(original.read_bytes())
    original.write_text("changed")
    with pytest.raises(OriginalDamaged, match="no longer match") as caught:
        back_up(library, tmp_path / "new.zip")
    assert document.filename in str(caught.value) and not list(tmp_path.glob("new.zip*"))
    original.unlink()
    with pytest.raises(OriginalDamaged, match="missing"):
        back_up(library, tmp_path / "new.zip")
    # what the message tells to do
    assert library.add_document(1, mended, mended.name).already
    assert back_up(library, tmp_path / "new.zip").documents == 2


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


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=30).filter(str.strip)


@given(st.data())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_library_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("round")
    texts = data.draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    with Library(folder / "first", parse=parse_file) as library:
        owner = library.owner()
        threads = Threads(library)
        for n, text in enumerate(texts):
            path = folder / f"{n}.txt"
            path.write_text(f"A book.\n\n{text} and its words.\n", encoding="utf-8")
            id = library.add_document(owner, path, path.name).document.id
            library.edit_document(owner, id, title=data.draw(NAMES), authors=data.draw(st.lists(NAMES, max_size=2)))
            change_tags(library, owner, [id], add=data.draw(st.lists(st.sampled_from(["sea", "红"]), unique=True)))
            if data.draw(st.booleans()):
                set_chapters(library, owner, id, [Chapter(title=data.draw(NAMES), level=1, start=0, end=0)])
            turn = threads.add_turn(threads.create(owner, [id], data.draw(NAMES)).id, data.draw(NAMES))
            threads.save_answer(turn.id, answer=data.draw(NAMES), answer_ids=[1, 2], finish="stop")
        back_up(library, folder / "saved.zip")
        restore(folder / "saved.zip", folder / "second")
        with Library(folder / "second") as again:
            assert again.check() == []
            assert again.documents(owner) == library.documents(owner)
            assert tags(again, owner) == tags(library, owner)
            for one in library.documents(owner):
                assert again.text(one.text_sha256) == library.text(one.text_sha256)
                assert again.chapters(one.id) == library.chapters(one.id)
            for thread in threads.list(owner):
                assert Threads(again).get(owner, thread.id) == thread
                assert Threads(again).turns(thread.id) == threads.turns(thread.id)
        # and a backup of what came back holds the same
        with Library(folder / "second") as again:
            back_up(again, folder / "again.zip")
        restore(folder / "again.zip", folder / "third")
        with Library(folder / "third") as third:
            assert third.documents(owner) == library.documents(owner)
