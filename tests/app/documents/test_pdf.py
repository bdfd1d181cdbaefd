from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.documents import pdf
from app.documents.model import Document
from app.documents.mupdf import pymupdf
from app.errors import DocumentDamaged, DocumentEmpty, DocumentEncrypted, DocumentWithoutText
from tests.app.documents.pages import LONG, OTHER, Line, joined, prose

Make = Callable[..., Path]


def read(path: Path) -> Document:
    document = pdf.parse(path, "the-lamp.pdf")
    document.check()
    return document


def picture(tmp_path: Path) -> bytes:
    pixels = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 60, 80), False)
    pixels.clear_with(200)
    return pixels.tobytes("png")


def paper() -> list[list[Line]]:
    return [
        [
            (120, 80, "On the Burning of Lamps", 18),
            (200, 110, "Ada Stone and Bo Reed", 12),
            (200, 126, "ada@example.org", 10),
            (72, 160, "Abstract", 13),
            *prose(72, 180, OTHER),
            (72, 260, "1 Introduction", 13),
            *prose(72, 280, LONG),
        ],
        [
            (72, 100, "2 Method", 13),
            *prose(72, 120, LONG),
            (72, 200, "2.1 Wicks", 13),
            *prose(72, 220, OTHER),
            (72, 300, "References", 13),
            *prose(72, 320, ["[1] A. Stone. On lamps. 1990."]),
        ],
    ]


def test_a_paper_without_metadata(make_pdf: Make) -> None:
    document = read(make_pdf(paper()))
    assert (document.title, document.authors, document.language) == (
        "On the Burning of Lamps",
        ("Ada Stone", "Bo Reed"),
        "en",
    )
    assert [(c.level, c.title) for c in document.chapters] == [
        (1, "Abstract"),
        (1, "1 Introduction"),
        (1, "2 Method"),
        (2, "2.1 Wicks"),
        (1, "References"),
    ]
    assert len(document.pages) == 2
    second = document.pages[1]
    assert document.text[second.start :].startswith("2 Method")


def test_the_page_of_every_offset(make_pdf: Make) -> None:
    words = ["one", "two", "three", "four"]
    pages = [prose(72, 100, [f"{word} is the word of this page and stands in its first line", *LONG]) for word in words]
    document = read(make_pdf(pages))
    for number, word in enumerate(words, 1):
        place = document.text.index(f"{word} is the word")
        page = next(page for page in document.pages if page.start <= place < page.end)
        assert page.number == number


def test_metadata_count_where_the_pages_bear_them_out(make_pdf: Make) -> None:
    good = {"title": "On the burning of LAMPS", "author": "Bo Reed"}
    document = read(make_pdf(paper(), metadata=good))
    assert (document.title, document.authors) == ("On the burning of LAMPS", ("Bo Reed",))
    bad = {"title": "Microsoft Word - draft7.doc", "author": "Administrator"}
    document = read(make_pdf(paper(), metadata=bad))
    assert (document.title, document.authors) == ("On the Burning of Lamps", ("Ada Stone", "Bo Reed"))


def test_metadata_are_better_than_nothing(make_pdf: Make) -> None:
    document = read(make_pdf([prose(72, 100, LONG)], metadata={"title": "The Lamp", "author": "Ada Stone"}))
    assert (document.title, document.authors) == ("The Lamp", ("Ada Stone",))
    assert read(make_pdf([prose(72, 100, LONG)])).title == "The Lamp"  # from the file's name


def test_the_outline_gives_the_chapters(make_pdf: Make) -> None:
    outline = [(1, "Introduction", 1), (1, "Method", 2), (2, "Wicks", 2), (1, "On a page of pictures", 2)]
    document = read(make_pdf(paper(), outline=outline))
    assert [(c.level, c.title) for c in document.chapters] == [(level, title) for level, title, _ in outline]
    starts = [document.text[c.start :].split("\n")[0] for c in document.chapters]
    assert starts[:3] == ["1 Introduction", "2 Method", "2.1 Wicks"]


def test_chapters_of_a_book_by_their_names(make_pdf: Make) -> None:
    pages = [[(72, 100, f"CHAPTER {n}", 16), *prose(72, 130, [*LONG, *OTHER])] for n in ("I", "II", "III")]
    assert [c.title for c in read(make_pdf(pages)).chapters] == ["CHAPTER I", "CHAPTER II", "CHAPTER III"]


def test_large_lines_where_nothing_else_is_known(make_pdf: Make) -> None:
    pages = [[(72, 100, name, 16), *prose(72, 130, [*LONG, *OTHER])] for name in ("Morning", "Noon", "Night")]
    assert [c.title for c in read(make_pdf([[(72, 90, "The Lamp", 26)], *pages])).chapters] == [
        "Morning",
        "Noon",
        "Night",
    ]


def test_the_gutenberg_frame_and_its_pages_are_empty(make_pdf: Make) -> None:
    head = prose(72, 100, ["The Project Gutenberg EBook of The Lamp", "Title: The Lamp", "Author: Ada Stone"])
    marker = prose(72, 200, ["*** START OF THIS PROJECT GUTENBERG EBOOK THE", "LAMP ***"])
    foot = prose(72, 100, ["*** END OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***", "The licence"])
    document = read(make_pdf([[*head, *marker], prose(72, 100, LONG), foot], metadata={"author": "Chuck"}))
    assert (document.title, document.authors, document.text) == ("The Lamp", ("Ada Stone",), joined(LONG))
    assert [(page.start, page.end) for page in document.pages] == [
        (0, 0),
        (0, len(document.text)),
        (len(document.text),) * 2,
    ]


def test_a_locked_file(make_pdf: Make) -> None:
    path = make_pdf(paper(), encryption=pymupdf.PDF_ENCRYPT_AES_256, owner_pw="owner", user_pw="user")
    with pytest.raises(DocumentEncrypted):
        pdf.parse(path, "x.pdf")


def test_a_file_that_only_forbids_printing_is_read(make_pdf: Make) -> None:
    path = make_pdf(paper(), encryption=pymupdf.PDF_ENCRYPT_AES_256, owner_pw="owner", user_pw="", permissions=0)
    assert read(path).title == "On the Burning of Lamps"


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9, 0.98])
def test_a_truncated_file(make_pdf: Make, part: float) -> None:
    path = make_pdf(paper())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(DocumentDamaged) as caught:
        pdf.parse(path, "x.pdf")
    assert str(path.parent) not in str(caught.value)


def test_a_file_with_a_damaged_index_is_mended(make_pdf: Make) -> None:
    path = make_pdf(paper())
    data = path.read_bytes()
    path.write_bytes(data.replace(b"startxref\n", b"startxref\n9"))
    assert read(path).title == "On the Burning of Lamps"


def test_no_pdf_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(b"%PDF-1.7\n" + b"nothing of the kind " * 50 + b"%%EOF")
    with pytest.raises(DocumentDamaged):
        pdf.parse(path, "x.pdf")


def test_pictures_only(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    with pymupdf.open() as document:
        for number in range(12):
            page = document.new_page()
            page.insert_image(page.rect, stream=picture(tmp_path))
            page.insert_text((300, 780), f"{number + 1}")  # a stamped number is no text
        document.save(path)
    with pytest.raises(DocumentWithoutText) as caught:
        pdf.parse(path, "scan.pdf")
    assert caught.value.pages == 12
    assert "OCR" in str(caught.value)


def test_scans_behind_a_cover_sheet(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    with pymupdf.open() as document:
        for x, y, text, size in prose(72, 100, LONG):
            if y == 100:
                page = document.new_page()
            page.insert_text((x, y), text, fontsize=size)
        for _ in range(15):
            page = document.new_page()
            page.insert_image(page.rect, stream=picture(tmp_path))
        document.save(path)
    with pytest.raises(DocumentWithoutText):
        pdf.parse(path, "scan.pdf")


def test_a_picture_book_with_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pictures.pdf"
    with pymupdf.open() as document:
        for _ in range(4):
            page = document.new_page()
            page.insert_image(page.rect, stream=picture(tmp_path))
            for x, y, text, size in prose(72, 600, OTHER):
                page.insert_text((x, y), text, fontsize=size)
        document.save(path)
    assert joined(OTHER) in read(path).text


def test_blank_pages(make_pdf: Make) -> None:
    with pytest.raises(DocumentEmpty):
        pdf.parse(make_pdf([[], []]), "x.pdf")


def test_nothing_in_a_file_is_run_or_followed(make_pdf: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a request was sent")

    monkeypatch.setattr("socket.socket.connect", never)
    marker = tmp_path / "marker"
    path = make_pdf(paper())
    with pymupdf.open(path) as document:
        page = document[0]
        script = document.get_new_xref()
        document.update_object(script, f'<</S/JavaScript/JS(app.launchURL\\("file://{marker}"\\))>>')
        document.xref_set_key(document.pdf_catalog(), "OpenAction", f"{script} 0 R")
        for target in (
            {"kind": pymupdf.LINK_LAUNCH, "file": "/bin/sh"},
            {"kind": pymupdf.LINK_URI, "uri": "http://127.0.0.1:9/"},
        ):
            page.insert_link({"from": pymupdf.Rect(72, 70, 300, 90), **target})
        document.embfile_add("evil.sh", b"touch " + str(marker).encode())
        document.saveIncr()
    found = read(path)
    assert found.title == "On the Burning of Lamps" and found.cover
    assert "evil" not in found.text and not marker.exists()
