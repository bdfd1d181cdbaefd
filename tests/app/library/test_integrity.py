"""The check finds each kind of damage, and nothing in a sound library."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.documents.parse import parse_file
from app.library.records import DocumentRecord
from app.library.store import Library

Book = Callable[..., Path]


@pytest.fixture
def document(library: Library, owner: int, book: Book) -> DocumentRecord:
    document = library.add_document(owner, book(), "book.txt").document
    library.save_tokenization(document.text_sha256, "t", array("i", [1, 2]), array("q", [0, 9, document.characters]))
    return document


@pytest.fixture
def vandal(home: Path, document: DocumentRecord) -> Iterator[sqlite3.Connection]:
    """A connection that checks nothing."""
    with closing(sqlite3.connect(home / "library.db", isolation_level=None)) as connection:
        yield connection


def test_a_sound_library_has_no_problems(library: Library, document: DocumentRecord) -> None:
    assert library.check() == []


def test_files(library: Library, document: DocumentRecord) -> None:
    path = library.file_path(document)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    (problem,) = library.check()
    assert document.sha256 in problem and "no longer match" in problem
    path.unlink()
    (problem,) = library.check()
    assert "is missing" in problem


def test_dropping_the_book_again_mends_its_file(
    library: Library, owner: int, document: DocumentRecord, book: Book
) -> None:
    library.file_path(document).write_bytes(b"")
    assert library.check() != []
    assert library.add_document(owner, book(), "book.txt").already
    assert library.check() == []


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("UPDATE texts SET text = 'The first paragraph.' || char(10, 10) || 'The second two.'", "no longer matches"),
        ("UPDATE texts SET characters = characters + 1", "characters, not"),
        ("DELETE FROM texts", "points at nothing in texts"),
        ("DELETE FROM paragraphs WHERE ordinal = 1", "1 paragraphs, not 2"),
        ('UPDATE paragraphs SET "end" = 1000 WHERE ordinal = 1', "paragraphs outside its text"),
        ('UPDATE paragraphs SET "start" = -1 WHERE ordinal = 0', "paragraphs outside its text"),
        ("DELETE FROM versions", "points at nothing in versions"),
        ("DELETE FROM owners", "points at nothing in owners"),
        ("INSERT INTO files VALUES ('00', 'txt', 1, ''); UPDATE documents SET sha256 = '00'", "from another file"),
        ("UPDATE tokenizations SET ids = x'01000100'", "damaged"),
        ("UPDATE tokenizations SET tokens = 5", "do not fit"),
        ("UPDATE tokenizations SET offsets = ids", "do not fit"),
    ],
)
def test_rows(damage: str, expected: str, library: Library, owner: int, vandal: sqlite3.Connection) -> None:
    library.refuse(owner, "x.txt", "empty")
    vandal.executescript(damage)
    assert any(expected in problem for problem in library.check()), library.check()


def test_an_index_that_lost_a_row(library: Library, owner: int, vandal: sqlite3.Connection) -> None:
    vandal.executescript(
        """
        PRAGMA writable_schema = 1;
        CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'refusals_owner';
        DELETE FROM sqlite_schema WHERE name = 'refusals_owner';
        PRAGMA schema_version = 1000;
        INSERT INTO refusals (owner_id, filename, error, created) VALUES (1, '', '', '');
        INSERT INTO sqlite_schema SELECT * FROM kept;
        PRAGMA schema_version = 1001;
        """
    )
    assert any("refusals_owner" in problem and "database" in problem for problem in library.check())


def test_a_torn_page_is_told_and_not_raised(home: Path, book: Book) -> None:
    with Library(home, parse=parse_file) as library:
        owner = library.owner()
        for n in range(30):
            library.add_document(owner, book(f"{n}.txt", f"{n}\n\n" + "word " * 2000), f"{n}.txt")
        with library.read() as db:
            (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'texts'").fetchone()
            (page_size,) = db.execute("PRAGMA page_size").fetchone()
    with (home / "library.db").open("r+b") as file:
        file.seek((page - 1) * page_size)
        file.write(b"\xff" * page_size)
    with Library(home) as library:
        problems = library.check()
    assert problems and all("database" in problem for problem in problems)
