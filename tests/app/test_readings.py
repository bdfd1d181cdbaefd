"""``lectern readings`` over a home that the real engine filled, with a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock

from app.reading.desk import Desk
from app.readings import kept_files
from engine.keptfile import read_header
from tests.app.test_cli import SECONDS, TALE, Lectern, server
from tests.engine.conftest import make_checkpoint

__all__ = ["server"]  # a fixture


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
    # with a limit on threads from outside, results must be whole all the same
    lectern.environ["OMP_THREAD_LIMIT"] = "1"
    lectern("add", tale)
    (read,) = lectern("read", "--json").json
    lectern("ask", "--doc", "1", "Who?", "--max-tokens", "4")
    rows = lectern("readings", "--json").json
    kinds = {row["kind"]: row for row in rows}
    row, conversation, other = (kinds[kind] for kind in ("document", "conversation", "other"))
    assert row["documents"] == [{"id": 1, "title": read["title"]}] and row["policies"] == ["dense"]
    assert conversation["conversation"] == {"id": 1, "title": "Who?"} and conversation["behind"] == row["documents"]
    # the opening is the other
    assert row["tokens"] + other["tokens"] == read["tokens"]["context"] < sum(one["tokens"] for one in rows)
    assert (row["pinned"], row["storage"], len(rows)) == (False, "exact", 3)
    files = sorted((lectern.home / "readings").rglob("*.kv"), key=lambda path: path.stat().st_size)
    assert sum(one["bytes"] for one in rows) == sum(path.stat().st_size for path in files)
    listed = lectern("readings").out
    assert "openings and others" in listed and "conversation 1: Who? [" in listed and "free on the disk" in listed

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


def test_readings_are_pinned_and_made_smaller(lectern: Lectern, tale: Path) -> None:
    lectern("add", tale)
    lectern("read")
    assert lectern("readings", "pin", "1").status == 0
    (row,) = [row for row in lectern("readings", "--json").json if row["documents"]]
    assert row["pinned"] and "pinned" in lectern("readings").out
    assert lectern("readings", "unpin", "1", "--json").json == {"documents": [1], "pinned": False}
    missing = lectern("readings", "pin", "1", "7")
    assert missing.status == 1 and "7" in missing.err
    assert lectern("readings", "pin").status == lectern("readings", "check", "1").status == 2
    before = lectern("ask", "--doc", "1", "Who?", "--max-tokens", "4", "--temperature", "0", "--json").json
    made = lectern("readings", "compact", "--json").json
    assert made["files"] >= 1 and made["failed"] == 0 and 0.3 * row["bytes"] < made["saved"] < row["bytes"]
    (row,) = [row for row in lectern("readings", "--json").json if row["documents"]]
    assert "int8" in row["storage"] and not row["pinned"]
    assert lectern("readings", "check", "--json").json["bad"] == []
    after = lectern("ask", "--doc", "1", "And who else?", "--max-tokens", "4", "--json").json
    assert after["tokens"]["prefilled"] < 100 and before["tokens"]["reused"] <= after["tokens"]["reused"]


def test_only_one_writes_kept_readings(lectern: Lectern, tale: Path) -> None:
    lectern("add", tale)
    with FileLock(lectern.home / "engine.lock"):
        refused = lectern("readings", "compact")
    assert refused.status == 1 and "another Lectern" in refused.err


def test_books_are_asked_together_as_they_were_read_alone(lectern: Lectern, tale: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("A ship called Wren came in. Nobody had lit the lamp.\n\n" * 60, encoding="utf-8")
    lectern("add", tale, other)
    read = lectern("read", "--json").json
    options = ["--max-tokens", "4", "--temperature", "0", "--json"]
    asked = lectern("ask", "--doc", "1", "2", "Who?", "--quick", *options).json
    opening = sum(row["tokens"]["context"] for row in read) - asked["tokens"]["reused"]
    assert asked["quick"] and 0 < opening < 500 and asked["tokens"]["prefilled"] < 100
    # the conversation goes on as it began
    on = lectern("ask", "--thread", asked["thread"], "And?", *options).json
    assert on["quick"] and on["tokens"]["prefilled"] < 100
    # exactly, the second is read behind the first
    exact = lectern("ask", "--doc", "1", "2", "Who?", *options).json
    assert not exact["quick"] and exact["tokens"]["prefilled"] > 500


def test_the_command_line_beside_a_server(lectern: Lectern, server: Desk, tale: Path, tmp_path: Path) -> None:
    """Several commands at once on the home of a server: it alone works, nothing is lost, no page is written twice."""
    other = tmp_path / "other.txt"
    other.write_text("A ship called Wren came in. Nobody had lit the lamp.\n\n" * 60, encoding="utf-8")
    assert lectern("add", tale, other).status == 0
    options = ["--max-tokens", "3", "--json"]
    commands = [
        ["read", "--json"],
        ["ask", "--doc", "1", "2", "Who?", *options],
        ["ask", "--doc", "2", "Wren?", *options],
    ]
    running = [lectern.start(*command) for command in commands]
    for process in running:
        with process:
            out, err = process.communicate(timeout=SECONDS)
            assert process.returncode == 0 and "Traceback" not in err and json.loads(out.splitlines()[-1])
    assert {item.state for item in server.shelf("local")} == {"read"}
    assert [len(server.thread("local", thread.id)[1]) for thread in server.threads("local")] == [1, 1]
    assert server.library.check() == []
    # no command ever held the lock, and every piece lies in one file
    logs = "".join(path.read_text("utf-8") for path in (lectern.home / "logs").iterdir())
    assert "working the queue" not in logs
    pieces = [key for path in kept_files(lectern.home / "readings") for key, _ in read_header(path).pieces]
    assert len(pieces) == len(set(pieces))
    assert lectern("readings", "check", "--json").json["bad"] == []
    assert lectern("readings", "compact").status == 1
