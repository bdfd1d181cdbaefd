from __future__ import annotations

from pathlib import Path

import pytest
from docx import Document as WordDocument

from app.documents import docx
from tests.app.documents import office
from tests.app.documents.office import W


def level(number: int, format: str, text: str, extra: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{number}"><w:start w:val="1"/><w:numFmt w:val="{format}"/>{extra}<w:lvlText w:val="{text}"/>'
        "</w:lvl>"
    )


def numbered(text: str, list: str, at: int = 0) -> str:
    properties = f'<w:numPr><w:ilvl w:val="{at}"/><w:numId w:val="{list}"/></w:numPr>'
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def read(folder: Path, body: str, lists: str) -> list[str]:
    """lists: abstract definitions in order; list n + 1 is of definition n, list "again" counts the first anew."""
    count = lists.count("<w:abstractNum ")
    nums = "".join(f'<w:num w:numId="{n + 1}"><w:abstractNumId w:val="{n}"/></w:num>' for n in range(count))
    nums += '<w:num w:numId="again"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num>'
    numbering = f"<w:numbering {W}>{lists}{nums}</w:numbering>"
    return docx.parse(office.docx(folder / "a", body, {"word/numbering.xml": numbering}), "a.docx").text.split("\n\n")


def definition(number: int, levels: str) -> str:
    return f'<w:abstractNum w:abstractNumId="{number}">{levels}</w:abstractNum>'


def test_levels_count_within_the_one_above(tmp_path: Path) -> None:
    lists = definition(
        0, level(0, "decimal", "%1.") + level(1, "lowerLetter", "(%2)") + level(2, "decimal", "%1.%2.%3")
    )
    lists += definition(1, level(0, "bullet", "\uf0b7"))
    body = (
        numbered("one", "1") + numbered("a", "1", 1) + numbered("b", "1", 1) + numbered("deep", "1", 2)
        + numbered("point", "2") + "<w:p><w:r><w:t>plain</w:t></w:r></w:p>"
        + numbered("two", "1") + numbered("a again", "1", 1) + numbered("anew", "again") + numbered("off", "0")
    )  # fmt: skip
    assert read(tmp_path, body, lists) == [
        "1. one", "(a) a", "(b) b", "1.b.1 deep", "• point", "plain", "2. two", "(a) a again", "1. anew", "off",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("format", "text", "number", "shown"),
    [
        ("chineseCounting", "第%1章", 23, "第二十三章 x"),
        ("chineseCountingThousand", "第%1回", 103, "第一百零三回 x"),
        ("chineseLegalSimplified", "%1、", 12, "拾贰、 x"),
        ("upperRoman", "Book %1", 14, "Book XIV x"),
        ("lowerLetter", "%1)", 28, "bb) x"),
        ("decimalZero", "%1", 7, "07 x"),
        ("ordinal", "%1", 22, "22nd x"),
        ("ideographTraditional", "%1", 3, "丙 x"),
        ("decimalEnclosedCircle", "%1", 2, "② x"),
        ("decimalEnclosedCircle", "%1", 21, "21 x"),
        ("decimalFullWidth", "%1", 10, "１０ x"),
        ("japaneseDigitalTenThousand", "%1", 10, "一〇 x"),
        ("none", "%1", 5, "x"),
        ("somethingNew", "§ %1", 5, "§ 5 x"),
    ],
)
def test_numbers_are_written_as_the_list_says(tmp_path: Path, format: str, text: str, number: int, shown: str) -> None:
    found = read(tmp_path, numbered("x", "1") * number, definition(0, level(0, format, text)))
    assert len(found) == number and found[-1] == shown


def test_a_style_numbers_its_headings(tmp_path: Path) -> None:
    lists = definition(
        0,
        level(0, "chineseCounting", "第%1章", '<w:pStyle w:val="1"/>')
        + level(1, "decimal", "%1.%2", '<w:pStyle w:val="2"/><w:isLgl/>'),
    )
    styles = (
        f'<w:styles {W}><w:style w:styleId="1"><w:name w:val="heading 1"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr>'
        '</w:pPr></w:style><w:style w:styleId="2"><w:name w:val="heading 2"/><w:basedOn w:val="1"/></w:style></w:styles>'
    )
    numbering = f'<w:numbering {W}>{lists}<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num></w:numbering>'
    body = "".join(
        office.paragraph(text, style)
        for text, style in [("起", "1"), ("甲", "2"), ("乙", "2"), ("", "1"), ("承", "1"), ("丙", "2")]
    )
    files = {"word/numbering.xml": numbering, "word/styles.xml": styles}
    document = docx.parse(office.docx(tmp_path / "a", body, files), "a.docx")
    # an empty one is counted, as Word counts it
    assert [(c.level, c.title) for c in document.chapters] == [
        (1, "第一章 起"), (2, "1.1 甲"), (2, "1.2 乙"), (1, "第三章 承"), (2, "3.1 丙"),
    ]  # fmt: skip


def test_a_file_of_word_s_own_list_styles(tmp_path: Path) -> None:
    word = WordDocument()
    for text in ("first", "second"):
        word.add_paragraph(text, style="List Number")
    word.add_paragraph("point", style="List Bullet")
    word.save(str(tmp_path / "a.docx"))
    assert docx.parse(tmp_path / "a.docx", "a.docx").text.split("\n\n") == ["1. first", "2. second", "• point"]
