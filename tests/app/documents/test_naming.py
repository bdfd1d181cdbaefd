from __future__ import annotations

import pytest

from app.documents.naming import looks_like_name, names_in, split_authors, tidy_name, tidy_title, title_from_filename


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("war-and-peace.txt", "War and Peace"),
        ("the_old_man_and_the_sea (1).epub", "The Old Man and the Sea"),
        ("san-guo-yan-yi.gb18030.txt", "San Guo Yan Yi"),
        ("红楼梦.txt", "红楼梦"),
        ("Moby Dick - vol. 1.pdf", "Moby Dick - vol. 1"),
        ("C:\\books\\x.y.md", "X Y"),
        ("../../etc/passwd.txt", "Passwd"),
        (".txt", "Untitled"),
        ("___.pdf", "Untitled"),
        ("RFC2616.txt", "RFC2616"),
    ],
)
def test_titles_from_filenames(filename: str, title: str) -> None:
    assert title_from_filename(filename) == title


def test_titles_are_one_clean_line() -> None:
    assert tidy_title(" A\r\n  B\x00\u202e ") == "A B"
    assert tidy_title(None) == ""
    assert len(tidy_title("x" * 1000)) == 300


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Jeffrey Dean and Sanjay Ghemawat", ("Jeffrey Dean", "Sanjay Ghemawat")),
        ("Ada Stone; Bo Reed", ("Ada Stone", "Bo Reed")),
        ("Ada Stone, Bo Reed, and Cy Vale", ("Ada Stone", "Bo Reed", "Cy Vale")),
        ("Dumas, Alexandre", ("Dumas, Alexandre",)),
        ("Louise and Aylmer Maude", ("Louise and Aylmer Maude",)),
        ("曹雪芹、高鹗", ("曹雪芹", "高鹗")),
        ("Anonymous", ()),
        ("", ()),
    ],
)
def test_authors_are_split_between_whole_names(text: str, names: tuple[str, ...]) -> None:
    assert split_authors(text) == names


def test_years_and_roles_fall_off_names() -> None:
    assert tidy_name("Carroll, Lewis, 1832-1898") == "Carroll, Lewis"
    assert tidy_name("Ada Stone (Editor)") == "Ada Stone"
    assert tidy_name(" Ada Stone* ") == "Ada Stone"


def test_names_under_a_title() -> None:
    assert names_in("Ada Stone1, Bo van Reed2∗ and Cy Vale†") == ("Ada Stone", "Bo van Reed", "Cy Vale")
    for line in ("Google, Inc.", "ada@example.org", "www.example.org", "Department of Physics, University of Ulm"):
        assert names_in(line) == ()
    assert not looks_like_name("A Short History Of Nearly Every Thing")
    assert not looks_like_name("INTRODUCTION CONTINUED")
