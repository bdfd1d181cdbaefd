"""What the library keeps of a document beside its text: year, identifiers, words, cover, and what its owner corrects."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.documents.model import Document
from app.documents.parse import parse_file
from app.errors import DocumentNotFound
from app.library.schema import MIGRATIONS
from app.library.store import Library
from app.reading.prompt import header_text

Book = Callable[..., Path]


def described(path: Path, filename: str) -> Document:
    return replace(
        parse_file(path, filename), year=1865, identifiers=("doi:10.1000/182",), cover=b"\xff\xd8\xff picture"
    )


def test_what_the_parser_found_is_kept(home: Path, book: Book) -> None:
    with Library(home, parse=described) as library:
        document = library.add_document(library.owner(), book(text="Three words here.\n"), "book.txt").document
        assert (document.year, document.words, document.identifiers) == (1865, 3, ("doi:10.1000/182",))
        cover = library.cover(document)
        assert cover is not None and cover.read_bytes() == b"\xff\xd8\xff picture"
        assert cover.parent == library.file_path(document).parent and document.sha256 in cover.name
        assert library.check() == []
    with Library(home, parse=described) as library:
        # sweeping takes no cover whose file is there
        assert library.cover(document) is not None


def test_corrections_change_what_is_given_and_no_header(library: Library, owner: int, book: Book) -> None:
    document = library.add_document(owner, book(), "book.txt").document
    header = library.freeze_header(document.id, header_text(document.title, document.authors))
    changed = library.edit_document(owner, document.id, year=1901, language="fr")
    assert (changed.title, changed.authors, changed.year, changed.language) == (
        document.title,
        document.authors,
        1901,
        "fr",
    )
    changed = library.edit_document(owner, document.id, title="Another Title", authors=["A. Stone", "B. Reed"])
    assert (changed.title, changed.authors, changed.year) == ("Another Title", ("A. Stone", "B. Reed"), 1901)
    assert changed.header == header and changed.text_sha256 == document.text_sha256
    with pytest.raises(DocumentNotFound):
        library.edit_document(library.owner("somebody else"), document.id, title="Mine")


def test_a_library_from_before_gets_its_columns_and_empty_values(
    home: Path, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [migration for migration in MIGRATIONS._migrations if migration.name == "0001_first"]
    monkeypatch.setattr(MIGRATIONS, "_migrations", first)
    # today's program never sweeps yesterday's tables
    monkeypatch.setattr(Library, "sweep", lambda self: 0)
    with Library(home) as library, library.write() as db:
        owner = library.owner()
        db.execute("INSERT INTO files VALUES ('f', 'txt', 4, 'now')")
        db.execute("INSERT INTO texts VALUES ('t', 4, 'text', 'now')")
        db.execute("INSERT INTO versions VALUES (1, 'f', 'txt', 1, 't', 'T', '[]', 'en', 1, 0, 0, 'now')")
        db.execute(
            "INSERT INTO documents VALUES (1, ?, 1, 'f', 'T', ?, 'f.txt', NULL, 'now', NULL)", [owner, json.dumps([])]
        )
    monkeypatch.undo()
    with Library(home) as library:
        (document,) = library.documents(owner)
        assert (document.title, document.language, document.year, document.words) == ("T", "en", None, None)
        assert document.identifiers == () and library.cover(document) is None
