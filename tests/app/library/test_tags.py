"""Tags: many to many, one's own, and gone when nothing has them."""

from __future__ import annotations

import pytest

from app.errors import DocumentNotFound, TagInvalid
from app.library.store import Library
from app.library.tags import change_tags, tags
from tests.app.library.conftest import Book


def test_many_to_many(library: Library, owner: int, book: Book) -> None:
    one, two = (library.add_document(owner, book(f"{n}.txt", f"Book {n}.\n"), f"{n}.txt").document.id for n in (1, 2))
    change_tags(library, owner, [one, two], add=["to  read", "小说"])
    change_tags(library, owner, [two], add=["to read"], remove=["小说", "never there"])
    assert tags(library, owner) == {one: ("to read", "小说"), two: ("to read",)}
    change_tags(library, owner, [one], remove=["小说"])
    with library.read() as db:
        assert [row["name"] for row in db.query("SELECT name FROM tags")] == ["to read"]


def test_nothing_changes_when_something_is_wrong(library: Library, owner: int, book: Book) -> None:
    id = library.add_document(owner, book(), "book.txt").document.id
    for bad in ("", " \n ", "x" * 61, "a\x07"):
        with pytest.raises(TagInvalid):
            change_tags(library, owner, [id], add=["fine", bad])
    with pytest.raises(DocumentNotFound):
        change_tags(library, owner, [id, 99], add=["fine"])
    with pytest.raises(DocumentNotFound):
        change_tags(library, library.owner("other"), [id], add=["fine"])
    assert tags(library, owner) == {}
