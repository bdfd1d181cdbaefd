"""Artefacts and the writing desk from the command line, in this process and over a plain engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.commands import common
from app.documents.parse import parse_file
from app.library.store import Library
from tests.app.reading.conftest import Machine, PlainEngine
from tests.ui.books import tale

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("make", …)``: the exit status, what went to stdout and to stderr; a tale is document 1."""
    home = tmp_path / "home"
    for name, value in (("HOME", home), ("CACHE", tmp_path / "cache"), ("MODEL", "plain")):
        monkeypatch.setenv(f"LECTERN_{name}", str(value))
    # a log of this process would outlive the test
    monkeypatch.setattr(cli, "_log_to_file", lambda settings: None)
    machine = Machine()
    monkeypatch.setattr(common, "local_engines", lambda settings: lambda name: PlainEngine(name, machine))
    path = tmp_path / "tale.txt"
    path.write_text(tale(chapters=2), encoding="utf-8")
    with Library(home, parse=parse_file) as library:
        library.add_document(library.owner("local"), path, "tale.txt")

    def call(*arguments: object) -> tuple[int, str, str]:
        status = cli.main([str(one) for one in arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def told(said: tuple[int, str, str]) -> Any:
    assert said[0] == 0, said
    return json.loads(said[1].splitlines()[-1])


def test_an_artefact(run: Run, tmp_path: Path) -> None:
    templates = told(run("templates", "--json"))
    assert len(templates) == 21 and all(one["id"] for one in templates)
    made = told(run("make", "timeline", "--doc", 1, "--window", 600, "--json"))
    assert made["state"] == "done" and made["items"][0]["evidence"][0]["chapter"]
    assert [one["template"] for one in told(run("artefacts", "--json"))] == ["timeline"]
    status, shown, _ = run("artefact", 1)
    assert status == 0 and shown.startswith("# Timeline")
    path = tmp_path / "made.pdf"
    assert run("artefact", 1, "--format", "pdf", "--output", path)[0] == 0 and path.read_bytes().startswith(b"%PDF")
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps({"items": [{**made["items"][0], "what": "Nothing at all."}]}), "utf-8")
    assert told(run("artefact", 1, "--edit", edited, "--rename", "Days", "--json"))["version"] == 2
    compared = told(run("artefact", 1, "--compare", 1, "--json"))
    assert compared["removed"] or compared["changed"]
    again = told(run("make", "--again", 1, "--json"))
    assert again["version"] == 3 and len(again["items"]) == len(made["items"])
    assert run("artefact", 1, "--remove")[0] == 0 and told(run("artefacts", "--json")) == []


def test_a_comparison_has_the_columns_chosen(run: Run) -> None:
    status, out, _ = run("make", "comparison", "--doc", 1, "--columns", "setting, mood", "--parts", 1)
    assert status == 0 and "| Document | setting | mood |" in out


def test_templates_of_ones_own(run: Run, tmp_path: Path) -> None:
    assert run("templates", "quiz", "--copy", "my-quiz")[0] == 0
    source = json.loads(run("templates", "my-quiz")[1])
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**source, "items": [0, 3]}), "utf-8")
    status, _, err = run("templates", "--save", path)
    assert status == 1 and "has a mistake, at items" in err
    path.write_text("{", "utf-8")
    assert "is not JSON" in run("templates", "--save", path)[2]
    assert run("templates", "my-quiz", "--remove")[0] == 0
    assert "no template" in run("templates", "my-quiz")[2]


def test_bad_input_is_told(run: Run) -> None:
    for arguments, said in (
        (("make", "timeline"), "No document is chosen"),
        (("make", "timeline", "--doc", 9), "no document 9"),
        (("make", "horoscope", "--doc", 1), "no template"),
        (("make", "quiz", "--doc", 1, "--max-tokens", 40), "tokens"),
        (("artefact", 5), "no artefact 5"),
        (("write", "show", 5), "no draft 5"),
        (("write", "sing", 5), "no task"),
    ):
        status, _, err = run(*arguments)
        assert status == 1 and said in err, err


def test_a_draft(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "draft.txt"
    path.write_text("The lamp was lit.", "utf-8")
    draft = told(run("write", "new", "--title", "Lamp", "--doc", 1, "--file", path, "--json"))
    written = told(run("write", "continue", draft["id"], "--versions", 2, "--json"))
    assert len(written["options"]) == 2
    chosen = told(run("write", "choose", draft["id"], "--option", written["options"][0]["id"], "--json"))
    assert chosen["text"] == "The lamp was lit. A plain answer."
    assert len(told(run("write", "versions", draft["id"], "--json"))) == 2
    assert told(run("write", "restore", draft["id"], "--number", 1, "--json"))["text"] == "The lamp was lit."
    style = told(run("write", "style", draft["id"], "--passage", "1:0-200", "--json"))
    assert style["options"][0]["items"]
    book = tmp_path / "lamp.epub"
    assert run("write", "export", draft["id"], "--format", "epub", "--output", book)[0] == 0
    assert "The lamp was lit." in parse_file(book, book.name).text
    assert [one["title"] for one in told(run("write", "list", "--json"))] == ["Lamp"]
    assert run("write", "remove", draft["id"])[0] == 0
