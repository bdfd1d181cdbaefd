from __future__ import annotations

import re

import pytest

from app.documents.numerals import HAN, WORD, number, to_han, to_roman


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("XII", 12), ("xlix", 49), ("MCMXCIV", 1994), ("twelve", 12), ("TWENTY-FIRST", 21), ("first", 1),
        ("thirty two", 32), ("三", 3), ("十", 10), ("十二", 12), ("二十", 20), ("一百", 100), ("一百二十", 120),
        ("一百十", 110), ("一百一", 101), ("一二零", 120), ("一〇八", 108), ("廿三", 23), ("１２", 12), ("12.", 12),
        ("", None), ("IIX", None), ("word", None), ("1234567", None), ("三x", None),
    ],
)  # fmt: skip
def test_numbers_of_headings(text: str, value: int | None) -> None:
    assert number(text) == value


def test_counting_comes_back_for_every_chapter_of_a_long_novel() -> None:
    digits = "零一二三四五六七八九"

    def spelled(n: int) -> str:
        hundreds, tens, ones = n // 100, n // 10 % 10, n % 10
        text = f"{digits[hundreds]}百" if hundreds else ""
        if tens:
            text += ("" if tens == 1 and not hundreds else digits[tens]) + "十"
        elif hundreds and ones:
            text += "零"
        return text + (digits[ones] if ones else "")

    for n in range(1, 1000):
        assert number(spelled(n)) == n
        assert number("".join(digits[int(c)] for c in str(n))) == n


def test_the_patterns_take_whole_numbers() -> None:
    assert re.fullmatch(WORD, "twenty-first", re.IGNORECASE)
    assert re.fullmatch(HAN, "一百二十")
    assert not re.fullmatch(WORD, "someone", re.IGNORECASE)


def test_what_is_written_is_read_again() -> None:
    for value in (*range(1, 1300), 2010, 3999):
        assert number(to_han(value)) == value and number(to_roman(value)) == value
    assert (to_han(0), to_han(10_000), to_roman(0), to_roman(4000)) == ("零", "10000", "0", "4000")
