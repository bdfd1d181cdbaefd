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
from app.ui.seat import LOCAL
from app.ui.writing import WritingPanel
from tests.app.reading.conftest import Machine, PlainEngine

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
    panel = WritingPanel(desk, space=False)

    def call(name: str, **said: Any) -> dict[str, Any]:
        answer = panel.answer(name, said)
        json.dumps(answer)
        return answer

    return call


def test_a_draft_from_its_first_word_to_a_file(desk: Desk, ask: Ask) -> None:
    draft = ask("begin", title="Lamp", documents=[1])
    saved = ask("save", id=draft["id"], text="The lamp was lit 🕯.", base=draft["revision"])
    assert saved["revision"] == 1 and saved["characters"] == 19
    job = ask("task", id=draft["id"], task="continue", versions=2)["job"]
    assert ask("follow", id=draft["id"], job=job)["state"] == "waiting"
    with Runner(desk) as runner:
        runner.run_until([job])
    told = ask("follow", id=draft["id"], job=job)
    assert told["state"] == "done" and [one["text"] for one in told["options"]] == ["A plain answer."] * 2
    chosen = ask("choose", id=draft["id"], option=told["options"][0]["id"])
    assert chosen["text"] == "The lamp was lit 🕯. A plain answer."
    assert chosen["versions"][0]["why"] == "continue"
    first = chosen["versions"][-1]["number"]
    assert ask("change", id=draft["id"], restore=first)["text"] == "The lamp was lit 🕯."
    changed = ask("change", id=draft["id"], title="Lamps", bible=[{"kind": "person", "name": "Tobias", "fact": "old"}])
    assert changed["title"] == "Lamps" and changed["bible"][0]["name"] == "Tobias"
    for format in ("md", "docx", "epub"):
        assert base64.b64decode(ask("file", id=draft["id"], format=format)["data"])
    assert ask("passage", text="brass key lay", documents=[1])["document"] == 1
    assert [one["title"] for one in ask("look")["drafts"]] == ["Lamps"]
    assert ask("change", id=draft["id"], remove=True) == {"removed": draft["id"]}


def test_what_goes_wrong_is_a_note(ask: Ask) -> None:
    draft = ask("begin", title="")
    assert draft["title"] == "Untitled"
    assert ask("task", id=draft["id"], task="rewrite")["note"]["name"] == "TaskIncomplete"
    assert ask("look_in", id=99)["note"]["name"] == "DraftNotFound"
    assert ask("save", id=draft["id"], text=7)["note"]["kind"] == "error"
    assert ask("passage", text="nowhere at all", documents=[1])["note"]["kind"] == "error"


@pytest.mark.browser
def test_a_writing_session_with_a_reload_and_a_restart(
    tmp_path: Path, visit: Callable[..., tuple[Any, Watch]], shoot: Callable[[Any, str], None]
) -> None:
    server = Server(home=tmp_path / "home", plain=True)
    server.start()
    try:
        page, watch = visit(server)
        page.click(".drafts .panel-head button")
        page.fill(".draft-text", "The lamp 🕯 was lit at dusk.")
        page.wait_for_selector(".draft-status:has-text('Saved')")
        with watch.leaving():
            page.reload()
        page.click(".drafts .artefact-row")
        page.wait_for_selector("dialog.draft[open]")
        assert page.input_value(".draft-text") == "The lamp 🕯 was lit at dusk."
        page.click("[data-do=write]")
        page.wait_for_selector(".option footer >> nth=1")
        # the place of what is being written goes when the task has ended
        page.wait_for_selector(".option.live", state="detached")
        # side by side: one beside the other, as high as it
        boxes = page.eval_on_selector_all(
            ".abreast .option",
            "found => found.map((one) => [one.getBoundingClientRect().x, one.getBoundingClientRect().y])",
        )
        assert len(boxes) == 2 and boxes[0][0] < boxes[1][0] and boxes[0][1] == boxes[1][1]
        shoot(page, "writing-options")
        page.click(".option footer button >> nth=0")
        page.wait_for_selector(".option.chosen")
        written = page.input_value(".draft-text")
        assert written.startswith("The lamp 🕯 was lit at dusk. The keeper trimmed the lamp")
        # a passage behind a character of two units is the one that is rewritten
        page.evaluate("document.querySelector('.draft-text').setSelectionRange(9, 11)")
        page.select_option(".draft-task", "shorten")
        page.click("[data-do=write]")
        page.wait_for_selector("[data-option] >> nth=2")
        page.fill(".draft-text", written + " And then")
        with watch.leaving():
            server.stop()
            page.wait_for_timeout(1500)
            server.start()
            page.goto(server.url)
        page.click(".drafts .artefact-row")
        page.wait_for_selector("dialog.draft[open]")
        assert page.input_value(".draft-text") == written + " And then"
        page.click(".draft-known summary")
        page.click(".draft-known .button:last-child")
        page.fill(".bible-row .text-box >> nth=0", "Tobias")
        page.keyboard.press("Tab")
        page.wait_for_function("document.querySelector('.draft-known summary').textContent.includes('1')")
        with page.expect_download() as kept:
            page.select_option(".draft select.export", "md")
        assert "And then" in Path(kept.value.path()).read_text("utf-8")
        assert watch.faults == []
    finally:
        server.stop()
