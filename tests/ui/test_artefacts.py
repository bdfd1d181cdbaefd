from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.documents.parse import parse_file
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.runner import Runner
from app.settings import Settings
from app.ui.artefacts import ArtefactPanel
from app.ui.seat import LOCAL
from tests.app.reading.conftest import Machine, PlainEngine, until

from .books import tale
from .conftest import Server, Watch

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    settings = Settings.load({"home": tmp_path / "home", "cache": tmp_path / "cache", "model": "plain"}, {})
    with Library(settings.home, parse=parse_file) as library:
        desk = Desk(settings, library, lambda name: PlainEngine(name, Machine()))
        desk.engines.get("plain")
        path = tmp_path / "tale.txt"
        path.write_text(tale(chapters=2), encoding="utf-8")
        desk.add(LOCAL, path, "tale.txt")
        yield desk


@pytest.fixture
def ask(desk: Desk) -> Ask:
    """Ask the panel as the browser does, without one."""
    panel = ArtefactPanel(desk, space=False)
    acts = {
        "look": panel._look, "show": panel._show, "make": panel._make, "act": panel._act, "file": panel._file,
        "compare": panel._compare, "template": panel._template,
    }  # fmt: skip

    def call(name: str, **said: Any) -> dict[str, Any]:
        answer = panel._answer(said, acts[name])
        # what travels is JSON
        json.dumps(answer)
        return answer

    return call


def test_from_a_template_to_a_file(desk: Desk, ask: Ask) -> None:
    found = ask("look", templates=True)
    assert found["made"] == [] and {"characters", "quiz"} <= {one["id"] for one in found["templates"]}
    made = ask("make", template="timeline", documents=[1], inputs={}, language="en")
    assert made["state"] == "making" and made["items"] == []
    with Runner(desk) as runner:
        runner.run_until([job.id for job in desk.jobs.list(None, kind="make")])
    shown = ask("show", id=made["id"], language="zh")
    assert shown["state"] == "done" and shown["columns"][0] == {"name": "when", "label": "时间"}
    place = shown["items"][0]["evidence"][0]
    assert place["chapter"] and place["text"]
    assert base64.b64decode(shown["drawing"]).startswith(b"<svg")
    assert shown["chart"] == "timeline" == shown["charts"][0]
    other = ask("show", id=made["id"], chart=shown["charts"][-1])
    assert other["chart"] == shown["charts"][-1]
    for format in shown["formats"]:
        assert ask("file", id=made["id"], format=format)["data"]
    edited = ask("act", id=made["id"], do="edit", items=[{**shown["items"][0], "what": "Something else."}])
    assert edited["version"] == 2 and edited["items"][0]["what"] == "Something else."
    told = ask("compare", id=made["id"], before=1, after=2)
    assert told["removed"] or told["changed"]
    assert ask("act", id=made["id"], do="rename", title="Days")["title"] == "Days"
    assert ask("look")["made"][0]["title"] == "Days"
    assert ask("act", id=made["id"], do="remove") == {"removed": made["id"]}
    assert ask("look")["made"] == []


def test_what_goes_wrong_is_a_note(ask: Ask) -> None:
    assert ask("make", template="timeline", documents=[])["note"]["name"] == "NothingChosen"
    assert ask("show", id=7)["note"]["name"] == "ArtefactNotFound"
    assert ask("show", id="x")["note"]["kind"] == "error"
    source = ask("look", templates=True)["templates"][0]["source"]
    wrong = ask("template", source={**source, "id": "mine", "items": [0, 1]})
    assert "mistake, at items" in wrong["note"]["text"]
    kept = ask("template", source={**source, "id": "mine", "group": "own"})
    assert [one["id"] for one in kept["templates"] if one["own"]] == ["mine"]
    assert not [one for one in ask("template", remove="mine")["templates"] if one["own"]]


@pytest.mark.browser
def test_an_artefact_in_the_browser(
    tmp_path: Path, visit: Callable[..., tuple[Any, Watch]], shoot: Callable[[Any, str], None]
) -> None:
    book = tmp_path / "tale.txt"
    book.write_text(tale(chapters=6), encoding="utf-8")
    # slow enough to be stopped in the middle
    server = Server(home=tmp_path / "home", plain=True, pace=3.0)
    server.start()
    try:
        page, watch = visit(server)
        page.set_input_files("#add-books", str(book))
        page.wait_for_selector(".cards li")
        until(lambda: page.evaluate("Lectern.seat.chosen.length") == 1, "the book is chosen", 60)
        page.click("[data-panel=artefacts] .panel-head button")
        page.click("button[data-template=relations]")
        shoot(page, "artefact-make")
        page.click(".artefact-form button[type=submit]")
        page.wait_for_selector(".artefact-progress [data-do=stop]")
        page.wait_for_selector(".artefact-writing li")
        page.wait_for_selector(".artefact-items li")
        page.click("[data-do=stop]")
        page.wait_for_selector("[data-do=go_on]")
        with watch.leaving():
            # or the old page's waiting calls hold the browser's connections to that address
            page.goto("about:blank")
            server.stop()
            server.start()
            page.goto(server.url, wait_until="domcontentloaded")
        page.click(".artefact-row")
        page.click("[data-do=go_on]")
        page.wait_for_selector(".artefact-drawing img")
        shoot(page, "artefact-graph")
        page.click("[data-do=edit]")
        page.fill(".artefact-edit textarea[data-field=relation] >> nth=0", "keeper of")
        page.click(".artefact-edit .button.primary")
        page.wait_for_selector("text=keeper of")
        page.select_option("select.compare", index=1)
        page.wait_for_selector(".artefact-compare ins")
        page.select_option("select.compare", index=0)
        with page.expect_download() as kept:
            page.select_option("select.export", "svg")
        assert Path(kept.value.path()).read_text("utf-8").count("keeper of") == 1
        with page.expect_download() as drawn:
            page.click(".artefact-drawing [data-do=png]")
        assert Path(drawn.value.path()).read_bytes().startswith(b"\x89PNG")
        page.click(".place >> nth=0")
        # and back again
        page.click(".wayback")
        page.wait_for_selector("dialog.artefact[open] >> text=keeper of")
        assert watch.faults == []
    finally:
        server.stop()


@pytest.mark.browser
def test_made_again_when_chapters_are_added(
    tmp_path: Path, visit: Callable[..., tuple[Any, Watch]], shoot: Callable[[Any, str], None]
) -> None:
    earlier, later = tmp_path / "tale-3.txt", tmp_path / "tale-5.txt"
    earlier.write_text(tale(chapters=3), encoding="utf-8")
    later.write_text(tale(chapters=5), encoding="utf-8")
    server = Server(home=tmp_path / "home", plain=True)
    server.start()
    try:
        page, watch = visit(server)
        page.set_input_files("#add-books", str(earlier))
        until(lambda: page.evaluate("Lectern.seat.chosen.length") == 1, "the book is chosen", 60)
        page.click("[data-panel=artefacts] .panel-head button")
        page.click("button[data-template=summary-chapters]")
        page.click(".artefact-form button[type=submit]")
        page.wait_for_selector(".artefact-tools [data-do=again]")
        page.keyboard.press("Escape")
        # the later state takes the place of the earlier one
        page.set_input_files("#add-books", str(later))
        page.click(".undo.twin [data-focus=renew]")
        page.wait_for_selector(".artefact-row .state.behind")
        assert page.locator(".cards .card").count() == 1
        page.click(".artefact-row")
        page.wait_for_selector(".artefact-behind li")
        shoot(page, "artefact-behind")
        page.click("[data-do=renew]")
        page.wait_for_selector("select.compare")
        page.wait_for_selector(".artefact-tools [data-do=again]")
        assert page.locator(".artefact-behind").count() == 0
        page.select_option("select.compare", index=1)
        page.wait_for_selector(".artefact-compare ins")
        assert watch.faults == []
    finally:
        server.stop()
