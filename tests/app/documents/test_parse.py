from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from app.documents import FILE_LIMIT, SUFFIXES, Document, parse_file, refuse_at_the_door
from app.errors import (
    DocumentDamaged,
    DocumentEmpty,
    DocumentError,
    DocumentNotText,
    DocumentTooLarge,
    DocumentTypeUnknown,
    DocumentUnreadable,
)
from tests.app.documents.pages import LONG, prose


def write(tmp_path: Path, data: bytes, name: str = "stored") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def refused(path: Path, filename: str) -> DocumentError:
    """The error of the door, which parsing gives too."""
    with pytest.raises(DocumentError) as at_door:
        refuse_at_the_door(path, filename)
    with pytest.raises(DocumentError) as parsing:
        parse_file(path, filename)
    assert type(at_door.value) is type(parsing.value)
    return at_door.value


@pytest.mark.parametrize(
    ("filename", "data", "format"),
    [
        ("a.txt", b"hello", "txt"),
        ("A.TXT", "红楼梦".encode("gb18030"), "txt"),
        ("a.md", b"# hello", "md"),
        ("a.markdown", "hello".encode("utf-16"), "md"),
        ("a.pdf", b"junk\n%PDF-1.4", "pdf"),
        ("a.b.epub", b"PK\x03\x04", "epub"),
    ],
)
def test_the_door_tells_the_format(tmp_path: Path, filename: str, data: bytes, format: str) -> None:
    assert refuse_at_the_door(write(tmp_path, data), filename) == format


@pytest.mark.parametrize("filename", ["a.doc", "a", "a.txt.exe", ".epub", "picture.heic", "a.", "a.zip"])
def test_an_unknown_type_names_the_known_ones(tmp_path: Path, filename: str) -> None:
    error = refused(write(tmp_path, b"hello"), filename)
    assert isinstance(error, DocumentTypeUnknown)
    assert error.known == tuple(SUFFIXES)
    assert ".epub" in str(error)


@pytest.mark.parametrize("filename", ["a.txt", "a.md", "a.pdf", "a.epub"])
def test_an_empty_file(tmp_path: Path, filename: str) -> None:
    assert isinstance(refused(write(tmp_path, b""), filename), DocumentEmpty)


def test_only_white_space(tmp_path: Path) -> None:
    with pytest.raises(DocumentEmpty):
        parse_file(write(tmp_path, b" \n\t\r\n"), "a.txt")


@pytest.mark.parametrize("filename", ["a.txt", "a.md", "a.pdf", "a.epub"])
def test_three_hundred_megabytes_are_refused_unread(tmp_path: Path, filename: str) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(300 * 2**20)  # sparse: takes no room
    began = time.monotonic()
    error = refused(path, filename)
    assert time.monotonic() - began < 1
    assert isinstance(error, DocumentTooLarge)
    assert (error.size, error.limit) == (300 * 2**20, FILE_LIMIT)


@pytest.mark.parametrize(
    "data", [b"\x7fELF\x02\x01\x01\x00" * 50, b"%PDF-1.4 and so on", b"PK\x03\x04 a document of Word"]
)
def test_a_binary_file_named_txt(tmp_path: Path, data: bytes) -> None:
    assert isinstance(refused(write(tmp_path, data), "song.txt"), DocumentNotText)


def test_binary_data_after_a_page_of_text(tmp_path: Path) -> None:
    path = write(tmp_path, b"words and words\n" * 400 + bytes(range(256)) * 40)
    assert refuse_at_the_door(path, "a.txt") == "txt"
    with pytest.raises(DocumentNotText):
        parse_file(path, "a.txt")


def test_an_epub_that_is_no_zip_and_a_pdf_that_is_none(tmp_path: Path) -> None:
    path = write(tmp_path, b"hello, I am text")
    assert isinstance(refused(path, "a.epub"), DocumentDamaged)
    assert isinstance(refused(path, "a.pdf"), DocumentDamaged)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    assert isinstance(refused(tmp_path / "missing", "a.txt"), DocumentUnreadable)
    folder = tmp_path / "folder.epub"
    folder.mkdir()
    error = refused(folder, "folder.epub")
    assert isinstance(error, DocumentUnreadable) and "folder" in error.reason
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert isinstance(refused(tmp_path / "pipe", "pipe.txt"), DocumentUnreadable)


def test_every_format_is_parsed(tmp_path: Path, make_epub: Callable[..., Path], make_pdf: Callable[..., Path]) -> None:
    text = write(tmp_path, b"# A title\n\nSome words of it.")
    found = [
        parse_file(text, "a.txt"),
        parse_file(text, "a.md"),
        parse_file(make_epub({"a.xhtml": "<p>Some words.</p>"}), "a.epub"),
        parse_file(make_pdf([prose(72, 100, LONG)]), "a.pdf"),
    ]
    assert [document.format for document in found] == ["txt", "md", "epub", "pdf"]
    assert [bool(document.pages) for document in found] == [False, False, False, True]


# real files: (title, authors, language, chapters, of which at the first level, characters in thousands)
REAL = {
    "books/alice.txt": ("Alice's Adventures in Wonderland", ("Lewis Carroll",), "en", 12, 12, 144),
    "books/alice.pdf": ("Alice's Adventures in Wonderland", ("Lewis Carroll",), "en", 12, 12, 143),
    "books/pride-and-prejudice.txt": ("Pride and Prejudice", ("Jane Austen",), "en", 61, 61, 684),
    "books/pride-and-prejudice.pdf": ("Pride and Prejudice", ("Jane Austen",), "en", 61, 61, 684),
    # etymology, extracts, 135 chapters, epilogue
    "books/moby-dick.txt": ("Moby Dick; or The Whale", ("Herman Melville",), "en", 138, 138, 1218),
    "books/moby-dick-excerpt.epub": ("Moby-Dick", ("Herman Melville",), "en", 138, 138, 1213),
    "books/war-and-peace.txt": ("War and Peace", ("Leo Tolstoy",), "en", 382, 17, 3204),
    "books/sherlock-holmes.html": ("The Adventures of Sherlock Holmes", ("Arthur Conan Doyle",), "en", 12, 12, 561),
    "books/hong-lou-meng.txt": ("红楼梦", ("曹雪芹",), "zh", 120, 120, 844),
    "books/san-guo-yan-yi.gb18030.txt": ("三国演义", ("罗贯中",), "zh", 120, 120, 598),
    "books/childrens-literature.epub": (
        "Children's Literature", ("Charles Madison Curry", "Erle Elsworth Clippinger"), "en", 22, 1, 293,
    ),
    "books/kusamakura-preview.epub": ("草枕", ("夏目 漱石",), "ja", 1, 1, 7),
    "papers/bitcoin.pdf": ("Bitcoin: A Peer-to-Peer Electronic Cash System", ("Satoshi Nakamoto",), "en", 13, 13, 21),
    "papers/mapreduce.pdf": (
        "MapReduce: Simplified Data Processing on Large Clusters", ("Jeffrey Dean", "Sanjay Ghemawat"), "en", 36, 12, 56,
    ),
    "papers/dynamo.pdf": ("Dynamo: Amazon’s Highly Available Key-value Store", None, "en", 34, 10, 94),
    "papers/spanner.pdf": ("Spanner: Google’s Globally-Distributed Database", None, "en", 26, 9, 69),
}  # fmt: skip


@pytest.fixture(scope="module")
def real(shared: Path) -> Callable[[str], Document]:
    parsed: dict[str, Document] = {}

    def read(name: str) -> Document:
        if name not in parsed:
            parsed[name] = parse_file(shared / name, Path(name).name)
        return parsed[name]

    return read


@pytest.mark.parametrize("name", REAL)
def test_real_files(real: Callable[[str], Document], name: str) -> None:
    document = real(name)
    title, authors, language, chapters, first_level, characters = REAL[name]
    assert document.title == title
    assert authors is None or document.authors == authors
    assert document.language == language
    body = [chapter for chapter in document.chapters if chapter.kind == "body"]
    assert (len(body), sum(c.level == 1 for c in body)) == (chapters, first_level)
    assert len(document.text) // 1000 in (characters - 1, characters, characters + 1)
    assert bool(document.pages) == name.endswith(".pdf")
    for word in ("gutenberg.org", "START OF THIS PROJECT", "END OF THIS PROJECT", "Gutenberg-tm"):
        assert word not in document.text or name.endswith(".epub")


def test_any_other_file_that_lies_there_is_read(real: Callable[[str], Document], shared: Path) -> None:
    for path in [path for folder in ("books", "papers") for path in (shared / folder).iterdir()]:
        name = f"{path.parent.name}/{path.name}"
        if path.suffix in SUFFIXES and name not in REAL:
            document = real(name)
            assert document.language and len(document.text) > 1000


def test_names_of_many_authors(real: Callable[[str], Document]) -> None:
    spanner, dynamo = real("papers/spanner.pdf").authors, real("papers/dynamo.pdf").authors
    assert len(spanner) == 26 and spanner[0] == "James C. Corbett" and spanner[-1] == "Dale Woodford"
    assert len(dynamo) == 9 and dynamo[4] == "Avinash Lakshman"


def test_chapters_begin_with_their_titles(real: Callable[[str], Document]) -> None:
    for name in (
        "books/alice.txt",
        "books/war-and-peace.txt",
        "books/hong-lou-meng.txt",
        "books/pride-and-prejudice.pdf",
    ):
        document = real(name)
        for chapter in document.chapters:
            head = re.sub(r"\W+", "", document.text[chapter.start : chapter.start + 200])
            assert head.startswith(re.sub(r"\W+", "", chapter.title))
        assert all(chapter.end - chapter.start > 500 for chapter in document.chapters if chapter.level == 2)


def words(document: Document) -> list[str]:
    return re.findall(r"[^\W_]+", document.text[document.chapters[0].start :].lower())


def test_alice_is_the_same_book_as_text_and_as_pdf(real: Callable[[str], Document]) -> None:
    text, pdf = (real(f"books/alice.{kind}").text.split() for kind in ("txt", "pdf"))
    assert SequenceMatcher(None, text, pdf).ratio() > 0.98


@pytest.mark.parametrize("name", ["alice", "pride-and-prejudice"])
def test_the_pdf_of_a_book_says_what_its_text_says(real: Callable[[str], Document], name: str) -> None:
    text, pdf = words(real(f"books/{name}.txt")), words(real(f"books/{name}.pdf"))
    assert abs(len(text) - len(pdf)) < 0.005 * len(text)
    sentences = [" ".join(text[n : n + 12]) for n in range(0, len(text) - 12, 12)]
    printed = " ".join(pdf)
    assert sum(sentence in printed for sentence in sentences) > 0.97 * len(sentences)


def test_papers_are_read_column_by_column(real: Callable[[str], Document]) -> None:
    expected = {
        "papers/mapreduce.pdf": "functional model with user-specified map and reduce operations allows us to parallelize",
        "papers/spanner.pdf": "It is the first system to distribute data at global scale and support externally-consistent",
        "papers/dynamo.pdf": "Dynamo sacrifices consistency under certain failure scenarios",
        "papers/bitcoin.pdf": "the longest proof-of-work chain as proof of what happened while they were gone",
    }
    for name, sentence in expected.items():
        text = re.sub(r"\s+", " ", real(name).text).lower().replace("-", "")
        assert sentence.lower().replace("-", "") in text, name


def test_pages_of_a_real_pdf(real: Callable[[str], Document]) -> None:
    document = real("books/pride-and-prejudice.pdf")
    assert len(document.pages) == 234
    place = document.text.index("It is a truth universally acknowledged")
    assert next(page.number for page in document.pages if page.start <= place < page.end) == 2
