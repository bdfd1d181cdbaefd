from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.documents import encoding
from app.documents.encoding import NotText, decode, detect, refuse_binary
from app.errors import DocumentUnreadable, EncodingWrong

SIMPLIFIED = "话说天下大势，分久必合，合久必分。这一天，他和朋友们在学校里看书，说了很多有意思的话。"
TRADITIONAL = "卻說眾人來到門前，見一老者。老者曰：「你們從何處來？」眾人說：「我們從東邊來，要到西邊去。」"
JAPANESE = "山の上に小さな家があった。そこに一人の男が住んでいて、毎日ノートに何かを書いていた。"
FRENCH = "Été comme hiver, le château était fermé. «Où êtes-vous?» demanda-t-elle à sa sœur."
ENGLISH = "“Well,” he said—“it’s café time…” and so they went, “all of them.”"


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (SIMPLIFIED, "gb18030"),
        ("第一回 春日", "gb18030"),
        ("红楼梦", "gb18030"),
        (SIMPLIFIED + "㐀𠀀", "gb18030"),
        (TRADITIONAL, "big5"),
        ("三國演義", "big5"),
        ("第一回 春日", "big5"),
        (JAPANESE, "cp932"),
        ("山の上", "cp932"),
        (JAPANESE, "euc_jp"),
        (FRENCH, "cp1252"),
        (FRENCH.replace("œ", "oe"), "latin-1"),
        (ENGLISH, "cp1252"),
        ("naïve", "cp1252"),
        ("Größe über alles: Mädchen, schön, Straße", "cp1252"),
        ("Все счастливые семьи похожи друг на друга, каждая по-своему.", "cp1251"),
        (
            "Litwo! Ojczyzno moja! ty jesteś jak zdrowie; Ile cię trzeba cenić, ten tylko się dowie. Dziś piękność "
            "twą w całej ozdobie widzę i opisuję, bo tęsknię po tobie.",
            "cp1250",
        ),
        ("plain ASCII", "ascii"),
        (ENGLISH + SIMPLIFIED + FRENCH, "utf-8"),
        (ENGLISH + SIMPLIFIED, "utf-8-sig"),
        (ENGLISH + SIMPLIFIED, "utf-16"),
        (ENGLISH + SIMPLIFIED, "utf-16-le"),
        (ENGLISH + SIMPLIFIED, "utf-16-be"),
        ("\n".join(SIMPLIFIED), "utf-16-le"),
        (ENGLISH, "utf-32"),
    ],
)
def test_text_comes_back_as_it_was_written(text: str, codec: str) -> None:
    assert decode(text.encode(codec)) == text


def test_a_few_letters_far_from_the_sampled_places_are_found() -> None:
    filler = b"nothing but plain words on this line\n" * 20_000
    data = filler + "le château était fermé\n".encode("cp1252") + filler
    assert "le château était fermé" in decode(data)


def test_one_long_line_of_ascii_takes_no_quadratic_time() -> None:
    assert detect(b"a" * 5_000_000 + b"\xe9" + b"a" * 5_000_000) == "cp1252"


def test_utf8_with_a_broken_place_stays_utf8() -> None:
    data = (SIMPLIFIED * 20).encode()
    assert decode(data[:100] + b"\xff" + data[100:]).replace("\ufffd", "").count("话说天下") >= 19


def test_stray_zero_bytes_are_no_utf16() -> None:
    assert detect(b"some plain words " * 100 + b"\x00" + "é".encode()) == "utf-8"


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n rest",
        b"%PDF-1.7 rest",
        b"PK\x03\x04 rest",
        b"\x7fELF\x02\x01",
        bytes(range(256)) * 4,
        b"hello\x00 world\x00\x00 of\x00 bytes",
        random.Random(1).randbytes(3000),
        bytes(byte or 1 for byte in random.Random(2).randbytes(3000)),
    ],
)
def test_binary_data_is_refused(data: bytes) -> None:
    with pytest.raises(NotText):
        detect(data)
    with pytest.raises(NotText):
        refuse_binary(data)


def test_a_head_cut_inside_a_character_is_text() -> None:
    for codec in ("utf-8", "gb18030", "big5", "utf-16-le"):
        refuse_binary((TRADITIONAL if codec == "big5" else SIMPLIFIED).encode(codec)[:61])


def test_short_pieces_of_a_real_novel(shared: Path) -> None:
    text = (shared / "books" / "hong-lou-meng.txt").read_text("utf-8")
    chance = random.Random(7)
    pieces = [text[n : n + 20].strip() for n in (chance.randrange(len(text) - 20) for _ in range(300))]
    # "?" stands in this file for what its makers could not write
    pieces = [piece for piece in pieces if not piece.isascii()]
    for codec in ("gb18030", "big5"):
        encoded = [piece.encode(codec, "ignore") for piece in pieces]
        right = sum(decode(data) == data.decode(codec) for data in encoded)
        assert right >= 0.98 * len(encoded), (codec, right, len(encoded))


def test_curly_quotes_of_english_are_no_japanese(shared: Path) -> None:
    text = (shared / "books" / "moby-dick.txt").read_text("utf-8-sig")
    chance = random.Random(7)
    pieces = [text[n : n + 400].encode("cp1252", "ignore") for n in (chance.randrange(len(text)) for _ in range(200))]
    assert sum(decode(piece) == piece.decode("cp1252", "replace") for piece in pieces) >= 198


def test_english_with_much_french_is_no_czech(shared: Path) -> None:
    text = (shared / "books" / "war-and-peace.txt").read_text("utf-8-sig")
    data = text.encode("cp1252", "ignore")
    assert decode(data) == data.decode("cp1252")


@pytest.mark.parametrize(
    ("name", "codec"), [("GB2312", "gb18030"), ("latin-1", "cp1252"), ("Shift_JIS", "cp932"), ("utf-8", "utf-8")]
)
def test_a_named_encoding_is_read_by_its_superset(name: str, codec: str) -> None:
    assert encoding.usual_name(name) == codec
    assert encoding.decode("“x”".encode(codec), name) == "“x”"


def test_iso_2022() -> None:
    assert encoding.decode(("吾輩は猫である。" * 9).encode("iso2022_jp")).startswith("吾輩は猫である。")


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80), st.sampled_from(("utf-8", "utf-16", "gb18030")))
def test_what_was_written_in_a_named_encoding_is_read_back(text: str, name: str) -> None:
    assert encoding.decode(text.encode(name), name) == text.removeprefix("\ufeff")


def test_a_file_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("三国演义".encode("big5hkscs", "ignore") + "演義".encode("big5"))
    assert encoding.to_utf8(path, "a.txt", "big5").decode().endswith("演義")
    with pytest.raises(EncodingWrong):
        encoding.to_utf8(path, "a.txt", "utf-8")
    with pytest.raises(DocumentUnreadable):
        encoding.to_utf8(tmp_path / "none", "a.txt", "utf-8")
