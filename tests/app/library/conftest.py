"""A library in a fresh home, and books to put into it. The parser is the real one, in this process for speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.documents.parse import parse_file
from app.library.store import Library

Book = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def library(home: Path) -> Iterator[Library]:
    with Library(home, parse=parse_file) as library:
        yield library


@pytest.fixture
def owner(library: Library) -> int:
    return library.owner()


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """``book(name, text)`` writes a small book and returns its path."""

    def write(name: str = "book.txt", text: str = "The first paragraph.\n\nThe second one.\n") -> Path:
        path = tmp_path / "drop" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write
