from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from app.cli import main, parse
from app.commands.common import open_desk
from app.commands.notes import limits
from app.documents.parse import parse_file
from app.errors import PlaceInvalid
from app.library.notes import Notes
from app.library.store import Library
from app.settings import Settings

TEXT = "# A book\n\n## One\n\nThe lamp was lit.\n\n## Two\n\nThe lamp went out.\n\n## Three\n\nNobody knew why.\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With two books, the first of which has a note."""
    home = tmp_path / "home"
    with Library(home, parse=parse_file) as library:
        owner = library.owner()
        for name in ("book.md", "other.md"):
            (tmp_path / name).write_text(TEXT + f"\n{name}\n", encoding="utf-8")
            document = library.add_document(owner, tmp_path / name, name).document
            text = library.text(document.text_sha256)
        Notes(library).add(owner, 1, text.index("went out"), text.index("went out") + 8, note="why?", colour="blue")
    return home


def told(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main([arguments[0], "--home", str(home), *arguments[1:]]) == status
    return capsys.readouterr().out if status == 0 else capsys.readouterr().err


def test_notes_are_listed_and_written_out(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (row,) = json.loads(told(home, capsys, "notes", "--json"))
    assert (row["quote"], row["note"], row["chapter"], row["colour"]) == ("went out", "why?", "Two", "blue")
    assert json.loads(told(home, capsys, "notes", "2", "--json")) == []
    assert "Two: went out" in told(home, capsys, "notes", "1")
    assert "> went out" in told(home, capsys, "export-notes")
    assert told(home, capsys, "export-notes", "1", "--format", "anki").startswith("#separator:Comma\n")
    out = tmp_path / "notes.json"
    made = json.loads(told(home, capsys, "export-notes", "--format", "json", "--out", str(out), "--json"))
    assert made["notes"] == 1 and json.loads(out.read_text(encoding="utf-8"))[0]["quote"] == "went out"
    told(home, capsys, "export-notes", "--format", "docx", "--out", str(tmp_path / "notes.docx"))
    assert "went out\n\nwhy?" in parse_file(tmp_path / "notes.docx", "notes.docx").text
    assert "lectern list" in told(home, capsys, "notes", "9", status=1)


def test_the_guard_is_set_shown_and_taken_away(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(told(home, capsys, "upto", "1", "--json"))["upto"] is None
    set_ = json.loads(told(home, capsys, "upto", "1", "Three", "--json"))
    assert 0 < set_["upto"] < set_["characters"]
    assert json.loads(told(home, capsys, "search", "Nobody knew", "--json"))["count"] == 1
    assert "nothing behind that is told" in told(home, capsys, "upto", "1")
    assert "no place" in told(home, capsys, "upto", "1", "Seventeen", status=1)
    assert json.loads(told(home, capsys, "upto", "1", "--clear", "--json"))["upto"] is None
    assert json.loads(told(home, capsys, "search", "Nobody knew", "--json"))["count"] == 2


def test_a_question_is_limited_in_the_documents_it_names(home: Path, tmp_path: Path) -> None:
    def asked(*arguments: str) -> Any:
        options: argparse.Namespace = parse(["ask", "Why?", *arguments])
        with open_desk(Settings.load({"home": home, "cache": tmp_path / "cache"}, {})) as desk:
            return limits(desk, options)

    three = asked("--doc", "1", "--upto", "Three")[1]
    assert asked("--doc", "1") is None and three > asked("--doc", "1", "--upto", "Two")[1] > 0
    assert asked("--doc", "1", "2", "--upto", "2:Three") == {2: three}
    with pytest.raises(PlaceInvalid):
        asked("--doc", "1", "2", "--upto", "Three")
