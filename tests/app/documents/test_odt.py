from __future__ import annotations

from pathlib import Path

import pytest

from app.documents import archive, odt
from app.errors import DocumentDamaged, DocumentEmpty, DocumentEncrypted
from tests.app.documents import office


def test_paragraphs_headings_notes_and_tables(tmp_path: Path) -> None:
    body = (
        '<text:table-of-content><text:p>One 1</text:p></text:table-of-content><text:h text:outline-level="1">One</text:h>'
        "<text:p>Light <text:span>came</text:span><text:s/>in.<text:note><text:note-citation>1</text:note-citation>"
        "<text:note-body><text:p>A note.</text:p></text:note-body></text:note> Then\n  <text:span>dark</text:span>."
        '<text:line-break/>End.</text:p><text:h text:outline-level="2">Inside</text:h>'
        "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell>"
        '<text:p>b</text:p></table:table-cell></table:table-row></table:table><text:h text:outline-level="1">Two</text:h>'
    )
    document = odt.parse(office.odt(tmp_path / "a", body), "a.odt")
    document.check()
    assert document.text == "One\n\nLight came in. Then dark.\nEnd.\n\n[A note.]\n\nInside\n\nitem\n\na | b\n\nTwo"
    assert (document.title, document.authors) == ("Of Lamps", ("Ada Stone",))
    assert [(c.level, c.title) for c in document.chapters] == [(1, "One"), (2, "Inside"), (1, "Two")]


def test_what_is_no_odt_locked_empty_or_a_bomb(tmp_path: Path) -> None:
    with pytest.raises(DocumentDamaged, match="no ODT"):
        odt.parse(office.write_zip(tmp_path / "a", {"x": "y"}), "a.odt")
    manifest = "<manifest><file-entry><encryption-data/></file-entry></manifest>"
    with pytest.raises(DocumentEncrypted):
        odt.parse(office.odt(tmp_path / "b", "", {"META-INF/manifest.xml": manifest}), "a.odt")
    with pytest.raises(DocumentEmpty):
        odt.parse(office.odt(tmp_path / "c", "<text:p> </text:p>"), "a.odt")
    with pytest.raises(DocumentDamaged, match="unpacks to more than 32 MB"):
        odt.parse(office.odt(tmp_path / "d", "x" * (archive.FILE_LIMIT + 10)), "a.odt")
