"""A small picture of a book: its cover, or the first page. Imported in parser processes only."""

from __future__ import annotations

from typing import Any

from app.documents.mupdf import pymupdf

LIMIT = 60_000  # bytes
_LONGEST = 480  # pixels of its longer side
_TOO_MANY = 60_000_000  # pixels of a picture that is not worth its memory
# an index error: mending a file may change how many pages it has
_ERRORS = (pymupdf.mupdf.FzErrorBase, RuntimeError, ValueError, IndexError)


def of_page(document: Any) -> bytes:
    """JPEG of the first page, at most 60,000 bytes; b"" where it cannot be shown."""
    try:
        page = document[0]
        scale = _LONGEST / max(page.rect.width, page.rect.height, 1)
        return _small(page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csRGB, alpha=False))
    except _ERRORS:
        return b""


def of_image(data: bytes) -> bytes:
    """JPEG of a picture, scaled down, at most 60,000 bytes; b"" for what is none."""
    try:
        with pymupdf.open(stream=data, filetype=None) as document:
            if document.is_pdf or document.page_count != 1:
                return b""
            page = document[0]
            if page.rect.width * page.rect.height > _TOO_MANY:
                return b""
            scale = min(1.0, _LONGEST / max(page.rect.width, page.rect.height, 1))
            return _small(page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csRGB, alpha=False))
    except _ERRORS:
        return b""


def _small(pixmap: Any) -> bytes:
    for quality in (80, 60, 40, 20):
        data: bytes = pixmap.tobytes("jpeg", jpg_quality=quality)
        if len(data) <= LIMIT:
            return data
    return b""
