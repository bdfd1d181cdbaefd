"""Places on pages: every range of a text lies on its pages, and a word's rectangle shows that word."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.documents import pdf
from app.documents.model import Document
from app.documents.mupdf import pymupdf
from app.documents.pdf_pages import _quads, page_image, page_quads, quads
from app.errors import DocumentDamaged
from tests.app.documents.pages import LONG, OTHER, prose

Make = Callable[..., Path]


def two_columns(make_pdf: Make) -> Path:
    page = [*prose(50, 100, [*LONG, *OTHER] * 4, size=7), *prose(330, 100, [*OTHER, *LONG] * 4, size=7)]
    return make_pdf([page, prose(72, 100, ["They were all illumi-", "nated by it, and well-", "known for it.", *LONG])])


def shown(path: Path, found: list[tuple[int, list[float]]]) -> str:
    """What stands in the rectangles, letters and digits only."""
    said = ""
    with pymupdf.open(path) as document:
        for number, (x0, y0, x1, y1) in found:
            rect = document[number - 1].rect
            middle = (y0 + y1) / 2 * rect.height
            for *box, word in (w[:5] for w in document[number - 1].get_text("words")):
                if box[1] < middle < box[3] and box[0] < x1 * rect.width - 0.1 and box[2] > x0 * rect.width + 0.1:
                    said += word
    return re.sub(r"\W", "", said)


def in_this_process(path: Path, document: Document, start: int, stop: int) -> list[tuple[int, list[float]]]:
    parts = [
        (p.number, document.text[p.start : p.end], max(start - p.start, 0), stop - p.start)
        for p in document.pages
        if p.start < stop and start < p.end
    ]
    return _quads(path, "x.pdf", parts=parts)


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_range_lies_on_its_pages(make_pdf: Make, data: st.DataObject) -> None:
    path = two_columns(make_pdf)
    document = pdf.parse(path, "x.pdf")
    start = data.draw(st.integers(0, len(document.text)))
    stop = data.draw(st.integers(start, len(document.text)))
    found = in_this_process(path, document, start, stop)
    on = {page.number for page in document.pages if page.start < stop and start < page.end}
    assert {number for number, _ in found} <= on
    assert all(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 for _, (x0, y0, x1, y1) in found)
    assert bool(found) == bool(document.text[start:stop].strip())


def test_a_words_rectangle_shows_the_word(make_pdf: Make) -> None:
    path = two_columns(make_pdf)
    document = pdf.parse(path, "x.pdf")
    for match in list(re.finditer(r"\w+", document.text))[::9]:
        said = shown(path, in_this_process(path, document, *match.span()))
        assert match[0] in said, match


def test_a_divided_word_has_two_rectangles_and_a_process_of_its_own_gives_them(make_pdf: Make) -> None:
    path = two_columns(make_pdf)
    document = pdf.parse(path, "x.pdf")
    start = document.text.index("illuminated")
    found = quads(path, document, start, start + len("illuminated"))
    assert [number for number, _ in found] == [2, 2]
    assert found[0][1][1] < found[1][1][1]
    with pytest.raises(ValueError, match="characters"):
        quads(path, document, 5, len(document.text) + 1)


def test_a_rotated_page(tmp_path: Path) -> None:
    path = tmp_path / "turned.pdf"
    with pymupdf.open() as made:
        page = made.new_page()
        for x, y, text, size in prose(72, 120, LONG):
            page.insert_text((x, y), text, fontsize=size)
        page.set_rotation(90)
        made.save(path)
    document = pdf.parse(path, "x.pdf")
    start = document.text.index("window")
    with pymupdf.open(path) as made:
        ((x0, y0, x1, y1),) = page_quads(made[0], document.text, start, start + 6)
        clip = pymupdf.Rect(
            x0 * made[0].rect.width, y0 * made[0].rect.height, x1 * made[0].rect.width, y1 * made[0].rect.height
        )
        ink = made[0].get_pixmap(clip=clip)
    assert min(ink.samples) < 100


def test_a_picture_of_a_page(make_pdf: Make) -> None:
    path = two_columns(make_pdf)
    image = pymupdf.Pixmap(page_image(path, 2, 300))
    assert (image.width, image.height) == (300, 389)
    for page, width in ((3, 300), (0, 300), (1, 5), (1, 50_000)):
        with pytest.raises(ValueError, match=r"page|pixels"):
            page_image(path, page, width)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DocumentDamaged):
        page_image(path, 1, 300)


@pytest.mark.parametrize("name", ["mapreduce", "dynamo", "spanner"])
def test_words_of_a_real_paper(shared: Path, name: str) -> None:
    path = shared / "papers" / f"{name}.pdf"
    document = pdf.parse(path, path.name)
    matches = list(re.finditer(r"[A-Za-z]{4,}", document.text))
    right = 0
    sample = random.Random(1).sample(matches, 30)
    for match in sample:
        said = shown(path, in_this_process(path, document, *match.span())).lower()
        right += match[0].lower() in said
    assert right >= 29
