from __future__ import annotations

from pathlib import Path

import pytest

from app.documents import archive, docx, refuse_at_the_door
from app.errors import DocumentDamaged, DocumentEmpty, DocumentEncrypted, DocumentWithoutText
from tests.app.documents import office
from tests.app.documents.office import W, paragraph


def test_paragraphs_headings_notes_and_tables(tmp_path: Path) -> None:
    body = (
        paragraph("The Lamp", "Title")
        + paragraph("Contents One 1", "TOC1")
        + paragraph("One", "1")
        + "<w:p><w:r><w:t>Light</w:t><w:br/><w:t>came</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        '<w:ins><w:r><w:t> in</w:t></w:r></w:ins><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
        + paragraph("Inside", "2")
        + "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr>"
        "<w:tr><w:tc><w:p><w:r><w:t>c</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
        + paragraph("Two", "Own")
        + paragraph("暗い。")
    )
    notes = f'<w:footnotes {W}><w:footnote w:id="2"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>'
    document = docx.parse(office.docx(tmp_path / "a", body, {"word/footnotes.xml": notes}), "a.docx")
    document.check()
    assert document.text == "The Lamp\n\nOne\n\nLight\ncame in\n\n[A note.]\n\nInside\n\na | b\nc\n\nTwo\n\n暗い。"
    assert (document.title, document.authors, document.language) == ("The Lamp", ("Ada Stone",), "en")
    assert [(c.level, c.title) for c in document.chapters] == [(1, "One"), (2, "Inside"), (1, "Two")]


def test_what_is_no_docx(tmp_path: Path) -> None:
    with pytest.raises(DocumentDamaged, match="no DOCX"):
        docx.parse(office.write_zip(tmp_path / "a", {"x": "y"}), "a.docx")
    with pytest.raises(DocumentEmpty):
        docx.parse(office.docx(tmp_path / "b", paragraph(" ")), "a.docx")
    with pytest.raises(DocumentWithoutText):
        docx.parse(office.docx(tmp_path / "c", "", {"word/media/1.png": b"x"}), "a.docx")
    locked = tmp_path / "d"
    locked.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(DocumentEncrypted):
        refuse_at_the_door(locked, "a.docx")


def test_a_bomb_and_entities(tmp_path: Path) -> None:
    bomb = office.docx(tmp_path / "bomb", paragraph("a" * (archive.FILE_LIMIT + 10)))
    assert bomb.stat().st_size < 2**20
    with pytest.raises(DocumentDamaged, match="unpacks to more than 32 MB"):
        docx.parse(bomb, "a.docx")
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    xml = f'<!DOCTYPE d [<!ENTITY e0 "lol">{levels}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    xml += f"<w:document {W}><w:body>{paragraph('before &f; after')}{paragraph('&e11;')}</w:body></w:document>"
    document = docx.parse(office.docx(tmp_path / "x", "", {"word/document.xml": xml}), "a.docx")
    assert "before" in document.text and "root:" not in document.text and "lol" not in document.text


def test_names_that_climb_out_write_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = office.docx(home / "a", paragraph("Inside."), {"../../climbed": "x", "/climbed": "x", "a\nb": "x"})
    assert docx.parse(path, "a.docx").text == "Inside."
    assert [entry.name for entry in tmp_path.iterdir()] == ["home"] and [e.name for e in home.iterdir()] == ["a"]
