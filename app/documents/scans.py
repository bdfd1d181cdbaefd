"""Scanned PDFs and CBZ: pictures of pages to the lines that a PDF has. Imported in parser processes only."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from statistics import median

from app.documents import cover, language, ocr, pdf, pdf_lines
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
_FIRST = 5  # pages by which the language is told
_PAGE_LIMIT = 5_000

Picture = tuple[bytes, float, float]  # PNG, width and height in points


def refuse_comic(path: Path, filename: str) -> Document:
    """A CBZ has no text without a recognizer. Raises DocumentWithoutText, DocumentDamaged."""
    with path.open("rb") as stream:
        names = _pictures(Archive(stream, filename, "CBZ"))
    if not names:
        raise DocumentDamaged(filename, "it is no CBZ: there is no picture in it")
    raise DocumentWithoutText(filename, len(names))


def recognize(path: Path, filename: str) -> Document:
    """Raises DocumentWithoutText where nothing is recognized, DocumentDamaged, DocumentEncrypted."""
    with path.open("rb") as stream:
        comic = stream.read(2) == b"PK"
        if comic:
            archive = Archive(stream, filename, "CBZ")
            names = _pictures(archive)
            _limit(len(names), filename)
            first = archive.read(names[0]) if names else None
            pages = _read((_of_file(archive, name) for name in names), len(names))
            return _built(pages, [], {}, cover.of_image(first or b""), filename, comic=True)
    with pdf.open_document(path, filename) as document:
        _limit(document.page_count, filename)
        try:
            outline = document.get_toc(simple=True)
        except _ERRORS:
            outline = []
        pages = _read((_of_page(document, number) for number in range(document.page_count)), document.page_count)
        return _built(pages, outline, pdf.said_of_itself(document), cover.of_page(document), filename, comic=False)


def _built(
    pages: Sequence[PageLines],
    outline: Sequence[Sequence[object]],
    metadata: dict[str, str],
    picture: bytes,
    filename: str,
    *,
    comic: bool,
) -> Document:
    if not any(page.lines for page in pages):
        raise DocumentWithoutText(filename, len(pages), True)
    ordered = pdf_lines.in_order(pages)
    front = "\n".join(line.text for page in pages[:2] for line in page.lines)
    return pdf.build(ordered, outline, metadata, front, picture, filename, "cbz" if comic else "pdf")


def _limit(pages: int, filename: str) -> None:
    if pages > _PAGE_LIMIT:
        raise DocumentDamaged(filename, f"more than {_PAGE_LIMIT:,} pages are pictures: split it")


def _pictures(archive: Archive) -> list[str]:
    """In the order in which people number them: 2 before 10."""
    names = [name for name in archive.names if name.lower().endswith(_PICTURES) and "__MACOSX" not in name]
    return sorted(names, key=lambda name: [int(p) if p.isdecimal() else p for p in re.split(r"([0-9]+)", name.lower())])


def _read(pictures: Iterator[Picture | None], count: int) -> list[PageLines]:
    """Lines of all pages; a picture that cannot be shown is a page without any."""
    pages: list[PageLines] = []
    first = list(islice(pictures, _FIRST))
    names = ocr.languages()
    with ThreadPoolExecutor(max_workers=max(1, min(os.cpu_count() or 1, 4))) as pool:
        seen = list(pool.map(_look(names), first))
        text = "\n".join(word.text for words in seen for word in words)
        if set(chosen := ocr.fitting(language.guess(text))) != set(names):
            # fewer languages mean fewer mistakes
            seen = list(pool.map(_look(chosen), first))
        pages += [_page(n, picture, words) for n, (picture, words) in enumerate(zip(first, seen, strict=True), 1)]
        while batch := list(islice(pictures, 8)):
            found = pool.map(_look(chosen), batch)
            pages += [
                _page(n, picture, words)
                for n, (picture, words) in enumerate(zip(batch, found, strict=True), len(pages) + 1)
            ]
    return pages


def _look(names: Sequence[str]) -> Callable[[Picture | None], list[Words]]:
    return lambda picture: [] if picture is None else ocr.lines(picture[0], names)


def _page(number: int, picture: Picture | None, words: Sequence[Words]) -> PageLines:
    if picture is None or not words:
        return PageLines(number, 595.0, 842.0, ())
    _, width, height = picture
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
