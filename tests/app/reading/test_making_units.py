from __future__ import annotations

from array import array
from itertools import pairwise

from app.documents.model import Chapter, Paragraph
from app.reading.making.units import MOST, lines, sentences, spread, units, windows

TEXT = (
    "Chapter 1\n\nMr. Darcy came in at 3.5 miles an hour and sat down by the fire at once. He was, it seemed to all who saw him "
    "there, a man of few words and many acres. “Sit,” she said.\n\nChapter 2\n\n她走进了花园，看见了一只白色的兔子，兔子手里拿着一块表。"
    "兔子说：“我要迟到了！”于是它跑进了一个很深很深的洞里去了。"
)


def parts() -> tuple[list[Paragraph], list[Chapter]]:
    paragraphs, start = [], 0
    for piece in TEXT.split("\n\n"):
        paragraphs.append(Paragraph(start=start, end=start + len(piece)))
        start += len(piece) + 2
    second = TEXT.index("Chapter 2")
    chapters = [
        Chapter(title="One", level=1, start=0, end=second),
        Chapter(title="Two", level=1, start=second, end=len(TEXT)),
    ]
    return paragraphs, chapters


def said() -> list[str]:
    return [TEXT[unit.start : unit.end] for unit in units(TEXT, *parts())]


def test_sentences_of_both_languages() -> None:
    assert said() == [
        "Chapter 1",
        "Mr. Darcy came in at 3.5 miles an hour and sat down by the fire at once.",
        "He was, it seemed to all who saw him there, a man of few words and many acres. “Sit,” she said.",
        "Chapter 2",
        "她走进了花园，看见了一只白色的兔子，兔子手里拿着一块表。",
        "兔子说：“我要迟到了！”于是它跑进了一个很深很深的洞里去了。",
    ]


def test_units_cover_every_visible_character() -> None:
    long = "word, " * 400 + "end"
    found = list(sentences(long, 0, len(long)))
    assert "".join("".join(long[a:b] for a, b in found).split()) == "".join(long.split())
    assert max(b - a for a, b in found) <= MOST
    assert all(first[1] <= second[0] for first, second in pairwise(found))


def test_front_matter_is_left_out() -> None:
    paragraphs, (one, two) = parts()
    front = Chapter(title="One", level=1, start=one.start, end=one.end, kind="front")
    assert len(units(TEXT, paragraphs, [front, two])) == 3


def test_windows_keep_to_their_tokens_and_to_chapters() -> None:
    paragraphs, chapters = parts()
    found = units(TEXT, paragraphs, chapters)
    offsets = array("q", range(0, len(TEXT) + 4, 4))
    by_chapter = windows(1, TEXT, found, chapters, offsets, tokens=10_000, by_chapter=True)
    assert [(one.title, len(one.units)) for one in by_chapter] == [("One", 3), ("Two", 3)]
    (whole,) = windows(1, TEXT, found, chapters, offsets, tokens=10_000, by_chapter=False)
    assert whole.units == tuple(found)
    small = windows(1, TEXT, found, chapters, offsets, tokens=60, by_chapter=False)
    assert [unit for one in small for unit in one.units] == found
    assert all(one.tokens <= 60 or len(one.units) == 1 for one in small)
    only = windows(1, TEXT, found, chapters, offsets, tokens=60, by_chapter=False, only="兔子")
    assert [len(one.units) for one in only] == [2]


def test_its_sentences_are_lines() -> None:
    paragraphs, chapters = parts()
    found = units(TEXT, paragraphs, chapters)
    (_, two) = windows(1, TEXT, found, chapters, array("q", range(len(TEXT))), tokens=9999, by_chapter=True)
    found_lines = lines(TEXT, two)
    assert found_lines[0] == "Chapter 2" and found_lines[2].startswith("兔子说") and len(found_lines) == len(two.units)


def test_spreading_takes_evenly_from_the_whole() -> None:
    paragraphs, chapters = parts()
    found = windows(
        1,
        TEXT,
        units(TEXT, paragraphs, chapters),
        chapters,
        array("q", range(0, len(TEXT), 4)),
        tokens=40,
        by_chapter=False,
    )
    assert spread(found, None) == found and spread(found, 99) == found
    assert spread(found, 2) == [found[0], found[len(found) // 2]]
