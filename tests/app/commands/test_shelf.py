"""``lectern edit`` and what ``lectern list --json`` says of a document, over a real library and without a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import cli
from app.documents.parse import parse_file
from app.library.store import Library


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LECTERN_CACHE", str(tmp_path / "cache"))
    tale = tmp_path / "tale.txt"
    tale.write_text("The keeper of the lamp was called Tamsin Vole.\n\nHer dog was called Button.\n")
    with Library(tmp_path / "home", parse=parse_file) as library:
        library.add_document(library.owner(), tale, "tale.txt")
    return tmp_path / "home"


def ran(home: Path, *arguments: object) -> int:
    return cli.main(["--home", str(home), *map(str, arguments)])


def test_what_the_shelf_says_is_corrected(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authors = ["--author", "A. Stone", "--author", "B. Reed"]
    assert ran(home, "edit", 1, "--title", "The Lamp", *authors, "--year", 1901, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "id": 1,
        "title": "The Lamp",
        "authors": ["A. Stone", "B. Reed"],
        "year": 1901,
        "language": "en",
        "identifiers": [],
    }
    assert ran(home, "edit", 1, "--language", "French") == 0
    assert capsys.readouterr().out.strip() == "1  The Lamp — A. Stone, B. Reed (1901, fr)"
    assert ran(home, "list", "--json") == 0
    (item,) = json.loads(capsys.readouterr().out)
    assert (item["title"], item["author"], item["year"]) == ("The Lamp", "A. Stone, B. Reed", 1901)
    assert (item["language"], item["words"], item["identifiers"]) == ("fr", 14, [])


@pytest.mark.parametrize(
    "wrong", [[], ["--title", " "], ["--year", "soon"], ["--year", "0"], ["--language", "gibberish"]]
)
def test_what_makes_no_sense_is_wrong_usage(home: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ran(home, "edit", 1, *wrong)
    assert ended.value.code == 2


def test_another_document(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(home, "edit", 7, "--title", "x") == 1
    assert "no document 7" in capsys.readouterr().err


def test_a_later_state_takes_the_place(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = tmp_path / "tale-2.txt"
    later.write_text((tmp_path / "tale.txt").read_text() + "\nOne day the dog came home alone, wet to the ears.\n")
    with Library(home, parse=parse_file) as library:
        newer = library.add_document(library.owner(), later, "tale-2.txt").document
    assert ran(home, "edit", 1, "--newer", newer.id, "--title", "The Lamp", "--json") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "The Lamp"
    assert ran(home, "list", "--json") == 0
    (item,) = json.loads(capsys.readouterr().out)
    assert (item["id"], item["title"], item["sha256"]) == (1, "The Lamp", newer.sha256)
    assert ran(home, "edit", 1, "--newer", 1) == 1
    assert "itself" in capsys.readouterr().err
