"""Kept readings against their budget: what is told, what makes way, what never does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import RoomExceeded
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.prompt import reading_prompt
from app.reading.runner import Runner
from app.reading.storage import DISK_RESERVE, Storage
from app.settings import Settings
from engine.keptfile import Layout
from engine.protocol import PAGE_TOKENS, Done, Event, ModelInfo, Progress, Prompt
from engine.snapshots import Store, taken_bytes
from engine.survey import Survey

from .conftest import Machine, PlainEngine

OWNER = "local"
LAYOUT = Layout(layers=1, kv_heads=1, dim=8, dtype="float32", itemsize=4)


class KeepingEngine(PlainEngine):
    """Keeps what it reads in a real store, a page a file; what the pages hold is of no matter here."""

    def __init__(self, name: str, machine: Machine, readings: Path) -> None:
        super().__init__(name, machine)
        self.store = Store(readings, self.model.identity, LAYOUT)

    @property
    def model(self) -> ModelInfo:
        return replace(super().model, kv_bytes=LAYOUT.token_bytes)

    def kept(self, prompt: Prompt) -> int:
        return self.store.find(prompt)[1]

    def kept_files(self, prompt: Prompt) -> list[Path]:
        return [run.path for run in self.store.find(prompt)[0]]

    def read(self, prompt: Prompt) -> Iterator[Event]:
        _, found, key = self.store.find(prompt)
        for start, ids in prompt.rest(found):
            for first in range(0, len(ids), PAGE_TOKENS):
                part = ids[first : first + PAGE_TOKENS]
                data = memoryview(bytes(LAYOUT.token_bytes * len(part)))
                provenance = {"segment": prompt.name_at(start + first), "policy": "plain"}
                _, key = self.store.write(key, start + first, part, data, memoryview(b""), provenance=provenance)
        done = prompt.tokens
        yield Progress(done=done, total=done, reused=found, tokens_per_second=100.0, seconds_left=0.0)
        yield Done(finish="stop", context=done, reused=found, prefilled=done - found)


Open = Callable[..., Desk]


@pytest.fixture
def open_desk(settings: Settings, library: Library, machine: Machine) -> Open:
    def opened(**changes: object) -> Desk:
        changed = replace(settings, **changes)
        desk = Desk(changed, library, lambda name: KeepingEngine(name, machine, changed.readings))
        desk.engines.get("plain")
        return desk

    return opened


def book(desk: Desk, tmp_path: Path, name: str) -> int:
    path = tmp_path / f"{name}.txt"
    path.write_text(f"{name} kept the lamp, and a dog called Button.\n\n" * 40, encoding="utf-8")
    return desk.add(OWNER, path, path.name).document.id


def read(desk: Desk, *ids: int) -> None:
    with Runner(desk) as runner:
        runner.run_until(desk.read(OWNER, ids))


def used(desk: Desk, id: int, seconds: float) -> None:
    """As if a document had last been used then."""
    for reading in Survey(desk.settings.readings).readings():
        if reading.segment == f"document:{id}":
            for file in reading.files:
                os.utime(file.path, (seconds, seconds))


def states(desk: Desk) -> dict[int, str]:
    return {item.id: item.state for item in desk.shelf(OWNER)}


def test_what_was_not_used_for_the_longest_makes_way(open_desk: Open, tmp_path: Path) -> None:
    desk = open_desk()
    one, two, three = (book(desk, tmp_path, name) for name in ("One", "Two", "Three"))
    read(desk, one, two)
    used(desk, one, 2000)
    used(desk, two, 1000)
    taken = taken_bytes(desk.settings.readings)
    desk = open_desk(readings_budget=taken + taken // 10)
    # told before it begins, and nothing is touched by the telling
    plan = desk.reading_room(OWNER, three)
    assert plan.fits and plan.evicts == ("Two",) and "makes way" in plan.message
    assert states(desk) == {one: "read", two: "read", three: "waiting"}
    read(desk, three)
    assert states(desk) == {one: "read", two: "unread", three: "read"}
    assert taken_bytes(desk.settings.readings) <= taken + taken // 10
    # read again, what is now the oldest makes way
    read(desk, two)
    assert states(desk) == {one: "unread", two: "read", three: "read"}


def test_what_is_pinned_stays_and_the_rest_is_refused_with_numbers(open_desk: Open, tmp_path: Path) -> None:
    desk = open_desk()
    one, two = (book(desk, tmp_path, name) for name in ("One", "Two"))
    read(desk, one)
    desk.pin(OWNER, [one])
    taken = taken_bytes(desk.settings.readings)
    desk = open_desk(readings_budget=taken + taken // 10)
    plan = desk.reading_room(OWNER, two)
    assert (plan.fits, plan.bound, plan.evicts) == (False, "budget", ())
    with pytest.raises(RoomExceeded):
        plan.check()
    read(desk, two)
    assert states(desk) == {one: "read", two: "failed"}
    desk.pin(OWNER, [one], pinned=False)
    read(desk, two)
    assert states(desk) == {one: "unread", two: "read"}


def test_a_document_with_the_text_of_a_pinned_one_is_pinned(open_desk: Open, tmp_path: Path) -> None:
    desk = open_desk()
    one = book(desk, tmp_path, "One")
    read(desk, one)
    desk.pin(OWNER, [one])
    (row,) = [row for row in desk.kept(OWNER)["rows"] if row["documents"]]
    assert row["pinned"]
    assert desk.storage.way(10**18).readings == ()


def test_the_context_of_a_question_stays(open_desk: Open, tmp_path: Path) -> None:
    """The book that is asked about is the longest unused, and stays all the same."""
    desk = open_desk()
    one, two = (book(desk, tmp_path, name) for name in ("One", "Two"))
    read(desk, one, two)
    used(desk, one, 1000)
    engine = desk.engines.get(desk.settings.model)
    room = desk.space(engine, desk.owner_id(OWNER))
    prompt = reading_prompt(engine, desk.library, desk.library.document(1, one))
    way = desk.storage.way(10**18, engine.kept_files(prompt))
    assert [reading.segment for reading in way.readings] == [f"document:{two}"]
    assert room.prompt(prompt, []).evicts == ()


def test_the_default_budget_is_half_of_what_would_be_free(open_desk: Open, tmp_path: Path) -> None:
    desk = open_desk()
    space = desk.storage.space()
    assert space.limit is not None and space.disk_free is not None
    assert abs(space.limit - (space.taken + space.disk_free) / 2) < 2**30
    assert open_desk(readings_budget=None).storage.space().limit is None


def test_a_disk_that_others_fill_makes_readings_give_way(
    open_desk: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(readings_budget=None)
    one = book(desk, tmp_path, "One")
    read(desk, one)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=DISK_RESERVE + 1000))
    way = desk.storage.way(2000)
    assert [reading.segment for reading in way.readings] == [f"document:{one}"] and way.freed > 1000


def test_nothing_is_looked_at_while_there_is_room(open_desk: Open, tmp_path: Path, monkeypatch: object) -> None:
    desk = open_desk()
    storage = Storage(lambda: desk.settings, desk.library)
    storage._survey = None  # type: ignore[assignment]
    assert storage.way(1000).readings == ()


def test_nothing_is_read_ahead_where_that_is_off(open_desk: Open, tmp_path: Path) -> None:
    desk = open_desk(read_ahead="off")
    one = book(desk, tmp_path, "One")
    assert states(desk) == {one: "unread"}
    read(desk, one)
    assert states(desk) == {one: "read"}
    # what was queued while it was on waits
    ahead = open_desk()
    two = book(ahead, tmp_path, "Two")
    three = book(desk, tmp_path, "Three")
    read(desk, three)
    assert states(desk) == {one: "read", two: "waiting", three: "read"}
