from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.documents.mupdf import pymupdf
from app.documents.pdf_lines import PageLines, body_size, read
from tests.app.documents.pages import LONG, OTHER, prose

Make = Callable[..., Path]


def lines_of(path: Path) -> list[PageLines]:
    with pymupdf.open(path) as document:
        return read(document)


def texts(path: Path) -> list[list[str]]:
    return [[line.text for line in page.lines] for page in lines_of(path)]


def test_running_heads_and_page_numbers_are_dropped(make_pdf: Make) -> None:
    pages = [
        [
            (200, 40, "The Lamp, a Story", 9),
            *prose(72, 120, [f"Page of words {'abcdef'[n]}", *LONG]),
            (300, 770, str(n + 7), 9),
        ]
        for n in range(6)
    ]
    for n, page in enumerate(texts(make_pdf(pages))):
        assert page == [f"Page of words {'abcdef'[n]}", *LONG]


def test_numbers_inside_a_running_head_and_roman_page_numbers(make_pdf: Make) -> None:
    roman = ["i", "ii", "iii", "iv"]
    pages = [[(72, 40, f"Ada Stone {n + 1}", 9), *prose(72, 120, LONG), (300, 770, roman[n], 9)] for n in range(4)]
    assert texts(make_pdf(pages)) == [list(LONG)] * 4


def test_a_running_foot_that_ends_with_a_year(make_pdf: Make) -> None:
    pages = [[*prose(72, 120, LONG), (72, 770, "To appear in LAMPS 2004", 9)] for _ in range(4)]
    assert texts(make_pdf(pages)) == [list(LONG)] * 4


def test_chapter_headings_at_the_top_of_pages_stay(make_pdf: Make) -> None:
    # the numbers go up, but not with the pages
    pages = [
        [(72, 60, f"Chapter {n // 2 + 1}", 14) if n % 2 else (72, 90, "x y", 11), *prose(72, 120, LONG)]
        for n in range(8)
    ]
    found = [page[0] for page in texts(make_pdf(pages))]
    assert [head for head in found if head.startswith("Chapter")] == [f"Chapter {n}" for n in (1, 2, 3, 4)]


def test_what_repeats_inside_the_page_stays(make_pdf: Make) -> None:
    pages = [[(72, 400, "Again and again", 11), *prose(72, 120, LONG)] for _ in range(5)]
    assert all("Again and again" in page for page in texts(make_pdf(pages)))


def test_two_columns_are_read_one_after_the_other(make_pdf: Make) -> None:
    left = [f"left column line number {n:02d} xx" for n in range(12)]
    right = [f"right column line number {n:02d} x" for n in range(12)]
    # written line by line across the page, as some programs do
    lines = [(130, 60, "A Title That Spans Both of the Columns of This Page", 16)]
    for n in range(12):
        lines += [(60, 120 + 14 * n, left[n], 11), (320, 120 + 14 * n, right[n], 11)]
    page = texts(make_pdf([lines]))[0]
    assert page == ["A Title That Spans Both of the Columns of This Page", *left, *right]


def test_a_full_width_line_in_the_middle_ends_both_columns(make_pdf: Make) -> None:
    def columns(y: float, name: str) -> list[tuple[float, float, str, float]]:
        return [
            *prose(60, y, [f"{name} left line {n} of the text" for n in range(8)]),
            *prose(320, y, [f"{name} right line {n} of the text" for n in range(8)]),
        ]

    middle = (100, 320, "Table 1: a caption that runs over the whole width of the page, left to right", 11)
    page = texts(make_pdf([[*columns(100, "upper"), *columns(400, "lower"), middle]]))[0]
    place = page.index(middle[2])
    assert all(line.startswith("upper") for line in page[:place]) and place == 16
    assert all(line.startswith("lower") for line in page[place + 1 :])
    assert page[0] == "upper left line 0 of the text" and page[8] == "upper right line 0 of the text"


def test_pieces_on_one_baseline_are_one_line(make_pdf: Make) -> None:
    page = texts(make_pdf([[(72, 100, "2.1", 12), (100, 100, "Background", 12), *prose(72, 130, LONG)]]))[0]
    assert page[0] == "2.1 Background"


def test_a_stamp_along_the_margin_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "stamped.pdf"
    with pymupdf.open() as document:
        page = document.new_page()
        for x, y, text, size in prose(72, 120, LONG):
            page.insert_text((x, y), text, fontsize=size)
        page.insert_text((20, 500), "arXiv:1234.5678v1 [cs.XX]", rotate=90)
        document.save(path)
    assert texts(path) == [list(LONG)]


def test_a_page_set_sideways_is_text(tmp_path: Path) -> None:
    path = tmp_path / "sideways.pdf"
    with pymupdf.open() as document:
        document.new_page().insert_text((200, 500), "a wide table turned on its side", rotate=90)
        document.save(path)
    assert texts(path) == [["a wide table turned on its side"]]


def test_the_size_that_most_letters_have(make_pdf: Make) -> None:
    pages = lines_of(make_pdf([[(72, 60, "Title", 24), *prose(72, 120, [*LONG, *OTHER], size=10.5)]]))
    assert body_size(pages) == 10.5
    assert body_size([]) == 10.0
