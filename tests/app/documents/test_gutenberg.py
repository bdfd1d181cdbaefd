from __future__ import annotations

from app.documents.gutenberg import find_frame

HEADER = """The Project Gutenberg EBook of The Lamp, by Ada Stone

This eBook is for the use of anyone anywhere

Title: The Lamp
       A Story in Two Parts

Author: Ada Stone
Translator: Bo Reed

Release Date: May, 1990 [EBook #1]

Language: English
"""
START = "*** START OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***"
END = (
    "End of the Project Gutenberg EBook of The Lamp\n\n*** END OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***\n\nlicence"
)


def kept(text: str) -> str:
    lines = text.split("\n")
    frame = find_frame(lines)
    return "\n".join(line for n, line in enumerate(lines) if frame.holds(n)).strip()


def test_header_and_licence_are_no_part_of_the_book() -> None:
    text = f"{HEADER}\n{START}\n\nProduced by Someone\nand Others\n\nThe text.\n\nMore.\n\n{END}"
    frame = find_frame(text.split("\n"))
    assert kept(text) == "The text.\n\nMore."
    assert frame.title == "The Lamp A Story in Two Parts"
    assert frame.authors == ("Ada Stone",)
    assert frame.language == "English"


def test_a_marker_over_two_lines() -> None:
    marker = "*** {} OF THE PROJECT GUTENBERG EBOOK THE\nLAMP ***"
    text = f"{HEADER}\n{marker.format('START')}\n\nThe text.\n\n{marker.format('END')}"
    assert kept(text) == "The text."


def test_the_old_small_print() -> None:
    header = "Project Gutenberg Etext\n\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04*END*"
    text = f"{header}\n\nThe text.\n\nEnd of Project Gutenberg's Lamp"
    assert kept(text) == "The text."


def test_a_text_without_frame_is_whole_even_if_it_speaks_of_gutenberg() -> None:
    text = "Title: not a header\n\n" + "A line.\n" * 50 + "\nI found it at Project Gutenberg.\n\nThe end."
    assert kept(text) == text
    assert find_frame(text.split("\n")).title is None


def test_the_first_paragraph_is_kept_where_no_credit_stands() -> None:
    assert kept(f"{HEADER}\n{START}\n\nProduction was slow.\n\nMore.\n\n{END}") == "Production was slow.\n\nMore."


def test_several_books_in_one_file_are_all_kept() -> None:
    one = f"{HEADER}\n{START}\n\nProduced by Someone\n\nThe first.\n\n{END}\n"
    text = one + one.replace("The first.", "The second.")
    lines = text.split("\n")
    frame = find_frame(lines)
    kept_lines = [line for n, line in enumerate(lines) if frame.holds(n) and line]
    assert kept_lines == ["The first.", "The second."]
    assert frame.title is None


def test_a_mention_of_the_end_without_a_header_cuts_nothing() -> None:
    text = "A line.\n" * 20 + "End of the Project Gutenberg story, he said.\n" + "A line.\n" * 60
    assert kept(text) == text.strip()
