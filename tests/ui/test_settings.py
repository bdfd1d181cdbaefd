from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.documents.parse import parse_file
from app.errors import SettingInvalid
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.runner import Runner
from app.settings import Settings
from app.ui import settings
from app.ui.seat import LOCAL
from engine.protocol import Sampling
from tests.app.reading.conftest import Machine, PlainEngine, until


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def desk(tmp_path: Path, machine: Machine) -> Iterator[Desk]:
    # the model is not named, so that the page may choose it
    chosen = Settings.load({"home": tmp_path / "home", "cache": tmp_path / "cache"}, {})
    with Library(chosen.home, parse=parse_file) as library:
        desk = Desk(chosen, library, lambda name: PlainEngine(name, machine))
        desk.engines.get(chosen.model)
        yield desk


def test_what_can_run_here_is_listed_with_what_it_takes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.machine()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a look starts no process")

    monkeypatch.setattr("subprocess.Popen", refuse)
    said = settings.show(desk, {}, space=False)
    assert said["model"] == "qwen2.5-coder-0.5b" and said["fixed"] is False
    assert [one["name"] for one in said["offers"] if one["current"]] == ["qwen2.5-coder-0.5b"]
    for one in said["offers"]:
        assert one["memory"] > 0 and one["download"] > 0 and one["licence"] and not one["here"]
        assert one["fits"] or one["needed"] > one["available"]


def test_a_model_is_switched_without_a_restart(desk: Desk, machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("A tale of some length. " * 200, encoding="utf-8")
    book = desk.add(LOCAL, path, "book.txt").document.id
    runner = Runner(desk)
    runner.start()
    try:
        until(lambda: desk.shelf(LOCAL)[0].state == "read", "the book was not read")
        assert settings.choose(desk, {"model": "other"}, space=False)["model"] == "other"
        # made ready in idle time, without being asked
        until(lambda: desk.engines.ready("other") is not None, "the other model was not made ready")
        assert settings.show(desk, {}, space=False)["now"]["title"] == "Other"
        until(lambda: desk.shelf(LOCAL)[0].tokens is not None, "its tokens were not counted")
        assert desk.shelf(LOCAL)[0].state == "unread"
        run = desk.ask(LOCAL, "Why?", document_ids=[book])
        *_, end = desk.follow(LOCAL, run.job_id)
        assert end.payload["model"] == "other" and "qwen2.5-coder-0.5b" in machine.closed
    finally:
        runner.close()
    # and at the next start
    again = Settings.load({"home": desk.settings.home}, {})
    assert again.model == "other"
    assert Settings.load({"home": desk.settings.home, "model": "mine"}, {}).model == "mine"


def test_a_reading_in_hand_gives_way_to_the_other_model(desk: Desk, machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("A tale of some length. " * 2000, encoding="utf-8")
    machine.steps = 3
    book = desk.add(LOCAL, path, "book.txt").document.id
    runner = Runner(desk)
    runner.start()
    try:
        until(lambda: machine.steps == 0, "the reading did not begin")
        desk.choose(model="other")
        until(lambda: len(machine.jobs) == 2, "the reading did not give way")
        machine.steps = None
        until(lambda: desk.shelf(LOCAL)[0].state == "read", "the other model did not read on")
        readings = desk.library.readings(desk.owner_id(LOCAL), "identity of other")
        assert readings[book].complete
    finally:
        machine.steps = None
        runner.close()


def test_the_budget_and_the_policy_reach_the_engine(desk: Desk) -> None:
    before = desk.engines.ready(desk.settings.model)
    said = settings.choose(desk, {"budget": 5_000_000_000, "policy": "dense"}, space=False)
    assert said["budget"] == 5_000_000_000 and said["policy"] == "dense"
    assert desk.settings.engine["readings_limit"] == 5_000_000_000 and desk.settings.engine["policy"] == "dense"
    assert before is not None and desk.engines.ready(desk.settings.model) is not before
    assert settings.choose(desk, {"budget": None}, space=False)["budget"] is None
    kept = json.loads((desk.settings.home / "settings.json").read_text())
    # nothing said is the default, a share of the disk, told as what it comes to
    assert kept == {"readings_budget": "50%", "policy": "dense"}
    assert settings.show(desk, {}, space=False)["limit"] == desk.storage.space().limit


@pytest.mark.parametrize("said", [{"budget": 5}, {"policy": "clever"}, {"model": "  "}])
def test_what_makes_no_sense_changes_nothing(desk: Desk, said: dict[str, object]) -> None:
    before = desk.settings
    answer = settings.choose(desk, said, space=False)
    assert answer["note"]["name"] == "SettingInvalid" and desk.settings == before
    assert not (desk.settings.home / "settings.json").exists()


def test_a_shared_demonstration_cannot_be_changed(desk: Desk) -> None:
    visitor = {"visitor": "v" * 40, "model": "other"}
    assert settings.choose(desk, visitor, space=True) == {} and desk.settings.model != "other"
    said = settings.show(desk, visitor, space=True)
    assert said["fixed"] and said["home"] is None and settings.kept(desk, visitor, space=True) == {}


def test_sizes_on_disk(desk: Desk) -> None:
    said = settings.kept(desk, {}, space=False)
    assert said["sizes"]["library"] > 0 and said["sizes"]["readings"] == 0 and said["free"] <= said["disk"]


def test_sampling_is_what_the_browser_keeps() -> None:
    assert settings.sampling(None) == settings.sampling({"stop": ["x"], "unknown": 1}) == Sampling()
    assert settings.sampling({"temperature": 0, "top_k": 5.0, "seed": 7}) == Sampling(temperature=0.0, top_k=5, seed=7)
    for wrong in ({"temperature": 9}, {"max_tokens": 0}, {"top_p": float("nan")}, {"seed": float("inf")}):
        with pytest.raises(SettingInvalid):
            settings.sampling(wrong)
