from __future__ import annotations

import pytest

from app.reading.writing.differences import MOST, MOST_EACH, differences


@pytest.mark.parametrize(
    ("draft", "known", "words"),
    [
        (
            "The White Rabbit came by with green eyes.",
            "suddenly a White Rabbit with pink eyes ran close by her",
            ("with green eyes", "with pink eyes"),
        ),
        ("She had no sister at all.", "Alice was sitting by her sister on the bank.", ("no sister", "her sister")),
        ("He had three brothers.", "One of my two brothers is abroad.", ("three brothers", "two brothers")),
        ("He had 3 brothers.", "He had three brothers.", None),
        ("The White Rabbit had pink eyes.", "a White Rabbit with pink eyes", None),
        # of another one with eyes
        ("The Duchess had green eyes.", "a White Rabbit with pink eyes", None),
        ("It was three days later.", "It was two days later.", None),
        ("No. Sister came.", "It was her sister.", None),
        ("贾母有五个儿子。", "宁公居长，生了四个儿子．", ("五个儿子", "四个儿子")),
        ("黛玉没有母亲。", "黛玉的母亲去世了。", ("没有母亲", "的母亲")),
        ("有一个丫鬟。", "有三个丫鬟。", None),
        ("", "", None),
    ],
)
def test_what_differs(draft: str, known: str, words: tuple[str, str] | None) -> None:
    found = differences([draft], [known])
    assert [(one.here, one.there) for one in found] == ([] if words is None else [words])


def test_the_nearest_first_and_not_too_many() -> None:
    draft = [
        "The White Rabbit had green eyes, two ears, no watch, a silver trumpet.",
        *[f"He had {n} ears." for n in range(7, 20)],
    ]
    known = [
        "Its watch was there.",
        "A dog had five ears.",
        "The White Rabbit had pink eyes and six ears.",
        "The Rabbit blew a golden trumpet.",
    ]
    found = differences(draft, known)
    assert len(found) == MOST and sum(one.draft == 0 for one in found) == MOST_EACH
    assert found[0].known == 2
    # what a draft says several times is shown once
    assert len(differences(draft[:1] * 3, known)) == MOST_EACH + 1
