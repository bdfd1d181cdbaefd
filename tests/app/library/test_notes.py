"""Notes: kept, changed, taken back, and found again in another version of their text."""

from __future__ import annotations

import hashlib

import pytest

from app.errors import ColourUnknown, DocumentNotFound, NoteNotFound, RangeInvalid
from app.library.anchors import around, find_again
from app.library.notes import Notes
from app.library.places import Places
from app.library.search import index_text
from app.library.store import Library
from app.library.values import now
from tests.app.library.conftest import Book

TALE = "One lamp.\n\nThe lamp burned.\n\nTwo lamps 𝄞 burned.\n\nThe lamp burned. It was late.\n"


def new_text(library: Library, document: int, text: str) -> None:
    """Give a document another version of its text, as a better parser does."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    with library.write() as db:
        db.execute("INSERT INTO texts VALUES (?, ?, ?, ?)", [sha256, len(text), text, now()])
        index_text(db, sha256, text)
        row = next(
            iter(
                db.query(
                    "INSERT INTO versions (file_sha256, format, parser_version, text_sha256, title, authors, "
                    "paragraphs, chapters, pages, created) SELECT sha256, 'txt', (SELECT max(parser_version) + 1 FROM versions), ?, 'T', '[]', 0, 0, 0, '' "
                    "FROM documents WHERE id = ? RETURNING id",
                    [sha256, document],
                )
            )
        )
        start = 0
        for ordinal, part in enumerate(text.split("\n\n")):
            db.execute("INSERT INTO paragraphs VALUES (?, ?, ?, ?)", [row["id"], ordinal, start, start + len(part)])
            start += len(part) + 2
        db.execute("UPDATE documents SET version_id = ? WHERE id = ?", [row["id"], document])


@pytest.fixture
def tale(library: Library, owner: int, book: Book) -> int:
    return library.add_document(owner, book("tale.txt", TALE), "tale.txt").document.id


def test_a_note_is_kept_changed_and_taken_back(library: Library, owner: int, tale: int) -> None:
    notes = Notes(library)
    clef = TALE.index("𝄞")
    made = notes.add(owner, tale, clef, clef + 1, note=" a clef \ud800", colour="blue")
    assert (made.quote, made.note, made.colour, made.lost) == ("𝄞", "a clef ?", "blue", False)
    first = notes.add(owner, tale, 0, 3)
    assert [note.id for note in notes.list(owner, tale)] == [first.id, made.id]
    assert notes.list(owner) == notes.list(owner, tale)
    assert notes.edit(owner, made.id, note="signs", colour="pink").note == "signs"
    notes.remove(owner, first.id)
    assert [note.id for note in notes.list(owner)] == [made.id]
    with pytest.raises(NoteNotFound):
        notes.edit(owner, first.id, note="x")
    assert notes.restore(owner, first.id) == first
    assert len(notes.list(owner)) == 2


def test_a_note_is_its_owners(library: Library, owner: int, tale: int) -> None:
    notes, other = Notes(library), library.owner("other")
    made = notes.add(owner, tale, 0, 3)
    assert notes.list(other) == []
    for attempt in (notes.remove, notes.restore, notes.edit):
        with pytest.raises(NoteNotFound):
            attempt(other, made.id)
    with pytest.raises(DocumentNotFound):
        notes.add(other, tale, 0, 3)
    with pytest.raises(DocumentNotFound):
        notes.list(other, tale)


@pytest.mark.parametrize("start, end", [(-1, 3), (3, 3), (4, 2), (0, 10_000)])
def test_a_range_outside_the_text_is_refused(library: Library, owner: int, tale: int, start: int, end: int) -> None:
    with pytest.raises(RangeInvalid):
        Notes(library).add(owner, tale, start, end)
    with pytest.raises(ColourUnknown):
        Notes(library).add(owner, tale, 0, 1, colour="javascript:")
    assert Notes(library).list(owner) == []


def test_notes_follow_a_text_that_changed(library: Library, owner: int, tale: int) -> None:
    notes = Notes(library)
    text = library.text(library.document(owner, tale).text_sha256)
    late = text.rindex("The lamp burned.")
    second, gone = notes.add(owner, tale, late, late + 16), notes.add(owner, tale, 0, 9)
    new = "A new preface.\n\nThe lamp burned.\n\nTwo lamps 𝄞 burned.\n\nThe lamp\nburned. It was late."
    new_text(library, tale, new)
    found = {note.id: note for note in notes.list(owner, tale)}
    # of two places alike, the one with its old neighbours; a line may break elsewhere
    assert new[found[second.id].start : found[second.id].end] == "The lamp\nburned." == found[second.id].quote
    assert found[second.id].start > new.index("𝄞") and not found[second.id].lost
    assert found[gone.id].lost and found[gone.id].quote == "One lamp."
    # the passage is back: so is the note
    with library.write() as db:
        db.execute("UPDATE documents SET version_id = (SELECT min(id) FROM versions) WHERE id = ?", [tale])
    again = {note.id: note for note in notes.list(owner, tale)}
    assert (again[gone.id].start, again[gone.id].lost) == (0, False)
    assert text[again[second.id].start : again[second.id].end] == "The lamp burned."


def test_find_again_prefers_the_place_with_the_same_neighbours() -> None:
    text = "a cat sat. the cat ran. a cat sat."
    assert find_again(text, "cat", *around(text, 15, 18), share=0.0) == (15, 18)
    assert find_again(text, "cat sat", "", "", share=1.0) == (26, 33)
    # so short a passage without any neighbour is anything's
    assert find_again("xx cat yy", "cat", "qq", "qq", share=0.0) is None
    assert find_again(text, "dog", "", "", share=0.5) is None
    assert find_again(text, "  ", "", "", share=0.5) is None


def test_the_guard_stands_at_a_paragraph_and_follows_its_text(library: Library, owner: int, tale: int) -> None:
    places = Places(library)
    text = library.text(library.document(owner, tale).text_sha256)
    two = text.index("Two lamps")
    assert places.get(owner, tale).upto is None
    assert places.guard(owner, tale, two + 3).upto == two == places.guard(owner, tale, two).upto
    places.keep(owner, tale, two + 5)
    assert places.get(owner, tale).position == two + 5 and places.guards(owner) == {tale: two}
    assert places.guards(library.owner("other")) == {}
    new = "A preface of some length.\n\n" + text
    new_text(library, tale, new)
    assert places.get(owner, tale).upto == new.index("Two lamps")
    # where the border itself is gone: never more than the share of the text that was read
    share = new.index("Two lamps") / len(new)
    new_text(library, tale, "\n\n".join(f"Paragraph {n} of something else." for n in range(20)))
    moved = places.get(owner, tale)
    assert moved.upto is not None and 0 < moved.upto <= share * library.document(owner, tale).characters
    assert places.guard(owner, tale, None).upto is None
    assert places.guard(owner, tale, 10**9).upto is None


def test_notes_go_with_their_document(library: Library, owner: int, tale: int) -> None:
    from datetime import timedelta

    from app.library.removed import purge

    Notes(library).add(owner, tale, 0, 3)
    Places(library).keep(owner, tale, 5)
    library.remove_document(owner, tale)
    assert Notes(library).list(owner) == []
    assert purge(library, timedelta(0)) == 1
    with library.read() as db:
        assert db["notes"].count == db["places"].count == 0
