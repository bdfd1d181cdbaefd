"""Covers: small, of the first page or of the picture that a book names, and never a reason to refuse it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from app.documents import parse_file
from app.documents.cover import LIMIT, of_image
from app.documents.mupdf import pymupdf
from tests.app.documents.conftest import METADATA
from tests.app.documents.pages import LONG, prose

Make = Callable[..., Path]


def noise(width: int, height: int) -> bytes:
    samples = random.Random(3).randbytes(width * height * 3)
    data: bytes = pymupdf.Pixmap(pymupdf.csRGB, width, height, samples, False).tobytes("png")
    return data


def epub(make_epub: Make, picture: bytes, item: str) -> Path:
    # make_epub has no manifest entries for pictures: a second package document takes the place of its own
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/">{METADATA}<dc:date>1865-11-26</dc:date>'
        "<dc:identifier>urn:isbn:9780306406157</dc:identifier></metadata><manifest>"
        f'<item id="0" href="a.xhtml" media-type="application/xhtml+xml"/>{item}</manifest>'
        '<spine><itemref idref="0"/></spine></package>'
    )
    return make_epub({"a.xhtml": "<p>Some words.</p>"}, extra={"OPS/package.opf": package, "OPS/front.png": picture})


@pytest.mark.parametrize(
    "item",
    [
        '<item id="x" href="front.png" media-type="image/png" properties="cover-image"/>',
        '<item id="cover" href="front.png" media-type="image/png"/>',
    ],
)
def test_the_cover_of_an_epub(make_epub: Make, item: str) -> None:
    document = parse_file(epub(make_epub, noise(900, 1200), item), "a.epub")
    shown = pymupdf.Pixmap(document.cover)
    assert max(shown.width, shown.height) == 480 and 0 < len(document.cover) <= LIMIT
    assert (document.year, document.identifiers) == (1865, ("isbn:9780306406157",))


def test_a_cover_that_is_no_picture(make_epub: Make) -> None:
    item = '<item id="cover" href="front.png" media-type="image/png"/>'
    assert parse_file(epub(make_epub, b"no picture", item), "a.epub").cover == b""
    assert of_image(b"") == b""


def test_the_first_page_of_a_pdf(make_pdf: Make) -> None:
    path = make_pdf([[*prose(72, 100, LONG), (72, 700, "Published in the Proceedings of LAMPS 2012", 9)]])
    document = parse_file(path, "a.pdf")
    shown = pymupdf.Pixmap(document.cover)
    assert shown.height == 480 and len(document.cover) <= LIMIT
    assert min(shown.samples) < 200
    assert document.year == 2012
