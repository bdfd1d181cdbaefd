from __future__ import annotations

from pathlib import Path

from app.documents import docx as reader
from app.documents.write_docx import docx


def test_everything_that_markdown_has(tmp_path: Path) -> None:
    text = (
        "# Title *x*\n\n- a **b**\n  1. c\n  2. d\n\n> said\n\n```\ncode <x>\n y\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "Text with <b>raw</b> & `code` and [a link](http://x.y) ![caption](p.png)\n\n***\n\n## Next\n\nanswer  \nline"
    )
    path = tmp_path / "a.docx"
    path.write_bytes(docx(text, title="T & <x>"))
    found = reader.parse(path, "a.docx")
    found.check()
    assert found.title == "T & <x>"
    assert found.text.split("\n\n") == [
        "Title x", "• a b", "1. c", "2. d", "said", "code <x>\ny", "a | b\n1 | 2",
        "Text with <b>raw</b> & code and a link caption", "* * *", "Next", "answer\nline",
    ]  # fmt: skip
    assert [(one.level, one.title) for one in found.chapters] == [(1, "Title x"), (2, "Next")]


def test_what_xml_cannot_hold_is_left_out() -> None:
    assert docx("a\x01b\ud800c\ufffe")[:2] == b"PK"
