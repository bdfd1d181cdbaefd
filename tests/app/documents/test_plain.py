from __future__ import annotations

import textwrap

import pytest

from app.documents.plain import paragraphs, parse
from app.errors import DocumentEmpty, DocumentNotText

STORY = (
    "It was a quiet evening and nobody in the house had expected the lamp to go out so early, least of all the old "
    "woman who had filled it with her own hands that morning and had put it on the shelf beside the window. "
) * 3
SECOND = (
    "She took it down again, looked at the wick for a long time, and said nothing to anyone about what she saw. " * 3
)


def wrapped(text: str, width: int = 70, indent: str = "") -> str:
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)


def test_wrapped_lines_become_paragraphs() -> None:
    lines = f"{wrapped(STORY)}\n\n{wrapped(SECOND)}".split("\n")
    assert paragraphs(lines) == [STORY.strip(), SECOND.strip()]


def test_verse_and_addresses_keep_their_lines() -> None:
    verse = (
        "  How doth the small brown bird\n    Improve his morning song,\n  And never says a word\n    That is too long."
    )
    text = f"{wrapped(STORY)}\n\n{verse}\n\n{wrapped(SECOND)}"
    assert paragraphs(text.split("\n")) == [
        STORY.strip(),
        "How doth the small brown bird\n  Improve his morning song,\nAnd never says a word\n  That is too long.",
        SECOND.strip(),
    ]


def test_a_narrower_quotation_is_joined() -> None:
    text = f"{wrapped(STORY)}\n\n{wrapped(SECOND, 44, '      ')}\n\n{wrapped(STORY)}"
    assert paragraphs(text.split("\n")) == [STORY.strip(), SECOND.strip(), STORY.strip()]


def test_lists_and_tables_keep_their_lines() -> None:
    table = "CETUS,              Latin.\nHVALT,              Danish.\nWAL,                Dutch."
    assert paragraphs(f"{wrapped(STORY)}\n\n{table}".split("\n"))[1] == table


def test_one_long_line_a_paragraph_with_and_without_blank_lines() -> None:
    assert paragraphs([STORY, "", SECOND]) == [STORY.strip(), SECOND.strip()]
    many = [STORY, SECOND] * 15
    assert paragraphs(many) == [line.strip() for line in many]


def test_wrapped_without_blank_lines_paragraphs_begin_indented() -> None:
    lines = [line for n in range(6) for line in wrapped(f"{n} {STORY}", 70).split("\n")]
    starts = [n for n, line in enumerate(lines) if line[0].isdigit()]
    lines = ["    " + line if n in starts else line for n, line in enumerate(lines)]
    assert paragraphs(lines) == [f"{n} {STORY}".strip() for n in range(6)]


def test_chinese_lines_are_joined_without_a_space() -> None:
    sentence = "话说天下大势分久必合合久必分周末七国分争并入于秦及秦灭之后楚汉分争又并入于汉"
    lines = [f"　　{sentence[:28]}", *[sentence[:30]] * 3, "到此为止。"]
    assert paragraphs([*lines, "", *lines]) == [f"{sentence[:28]}{sentence[:30] * 3}到此为止。"] * 2


def test_a_heading_without_a_blank_line_after_it() -> None:
    body = wrapped(STORY)
    document = parse(f"CHAPTER I\n{body}\n\nCHAPTER II\n{body}\n".encode(), "lamp.txt")
    assert [chapter.title for chapter in document.chapters] == ["CHAPTER I", "CHAPTER II"]
    assert document.text.startswith("CHAPTER I\n\nIt was a quiet evening")


def test_a_title_on_the_line_below_its_number() -> None:
    body = wrapped(STORY)
    document = parse(f"CHAPTER I\nThe Lamp\n\n{body}\n\nCHAPTER II\nThe Wick\n\n{body}\n".encode(), "lamp.txt")
    assert [chapter.title for chapter in document.chapters] == ["CHAPTER I The Lamp", "CHAPTER II The Wick"]


def test_prose_that_begins_a_line_with_book_one_is_no_heading() -> None:
    prose = wrapped("Book I, said the clerk, has been lost since the great flood of that year. " + STORY, 70)
    document = parse(f"{prose}\n\n{wrapped(SECOND)}".encode(), "lamp.txt")
    assert document.chapters == ()
    assert len(document.paragraphs) == 2


def test_a_gutenberg_book() -> None:
    text = (
        "The Project Gutenberg EBook of The Lamp\n\nTitle: The Lamp\n\nAuthor: Ada Stone\n\nLanguage: English\n\n"
        "*** START OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***\n\nProduced by Nobody\n\n\nTHE LAMP\n\nBy Ada Stone\n\n"
        f"Chapter 1\n\n{wrapped(STORY)}\n\nChapter 2\n\n{wrapped(SECOND)}\n\n"
        "End of the Project Gutenberg EBook\n\n*** END OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***\n\nLicence text\n"
    )
    document = parse(text.replace("\n", "\r\n").encode("utf-8-sig"), "1234-0.txt")
    document.check()
    assert (document.title, document.authors, document.language) == ("The Lamp", ("Ada Stone",), "en")
    assert document.text.startswith("THE LAMP\n\nBy Ada Stone\n\nChapter 1\n\nIt was")
    assert document.text.endswith(SECOND.strip())
    assert [document.text[c.start : c.end].split("\n")[0] for c in document.chapters] == ["Chapter 1", "Chapter 2"]


@pytest.mark.parametrize(
    ("text", "title", "authors"),
    [
        ("《石头记》曹雪芹\n\n第一回 春\n\n话说从前有一个人住在山上。", "石头记", ("曹雪芹",)),
        ("《石头记》作者：曹雪芹\n\n话说从前有一个人住在山上。", "石头记", ("曹雪芹",)),
        ("书名：石头记\n作者：曹雪芹\n\n话说从前有一个人住在山上。", "石头记", ("曹雪芹",)),
        (f"The Lamp\n\nby Ada Stone\n\n{STORY}", "The Lamp", ("Ada Stone",)),
        (f"The Lamp\n\n{STORY}", "The Lamp", ()),
        (f"{STORY}\n\n{SECOND}", "My Old File", ()),
        (f"CHAPTER I\n\n{STORY}\n\nCHAPTER II\n\n{STORY}", "My Old File", ()),
        ("short", "My Old File", ()),
    ],
)
def test_titles_and_authors(text: str, title: str, authors: tuple[str, ...]) -> None:
    document = parse(text.encode(), "my-old-file.txt")
    assert (document.title, document.authors) == (title, authors)


def test_the_text_is_nfc_without_control_characters() -> None:
    document = parse(f"Cafe\u0301 \x00\x07noir\n\n\x0c\n\nline\u2028two\n\n{STORY}".encode(), "x.txt")
    document.check()
    assert document.text == f"Café noir\n\nline\ntwo\n\n{STORY.strip()}"


@pytest.mark.parametrize("data", [b" \r\n\t\n ", "\u3000\n\u00a0".encode(), b"\xef\xbb\xbf", b"\xff\xfe"])
def test_nothing_but_white_space_is_empty(data: bytes) -> None:
    with pytest.raises(DocumentEmpty):
        parse(data, "blank.txt")


def test_a_frame_around_nothing_is_empty() -> None:
    text = "*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\n"
    with pytest.raises(DocumentEmpty):
        parse(text.encode(), "frame.txt")


def test_binary_data_is_not_text() -> None:
    with pytest.raises(DocumentNotText):
        parse(b"abc\x00\x01\x02\x03" * 100, "song.txt")
