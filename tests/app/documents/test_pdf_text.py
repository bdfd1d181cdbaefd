from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.documents.mupdf import pymupdf
from app.documents.pdf_lines import read
from app.documents.pdf_text import PdfBlock, paragraphs
from tests.app.documents.pages import LONG, OTHER, joined, prose

Make = Callable[..., Path]


def blocks_of(path: Path) -> list[PdfBlock]:
    with pymupdf.open(path) as document:
        return paragraphs(read(document))


def texts(path: Path) -> list[str]:
    return [block.text for block in blocks_of(path)]


def test_paragraphs_parted_by_space(make_pdf: Make) -> None:
    assert texts(make_pdf([[*prose(72, 100, LONG), *prose(72, 180, OTHER)]])) == [joined(LONG), joined(OTHER)]


def test_paragraphs_parted_by_indentation(make_pdf: Make) -> None:
    first, *rest = OTHER
    lines = [*prose(72, 100, LONG), (90, 156, first, 11), *prose(72, 170, rest)]
    assert texts(make_pdf([lines])) == [joined(LONG), joined(OTHER)]


def test_a_paragraph_goes_on_over_the_page(make_pdf: Make) -> None:
    pages = [prose(72, 700, LONG[:2]), [*prose(72, 100, LONG[2:]), *prose(72, 160, OTHER)]]
    blocks = blocks_of(make_pdf(pages))
    assert [block.text for block in blocks] == [joined(LONG), joined(OTHER)]
    # where in it the second page begins
    assert blocks[0].pages == [(0, 1), (len(joined(LONG[:2])) + 1, 2)]
    assert blocks[1].pages == [(0, 2)]


def test_a_paragraph_that_ends_with_the_page_ends(make_pdf: Make) -> None:
    assert texts(make_pdf([prose(72, 700, LONG), prose(72, 100, OTHER)])) == [joined(LONG), joined(OTHER)]


@pytest.mark.parametrize(
    ("end", "begin", "elsewhere", "result"),
    [
        ("they were illumi-", "nated by it", "", "they were illuminated by it"),
        ("they were well-", "known to it", "a well-known fact", "they were well-known to it"),
        ("they were well-", "known to it", "a wellknown fact", "they were wellknown to it"),
        ("in every house-", "lamp they met", "the house and the lamp", "in every house-lamp they met"),
        ("the years 1914-", "1918 were dark", "", "the years 1914- 1918 were dark"),
        ("the post-", "Victorian time", "", "the post-Victorian time"),
    ],
)
def test_hyphens_at_line_ends(make_pdf: Make, end: str, begin: str, elsewhere: str, result: str) -> None:
    head = "x" * (57 - len(end)) + " " + end
    lines = [*prose(72, 100, OTHER), *prose(72, 180, [head, f"{begin} and so on."]), (72, 300, elsewhere or "more", 11)]
    assert texts(make_pdf([lines]))[1].endswith(f"{result} and so on.")


def test_verse_keeps_its_lines(make_pdf: Make) -> None:
    verse = ("How doth the small brown bird", "Improve his morning song,", "And never says a word", "That is too long.")
    found = texts(make_pdf([[*prose(72, 100, [*LONG, ""]), *prose(110, 180, verse), *prose(72, 260, OTHER)]]))
    assert found == [joined(LONG), "\n".join(verse), joined(OTHER)]


def test_a_narrow_abstract_is_joined(make_pdf: Make) -> None:
    abstract = (
        "We show that a lamp burns",
        "longer when its wick is cut",
        "every day and not left as is",
        "for weeks.",
    )
    found = texts(make_pdf([[*prose(120, 100, abstract), *prose(72, 180, LONG), *prose(72, 260, OTHER)]]))
    assert found == [joined(abstract), joined(LONG), joined(OTHER)]


def test_headings_stand_alone_and_long_ones_are_joined(make_pdf: Make) -> None:
    lines = [
        (72, 80, "A Heading in Two Lines of", 16),
        (72, 99, "Large Type", 16),
        *prose(72, 130, LONG),
        (72, 200, "2 Next", 16),
        (72, 219, "2.1 Below", 16),
        *prose(72, 250, OTHER),
    ]
    assert texts(make_pdf([lines])) == [
        "A Heading in Two Lines of Large Type",
        joined(LONG),
        "2 Next",
        "2.1 Below",
        joined(OTHER),
    ]


def test_chinese_lines_join_without_a_space(make_pdf: Make) -> None:
    line = "话说天下大势分久必合合久必分周末七国分争并入于秦及秦灭之"
    path = make_pdf([[*prose(72, 100, [line, line, "到此。"])]], font="china-s")
    assert texts(path) == [f"{line}{line}到此。"]


def test_items_of_a_list_are_not_run_together(make_pdf: Make) -> None:
    items = ("[1] A. Stone. On lamps. 1990.", "[2] B. Reed. On wicks. 1991.", "[3] C. Vale. On oil. 1992.")
    text = "\n".join(texts(make_pdf([[*prose(72, 100, LONG), *prose(72, 180, items)]])))
    assert all(item in text.split("\n") for item in items)
