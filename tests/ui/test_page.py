from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.documents.parse import parse_file
from app.library.store import Library
from app.reading.desk import Desk
from app.settings import Settings
from app.ui import build
from app.ui.serve import Guard
from app.ui.theme import ASSETS, SCRIPTS, SHEETS, head, theme
from tests.app.reading.conftest import Machine, PlainEngine


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load({"home": tmp_path / "home", "cache": tmp_path / "cache", "model": "plain"}, {})


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes the event loops that gradio makes for a Blocks, and leaves."""
    made: list[asyncio.AbstractEventLoop] = []
    new = asyncio.new_event_loop

    def keep() -> asyncio.AbstractEventLoop:
        made.append(new())
        return made[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", keep)
    yield
    asyncio.set_event_loop(None)
    for loop in made:
        loop.close()


@pytest.fixture
def blocks(settings: Settings, loops: None) -> Iterator[gr.Blocks]:
    with Library(settings.home, parse=parse_file) as library:
        yield build(settings, Desk(settings, library, lambda name: PlainEngine(name, Machine())))


def test_no_template_takes_a_value(blocks: gr.Blocks) -> None:
    # gradio compiles templates with their values to code
    panels = [block for block in blocks.blocks.values() if isinstance(block, gr.HTML)]
    assert len(panels) >= 9
    for panel in panels:
        assert re.fullmatch(r'<div data-panel="\w+"></div>', panel.html_template)
        assert panel.css_template == "" and panel.value == {}


def test_every_event_is_private_and_waits_for_nobody(blocks: gr.Blocks) -> None:
    handlers = list(blocks.fns.values())
    assert len(handlers) >= 20
    for handler in handlers:
        if handler.targets[0][1] != "unload":
            assert handler.api_visibility == "private"
        assert handler.concurrency_limit is None or not handler.queue or handler.targets[0][1] == "unload"


def test_nothing_is_fetched_from_elsewhere(settings: Settings) -> None:
    page = head(settings) + theme()._get_theme_css()
    assert theme()._stylesheets == []
    addresses = set(re.findall(r"https?://[^\s\"')]+", page))
    # the name of a format, not an address
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "@import" not in page
    assert set(re.findall(r"url\(.{6}", page)) <= {'url("data:'}


def test_data_in_the_head_cannot_end_its_script(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ui.theme.tables", lambda: {"en": {"x": "</script><script>alert(1)</script>"}})
    made = head(settings)
    assert made.count("</script>") == 1
    given = re.search(r"window\.lecternGiven = (.*);\n", made)
    assert given and json.loads(given[1])["strings"]["en"]["x"] == "</script><script>alert(1)</script>"


def test_every_asset_is_used() -> None:
    assert {path.name for path in (ASSETS / "js").iterdir()} == set(SCRIPTS)
    assert {path.name for path in (ASSETS / "css").iterdir()} == set(SHEETS)


def client(*, space: bool = False, loopback: bool = True) -> TestClient:
    async def answer(_: object) -> PlainTextResponse:
        return PlainTextResponse("here")

    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    return TestClient(Guard(app, space=space, loopback=loopback), base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize(("space", "frames"), [(False, "'none'"), (True, "https://huggingface.co")])
def test_the_page_may_ask_nobody_else(space: bool, frames: str) -> None:
    headers = client(space=space).get("/").headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' data: blob:"
    assert policy["frame-ancestors"] == frames
    assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:7860"}, 200),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, 200),
        ({"host": "[::1]:7860"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example:7860"}, 403),
        ({"host": "evil.example:7860", "origin": "http://evil.example:7860"}, 403),
    ],
)
def test_other_pages_of_the_same_browser_are_refused(headers: dict[str, str], status: int) -> None:
    assert client().post("/", headers=headers).status_code == status


def test_a_machine_that_serves_others_goes_by_any_name() -> None:
    named = {"host": "library.local:7860", "origin": "http://library.local:7860"}
    assert client(loopback=False).post("/", headers=named).status_code == 200
    assert client(loopback=False).post("/", headers=named | {"origin": "http://evil.example"}).status_code == 403
    # a Space's proxy keeps the name to itself
    assert (
        client(space=True).post("/", headers=named | {"origin": "https://someone-lectern.hf.space"}).status_code == 200
    )
