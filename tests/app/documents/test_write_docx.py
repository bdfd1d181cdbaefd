from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from docx.oxml.ns import qn

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


def opened(text: str, **how: str) -> Any:
    return Document(io.BytesIO(docx(text, **how)))


def test_every_list_counts_for_itself() -> None:
    made = opened("3. a\n4. b\n\ntext\n\n1. c\n\n   more of c\n\n- x\n  - y\n    - z\n      - w\n")
    styles = [one.style.name for one in made.paragraphs]
    assert styles[:2] == ["List Number"] * 2 and styles[3:5] == ["List Number", "List Continue"]
    assert styles[5:] == ["List Bullet", "List Bullet 2", "List Bullet 3", "List Bullet 3"]
    ids = [one._p.pPr.numPr.numId.val for one in made.paragraphs[:2]] + [made.paragraphs[3]._p.pPr.numPr.numId.val]
    assert ids[0] == ids[1] != ids[2]
    numbering = made.part.numbering_part.numbering_definitions._numbering
    starts = [numbering.num_having_numId(id).lvlOverride_lst[0].startOverride.val for id in (ids[0], ids[2])]
    assert starts == [3, 1]


def test_numbers_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(docx("3. a\n4. b\n\ntext\n\n1. c\n\n   more of c\n\n2. d\n\n- x\n  - y\n"))
    assert reader.parse(path, "a.docx").text.split("\n\n") == [
        "3. a", "4. b", "text", "1. c", "more of c", "2. d", "• x", "• y",
    ]  # fmt: skip


def test_links_lead_to_the_web_only() -> None:
    made = opened("[a](https://a.b/c?d=e&f) [b](file:///etc/passwd) [c](javascript:alert(1)) <mailto:x@y.z>")
    paragraph = made.paragraphs[0]
    assert [one.address for one in paragraph.hyperlinks] == ["https://a.b/c?d=e&f", "mailto:x@y.z"]
    assert paragraph.text == "a b [c](javascript:alert(1)) mailto:x@y.z" or "b" in paragraph.text


@pytest.mark.parametrize(
    ("language", "font", "slanted"), [("en", "SimSun", True), ("zh", "SimSun", False), ("ja", "MS Mincho", False)]
)
def test_fonts_by_script(language: str, font: str, slanted: bool) -> None:
    made = opened("# 标题\n\n> 引文", language=language)
    assert made.styles["Normal"].element.rPr.rFonts.get(qn("w:eastAsia")) == font
    assert made.styles["Quote"].font.italic is slanted
    heading = made.styles["Heading 1"].element.rPr.rFonts
    assert not [name for name in heading.attrib if name.endswith("Theme")]


def test_the_same_text_gives_the_same_bytes() -> None:
    assert docx("# a\n\n1. b\n") == docx("# a\n\n1. b\n")
