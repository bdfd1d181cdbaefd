"""The commands about the library, as processes over a home; none of them needs the model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.app.test_cli import TALE, Lectern


@pytest.fixture
def lectern(tmp_path: Path) -> Lectern:
    return Lectern(tmp_path / "home", tmp_path / "no-model")


@pytest.fixture
def tale(tmp_path: Path) -> Path:
    path = tmp_path / "tale.txt"
    path.write_text(TALE * 20, encoding="utf-8")
    return path


def test_the_library_from_the_command_line(lectern: Lectern, tale: Path, tmp_path: Path) -> None:
    folder = tmp_path / "books"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(tale, folder / "deep" / "tale.txt")
    (folder / "other.md").write_text("# Other\n\nButton was also a cat, wrote 曹操.\n", encoding="utf-8")
    (folder / "empty.txt").touch()
    (folder / "picture.jpg").touch()
    # one at a time: ids in the order of the folder
    taken = lectern("import", folder, "--workers", 1, "--json")
    assert taken.status == 1
    assert [row["id"] for row in taken.json] == [1, None, 2]
    assert "empty.txt" in taken.err
    (folder / "empty.txt").unlink()
    again = lectern("import", folder, "--json")
    assert again.status == 0
    assert [row["already"] for row in again.json] == [True, True]

    found = lectern("search", "button", "--limit", 3, "--json").json
    assert found["count"] == 21
    assert [hit["document"] for hit in found["hits"]] == [1, 1, 2]
    expected = {"document", "title", "start", "stop", "page", "chapter", "snippet"}
    assert all(set(hit) == expected for hit in found["hits"])
    assert lectern("search", "曹操", "--doc", 2, "--json").json["count"] == 1
    assert lectern("search", '"unbalanced', "--json").json == {"count": 0, "documents": [], "hits": []}

    assert lectern("tag", 1, 2, "--add", "sea", "--json").json[1]["tags"] == ["sea"]
    assert [item["tags"] for item in lectern("list", "--json").json] == [["sea"], ["sea"]]
    assert lectern("remove", 1, 99).status == 1
    assert lectern("remove", 1).status == 0
    assert [item["id"] for item in lectern("list", "--json").json] == [2]
    assert [row["id"] for row in lectern("restore-document", "--json").json] == [1]
    assert lectern("restore-document", 1).status == 0

    saved = tmp_path / "saved.zip"
    assert lectern("backup", saved, "--json").json["documents"] == 2
    refused = lectern("restore", saved)
    assert refused.status == 1 and "library.db" in refused.err
    second = Lectern(tmp_path / "second", lectern.model)
    restored = second("restore", saved, "--json")
    assert restored.json["problems"] == [] and restored.json["documents"] == 2
    assert [item["tags"] for item in second("list", "--json").json] == [["sea"], ["sea"]]
