"""A document takes over its later state: what belongs to it stays, and the earlier file can be taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import DocumentNotFound, RenewalInvalid
from app.library.chapters import set_chapters
from app.library.notes import Notes
from app.library.places import Places
from app.library.removed import removed_documents, restore_document
from app.library.renewed import continued, renew
from app.library.store import Library
from tests.app.library.conftest import Book


def serial(chapters: int) -> str:
    return "\n\n".join(
        f"CHAPTER {n}\n\nOn day {n} the keeper lit lamp number {n} and wrote it down in the book of the tower.\n\n"
        + "The wind blew and nothing else happened on that night, which was long. " * 4
        for n in range(1, chapters + 1)
    )


@pytest.fixture
def both(library: Library, owner: int, book: Book) -> tuple[int, int]:
    ids = [
        library.add_document(owner, book(name, serial(count)), name).document.id
        for name, count in (("tower-ch1-3.txt", 3), ("tower-ch1-5.txt", 5))
    ]
    return ids[0], ids[1]


def test_what_goes_on_is_recognized(library: Library, owner: int, book: Book, both: tuple[int, int]) -> None:
    shelf = library.documents(owner)
    earlier, later = library.document(owner, both[0]), library.document(owner, both[1])
    assert continued(library, later, shelf) == earlier
    assert continued(library, earlier, shelf) is None
    other = library.add_document(owner, book("sea-ch1-9.txt", serial(9)), "sea-ch1-9.txt").document
    assert continued(library, other, shelf) is None
    ends = book("tower-2.txt", serial(5) + "\n\nPrinted anew.")
    edition = library.add_document(owner, ends, "tower-2.txt").document
    assert continued(library, edition, [later]) is None and continued(library, edition, shelf) == earlier


def test_what_belongs_to_it_stays(library: Library, owner: int, both: tuple[int, int]) -> None:
    first, second = both
    before, after = library.document(owner, first), library.document(owner, second)
    text = library.text(before.text_sha256)
    at = text.index("lamp number 3")
    note = Notes(library).add(owner, first, at, at + 13, note="the third")
    Places(library).keep(owner, first, at)
    library.freeze_header(first, "<document>\n\n")
    library.edit_document(owner, first, title="The Tower")
    found = library.chapters(first)
    set_chapters(library, owner, first, [replace(found[0], title="Day one"), *found[1:]])
    made, gone = renew(library, owner, first, second)
    assert (made.id, made.title, made.header) == (first, "The Tower", "<document>\n\n")
    assert (made.sha256, made.text_sha256, made.characters) == (after.sha256, after.text_sha256, after.characters)
    titles = [one.title for one in library.chapters(first)]
    assert titles == ["Day one", *(f"CHAPTER {n}" for n in range(2, 6))]
    assert library.chapters(first)[-1].end == made.characters
    assert [(one.id, one.start, one.lost) for one in Notes(library).list(owner, first)] == [(note.id, at, False)]
    assert Places(library).get(owner, first).position > 0
    # the earlier file is where removed ones are, and the same bytes are known
    assert gone.sha256 == before.sha256
    assert [one.id for one, _ in removed_documents(library, owner)] == [second]
    assert restore_document(library, owner, second).text_sha256 == before.text_sha256
    assert library.check() == []


def test_what_cannot_be_is_refused(library: Library, owner: int, both: tuple[int, int]) -> None:
    first, second = both
    with pytest.raises(RenewalInvalid, match="itself"):
        renew(library, owner, first, first)
    with pytest.raises(DocumentNotFound):
        renew(library, owner, first, 99)
    Notes(library).add(owner, second, 0, 7)
    with pytest.raises(RenewalInvalid, match="of its own"):
        renew(library, owner, first, second)
    assert [one.id for one in library.documents(owner)] == [first, second]
