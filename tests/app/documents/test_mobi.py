from __future__ import annotations

from pathlib import Path

import pytest

from app.documents import mobi, parse_file
from app.documents.model import Document
from app.errors import DocumentDamaged, DocumentEmpty, DocumentEncrypted, DocumentWithoutText
from tests.app.documents import kindle

ONE = b"<html><head><title>x</title></head><body><h1>The First</h1><p>Call me a lamp &amp; a wick.</p>"
TWO = b"<mbp:pagebreak/><h1>The Second</h1><p>More light, caf\xc3\xa9.</p></body></html>"
TEXT = "The First\n\nCall me a lamp & a wick.\n\nThe Second\n\nMore light, café."


def read(path: Path) -> Document:
    document = mobi.parse(path, "book.mobi")
    document.check()
    return document


def outline(document: Document) -> list[tuple[int, str, str]]:
    return [(c.level, c.title, document.text[c.start : c.end].strip()[:12]) for c in document.chapters]


@pytest.mark.parametrize("compression", [1, 2])
def test_text_title_and_metadata(tmp_path: Path, compression: int) -> None:
    document = read(kindle.mobi(tmp_path / "b", ONE + TWO, compression=compression))
    assert (document.title, document.authors, document.language, document.year) == (
        "Of Lamps", ("Ada Stone",), "en", 1865,
    )  # fmt: skip
    assert (document.text, document.format) == (TEXT, "mobi")
    assert outline(document) == [(1, "The First", "The First\n\nC"), (1, "The Second", "The Second\n\n")]


def test_another_reader_of_mobi_reads_what_the_tests_write(tmp_path: Path) -> None:
    from app.documents.mupdf import pymupdf

    with pymupdf.open(kindle.mobi(tmp_path / "b.mobi", ONE + TWO), filetype="mobi") as document:
        shown = "".join(page.get_text() for page in document)
    assert "Call me a lamp & a wick." in shown and "café" in shown


def test_records_longer_than_one_and_bytes_after_the_text(tmp_path: Path) -> None:
    # two bytes after each record of which the last says that they are two
    path = kindle.mobi(tmp_path / "b", ONE + TWO, record_size=40, trailing=b"?\x82")
    assert read(path).text == TEXT


def test_packed_by_a_dictionary_whose_phrases_are_packed(tmp_path: Path) -> None:
    phrases = [(b"<p>light</p>", True), (bytes((255, 255)), False), (b"<h1>Lamps</h1>", True)]
    text = bytes((253, 254, 255))
    path = kindle.mobi(tmp_path / "b", text, compression=17480, codes=kindle.huffman(phrases))
    assert read(path).text == "Lamps\n\nlight\n\nlight\n\nlight"


def test_a_dictionary_that_holds_itself_is_damaged(tmp_path: Path) -> None:
    path = kindle.mobi(
        tmp_path / "b", b"\xff", compression=17480, codes=kindle.huffman([(b"\xfe", False), (b"\xff", False)])
    )
    with pytest.raises(DocumentDamaged, match="dictionary"):
        read(path)


def test_the_contents_of_a_mobi_by_offset(tmp_path: Path) -> None:
    text = ONE.replace(b"h1", b"p") + TWO.replace(b"h1", b"p")
    contents = [("I. First", 1, [text.index(b"<p>The First")]), ("II. Second", 1, [text.index(b"The Second")])]
    document = read(kindle.mobi(tmp_path / "b", text, contents=contents))
    assert outline(document) == [(1, "I. First", "The First\n\nC"), (1, "II. Second", "The Second\n\n")]


def test_the_contents_of_an_azw3_by_fragment(tmp_path: Path) -> None:
    shell = b"<?xml version='1.0'?><html><head><title>no text</title></head><body></body></html>"
    pieces = [b"<p>The First</p><p>Call me a lamp.</p>", b"<p>More.</p>", b"<p>A word.</p><p>The Second</p><p>End.</p>"]
    text = shell + pieces[0] + pieces[1] + shell + pieces[2]
    second = len(shell + pieces[0] + pieces[1])
    skeletons = [
        (b"SKEL0", [(1, (2,)), (6, (0, len(shell)))]),
        (b"SKEL1", [(1, (1,)), (6, (second, len(shell)))]),
    ]
    fragments = [(b"%010d" % n, [(6, (0, len(piece)))]) for n, piece in enumerate(pieces)]
    contents = [("First", 6, [0, 0]), ("Second", 6, [2, pieces[2].index(b"<p>The Second")])]
    path = kindle.mobi(tmp_path / "b", text, version=8, contents=contents, skeletons=skeletons, fragments=fragments)
    document = parse_file(path, "book.azw3")
    assert document.text == "The First\n\nCall me a lamp.\n\nMore.\n\nA word.\n\nThe Second\n\nEnd."
    assert outline(document) == [(1, "First", "The First\n\nC"), (1, "Second", "The Second\n\n")]


@pytest.mark.parametrize("encryption", [1, 2])
def test_a_locked_book(tmp_path: Path, encryption: int) -> None:
    with pytest.raises(DocumentEncrypted, match="copy-protected"):
        read(kindle.mobi(tmp_path / "b", ONE, encryption=encryption))


def test_topaz_and_kfx_are_locked(tmp_path: Path) -> None:
    for head in (b"TPZ0", b"\xeaDRMION\xee"):
        path = tmp_path / "b"
        path.write_bytes(head + bytes(100))
        with pytest.raises(DocumentEncrypted):
            parse_file(path, "b.azw")


def test_pictures_only_and_nothing(tmp_path: Path) -> None:
    with pytest.raises(DocumentWithoutText) as caught:
        read(kindle.mobi(tmp_path / "b", b"<body><img recindex='1'/><img recindex='2'/></body>"))
    assert caught.value.pages == 2
    with pytest.raises(DocumentEmpty):
        read(kindle.mobi(tmp_path / "b", b"<body> </body>"))


def test_what_is_cut_off_or_no_mobi(tmp_path: Path) -> None:
    whole = kindle.mobi(tmp_path / "b", ONE + TWO).read_bytes()
    path = tmp_path / "c"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DocumentDamaged):
        read(path)
    path.write_bytes(b"a text " * 30)
    with pytest.raises(DocumentDamaged, match="no MOBI"):
        parse_file(path, "a.mobi")
