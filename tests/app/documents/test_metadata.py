"""Years, identifiers with their check digits, words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.documents.metadata import count_words, identifiers, named, valid_isbn, year, year_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ISBN 978-0-306-40615-7 (cloth)", ("isbn:9780306406157",)),
        ("ISBN-13: 978 0 306 40615 8", ()),
        ("ISBN-10: 0-8044-2957-X", ("isbn:080442957X",)),
        ("isbn 0-8044-2957-1", ()),
        ("see https://doi.org/10.1000/182.", ("doi:10.1000/182",)),
        ("(doi:10.1016/S0092-8674(00)80345-2)", ("doi:10.1016/s0092-8674(00)80345-2",)),
        ("arXiv:1706.03762v5 [cs.CL] 6 Dec 2017", ("arxiv:1706.03762",)),
        ("arXiv:hep-th/9901001", ("arxiv:hep-th/9901001",)),
        ("arXiv:1713.03762", ()),
        ("the number 9780306406157 alone is none", ()),
    ],
)
def test_identifiers_of_a_text(text: str, found: tuple[str, ...]) -> None:
    assert identifiers(text) == found


def test_identifiers_of_fields() -> None:
    fields = [
        "urn:isbn:9780306406157",
        "0-8044-2957-X",
        "https://doi.org/10.1000/182",
        "urn:uuid:1234",
        "9780306406158",
    ]
    assert named(fields) == ("isbn:9780306406157", "isbn:080442957X", "doi:10.1000/182")


@given(st.integers(0, 10**9 - 1), st.integers(0, 8), st.integers(1, 9))
def test_a_changed_digit_is_no_isbn(number: int, place: int, by: int) -> None:
    body = f"{number:09}"
    checks = [c for c in "0123456789X" if valid_isbn(body + c)]
    assert len(checks) == 1
    changed = body[:place] + str((int(body[place]) + by) % 10) + body[place + 1 :]
    assert valid_isbn(changed + checks[0]) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Published in the Proceedings of OSDI 2012\n1", 2012),
        ("Copyright © 1999 by Ada Stone", 1999),
        ("In 1914 the war began.", None),
        ("SOSP’07, October 14–17, 2007, Stevenson", 2007),
        ("copyright and 12345 others", None),
    ],
)
def test_the_year_of_a_text(text: str, found: int | None) -> None:
    assert year(text) == found


def test_other_years() -> None:
    assert year("no year", ["arxiv:1706.03762"]) == 2017
    assert (year_of("1865-11-26"), year_of("October 2012"), year_of(""), year_of(None)) == (1865, 2012, None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It’s a well-known fact, 3.5 times.", 6),
        ("话说天下大势，分久必合。", 10),
        ("Lectern 读书 twice", 4),
        ("— … !", 0),
        ("", 0),
    ],
)
def test_words(text: str, words: int) -> None:
    assert count_words(text) == words
