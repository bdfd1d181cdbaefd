"""Removal is undoable, and ends in a purge that takes nothing anybody needs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.errors import DocumentNotFound
from app.library.removed import purge, removed_documents, restore_document
from app.library.search import search
from app.library.store import Library
from app.library.threads import Threads
from tests.app.library.conftest import Book

NOW = timedelta(0)


def test_a_removed_document_comes_back_in_its_place(library: Library, owner: int, book: Book) -> None:
    first = library.add_document(owner, book("a.txt", "A whale.\n"), "a.txt").document
    library.add_document(owner, book("b.txt", "Another.\n"), "b.txt")
    library.remove_document(owner, first.id)
    assert [record.id for record, _ in removed_documents(library, owner)] == [first.id]
    assert purge(library) == 0
    with pytest.raises(DocumentNotFound):
        restore_document(library, library.owner("other"), first.id)
    assert restore_document(library, owner, first.id) == first
    assert library.documents(owner)[0] == first
    assert removed_documents(library, owner) == []


def test_a_purge_takes_text_index_and_file(library: Library, owner: int, book: Book) -> None:
    document = library.add_document(owner, book("a.txt", "A whale.\n"), "a.txt").document
    path = library.file_path(document)
    library.remove_document(owner, document.id)
    assert purge(library, NOW) == 1
    library.sweep()
    assert not path.exists()
    with library.read() as db:
        for table in ("documents", "versions", "texts", "paragraphs", "indexed_texts", "files"):
            assert not list(db.query(f"SELECT 1 FROM {table}")), table
        assert not list(db.query("SELECT rowid FROM text_pieces WHERE text_pieces MATCH 'wha'"))
    assert library.check() == []
    with pytest.raises(DocumentNotFound):
        restore_document(library, owner, document.id)
    library.add_document(owner, book("a.txt", "A whale.\n"), "a.txt")
    assert search(library, owner, "whale").count == 1


def test_a_purge_leaves_what_others_share_and_what_is_talked_about(library: Library, owner: int, book: Book) -> None:
    other = library.owner("other")
    shared = library.add_document(owner, book("a.txt", "A whale.\n"), "a.txt").document
    library.add_document(other, book("a.txt", "A whale.\n"), "a.txt")
    talked = library.add_document(owner, book("b.txt", "Another.\n"), "b.txt").document
    Threads(library).create(owner, [talked.id], "Talk")
    for document in (shared, talked):
        library.remove_document(owner, document.id)
    assert purge(library, NOW) == 1
    assert search(library, other, "whale").count == 1
    assert restore_document(library, owner, talked.id).id == talked.id
    assert library.check() == []
