from __future__ import annotations

import pytest

from app.reading.quotations import quotations, sentences


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("He says “so it goes” again.", ["so it goes"]),
        ('He says "so it goes" again.', ["so it goes"]),
        ("He says ‘don’t go there’ again.", ["don’t go there"]),
        ("It's the dogs' dinner, don't you think?", []),
        ("他说「满纸荒唐言」，又说『一把辛酸泪』。", ["满纸荒唐言", "一把辛酸泪"]),
        ('他说"满纸荒唐言"。', ["满纸荒唐言"]),
        ("《红楼梦》是一部小说。", []),
        ("«Bonjour» and „Guten Tag“.", ["Bonjour", "Guten Tag"]),
        ("“She said ‘no’ and left”", ["She said ‘no’ and left"]),
        ('A board of 5" by 6" long.', []),
        ("“never closed", []),
        ("“one paragraph\n\nanother”", []),
        ('Call `print("hello there")` or\n\n```\n"in code"\n```\n', []),
        ('[a link](http://a.example "its title here")', []),
        ('<a href="one two three">', []),
        ('| a | b |\n|---|---|\n| "one cell" | "two cells" |', ["one cell", "two cells"]),
        ("> Down the\n> rabbit hole.\n> — Alice", ["Down the\nrabbit hole."]),
        ("- > in a list", ["in a list"]),
        ("“”", []),
    ],
)
def test_what_an_answer_quotes(answer: str, expected: list[str]) -> None:
    found = quotations(answer)
    assert [one.text for one in found] == expected
    for one in found:
        if one.form == "marks":
            assert answer[one.start : one.stop] == one.text


def test_a_block_quote_has_the_range_of_its_lines() -> None:
    answer = "So:\r\n\r\n> first line\r\n> second line\r\n\r\nThus."
    (one,) = quotations(answer)
    assert one.form == "block" and answer[one.start : one.stop] == "first line\r\n> second line"


def test_every_sentence() -> None:
    answer = "- Mr. Darcy left… and came back. He was late!\n\n他走了。她笑了！“真的？”\n\n> — Alice"
    assert [one.text for one in sentences(answer)][:5] == [
        "Mr. Darcy left… and came back.",
        "He was late!",
        "他走了。",
        "她笑了！",
        "“真的？”",
    ]
