"""``lectern readings`` over a home that the real engine filled, with a tiny random model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.test_cli import TALE, Lectern
from tests.engine.conftest import make_checkpoint


@pytest.fixture
def lectern(tmp_path: Path) -> Lectern:
    model = make_checkpoint(tmp_path / "tiny", "llama", max_position_embeddings=8192)
    return Lectern(tmp_path / "home", model)


@pytest.fixture
def tale(tmp_path: Path) -> Path:
    path = tmp_path / "tale.txt"
    path.write_text(TALE * 40, encoding="utf-8")
    return path


def test_readings_are_listed_checked_and_repaired(lectern: Lectern, tale: Path) -> None:
    lectern("add", tale)
    (read,) = lectern("read", "--json").json
    lectern("ask", "--doc", "1", "Who?", "--max-tokens", "4")
    rows = lectern("readings", "--json").json
    (row,) = [row for row in rows if row["documents"]]
    assert row["documents"] == [{"id": 1, "title": read["title"]}] and row["policies"] == ["dense"]
    # the opening and the conversation are the others
    (other,) = [row for row in rows if not row["documents"]]
    assert row["tokens"] < read["tokens"]["context"] < row["tokens"] + other["tokens"]
    files = sorted((lectern.home / "readings").rglob("*.kv"), key=lambda path: path.stat().st_size)
    assert sum(one["bytes"] for one in rows) == sum(path.stat().st_size for path in files)
    assert "conversations and others" in lectern("readings").out

    sound = lectern("readings", "check", "--json")
    assert (sound.status, sound.json["files"], sound.json["bad"]) == (0, len(files), [])
    content = bytearray(files[-1].read_bytes())
    content[-300] ^= 1
    files[-1].write_bytes(content)
    checked = lectern("readings", "check")
    assert (checked.status, files[-1].name in checked.out, files[-1].exists()) == (1, True, True)
    repaired = lectern("readings", "check", "--repair", "--json")
    assert (repaired.status, files[-1].exists()) == (0, False)
    assert [bad["file"] for bad in repaired.json["bad"]] == [files[-1].name]
    assert lectern("readings", "check", "--json").json["bad"] == []
    asked = lectern("ask", "--doc", "1", "Who?", "--max-tokens", "4", "--json").json
    assert asked["tokens"]["prefilled"] > 1000 and files[-1].exists()
