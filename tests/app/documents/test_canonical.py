from __future__ import annotations

import pytest

from app.documents.canonical import Block, Heading, assemble, clean, join_lines, one_line, wide_share
from app.documents.model import Document


def test_clean_leaves_text_that_a_reader_sees() -> None:
    raw = "a\r\nb\rc\u2028d\x0ce\u00a0f\u00adg\u200bh\ufeffi\x00\x1b[1mj\u202ek e\u0301 ﬁ 　x"
    assert clean(raw) == "a\nb\nc\nd\ne fghi[1mjk é ﬁ 　x"


def test_clean_sets_vertical_signs_and_half_width_kana_as_usual() -> None:
    assert clean("﹁春眠﹂︑不覺︒︵ｶﾞﾗｽ ﾊﾟﾝ︶") == "「春眠」、不覺。（ガラス パン）"
    # letters and digits of full width stay: a search finds them all the same
    assert clean("ＡＢＣ１２３，。") == "ＡＢＣ１２３，。"


def test_clean_keeps_joiners_that_spell() -> None:
    assert clean("می\u200cخواهم 👩\u200d💻") == "می\u200cخواهم 👩\u200d💻"


def test_one_line() -> None:
    assert one_line(" 　a \n b\t\tc　d 　") == "a b c　d"


@pytest.mark.parametrize(
    ("first", "second", "between"),
    [
        ("the", "end", " "),
        ("春风。", "一壶", ""),
        ("用 C", "语言", " "),
        ("그것은", "책이다", " "),
        ("rabbit--", "and", ""),
        ("so—", "well", ""),
        ("well-", "known", ""),
        ("1914-", "1918", " "),
        ("", "x", ""),
    ],
)
def test_what_stands_between_joined_lines(first: str, second: str, between: str) -> None:
    assert join_lines(first, second) == between


def test_wide_share() -> None:
    assert wide_share("") == 0
    assert wide_share("红 楼 ab") == 0.5


def assembled(blocks: list[Block], headings: list[Heading], pages: int = 0) -> Document:
    return assemble(blocks, headings, title="T", authors=(), language=None, format="txt", page_count=pages)


def test_offsets_count_code_points_and_blank_blocks_fall_out() -> None:
    document = assembled(
        [Block("𝔸lpha"), Block("  "), Block("Beta\nline"), Block("Gamma\n")],
        [
            Heading(index=0, title="a", level=1),
            Heading(index=1, title="b", level=2),
            Heading(index=3, title="c", level=1),
            Heading(index=4, title="after the end", level=1),
        ],
    )
    document.check()
    assert document.text == "𝔸lpha\n\nBeta\nline\n\nGamma"
    assert [document.text[p.start : p.end] for p in document.paragraphs] == ["𝔸lpha", "Beta\nline", "Gamma"]
    assert [document.text[c.start : c.end] for c in document.chapters] == ["𝔸lpha\n\n", "Beta\nline\n\n", "Gamma", ""]


def test_pages_cover_the_text_and_those_without_text_are_empty() -> None:
    document = assembled([Block("one two", [(0, 2), (4, 3)]), Block("three"), Block("five", [(0, 5)])], [], pages=6)
    document.check()
    assert [(p.number, document.text[p.start : p.end]) for p in document.pages] == [
        (1, ""),
        (2, "one "),
        (3, "two\n\nthree\n\n"),
        (4, ""),
        (5, "five"),
        (6, ""),
    ]
