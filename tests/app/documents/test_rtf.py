from __future__ import annotations

import pytest

from app.documents import rtf
from app.errors import DocumentEmpty


def test_text_title_and_chapters() -> None:
    data = (
        rb"{\rtf1\ansi\ansicpg1252{\info{\title The Lamp}{\author Ada Stone}}{\fonttbl{\f0 Times;}}"
        rb"\b Chapter 1\b0\par It was caf\'e9 \u8212? light.\par\par Chapter 2\par The end.\par}"
    )
    document = rtf.parse(data, "a.rtf")
    document.check()
    assert (document.title, document.authors) == ("The Lamp", ("Ada Stone",))
    assert document.text == "Chapter 1\n\nIt was café — light.\n\nChapter 2\n\nThe end."
    assert [c.title for c in document.chapters] == ["Chapter 1", "Chapter 2"]


def test_the_code_page_of_the_file() -> None:
    escaped = "".join(f"\\'{byte:02x}" for byte in "红楼梦".encode("gb18030"))
    assert rtf.parse(rf"{{\rtf1\ansi\ansicpg936 {escaped}\par}}".encode(), "a.rtf").text == "红楼梦"
    assert rtf.parse(rb"{\rtf1\ansi\ansicpg936 " + "红楼梦".encode("gb18030") + rb"\par}", "a.rtf").text == "红楼梦"


def test_nothing_in_it() -> None:
    with pytest.raises(DocumentEmpty):
        rtf.parse(rb"{\rtf1\ansi{\pict 89504e47}\par}", "a.rtf")
