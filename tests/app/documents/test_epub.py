from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.documents import archive, epub
from app.documents.model import Document
from app.errors import DocumentDamaged, DocumentEmpty, DocumentEncrypted, DocumentWithoutText

Make = Callable[..., Path]
TWO = {
    "one.xhtml": "<h1>The First</h1><p>Call me a lamp.</p><h2 id='s'>Inside</h2><p>More light.</p>",
    "two.xhtml": "<h1>The Second</h1><p>Call me a wick.</p>",
}


def read(path: Path) -> Document:
    document = epub.parse(path, "book.epub")
    document.check()
    return document


def outline(document: Document) -> list[tuple[int, str, str]]:
    return [(c.level, c.title, document.text[c.start : c.end].strip()) for c in document.chapters]


def test_spine_metadata_and_navigation(make_epub: Make) -> None:
    nav = (
        '<ol><li><a href="one.xhtml">I. First</a><ol><li><a href="one.xhtml#s">Inside</a></li></ol></li>'
        '<li><span>A person</span><ol><li><a href="two.xhtml">II. <i>Second</i></a></li></ol></li>'
        '<li><a href="https://example.org/x">Elsewhere</a></li><li><a href="missing.xhtml">Missing</a></li></ol>'
    )
    document = read(make_epub(TWO, nav=nav))
    assert (document.title, document.authors, document.language) == ("The Lamp", ("Ada Stone",), "en")
    # the navigation document is in the spine and no part of the text
    assert document.text == "The First\n\nCall me a lamp.\n\nInside\n\nMore light.\n\nThe Second\n\nCall me a wick."
    assert outline(document) == [
        (1, "I. First", "The First\n\nCall me a lamp."),
        (2, "Inside", "Inside\n\nMore light."),
        (2, "II. Second", "The Second\n\nCall me a wick."),
    ]
    assert document.pages == ()


def test_the_contents_of_epub_2(make_epub: Make) -> None:
    ncx = (
        '<navPoint><navLabel><text>First</text></navLabel><content src="one.xhtml"/>'
        '<navPoint><navLabel><text>Inside</text></navLabel><content src="one.xhtml#s"/></navPoint></navPoint>'
        '<navPoint><navLabel><text>Second</text></navLabel><content src="two.xhtml"/></navPoint>'
    )
    assert [entry[:2] for entry in outline(read(make_epub(TWO, ncx=ncx)))] == [
        (1, "First"),
        (2, "Inside"),
        (1, "Second"),
    ]


def test_headings_where_there_are_no_contents(make_epub: Make) -> None:
    assert [entry[:2] for entry in outline(read(make_epub(TWO)))] == [
        (1, "The First"),
        (2, "Inside"),
        (1, "The Second"),
    ]


def test_the_order_is_the_spines_and_files_listed_twice_come_once(make_epub: Make) -> None:
    document = read(make_epub(TWO, spine=["two.xhtml", "one.xhtml", "two.xhtml"]))
    assert document.text.index("wick") < document.text.index("lamp")
    assert document.text.count("wick") == 1


def test_authors_by_their_roles_and_the_main_title(make_epub: Make) -> None:
    metadata = (
        '<dc:title id="s">A Subtitle</dc:title><meta refines="#s" property="title-type">subtitle</meta>'
        '<dc:title id="t">Main</dc:title><meta refines="#t" property="title-type">main</meta>'
        '<dc:creator opf:role="aut">Ada Stone</dc:creator><dc:creator opf:role="ill">Pic Ture</dc:creator>'
        '<dc:creator id="c">Bo Reed</dc:creator><meta refines="#c" property="role">trl</meta>'
        "<dc:creator>Cy Vale</dc:creator><dc:language>ja-JP</dc:language>"
    )
    document = read(make_epub(TWO, metadata=metadata))
    assert (document.title, document.authors, document.language) == ("Main", ("Ada Stone", "Cy Vale"), "ja")


def test_a_book_without_metadata_takes_its_first_heading(make_epub: Make) -> None:
    document = read(make_epub(TWO, metadata=""))
    assert (document.title, document.authors) == ("The First", ())


def test_names_in_other_scripts_and_percent_signs(make_epub: Make) -> None:
    nav = '<ol><li><a href="%E4%B8%80.xhtml#x">一</a></li><li><a href="b%20c.xhtml">二</a></li></ol>'
    document = read(make_epub({"一.xhtml": "<p id='x'>山路を登る。</p>", "b c.xhtml": "<p>二つ。</p>"}, nav=nav))
    assert [entry[1] for entry in outline(document)] == ["一", "二"]


def test_the_gutenberg_frame_is_left_out(make_epub: Make) -> None:
    head = "<p>The Project Gutenberg eBook of The Lamp</p><p>*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP ***</p>"
    foot = "<p>*** END OF THE PROJECT GUTENBERG EBOOK THE LAMP ***</p><p>Licence</p>"
    document = read(make_epub({"a.xhtml": head, "b.xhtml": "<h1>One</h1><p>Text.</p>", "c.xhtml": foot}))
    assert document.text == "One\n\nText."


def test_a_reference_outside_the_archive_leads_nowhere(make_epub: Make, tmp_path: Path) -> None:
    (tmp_path / "secret.xhtml").write_text("<html><body><p>secret</p></body></html>")
    path = make_epub(TWO)
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr("../secret.xhtml", "<html><body><p>inside secret</p></body></html>")
    package = zipfile.ZipFile(path).read("OPS/package.opf").decode()
    for href in ("../../secret.xhtml", "/etc/passwd", "file:///etc/passwd", "http://localhost/x"):
        changed = make_epub(TWO, extra={"OPS/package.opf": package.replace("two.xhtml", href)})
        assert read(changed).text.endswith("More light.")


def test_a_file_that_is_no_zip(tmp_path: Path) -> None:
    path = tmp_path / "x.epub"
    path.write_bytes(b"PK\x03\x04 but nothing more")
    with pytest.raises(DocumentDamaged, match="no EPUB"):
        epub.parse(path, "x.epub")


def test_a_zip_that_is_no_epub(tmp_path: Path) -> None:
    path = tmp_path / "x.epub"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("readme.txt", "hello")
    with pytest.raises(DocumentDamaged, match=r"container\.xml"):
        epub.parse(path, "x.epub")


def test_a_truncated_epub(make_epub: Make) -> None:
    path = make_epub(TWO)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DocumentDamaged):
        epub.parse(path, "x.epub")


def test_damaged_contents(make_epub: Make) -> None:
    path = make_epub({"one.xhtml": f"<p>{'many words of the text ' * 200}</p>"})
    data = bytearray(path.read_bytes())
    place = data.index(b"OPS/one.xhtml") + 40
    data[place : place + 20] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(DocumentDamaged, match=r"one\.xhtml"):
        epub.parse(path, "x.epub")


def encryption(algorithm: str) -> dict[str, str]:
    return {
        "META-INF/encryption.xml": (
            '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><enc:EncryptedData '
            f'xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptionMethod Algorithm="{algorithm}"/>'
            '<enc:CipherData><enc:CipherReference URI="OPS/one.xhtml"/></enc:CipherData></enc:EncryptedData>'
            "</encryption>"
        )
    }


def test_copy_protection_is_refused_and_obfuscated_fonts_are_not(make_epub: Make) -> None:
    locked = make_epub(TWO, extra=encryption("http://www.w3.org/2001/04/xmlenc#aes128-cbc"))
    with pytest.raises(DocumentEncrypted):
        epub.parse(locked, "x.epub")
    assert "lamp" in read(make_epub(TWO, extra=encryption("http://www.idpf.org/2008/embedding"))).text


def test_an_encrypted_zip(make_epub: Make) -> None:
    path = make_epub(TWO)
    data = bytearray(path.read_bytes())
    # the flag in the directory entry of every file
    place = -1
    while (place := data.find(b"PK\x01\x02", place + 1)) >= 0:
        data[place + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DocumentEncrypted):
        epub.parse(path, "x.epub")


def test_a_bomb_is_not_unpacked(make_epub: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_epub({"one.xhtml": "<p>" + "a" * (archive.FILE_LIMIT + 10) + "</p>"})
    assert path.stat().st_size < 2**20
    with pytest.raises(DocumentDamaged, match="more than 32 MB"):
        epub.parse(path, "x.epub")
    # many files, each within its limit
    monkeypatch.setattr(archive, "TOTAL_LIMIT", 3 * 2**20)
    path = make_epub({f"{n}.xhtml": "<p>" + "a" * 2**20 + "</p>" for n in range(5)})
    with pytest.raises(DocumentDamaged, match="unpacks to more"):
        epub.parse(path, "x.epub")


def test_more_files_than_any_book_has(make_epub: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ENTRY_LIMIT", 4)
    with pytest.raises(DocumentDamaged, match="more than 4 files"):
        epub.parse(make_epub(TWO), "x.epub")


def test_pictures_only(make_epub: Make) -> None:
    with pytest.raises(DocumentWithoutText) as caught:
        epub.parse(make_epub({"a.xhtml": "<img src='1.png'/>", "b.xhtml": "<img src='2.png'/>"}), "comic.epub")
    assert caught.value.pages == 2
    assert "OCR" in str(caught.value)


def test_a_book_without_any_file(make_epub: Make) -> None:
    with pytest.raises(DocumentEmpty):
        epub.parse(make_epub({}), "x.epub")
