from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from app.documents.parse import parse_file
from app.library.store import Library
from app.reading.desk import Desk
from app.settings import Settings
from app.ui import settings as panel
from app.ui.backups import ADDRESS, Backups, Served
from app.ui.seat import LOCAL
from tests.app.reading.conftest import Machine, PlainEngine, until


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    chosen = Settings.load({"home": tmp_path / "home", "cache": tmp_path / "cache", "model": "plain"}, {})
    path = tmp_path / "book.txt"
    path.write_text("A tale of some length. " * 20_000, encoding="utf-8")
    with Library(chosen.home, parse=parse_file) as library:
        desk = Desk(chosen, library, lambda name: PlainEngine(name, Machine()))
        desk.add(LOCAL, path, "book.txt")
        yield desk


@pytest.fixture
def backups(desk: Desk) -> Backups:
    return Backups(desk)


def made(backups: Backups) -> dict[str, object]:
    until(lambda: "making" not in backups.show(), "the backup was not made")
    return backups.show()["ready"]  # type: ignore[no-any-return]


def test_a_backup_is_made_apart_and_served_at_its_address_alone(backups: Backups) -> None:
    assert backups.show() == {}
    backups.make()
    ready = made(backups)
    client = TestClient(Served(PlainTextResponse("the page"), backups=backups))
    answer = client.get(str(ready["address"]))
    assert len(answer.content) == ready["size"] and str(ready["name"]) in answer.headers["content-disposition"]
    assert client.get("/").text == "the page"
    for wrong in (ADDRESS, f"{ADDRESS}x/{ready['name']}", str(ready["address"]) + "x", f"{ADDRESS}../library.db"):
        assert "PK" not in client.get(wrong).text[:2] and client.get(wrong).status_code in (200, 404)
    # another process of this home finds it, under another address
    other = Backups(backups._desk).show()["ready"]
    assert other["name"] == ready["name"] and other["address"] != ready["address"]
    assert (backups.folder.stat().st_mode & 0o777) == 0o700
    backups.drop()
    assert backups.show() == {} and client.get(str(ready["address"])).status_code == 404


def test_it_is_stopped_and_a_failure_is_told_once(
    backups: Backups, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = threading.Event()
    real = zipfile.ZipFile.writestr

    def wait(*said: object, **more: object) -> None:
        on.wait(10)
        real(*said, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile.ZipFile, "writestr", wait)
    backups.make()
    until(lambda: backups.show()["making"]["done"] > 0, "nothing was told")
    assert panel.back_up(backups, {"act": "stop"}, space=False)["making"]["total"] > 0
    on.set()
    until(lambda: backups.show() == {}, "it was not stopped")
    assert list(backups.folder.iterdir()) == []
    # an original that is gone
    next(one for one in (desk.settings.home / "files").rglob("*.txt")).unlink()
    backups.make()
    until(lambda: backups._thread is None, "it did not end")
    said = panel.back_up(backups, {}, space=False)
    assert said["note"]["name"] == "OriginalDamaged" and panel.back_up(backups, {}, space=False) == {}


def test_a_shared_demonstration_has_none(backups: Backups) -> None:
    assert panel.back_up(backups, {"visitor": "v" * 40, "act": "make"}, space=True) == {} and backups.show() == {}
