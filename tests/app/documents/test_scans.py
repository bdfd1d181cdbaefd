from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.documents import ocr, parse_file, scans
from app.documents.model import Document
from app.documents.mupdf import pymupdf
from app.errors import DocumentDamaged, DocumentWithoutText
from tests.app.documents.pages import LONG, prose

needs_tesseract = pytest.mark.skipif(not ocr.available(), reason="Tesseract is not installed")
Make = Callable[..., Path]


def pictures(path: Path) -> list[bytes]:
    with pymupdf.open(path) as document:
        return [page.get_pixmap(dpi=120, colorspace=pymupdf.csGRAY).tobytes("png") for page in document]


def scanned(tmp_path: Path, made: Sequence[bytes]) -> Path:
    path = tmp_path / "scan.pdf"
    with pymupdf.open() as document:
        for picture in made:
            page = document.new_page(width=612, height=792)
            page.insert_image(page.rect, stream=picture)
        document.save(path)
    return path


def comic(tmp_path: Path, files: dict[str, bytes]) -> Path:
    path = tmp_path / "comic.cbz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def read(path: Path, name: str) -> Document:
    """All pages, in this process."""
    pages = ocr.look(path, name, numbers=range(1, ocr.count(path, name) + 1), names=ocr.fitting("en"))
    return ocr.assemble(path, name, pages=pages)


def letters(text: str) -> str:
    return re.sub(r"\W+", "", text).lower()


@needs_tesseract
def test_a_scanned_pdf(tmp_path: Path, make_pdf: Make) -> None:
    path = scanned(tmp_path, pictures(make_pdf([prose(72, 100, LONG), prose(72, 100, ["A lamp was lit at the end."])])))
    document = read(path, "scan.pdf")
    assert document.format == "pdf" and len(document.pages) == 2 and document.cover
    assert letters(" ".join(LONG))[:200] in letters(document.text)
    last = document.pages[1]
    assert letters("A lamp was lit at the end") in letters(document.text[last.start : last.end])


@needs_tesseract
def test_a_comic_whose_pages_are_numbered_by_people(tmp_path: Path, make_pdf: Make) -> None:
    one, two, ten = pictures(make_pdf([[(72, 200, f"This is the page called {n}", 24)] for n in ("one", "two", "ten")]))
    path = comic(tmp_path, {"p10.png": ten, "p1.png": one, "p2.png": two, "notes.txt": b"no", "p3.png": b"broken"})
    document = read(path, "comic.cbz")
    assert document.format == "cbz" and len(document.pages) == 4
    assert [letters(document.text[p.start : p.end])[-3:] for p in document.pages] == ["one", "two", "", "ten"]


@needs_tesseract
def test_pictures_without_words(tmp_path: Path, make_pdf: Make) -> None:
    with pytest.raises(DocumentWithoutText, match="recognized no words") as caught:
        read(scanned(tmp_path, pictures(make_pdf([[]]))), "scan.pdf")
    assert caught.value.looked


def test_a_comic_without_pictures_and_a_bomb(tmp_path: Path) -> None:
    with pytest.raises(DocumentDamaged, match="no picture"):
        parse_file(comic(tmp_path, {"a.txt": b"x"}), "a.cbz")
    bomb = comic(tmp_path, {"a.png": b"x"})
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(40 * 2**20))
    bomb.write_bytes(data.getvalue())
    with pytest.raises(DocumentDamaged, match="unpacks to more than"):
        scans.count(bomb, "a.cbz")


def test_the_table_of_a_recognizer() -> None:
    head = "level\tpage\tblock\tpar\tline\tword\tleft\ttop\twidth\theight\tconf\ttext\n"
    row = "5\t1\t{block}\t1\t{line}\t1\t{left}\t10\t20\t{height}\t{sure}\t{word}\n"
    told = head + "".join(
        row.format(block=b, line=n, left=left, height=h, sure=s, word=w)
        for b, n, left, h, s, w in [
            (1, 1, 10, 12, 96.5, "红楼"), (1, 1, 40, 12, 96, "梦"), (1, 1, 70, 14, 90, "a"), (1, 1, 90, 12, 90, "b"),
            (1, 2, 10, 12, 5, "~"), (2, 1, 10, 12, 80, " "), (3, 1, 10, 9, 80, "x"),
        ]
    )  # fmt: skip
    found = ocr._lines(told + "garbage\n5\t1\n")
    assert [(line.text, line.block) for line in found] == [("红楼梦 a b", 1), ("x", 3)]
    assert (found[0].x0, found[0].x1, found[0].height) == (10, 110, 12)


def test_signs_behind_ideographs_are_as_wide_as_they() -> None:
    assert (
        ocr._joined(["何", "地方", ".", "忽", "见", ",", "C", "3.5", ":", "好", "吗", "?", "a.b"])
        == "何地方。忽见，C 3.5 : 好吗？a.b"
    )
