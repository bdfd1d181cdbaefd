"""Small conversions: names that are no paths, text that UTF-8 can hold, times that sort."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from app.library import values


def test_times_sort_as_text_and_are_utc() -> None:
    times = [values.now() for _ in range(50)]
    assert times == sorted(times)
    assert {len(time) for time in times} == {len("2026-01-31T12:00:00.000000+00:00")}
    assert datetime.fromisoformat(times[0]).utcoffset() == timedelta(0)


@pytest.mark.parametrize(("given", "expected"), [("书 é 😀", "书 é 😀"), ("\ud83d", "?"), ("a\udcffb", "a?b")])
def test_clean_text_can_be_stored(given: str, expected: str) -> None:
    assert values.clean(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("book.txt", "book.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\book.pdf", "book.pdf"),
        ("a\nb\x00\u202e.txt", "ab.txt"),
        ("half \udcff.txt", "half ?.txt"),
        ("", "untitled"),
        ("..", ".."),
        ("/", "untitled"),
        ("x" * 300 + ".epub", "x" * 250 + ".epub"),
        ("红楼梦.txt", "红楼梦.txt"),
    ],
)
def test_a_filename_is_a_name_not_a_path(given: str, expected: str) -> None:
    assert values.plain_name(given) == expected
