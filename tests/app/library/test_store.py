"""The shelf: the same book once, each owner's own, tokens and readings kept."""

from __future__ import annotations

import hashlib
import shutil
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.documents.metadata import count_words
from app.documents.model import Document, Page, Paragraph
from app.documents.parse import parse_file
from app.errors import (
    DocumentDamaged,
    DocumentEmpty,
    DocumentNotFound,
    DocumentNotText,
    DocumentTypeUnknown,
    DocumentUnreadable,
    ParserFailed,
)
from app.library.records import Added, DocumentRecord, Refusal
from app.library.store import Library

Book = Callable[..., Path]


class CountingParser:
    """The real parser, and how often it was asked."""

    def __init__(self) -> None:
        self.filenames: list[str] = []

    def __call__(self, path: Path, filename: str) -> Document:
        self.filenames.append(filename)
        return parse_file(path, filename)


def _add(library: Library, owner: int, path: Path) -> Added:
    return library.add_document(owner, path, path.name)


def _kept_files(home: Path) -> list[Path]:
    return [path for path in (home / "files").rglob("*") if path.is_file()]


class TestAdding:
    def test_a_book_stands_on_the_shelf(self, library: Library, owner: int, book: Book) -> None:
        path = book("war_and-peace.txt")
        added = _add(library, owner, path)
        parsed = parse_file(path, path.name)
        document = added.document
        assert not added.already
        assert document == DocumentRecord(
            id=1,
            owner_id=owner,
            title=parsed.title,
            authors=parsed.authors,
            language=parsed.language,
            filename="war_and-peace.txt",
            format="txt",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            text_sha256=hashlib.sha256(parsed.text.encode()).hexdigest(),
            characters=len(parsed.text),
            chapters=len(parsed.chapters),
            pages=0,
            created=document.created,
            header=None,
            year=None,
            words=count_words(parsed.text),
            identifiers=(),
        )
        assert library.documents(owner) == [document]
        assert library.document(owner, 1) == document
        assert library.text(document.text_sha256) == parsed.text
        assert library.paragraphs(1) == list(parsed.paragraphs)
        assert library.chapters(1) == list(parsed.chapters)
        assert library.file_path(document).read_bytes() == path.read_bytes()
        assert library.check() == []

    def test_pages_are_kept(self, home: Path, book: Book) -> None:
        def parse(path: Path, filename: str) -> Document:
            return Document(
                title="Paged",
                authors=("Ada", "Bob"),
                language=None,
                format="txt",
                text="one\n\ntwo",
                chapters=(),
                paragraphs=(Paragraph(start=0, end=3), Paragraph(start=5, end=8)),
                pages=(Page(number=1, start=0, end=5), Page(number=2, start=5, end=8)),
            )

        with Library(home, parse=parse) as library:
            document = _add(library, library.owner(), book()).document
            assert (document.pages, document.language, document.authors) == (2, None, ("Ada", "Bob"))
            assert library.pages(document.id) == [Page(number=1, start=0, end=5), Page(number=2, start=5, end=8)]

    def test_it_outlives_the_program(self, home: Path, book: Book) -> None:
        with Library(home, parse=parse_file) as library:
            document = _add(library, library.owner(), book()).document
        with Library(home) as library:
            assert library.documents(library.owner()) == [document]
            assert library.check() == []

    def test_the_default_parser_is_a_process_of_its_own(self, home: Path, book: Book) -> None:
        with Library(home) as library:
            document = _add(library, library.owner(), book("alice.txt")).document
            assert library.text(document.text_sha256) == "The first paragraph.\n\nThe second one."

    def test_the_same_bytes_are_the_same_book(self, home: Path, book: Book) -> None:
        parser = CountingParser()
        with Library(home, parse=parser) as library:
            owner = library.owner()
            first = _add(library, owner, book("a.txt"))
            second = _add(library, owner, book("b.txt"))
            third = _add(library, owner, book("c.md"))
            assert (first.already, second.already, third.already) == (False, True, True)
            assert first.document == second.document == third.document
            assert parser.filenames == ["a.txt"]
            assert len(_kept_files(home)) == 1

    def test_two_texts_are_two_books(self, library: Library, owner: int, book: Book) -> None:
        first = _add(library, owner, book("a.txt", "One.\n"))
        second = _add(library, owner, book("a.txt", "Two.\n"))
        assert not second.already
        assert [d.id for d in library.documents(owner)] == [first.document.id, second.document.id]

    def test_two_files_of_one_text_share_it(self, library: Library, owner: int, book: Book) -> None:
        first = _add(library, owner, book("unix.txt", "One.\n\nTwo.\n")).document
        second = _add(library, owner, book("other.txt", "One.\n\n\n\nTwo.\n")).document
        assert first.sha256 != second.sha256 and first.text_sha256 == second.text_sha256
        with library.read() as db:
            assert db.table("texts").count == 1

    @pytest.mark.skipif(sys.platform == "win32", reason="modes of files exist on POSIX only")
    def test_it_is_private(self, home: Path, library: Library, owner: int, book: Book) -> None:
        _add(library, owner, book())
        for path in home.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path

    def test_a_title_of_the_file_itself_is_taken_and_a_missing_one_made(
        self, library: Library, owner: int, book: Book
    ) -> None:
        titled = _add(library, owner, book("x.md", "# The Trial\n\nSomeone must have slandered Josef K.\n")).document
        assert titled.title == "The Trial"
        assert _add(
            library, owner, book("my_notes.txt", "nothing that is a title, only a line of text\n")
        ).document.title

    def test_a_real_book(self, library: Library, owner: int, shared: Path) -> None:
        alice = shared / "books" / "alice.txt"
        if not alice.is_file():
            pytest.skip("no alice.txt in ../shared/books")
        document = _add(library, owner, alice).document
        assert "Alice" in document.title and document.chapters >= 12
        text = library.text(document.text_sha256)
        assert len(text) == document.characters > 100_000
        paragraphs = library.paragraphs(document.id)
        assert "\n\n".join(text[p.start : p.end] for p in paragraphs) == text
        assert library.check() == []


class TestRefusing:
    def test_nothing_is_kept_of_a_refused_file(self, home: Path, library: Library, owner: int, book: Book) -> None:
        binary = book("binary.txt")
        binary.write_bytes(bytes(range(256)) * 64)
        folder = binary.parent / "folder.txt"
        folder.mkdir()
        refused: list[tuple[Path, type[Exception]]] = [
            (book("empty.txt", ""), DocumentEmpty),
            (book("tables.doc", "x"), DocumentTypeUnknown),
            (binary, DocumentNotText),
            (folder, DocumentUnreadable),
            (binary.parent / "nowhere.txt", DocumentUnreadable),
        ]
        for path, expected in refused:
            with pytest.raises(expected):
                _add(library, owner, path)
        assert library.documents(owner) == []
        assert _kept_files(home) == []
        assert library.check() == []
        assert _add(library, owner, book("good.txt")).document.id == 1

    def test_a_parser_that_fails_keeps_nothing_and_may_succeed_later(self, home: Path, book: Book) -> None:
        failing = [True]

        def parse(path: Path, filename: str) -> Document:
            if failing.pop():
                raise DocumentDamaged(filename, "no end")
            return parse_file(path, filename)

        with Library(home, parse=parse) as library:
            owner = library.owner()
            with pytest.raises(DocumentDamaged):
                _add(library, owner, book())
            assert _kept_files(home) == []
            failing.append(False)
            assert not _add(library, owner, book()).already

    @pytest.mark.parametrize(
        ("text", "paragraphs"),
        [("one", (Paragraph(start=0, end=4),)), ("one", ()), ("half \ud83d pair", (Paragraph(start=0, end=11),))],
    )
    def test_a_parser_that_breaks_its_promise_is_not_believed(
        self, text: str, paragraphs: tuple[Paragraph, ...], home: Path, book: Book
    ) -> None:
        def parse(path: Path, filename: str) -> Document:
            return Document(
                title="T", authors=(), language=None, format="txt", text=text, chapters=(), paragraphs=paragraphs
            )

        with Library(home, parse=parse) as library:
            with pytest.raises(ParserFailed):
                _add(library, library.owner(), book())
            assert library.documents(1) == [] and _kept_files(home) == []

    def test_refusals_are_remembered_once_and_dismissed(self, library: Library, owner: int, book: Book) -> None:
        stranger = library.owner("stranger")
        error = DocumentEmpty("a.txt")
        first = library.refuse(owner, "a.txt", error)
        assert first == Refusal(id=first.id, filename="a.txt", error=str(error), created=first.created)
        second = library.refuse(owner, "a.txt", "still empty")
        other = library.refuse(owner, "b.txt", "x")
        assert library.refusals(owner) == [second, other]
        assert library.refusals(stranger) == []
        library.dismiss_refusal(stranger, second.id)
        assert library.refusals(owner) == [second, other]
        library.dismiss_refusal(owner, second.id)
        library.dismiss_refusal(owner, second.id)
        assert library.refusals(owner) == [other]
        # the file was mended and is taken now
        _add(library, owner, book("b.txt"))
        assert library.refusals(owner) == []


class TestOwners:
    def test_an_owner_is_made_once(self, library: Library) -> None:
        assert [library.owner(), library.owner("visitor"), library.owner(), library.owner("visitor")] == [1, 2, 1, 2]

    def test_a_shelf_is_its_owners_and_the_file_is_shared(self, home: Path, book: Book) -> None:
        parser = CountingParser()
        with Library(home, parse=parser) as library:
            ada, bob = library.owner("ada"), library.owner("bob")
            hers = _add(library, ada, book("her_secret_name.txt")).document
            his = _add(library, bob, book("his.txt"))
            assert not his.already
            assert his.document.id != hers.id and his.document.text_sha256 == hers.text_sha256
            assert (parser.filenames, len(_kept_files(home))) == (["her_secret_name.txt"], 1)
            # what she called it is not for him to see
            assert "secret" in hers.title.lower()
            assert "secret" not in repr(his.document).lower()
            assert library.documents(bob) == [his.document]
            for attempt in (
                lambda: library.document(bob, hers.id),
                lambda: library.remove_document(bob, hers.id),
                lambda: library.rename_document(bob, hers.id, "mine", []),
            ):
                with pytest.raises(DocumentNotFound):
                    attempt()
            assert library.documents(ada) == [hers]

    def test_removing_ones_own_leaves_the_others(self, library: Library, book: Book) -> None:
        ada, bob = library.owner("ada"), library.owner("bob")
        hers, his = (_add(library, owner, book()).document for owner in (ada, bob))
        library.remove_document(ada, hers.id)
        assert library.documents(ada) == []
        assert library.documents(bob) == [his]
        assert library.text(his.text_sha256) and library.check() == []


class TestChanging:
    def test_a_removed_book_comes_back_as_it_was(self, home: Path, book: Book) -> None:
        parser = CountingParser()
        with Library(home, parse=parser) as library:
            owner = library.owner()
            first = _add(library, owner, book("a.txt")).document
            other = _add(library, owner, book("other.txt", "Another.\n")).document
            library.freeze_header(first.id, "A book")
            library.remove_document(owner, first.id)
            assert library.documents(owner) == [other]
            for attempt in (library.document, library.remove_document):
                with pytest.raises(DocumentNotFound):
                    attempt(owner, first.id)
            again = _add(library, owner, book("renamed.txt"))
            assert not again.already
            assert (again.document.id, again.document.header) == (first.id, "A book")
            assert again.document.filename == "renamed.txt"
            assert [d.id for d in library.documents(owner)] == [other.id, first.id]
            assert parser.filenames == ["a.txt", "other.txt"]

    def test_a_new_title_shows_and_the_header_stays(self, library: Library, owner: int, book: Book) -> None:
        document = _add(library, owner, book()).document
        assert library.freeze_header(document.id, "first") == "first"
        assert library.freeze_header(document.id, "second") == "first"
        renamed = library.rename_document(owner, document.id, "新しい \ud83d title", ["Ada", "Bob"])
        assert (renamed.title, renamed.authors, renamed.header) == ("新しい ? title", ("Ada", "Bob"), "first")
        assert library.document(owner, document.id) == renamed
        with pytest.raises(DocumentNotFound):
            library.freeze_header(99, "x")

    def test_only_one_header_wins(self, library: Library, owner: int, book: Book) -> None:
        document = _add(library, owner, book()).document
        frozen: list[str] = []
        threads = [
            threading.Thread(target=lambda n=n: frozen.append(library.freeze_header(document.id, f"header {n}")))
            for n in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(frozen) == 6 and len(set(frozen)) == 1

    def test_many_threads_add_the_same_book(self, home: Path, book: Book) -> None:
        path = book()
        copies = [Path(shutil.copy(path, path.with_name(f"copy{n}.txt"))) for n in range(6)]
        results: list[Added] = []
        with Library(home, parse=parse_file) as library:
            owner = library.owner()
            threads = [
                threading.Thread(target=lambda copy=copy: results.append(_add(library, owner, copy))) for copy in copies
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(added.already for added in results) == [False] + [True] * 5
            assert {added.document.id for added in results} == {1}
            assert library.check() == [] and len(_kept_files(home)) == 1


class TestSweeping:
    def test_opening_removes_what_a_killed_process_left(self, home: Path, book: Book) -> None:
        with Library(home, parse=parse_file) as library:
            document = _add(library, library.owner(), book()).document
        orphan = home / "files" / "ab" / f"{'ab' * 32}.pdf"
        orphan.parent.mkdir(exist_ok=True)
        orphan.write_bytes(b"renamed, but its row was never written")
        with Library(home) as library:
            assert not orphan.exists()
            assert library.file_path(document).is_file()
            assert library.sweep() == 0

    def test_a_book_being_added_is_not_swept(self, home: Path, book: Book) -> None:
        def parse(path: Path, filename: str) -> Document:
            # another program starts while this one parses
            Library(home).close()
            assert path.is_file()
            return parse_file(path, filename)

        with Library(home, parse=parse) as library:
            assert _add(library, library.owner(), book()).document.id == 1
