from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.documents.model import Chapter
from app.errors import ChaptersInvalid, DocumentNotFound
from app.library.chapters import planned_spans, set_chapters
from app.library.removed import purge
from app.library.search import search
from app.library.store import Library

Book = Callable[..., Path]
TEXT = "# A book\n\n## Contents\n\nOne and Two\n\n## One\n\nThe lamp was lit.\n\nIt burned.\n\n## Two\n\nThe lamp went out.\n\n## Index\n\nlamp, 1, 2\n"


@pytest.fixture
def document(library: Library, owner: int, book: Book) -> int:
    return library.add_document(owner, book("book.md", TEXT), "book.md").document.id


def told(library: Library, id: int) -> str:
    record = library.document(library.owner(), id)
    text, spans = library.text(record.text_sha256), library.read_spans(id)
    return text if spans is None else "".join(text[start:end] for start, end in spans)


def test_front_and_back_matter_is_not_read(library: Library, document: int) -> None:
    kinds = {one.title: (one.kind, one.is_read) for one in library.chapters(document)}
    assert (
        kinds["Contents"] == ("front", False) and kinds["Index"] == ("back", False) and kinds["One"] == ("body", True)
    )
    assert "One and Two" not in told(library, document) and "lamp, 1" not in told(library, document)
    assert told(library, document).endswith("The lamp went out.\n\n")


def test_a_list_of_ones_own(library: Library, owner: int, document: int) -> None:
    before = library.chapters(document)
    wanted = [replace(one, included=True) if one.kind == "front" else one for one in before if one.title != "Two"]
    wanted[-1] = replace(wanted[-1], title="  Register \n", level=1)
    found, anew = set_chapters(library, owner, document, wanted)
    assert not anew and found == library.chapters(document)
    assert [one.title for one in found][-2:] == ["One", "Register"] and len(found) == len(before) - 1
    one = found[-2]
    text = library.text(library.document(owner, document).text_sha256)
    assert text[one.start : one.end].strip().endswith("The lamp went out.")
    assert library.document(owner, document).chapters == len(found)
    assert "One and Two" in told(library, document) and "lamp, 1" not in told(library, document)
    assert {hit.chapter for hit in search(library, owner, "went out").hits} == {"One"}
    again, _ = set_chapters(library, owner, document, None)
    assert again == before and {hit.chapter for hit in search(library, owner, "went out").hits} == {"Two"}


def test_a_chapter_begins_with_a_paragraph(library: Library, owner: int, document: int) -> None:
    text = library.text(library.document(owner, document).text_sha256)
    inside = text.index("burned")
    found, _ = set_chapters(
        library, owner, document,
        [Chapter(title="Whole", level=1, start=0, end=0), Chapter(title="Later", level=2, start=inside, end=3)],
    )  # fmt: skip
    assert [(one.title, one.start, one.end) for one in found] == [
        ("Whole", 0, text.index("It burned")), ("Later", text.index("It burned"), len(text)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wanted",
    [
        [],
        [Chapter(title=" ", level=1, start=0, end=0)],
        [Chapter(title="x", level=0, start=0, end=0)],
        [Chapter(title="x", level=1, start=-1, end=0)],
        [Chapter(title="x", level=1, start=10_000, end=0)],
        [Chapter(title="x", level=1, start=0, end=0, kind="side")],  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_chapters_changes_nothing(
    library: Library, owner: int, document: int, wanted: list[Chapter]
) -> None:
    before = library.chapters(document)
    with pytest.raises(ChaptersInvalid):
        set_chapters(library, owner, document, wanted)
    assert library.chapters(document) == before


def test_nobody_corrects_anothers(library: Library, document: int) -> None:
    with pytest.raises(DocumentNotFound):
        set_chapters(library, library.owner("another"), document, None)


def test_two_owners_of_a_file_correct_apart(library: Library, owner: int, document: int, book: Book) -> None:
    another = library.owner("another")
    other = library.add_document(another, book("book.md", TEXT), "book.md").document.id
    set_chapters(library, owner, document, [Chapter(title="Mine", level=1, start=0, end=0)])
    assert len(library.chapters(document)) == 1 < len(library.chapters(other))


def test_what_was_read_stays_until_somebody_switches(library: Library, owner: int, document: int) -> None:
    library.freeze_header(document, "<document>")
    frozen = library.read_spans(document)
    library.save_reading(document, "m", done=9, total=9, complete=True, seconds=1.0)
    # a new title changes nothing that is read
    chapters = library.chapters(document)
    _, anew = set_chapters(library, owner, document, [replace(chapters[0], title="Else"), *chapters[1:]])
    assert not anew and library.read_spans(document) == frozen and library.reading(document, "m")
    _, anew = set_chapters(library, owner, document, [replace(one, included=True) for one in chapters])
    assert anew and library.read_spans(document) is None and library.reading(document, "m") is None


def test_a_document_read_before_chapters_were_left_out_stays_whole(library: Library, document: int) -> None:
    with library.write() as db:
        db.execute("UPDATE documents SET header = 'old' WHERE id = ?", [document])
    assert library.read_spans(document) is None


def test_a_document_of_nothing_else_is_read_whole(library: Library, owner: int, document: int) -> None:
    set_chapters(library, owner, document, [Chapter(title="Index", level=1, start=0, end=0, kind="back")])
    with library.read() as db:
        assert planned_spans(db, document) is None


def test_a_purged_document_leaves_no_chapters(library: Library, owner: int, document: int) -> None:
    from datetime import timedelta

    set_chapters(library, owner, document, [Chapter(title="Mine", level=1, start=0, end=0)])
    library.remove_document(owner, document)
    assert purge(library, timedelta(0)) == 1
    with library.read() as db:
        assert not list(db.query("SELECT 1 FROM document_chapters"))
    assert library.check() == []
