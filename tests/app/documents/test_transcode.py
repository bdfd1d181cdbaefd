from __future__ import annotations

from pathlib import Path

import pytest

from app.documents import parse_file
from app.documents.transcode import utf8_copy
from app.errors import DocumentUnreadable, EncodingPointless, EncodingWrong


@pytest.mark.parametrize(("name", "data"), [("a.txt", "{}"), ("a.md", "# {}"), ("a.csv", "{},1"), ("a.html", "<p>{}")])
def test_a_copy_needs_no_encoding_any_more(tmp_path: Path, name: str, data: str) -> None:
    path = tmp_path / name
    # too short to tell: by its content it is Western
    path.write_bytes(data.format("Лампа").encode("koi8-r"))
    with utf8_copy(path, "koi8-r") as copy:
        assert copy != path and "Лампа" in parse_file(copy, name).text
    assert not copy.exists() and "Лампа" in parse_file(path, name, encoding="koi8-r").text
    with utf8_copy(path, None) as same:
        assert same == path


def test_what_cannot_be_transcoded(tmp_path: Path) -> None:
    text, pdf = tmp_path / "a.txt", tmp_path / "a.pdf"
    text.write_bytes("Лампа".encode("koi8-r"))
    pdf.write_bytes(b"%PDF-1.4")
    cases = ((text, EncodingWrong), (pdf, EncodingPointless), (tmp_path / "none.txt", DocumentUnreadable))
    for path, error in cases:
        with pytest.raises(error), utf8_copy(path, "utf-8"):
            pass
