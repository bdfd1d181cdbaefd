"""Scans are recognized page by page; what is recognized is kept, whoever ends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database

from app.documents import ocr
from app.errors import DocumentWithoutText, ParserFailed
from app.library import recognition
from app.library.intake import Intake
from app.library.store import Library
from tests.app.documents.conftest import make_pdf  # noqa: F401
from tests.app.documents.test_scans import comic, letters, pictures, scanned

needs_tesseract = pytest.mark.skipif(not ocr.available(), reason="Tesseract is not installed")
WORDS = ("one", "two", "three", "four", "five", "six", "seven")


@pytest.fixture
def scan(tmp_path: Path, make_pdf: Callable[..., Path]) -> Path:  # noqa: F811
    pages = [[(72, 200, f"This is the page called {word}", 24)] for word in WORDS]
    return scanned(tmp_path, pictures(make_pdf(pages)))


def kept(library: Library) -> int:
    with library.read() as db:
        return int(db.execute("SELECT count(*) FROM recognized_pages").fetchone()[0])


class Enough(Exception):
    pass


@needs_tesseract
def test_a_recognition_goes_on_where_it_was_ended(
    library: Library, owner: int, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition, "AT_ONCE", 2)
    told: list[tuple[int, int]] = []

    def ended(done: int, total: int) -> None:
        told.append((done, total))
        if done >= 6:
            raise Enough

    with pytest.raises(Enough):
        library.add_document(owner, scan, "scan.pdf", ended)
    assert kept(library) == 6 and told[-1] == (6, 7) and library.documents(owner) == []
    looked: list[list[int]] = []
    look = ocr.look

    def counted(path: Path, filename: str, **said: object) -> object:
        looked.append(list(said["numbers"]))  # type: ignore[call-overload]
        return look(path, filename, **said)  # type: ignore[arg-type]

    # the child finds functions by their names: what it is asked for is seen on its way
    monkeypatch.setattr(recognition._Recognition, "_looked", lambda self, batch, names: counted(
        self.path, self.filename, numbers=batch, names=names))  # fmt: skip
    told.clear()
    added = library.add_document(owner, scan, "scan.pdf", lambda done, total: told.append((done, total)))
    assert looked == [[7]] and told == [(6, 7), (7, 7)]
    text = library.text(added.document.text_sha256)
    pages = library.pages(added.document.id)
    assert [letters(text[one.start : one.end]).endswith(word) for one, word in zip(pages, WORDS, strict=True)] == [
        True
    ] * 7
    assert kept(library) == 0


@needs_tesseract
def test_a_reader_stops_it_and_lets_it_go_on(library: Library, owner: int, scan: Path) -> None:
    intake = Intake(library)
    arrival = intake.note(owner, scan)

    def add(path: Path, name: str, told: Callable[[int, int], None]) -> object:
        return library.add_document(owner, path, name, told)

    stopped = intake.take(arrival, add, lambda done, total: intake.stop(owner, arrival.id))  # type: ignore[arg-type]
    assert (stopped.state, stopped.total) == ("stopped", 7) and 0 < stopped.done + kept(library) < 14
    assert intake.note(owner, scan).state == "stopped" and intake.requeue() == 0
    assert [one.state for one in intake.open(owner)] == ["stopped"]
    again = intake.resume(owner, arrival.id)
    assert again is not None and intake.resume(owner, arrival.id) is None
    assert intake.take(again, add).state == "done"  # type: ignore[arg-type]


@needs_tesseract
def test_a_page_that_ends_its_process_is_a_page_without_words(
    library: Library, owner: int, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.documents import sandbox

    call = sandbox.call

    def crashes(function: object, path: Path, filename: str, **said: object) -> object:
        if 3 in said.get("numbers", ()):  # type: ignore[operator]
            raise ParserFailed(filename, "the parser crashed (SIGSEGV)")
        return call(function, path, filename, **said)  # type: ignore[arg-type]

    monkeypatch.setattr(sandbox, "call", crashes)
    added = library.add_document(owner, scan, "scan.pdf")
    text, pages = library.text(added.document.text_sha256), library.pages(added.document.id)
    assert [bool(text[one.start : one.end].strip()) for one in pages] == [n != 3 for n in range(1, 8)]


@needs_tesseract
def test_pictures_without_words_leave_nothing(
    library: Library,
    owner: int,
    tmp_path: Path,
    make_pdf: Callable[..., Path],  # noqa: F811
) -> None:
    with pytest.raises(DocumentWithoutText, match="recognized no words"):
        library.add_document(owner, scanned(tmp_path, pictures(make_pdf([[]]))), "scan.pdf")
    with library.read() as db:
        assert not list(db.query("SELECT * FROM recognitions"))


def test_without_tesseract_the_refusal_says_what_to_install(
    library: Library, owner: int, tmp_path: Path, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ocr.languages.cache_clear()
    try:
        for path in (scan, comic(tmp_path, {"a.png": b"x"})):
            with pytest.raises(DocumentWithoutText, match="tesseract-ocr"):
                library.add_document(owner, path, path.name)
    finally:
        ocr.languages.cache_clear()


def test_pages_of_files_that_nobody_came_back_to_are_forgotten(library: Library) -> None:
    with library.write() as db:
        for sha256, created in (("old", "2020-01-01T00:00:00"), ("new", "2999-01-01T00:00:00")):
            note(db, sha256, created)
    recognition.purge(library)
    with library.read() as db:
        assert [row["file_sha256"] for row in db.query("SELECT file_sha256 FROM recognized_pages")] == ["new"]


def note(db: Database, sha256: str, created: str) -> None:
    db.execute("INSERT INTO recognitions VALUES (?, 'x', NULL, 1, ?)", [sha256, created])
    db.execute("INSERT INTO recognized_pages VALUES (?, 1, '[]')", [sha256])
