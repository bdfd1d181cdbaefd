from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli import main

TEXT = "# A book\n\n## Contents\n\nOne and Two\n\n## One\n\nThe lamp was lit.\n\n## Two\n\nThe lamp went out.\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def document(home: Path, tmp_path: Path) -> int:
    from app.documents.parse import parse_file
    from app.library.store import Library

    path = tmp_path / "book.md"
    path.write_text(TEXT)
    with Library(home, parse=parse_file) as library:
        return library.add_document(library.owner(), path, "book.md").document.id


def told(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert main(["chapters", "1", "--home", str(home), "--json", *arguments]) == status
    return json.loads(capsys.readouterr().out) if status == 0 else capsys.readouterr().err


def test_shown_corrected_and_as_found_again(home: Path, document: int, capsys: pytest.CaptureFixture[str]) -> None:
    first = told(home, capsys)["chapters"]
    assert [(one["title"], one["kind"], one["included"]) for one in first][-3:] == [
        ("Contents", "front", False), ("One", "body", True), ("Two", "body", True),
    ]  # fmt: skip
    number = len(first)
    changed = told(
        home, capsys, "--rename", f"{number}=Three", "--leave-out", str(number - 1), "--include", str(number - 2)
    )
    assert [(one["title"], one["included"]) for one in changed["chapters"]][-3:] == [
        ("Contents", True), ("One", False), ("Three", True),
    ]  # fmt: skip
    assert len(told(home, capsys, "--drop", str(number))["chapters"]) == number - 1
    assert told(home, capsys, "--reset")["chapters"] == first


def test_a_whole_list(home: Path, document: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"title": "All of it", "start": 0}]))
    assert [one["title"] for one in told(home, capsys, "--set", str(path))["chapters"]] == ["All of it"]
    path.write_text("[1]")
    assert "no list of titles" in told(home, capsys, "--set", str(path), status=1)
    assert "no chapter 9" in told(home, capsys, "--drop", "9", status=1)
    assert "NUMBER=TITLE" in told(home, capsys, "--rename", "x", status=1)


def test_for_people(home: Path, document: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chapters", "1", "--home", str(home)]) == 0
    shown = capsys.readouterr().out
    assert "Contents  (not read)" in shown and "One" in shown
