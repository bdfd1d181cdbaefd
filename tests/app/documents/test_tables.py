from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.documents import archive, tables
from app.documents.canonical import clean, one_line
from app.errors import DocumentDamaged, DocumentEmpty
from tests.app.documents import office

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_rows_name_their_columns(delimiter: str) -> None:
    rows = [["City", "People", "Note"], ["Paris", "2,1", 'says "oui"'], ["東京", "", "a\nb"]]
    data = io.StringIO()
    csv.writer(data, delimiter=delimiter).writerows(rows)
    document = tables.parse_csv(data.getvalue().encode(), "towns.csv")
    document.check()
    assert document.text == 'City: Paris | People: 2,1 | Note: says "oui"\n\nCity: 東京 | Note: a b'
    assert (document.title, document.chapters) == ("Towns", ())


def test_without_a_header_and_in_other_encodings() -> None:
    assert tables.parse_csv(b"1,2\n3,4\n", "a.csv").text == "1 | 2\n\n3 | 4"
    data = "姓名,年龄\n".encode("gb18030") + "贾宝玉,十六\n林黛玉,十五\n".encode("gb18030") * 20
    assert tables.parse_csv(data, "a.csv").text.startswith("姓名: 贾宝玉 | 年龄: 十六")
    assert tables.parse_csv("a\tb\nc\td\n".encode("utf-16"), "a.tsv").text == "a: c | b: d"


@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=8))
def test_every_cell_stands_in_the_paragraph_of_its_row(rows: list[list[str]]) -> None:
    data = io.StringIO()
    # quoted, so that what parts cells is a comma whatever stands in them
    csv.writer(data, quoting=csv.QUOTE_ALL).writerows([["first", "second", "third", "fourth"], *rows])
    kept = [[cell for text in row if (cell := one_line(clean(text)))] for row in rows]
    kept = [row for row in kept if row]
    document = tables.parse_csv(data.getvalue().encode(), "a.csv", encoding="utf-8")
    document.check()
    if kept:
        texts = [document.text[p.start : p.end] for p in document.paragraphs]
        assert len(texts) == len(kept)
        assert all(cell in text for row, text in zip(kept, texts, strict=True) for cell in row)


def test_a_workbook(tmp_path: Path) -> None:
    strings = "<si><t>City</t></si><si><r><t>Pa</t></r><r><t>ris</t></r><rPh><t>x</t></rPh></si><si><t>Founded</t></si>"
    rows = (
        '<row><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>2</v></c></row>'
        '<row><c r="A2" t="s"><v>1</v></c><c r="B2"><v>0.30000000000000004</v></c><c r="C2" s="1"><v>45292</v></c></row>'
        '<row><c r="A3" t="inlineStr"><is><t>Rome</t></is></c><c r="C3" s="1"><v>60.5</v></c></row>'
        '<row><c r="A4" t="b"><v>1</v></c><c r="C4" t="s"><v>99</v></c></row>'
    )
    styles = '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
    path = office.xlsx(tmp_path / "a", {"Towns": rows, "Empty": ""}, strings, styles)
    document = tables.parse_xlsx(path, "a.xlsx")
    document.check()
    assert [c.title for c in document.chapters] == ["Towns"]
    assert document.text.split("\n\n") == [
        "Towns",
        "City: Paris | 0.3 | Founded: 2024-01-01",
        "City: Rome | Founded: 1900-02-28 12:00:00",
        "City: yes",
    ]


def test_what_is_no_workbook_empty_or_a_bomb(tmp_path: Path) -> None:
    with pytest.raises(DocumentDamaged, match="no XLSX"):
        tables.parse_xlsx(office.write_zip(tmp_path / "a", {"x": "y"}), "a.xlsx")
    with pytest.raises(DocumentEmpty):
        tables.parse_xlsx(office.xlsx(tmp_path / "b", {"One": ""}), "a.xlsx")
    bomb = office.xlsx(tmp_path / "c", {"One": "<row>" + " " * (archive.FILE_LIMIT + 10) + "</row>"})
    with pytest.raises(DocumentDamaged, match="unpacks to more than 32 MB"):
        tables.parse_xlsx(bomb, "a.xlsx")
    far = office.xlsx(tmp_path / "d", {"One": '<row><c r="ZZZ1"><v>1</v></c><c r="B1"><v>2</v></c></row>'})
    assert tables.parse_xlsx(far, "a.xlsx").text == "One\n\n2"


def test_numbers_that_are_none(tmp_path: Path) -> None:
    rows = '<row><c r="A1" t="s"><v>²</v></c><c r="B1" s="²"><v>7</v></c></row><row><c r="A2"><v>words</v></c></row>'
    styles = '<cellXfs><xf numFmtId="1²"/></cellXfs><numFmts><numFmt numFmtId="x" formatCode="yyyy"/></numFmts>'
    path = office.xlsx(tmp_path / "a", {"S": rows}, styles=styles)
    found = tables.parse_xlsx(path, "a.xlsx")
    found.check()
    assert found.text == "S\n\n7\n\nwords"
