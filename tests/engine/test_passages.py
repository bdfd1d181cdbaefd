from __future__ import annotations

import pytest

from engine.passages import Passages

FOUND = Passages(["The Queen (in red) said: “no”.", 'He said "yes, sir" and left.', "王熙凤往宁国府中来了。", "— …"])


def test_what_is_no_part_of_a_string_of_json_ends_a_passage() -> None:
    assert FOUND.has("yes, sir") and FOUND.has("and left") and not FOUND.has("said yes")
    assert '"' not in "".join(FOUND.chunks)


@pytest.mark.parametrize(
    ("said", "least", "most", "rest"),
    [
        (b"", 1, 40, "He"),
        (b"The Q", 1, 40, "ueen"),
        (b"The Queen", 12, 40, " (in red"),
        (b"(in red", 1, 40, ""),
        ("王熙".encode()[:4], 3, 40, "熙凤"),
        (b"said", 5, 40, ": “no”"),
    ],
)
def test_endings(said: bytes, least: int, most: int, rest: str) -> None:
    ending = FOUND.ending(said, least, most)
    text = (said + ending).decode()
    assert FOUND.has(text) and least <= len(text) <= most
    assert len(text) <= len(said.decode(errors="ignore") + rest)


@pytest.mark.parametrize(
    ("said", "least", "most"), [(b"ueen", 1, 9), (b"The Queen", 1, 8), (b"left", 5, 9), (b" ", 1, 9)]
)
def test_what_begins_no_quotation_is_told(said: bytes, least: int, most: int) -> None:
    with pytest.raises(ValueError):
        FOUND.ending(said, least, most)


def test_the_longest_quotation() -> None:
    assert FOUND.longest(1000) == len("The Queen (in red) said: “no”")
    assert FOUND.longest(7) == 7
    assert FOUND.longest(1) == 1
    assert Passages(["Unbelievable"]).longest(5) == 0 and Passages(["…"]).longest(9) == 0


def test_names_begin_with_a_capital_or_in_a_script_without() -> None:
    assert FOUND.has("Queen (in red)", name=True) and FOUND.has("王熙凤", name=True)
    assert not FOUND.has("said", name=True) and not FOUND.has("(in red)", name=True)
    assert FOUND.ending(b"", 1, 40, name=True) in (b"He", b"The", "王".encode(), b"No")
    assert Passages(["nobody was here"]).longest(40, name=True) == 0
