from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.library.store import Library
from app.library.twins import alike, twins


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Moby-Dick", "Moby Dick; or The Whale", True),
        ("The War and Peace", "War and Peace", True),
        ("Ｐｒｉｄｅ and Prejudice", "PRIDE AND PREJUDICE", True),
        ("Alices Adventures in Wonderland", "Alice's Adventures in Wonderland (Illustrated)", True),
        ("红楼梦", "紅楼梦传", False),
        ("红楼梦", "《红楼梦》", True),
        ("Capital, Volume 1", "Capital, Volume 2", False),
        ("三体 上卷", "三体 下卷", False),
        ("Emma", "Erma", False),
        ("It", "It", False),
        ("", "", False),
    ],
)
def test_titles(first: str, second: str, same: bool) -> None:
    assert alike(first, second) is same and alike(second, first) is same


def test_books_that_are_likely_the_same(
    library: Library, owner: int, tmp_path: Path, book: Callable[..., Path]
) -> None:
    def add(name: str, text: str) -> int:
        return library.add_document(owner, book(name, text), name).document.id

    body = "A lamp was lit.\n\n" * 40
    first = add("the-lamp.txt", body)
    edition = add("lamp.txt", body + "An afterword of some words.")
    same_text = add("otherwise.md", body + "\n")
    add("the-lamp-2.txt", "# The Lamp\n\n" + body * 3)
    record = library.document(owner, first)
    assert [one.id for one in twins(record, library.documents(owner))] == [same_text, edition]
