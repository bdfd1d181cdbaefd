from __future__ import annotations

import pytest

from app.documents import headings
from app.documents.headings import find, key, match

BODY = "A paragraph of the story, long enough to be one. " * 8


def titles(blocks: list[str]) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in find(blocks)]


@pytest.mark.parametrize(
    ("line", "kind", "number"),
    [
        ("CHAPTER XII", "chapter", 12),
        ("Chapter 3. The Spouter-Inn.", "chapter", 3),
        ("CHAPTER THE FIRST", "chapter", 1),
        ("Chapter Twenty-One: Home", "chapter", 21),
        ("BOOK ONE: 1805", "book", 1),
        ("BOOK FIRST", "book", 1),
        ("THE SECOND PART", "part", 2),
        ("FIRST EPILOGUE: 1813 - 20", "epilogue", 1),
        ("VOLUME II", "volume", 2),
        ("ACT III", "act", 3),
        ("Kapitel 4", "chapter", 4),
        ("Chapitre premier", None, None),
        ("Epilogue", "special", None),
        ("第一回 春日", "chapter", 1),
        ("第十二章", "chapter", 12),
        ("第三卷　风起", "book", 3),
        ("第一二零回  秋雨", "chapter", 120),
        ("楔子", "special", None),
        ("제1장 시작", "chapter", 1),
        ("第四回中既将他们在府内寄居等事略已表明，此回暂不写", None, None),
        ("chapter of sounds.", None, None),
        ("Chapter 5 of this book tells how", None, None),
        ("Part of the crew", None, None),
        ("Book I was reading", None, None),
        ("Acting was his life", None, None),
        ("The first book of hers", None, None),
        ("Introduction of the guests followed", None, None),
        ("", None, None),
        ("CHAPTER I " + "x" * 200, None, None),
    ],
)
def test_what_looks_like_a_heading(line: str, kind: str | None, number: int | None) -> None:
    mark = match(line)
    assert (mark and mark.kind, mark and mark.number) == (kind, number)


def test_chapters_in_books_have_two_levels() -> None:
    blocks = ["BOOK ONE", "CHAPTER I", BODY, "CHAPTER II", BODY, "BOOK TWO", "CHAPTER I", BODY, "EPILOGUE", BODY]
    assert titles(blocks) == [
        (1, "BOOK ONE"),
        (2, "CHAPTER I"),
        (2, "CHAPTER II"),
        (1, "BOOK TWO"),
        (2, "CHAPTER I"),
        (2, "EPILOGUE"),
    ]


def test_a_table_of_contents_is_no_chapter_but_says_what_is() -> None:
    contents = ["CONTENTS", "ETYMOLOGY.", "A WORD BEFORE.", "CHAPTER 1. Sea.", "CHAPTER 2. Land.", "LAST LEAF"]
    body = ["The Title", "ETYMOLOGY.", BODY, "A Word Before", BODY, "CHAPTER 1. Sea.", BODY, "CHAPTER 2. Land.", BODY]
    assert titles([*contents, *body, "Last Leaf", BODY]) == [
        (1, "ETYMOLOGY."),
        (1, "A Word Before"),
        (1, "CHAPTER 1. Sea."),
        (1, "CHAPTER 2. Land."),
        (1, "Last Leaf"),
    ]


def test_contents_in_one_block_or_without_their_name() -> None:
    body = ["Chapter 1", BODY, "Chapter 2", BODY, "Chapter 3", BODY, "Chapter 4", BODY]
    listed = ["Chapter 1", "Chapter 2", "Chapter 3", "Chapter 4"]
    wanted = [(1, title) for title in listed]
    assert titles(["\n".join(["Contents", *listed]), *body]) == wanted
    assert titles(["\n".join(listed), *body]) == wanted
    assert titles([*listed, *body]) == wanted


def test_contents_whose_chapters_begin_anew_in_each_book() -> None:
    contents = ["BOOK ONE: 1805", "CHAPTER I", "CHAPTER II", "BOOK TWO: 1805", "CHAPTER I", "CHAPTER II"]
    body = [part for entry in contents for part in ([entry] if entry.startswith("BOOK") else [entry, BODY])]
    found = find(["CONTENTS", *contents, *body])
    assert [heading.title for heading in found] == contents
    assert found[0].index == 7


def test_a_word_of_the_text_that_equals_a_contents_title_is_no_chapter() -> None:
    contents = ["CONTENTS", "CHAPTER 1. Going Aboard.", "CHAPTER 2. Home."]
    body = ["CHAPTER 1. Going Aboard.", BODY, "“Going aboard?”", BODY, "CHAPTER 2. Home.", BODY]
    assert [title for _, title in titles([*contents, *body])] == ["CHAPTER 1. Going Aboard.", "CHAPTER 2. Home."]


def test_mentions_fall_out_of_the_sequence() -> None:
    blocks = ["第一回 甲", BODY, "第二回 乙", BODY, "第一回中已说", BODY, "第三回 丙", BODY, "第三回甲乙丙——", BODY]
    assert [title for _, title in titles(blocks)] == ["第一回 甲", "第二回 乙", "第三回 丙"]


def test_chapters_that_begin_anew_without_a_book_between_are_kept() -> None:
    blocks = [part for n in (1, 2, 3, 1, 2, 3, 4) for part in (f"Chapter {n}", BODY)]
    assert len(titles(blocks)) == 7


def test_titles_below_bare_numbers() -> None:
    blocks = ["CHAPTER I", "DOWN THE HOLE", BODY, "CHAPTER II.", "THE POOL", BODY]
    assert titles(blocks) == [(1, "CHAPTER I. DOWN THE HOLE"), (1, "CHAPTER II. THE POOL")]
    # short first sentences are no titles
    assert titles(["Chapter 1", "It rained.", BODY, "Chapter 2", "“Yes,” he said.", BODY]) == [
        (1, "Chapter 1"),
        (1, "Chapter 2"),
    ]


def test_bare_roman_numbers_only_if_they_count() -> None:
    assert titles(["I", BODY, "II", BODY, "III. The Sea", BODY]) == [(1, "I"), (1, "II"), (1, "III. The Sea")]
    assert titles(["I", BODY, "V", BODY, "X", BODY]) == []
    assert find(["1", BODY, "2", BODY, "3", BODY], bare=False) == []


def test_a_text_without_headings() -> None:
    assert titles([BODY, BODY]) == []
    assert titles([]) == []
    assert titles(["Introduction", BODY]) == []


def test_keys_ignore_case_leaders_and_page_numbers() -> None:
    assert key("The Sea . . . . . 12") == key("THE SEA.") == "thesea"


def test_parts_and_volumes_nest_as_they_come() -> None:
    prose = "文" * 300
    names = [
        "楔子",
        "第一部 风",
        "卷一",
        "第一章 甲",
        "第二章 乙",
        "卷二",
        "第一章 丙",
        "第二部 雨",
        "卷一",
        "第一章 丁",
        "番外一",
        "尾声",
    ]
    blocks = [part for name in names for part in (name, prose)]
    found = [(heading.title, heading.level) for heading in headings.find(blocks)]
    levels = [3, 1, 2, 3, 3, 2, 3, 1, 2, 3, 3, 3]
    assert found == list(zip(names, levels, strict=True))


def test_the_contents_get_a_heading_of_their_own_where_asked_for() -> None:
    names = ["CHAPTER I. Oil", "CHAPTER II. Wick", "CHAPTER III. Fire"]
    blocks = ["The Lamp", "CONTENTS", *names, *(part for name in names for part in (name, "Words. " * 60))]
    plain, marked = headings.find(blocks), headings.find(blocks, contents_too=True)
    assert [heading.title for heading in plain] == names
    assert [(h.title, h.kind, h.index) for h in marked[:2]] == [("CONTENTS", "front", 1), (names[0], None, 5)]
