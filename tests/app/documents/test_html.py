from __future__ import annotations

import socket
from pathlib import Path

import pytest

from app.documents import html
from app.documents.model import Document
from app.errors import DocumentEmpty, EncodingUnknown, EncodingWrong

PAGE = (
    "<html lang='en'><head><title>The Lamp</title><meta name=author content='Ada Stone'>{meta}</head><body>"
    "<h1>The Lamp</h1><h2>Contents</h2><ul><li><a href='#1'>One</a></ul>"
    "<h2 id=1>One</h2><p>Light&nbsp;came — “caf\u00e9”.<p>More.<h3>Inside</h3><p>Wick.<h2>Two</h2><p>Dark.</body></html>"
)


def read(data: bytes, **options: str) -> Document:
    document = html.parse(data, "page.html", **options)
    document.check()
    return document


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("", "utf-8"),
        ("", "utf-8-sig"),
        ("", "utf-16"),
        ("<meta charset=windows-1252>", "cp1252"),
        ("<meta http-equiv=Content-Type content='text/html; charset=iso-8859-1'>", "cp1252"),
        # saved anew as UTF-8 by a program that left the declaration alone
        ("<meta charset=iso-8859-1>", "utf-8"),
        ("<meta charset=no-such-thing>", "utf-8"),
    ],
)
def test_a_page_in_the_encodings_of_the_web(declared: str, codec: str) -> None:
    document = read(PAGE.format(meta=declared).encode(codec))
    assert (document.title, document.authors, document.language) == ("The Lamp", ("Ada Stone",), "en")
    assert "Light came — “café”." in document.text
    assert [(c.kind, c.level, c.title) for c in document.chapters] == [
        ("front", 1, "Contents"),
        ("body", 1, "One"),
        ("body", 2, "Inside"),
        ("body", 1, "Two"),
    ]


def test_japanese_pages_with_and_without_a_declaration() -> None:
    prose = "<p>" + "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 8
    for codec, name in (("cp932", "Shift_JIS"), ("euc_jp", "EUC-JP"), ("iso2022_jp", "ISO-2022-JP")):
        assert "吾輩は猫である" in read(f"<meta charset={name}>{prose}".encode(codec)).text
        assert "吾輩は猫である" in read(prose.encode(codec)).text


def test_a_named_encoding_wins_and_a_wrong_one_is_told() -> None:
    data = "<meta charset=utf-8><p>Привет, мир".encode("koi8-r")
    assert read(data, encoding="koi8-r").text == "Привет, мир"
    with pytest.raises(EncodingWrong) as caught:
        read(data, encoding="utf-8")
    assert caught.value.position == data.index(b"\xf0")
    for name in ("klingon", "base64", "\0"):
        with pytest.raises(EncodingUnknown, match="gb18030"):
            read(data, encoding=name)


def test_nothing_is_fetched_and_no_script_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    page = (
        f"<!DOCTYPE html [<!ENTITY s SYSTEM '{secret.as_uri()}'>]><html><head><link rel=stylesheet href='http://x.test/a'>"
        "<script src='http://x.test/b'></script></head><body onload='c()'><img src='http://x.test/d' alt='e'>"
        "<script>f()</script><iframe src='http://x.test/g'></iframe><p onclick='h()'>Text &s;.</p></body></html>"
    )
    text = read(page.encode()).text
    # the rest of a document type shows in a browser too
    assert text.endswith("Text &s;.") and "the secret" not in text
    assert not any(word in text for word in ("x.test", "f()", "h()", "onclick"))


def test_gutenbergs_frame_in_a_pre() -> None:
    page = (
        "<pre>\n\nTitle: The Lamp\n\nAuthor: Ada Stone\n\n*** START OF THIS PROJECT GUTENBERG EBOOK THE LAMP ***\n\n"
        "Produced by nobody\n\n</pre><h1>THE LAMP</h1><h3>CHAPTER I. Oil</h3><p>Text.</p><h3>CHAPTER II. Fire</h3>"
        "<p>End.</p><pre>\nEnd of the Project Gutenberg EBook\n\n*** END OF THIS PROJECT GUTENBERG EBOOK ***\n\nLicence</pre>"
    )
    document = read(page.encode())
    assert document.text == "THE LAMP\n\nCHAPTER I. Oil\n\nText.\n\nCHAPTER II. Fire\n\nEnd."
    assert [c.title for c in document.chapters] == ["CHAPTER I. Oil", "CHAPTER II. Fire"]
    assert (document.title, document.authors) == ("The Lamp", ("Ada Stone",))


def test_pages_of_nothing() -> None:
    for page in (b"<html></html>", b"<p> </p>", b"<script>x</script>"):
        with pytest.raises(DocumentEmpty):
            read(page)
