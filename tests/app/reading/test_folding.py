from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reading.folding import bare, fold, fold_character


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("The “Quick” fox’s", "thequickfoxs"),
        ("exam-\nple — one--two", "exampleonetwo"),
        ("wait... what?. . . yes…", "waitwhat?yes"),
        ("ＡＢＣ１２，。", "abc12,."),
        ("ﬁnd Straße _now_", "findstrassenow"),
        ("满纸 荒唐言\u3000「一」", "满纸荒唐言一"),
        ("[T]he end.", "theend."),
    ],
)
def test_what_does_not_count(text: str, folded: str) -> None:
    assert fold(text).text == folded


@given(st.text())
def test_every_character_knows_where_it_stood(text: str) -> None:
    made = fold(text)
    assert len(made.text) == len(made.codes) == len(made.origin)
    for character, place in zip(made.text, made.origin.tolist(), strict=True):
        assert character in fold_character(text[place])
    assert list(made.origin) == sorted(made.origin)


def test_a_bare_passage_has_no_punctuation_at_its_ends() -> None:
    assert bare("“(Off, with her head!)”").text == "off,withherhead"
    assert bare("…?!").text == ""
