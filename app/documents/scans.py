"""Scanned PDFs and CBZ: pictures of pages to the lines that a PDF has. Imported in parser processes only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from statistics import median
from typing import Any, Literal

from app.documents import cover, ocr, pdf, pdf_lines
from app.documents.archive import Archive
from app.documents.model import Document
from app.documents.mupdf import pymupdf
from app.documents.ocr import Words
from app.documents.pdf_lines import Line, PageLines
from app.errors import DocumentDamaged, DocumentWithoutText

DPI = 200
_PIXELS = 16_000_000  # of a picture that is looked at
_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".jp2")
# an index error: mending a file may change how many pages it has
_ERRORS = (pymupdf.mupdf.FzErrorBase, RuntimeError, ValueError, IndexError)
_PAGE_LIMIT = 5_000

Picture = tuple[bytes, float, float]  # PNG, width and height in points


def refuse_comic(path: Path, filename: str) -> Document:
    """A CBZ has no text without a recognizer. Raises DocumentWithoutText, DocumentDamaged."""
    with path.open("rb") as stream:
        names = _pictures(Archive(stream, filename, "CBZ"))
    if not names:
        raise DocumentDamaged(filename, "it is no CBZ: there is no picture in it")
    raise DocumentWithoutText(filename, len(names))


def count(path: Path, filename: str) -> int:
    """Raises DocumentDamaged for too many pages, DocumentEncrypted."""
    with _opened(path, filename) as pages:
        # what will be wanted at the end had better fail now
        pages.about()
        return pages.count


def look(path: Path, filename: str, numbers: Sequence[int], names: Sequence[str]) -> list[list[Any]]:
    """The lines of these pages (from 1), see ``ocr.look``; a picture that cannot be shown is a page without any."""
    with _opened(path, filename) as pages, ThreadPoolExecutor(max_workers=max(1, len(numbers))) as pool:
        pictures = [pages.picture(number) for number in numbers]
        found = list(pool.map(lambda one: [] if one is None else ocr.lines(one[0], names), pictures))
    return [
        ocr.NOTHING if one is None else [one[1], one[2], [list(astuple(words)) for words in lines]]
        for one, lines in zip(pictures, found, strict=True)
    ]


def assemble(path: Path, filename: str, found: Sequence[list[Any]]) -> Document:
    """Raises DocumentWithoutText where nothing was recognized."""
    lines = [
        _page(number, width, height, [Words(*words) for words in lines])
        for number, (width, height, lines) in enumerate(found, 1)
    ]
    if not any(page.lines for page in lines):
        raise DocumentWithoutText(filename, len(lines), True)
    with _opened(path, filename) as pages:
        front = "\n".join(line.text for page in lines[:2] for line in page.lines)
        outline, said, cover = pages.about()
        return pdf.build(pdf_lines.in_order(lines), outline, said, front, cover, filename, pages.format)


About = tuple[Sequence[Sequence[object]], dict[str, str], bytes]  # outline, metadata, cover


class _Comic:
    format: Literal["cbz"] = "cbz"

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._names = _pictures(archive)
        self.count = len(self._names)

    def picture(self, number: int) -> Picture | None:
        return _of_file(self._archive, self._names[number - 1])

    def about(self) -> About:
        first = self._archive.read(self._names[0]) if self._names else None
        return [], {}, cover.of_image(first or b"")


class _Scan:
    format: Literal["pdf"] = "pdf"

    def __init__(self, document: pymupdf.Document) -> None:
        self._document = document
        self.count = document.page_count

    def picture(self, number: int) -> Picture | None:
        return _of_page(self._document, number - 1)

    def about(self) -> About:
        try:
            outline = self._document.get_toc(simple=True)
        except _ERRORS:
            outline = []
        return outline, pdf.said_of_itself(self._document), cover.of_page(self._document)


@contextmanager
def _opened(path: Path, filename: str) -> Iterator[_Comic | _Scan]:
    with path.open("rb") as stream:
        if stream.read(2) == b"PK":
            comic = _Comic(Archive(stream, filename, "CBZ"))
            _limit(comic.count, filename)
            yield comic
            return
    with pdf.open_document(path, filename) as document:
        _limit(document.page_count, filename)
        yield _Scan(document)


def _limit(pages: int, filename: str) -> None:
    if pages > _PAGE_LIMIT:
        raise DocumentDamaged(filename, f"more than {_PAGE_LIMIT:,} pages are pictures: split it")


def _pictures(archive: Archive) -> list[str]:
    """In the order in which people number them: 2 before 10."""
    names = [name for name in archive.names if name.lower().endswith(_PICTURES) and "__MACOSX" not in name]
    return sorted(names, key=lambda name: [int(p) if p.isdecimal() else p for p in re.split(r"([0-9]+)", name.lower())])


def _page(number: int, width: float, height: float, words: Sequence[Words]) -> PageLines:
    if not words:
        return PageLines(number, width, height, ())
    scale = 72 / DPI
    usual = median(word.height for word in words)
    # a line's height depends on its letters: what is about as large as the rest is as large
    lines = tuple(
        Line(
            word.text,
            word.x0 * scale,
            word.y0 * scale,
            word.x1 * scale,
            word.y1 * scale,
            round((usual if 0.7 * usual < word.height < 1.35 * usual else word.height) * scale, 1),
            False,
            word.block,
        )
        for word in words
    )
    return PageLines(number, width, height, lines)


def _of_page(document: pymupdf.Document, number: int) -> Picture | None:
    try:
        return _shown(document[number], DPI / 72)
    except _ERRORS:
        return None


def _of_file(archive: Archive, name: str) -> Picture | None:
    try:
        data = archive.read(name)
        if not data:
            return None
        with pymupdf.open(stream=data, filetype=None) as image:
            if image.is_pdf or image.page_count != 1:
                return None
            # about as many pixels as the scan of a page has
            rect = image[0].rect
            return _shown(image[0], 2200 / max(rect.height, rect.width, 1))
    except (*_ERRORS, DocumentDamaged):
        return None


def _shown(page: pymupdf.Page, zoom: float) -> Picture | None:
    rect = page.rect
    pixels = rect.width * rect.height * zoom * zoom
    if pixels > _PIXELS:
        zoom *= (_PIXELS / pixels) ** 0.5
    shown = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), colorspace=pymupdf.csGRAY, alpha=False)
    return shown.tobytes("png"), shown.width * 72 / DPI, shown.height * 72 / DPI
