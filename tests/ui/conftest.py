"""A real server in a process of its own, and a real browser that watches what the page does."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.ui.books import write_chinese, write_epub, write_tale

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
MODEL = "smollm2-135m"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """``python app.py serve`` over a home; started again, it serves the same home at the same address. ``plain``: with
    the engine of ``tests.ui.plain`` instead, which writes so many words a second (``pace``)."""

    home: Path
    model: str = MODEL
    environ: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    plain: bool = False
    pace: float | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> Path:
        return self.home.with_suffix(".output")

    def start(self) -> None:
        command = [sys.executable, str(ROOT / "app.py"), "serve", "--home", str(self.home)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--model", self.model]
        if self.plain:
            command = [sys.executable, "-m", "tests.ui.plain", "--home", str(self.home), "--port", str(self.port)]
            command += ["--pace", str(self.pace)] if self.pace else []
        # Lectern refuses settings that it does not know, and this one is the tests' own
        environ = {name: value for name, value in os.environ.items() if name != "LECTERN_SCREENSHOTS"}
        # a shelf begins empty here, unless a test is about the welcome book
        environ = {"LECTERN_WELCOME": "off"} | environ | self.environ
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=output, stderr=output, start_new_session=True
            )
        end = time.monotonic() + 90
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            time.sleep(0.2)
        self.stop()
        raise AssertionError(f"the server did not start: {self.output.read_text('utf-8', 'replace')}")

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            # its engine goes with it
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None


@dataclass
class Watch:
    """What a page did that it must not: requests to others, errors in its console, answers of 400 and more."""

    url: str
    faults: list[str] = field(default_factory=list)
    paused: bool = False

    def over(self, page: Any) -> None:
        page.on("request", lambda request: self._request(request.url))
        page.on("console", lambda said: self._note(f"console: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: self._note(f"script: {error}"))
        page.on("response", lambda got: self._note(f"{got.status}: {got.url}") if got.status >= 400 else None)
        page.on("dialog", lambda dialog: self._note(f"dialog: {dialog.message}"))

    def _request(self, url: str) -> None:
        # one to another machine is a fault at any time
        if not url.startswith((self.url, "data:", "blob:")):
            self.faults.append(f"request: {url}")

    def _note(self, fault: str) -> None:
        if not self.paused:
            self.faults.append(fault)

    @contextlib.contextmanager
    def leaving(self) -> Iterator[None]:
        """While a page is left or its server is gone, Gradio's client complains of cut streams."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """``serve(home?, model?, **environ)`` starts a server; it ends with the test."""
    servers: list[Server] = []

    def start(home: Path | None = None, model: str = MODEL, **environ: str) -> Server:
        server = Server(home=home or tmp_path / "home", model=model, environ=environ)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser that makes no request of its own. Skips where Debian's Chromium is not installed."""
    if not shutil.which(CHROMIUM):
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def open_at(chromium: Any, server: Server, **options: Any) -> tuple[Any, Watch]:
    """The page as a new person's browser shows it, and its watch. The context is the caller's to close."""
    context = chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, "locale": "en-GB", **options})
    context.set_default_timeout(60_000)
    page, watch = context.new_page(), Watch(server.url)
    watch.over(page)
    page.goto(server.url)
    page.wait_for_selector("[data-panel=shelf] .drop-zone strong", state="attached")
    return page, watch


@pytest.fixture
def visit(chromium: Any, small_model: None) -> Iterator[Callable[..., tuple[Any, Watch]]]:
    """``visit(server, **context options)`` opens the page as a person of their own; returns it and its watch."""
    contexts: list[Any] = []

    def open_page(server: Server, **options: Any) -> tuple[Any, Watch]:
        page, watch = open_at(chromium, server, **options)
        contexts.append(page.context)
        return page, watch

    yield open_page
    for context in contexts:
        context.close()


def have(name: str) -> None:
    """Fetch and convert a model if it is not there yet; skip where no source answers."""
    from platformdirs import user_cache_path

    from engine.checkpoint import resolve
    from engine.errors import CheckpointNotFound

    cache = Path(os.environ.get("LECTERN_CACHE") or user_cache_path("lectern", appauthor=False))
    try:
        resolve(name, cache=cache)
    except CheckpointNotFound as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def small_model() -> None:
    have(MODEL)


@pytest.fixture(scope="session")
def default_model() -> str:
    """The name of the embedded default, which is at hand."""
    have("qwen2.5-coder-0.5b")
    return "qwen2.5-coder-0.5b"


@pytest.fixture
def shoot() -> Callable[[Any, str], None]:
    """``shoot(page, name)`` keeps a screenshot in the folder LECTERN_SCREENSHOTS, where that is set."""
    folder = os.environ.get("LECTERN_SCREENSHOTS")

    def keep(page: Any, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(Path(folder) / f"{name}.png"))

    return keep


@pytest.fixture(scope="session")
def violations() -> Callable[..., list[str]]:
    """``violations(page, within=selector)``: what axe-core finds serious or critical, a line each."""
    package = pytest.importorskip("axe_playwright_python", reason="no axe-playwright-python: pip install -e .[test]")
    script = (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")

    def look(page: Any, within: str = "html") -> list[str]:
        if not page.evaluate("Boolean(window.axe)"):
            page.evaluate(script)
        found = page.evaluate(
            "within => axe.run(document.querySelector(within), {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})",
            within,
        )
        return [
            f"{one['id']}: {one['help']}: {node['target']} {node.get('failureSummary', '')[:300]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    return look


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for this module, over a new home: the first page to come is welcomed."""
    folder = tmp_path_factory.mktemp("room")
    server = Server(home=folder / "home", plain=True, pace=150, environ={"LECTERN_WELCOME": "on"})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def page(room: Server, chromium: Any) -> Iterator[tuple[Any, Watch]]:
    page, watch = open_at(chromium, room)
    yield page, watch
    page.context.close()
    assert watch.faults == []


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("books")
    made = [write_tale(folder / "tale.txt"), write_epub(folder / "handbook.epub"), write_chinese(folder / "灯塔.txt")]
    return [str(path) for path in made]


def begin(page: Any, books: list[str]) -> None:
    """A new conversation over the tale, which is on the shelf and read."""
    page.wait_for_selector(".card")
    if not page.locator(".card:has-text('Handbook')").count():
        page.set_input_files("#add-books", books)
    # they and the welcome book
    page.wait_for_function("n => document.querySelectorAll('.card[data-state=read]').length === n", arg=len(books) + 1)
    page.click(".new-thread")
    page.wait_for_selector("[data-panel=transcript].blank")
    while page.locator(".card input:checked").count():
        page.locator(".card input:checked").first.click()
    page.locator(".card:has-text('Marrow Point')").get_by_role("checkbox").check()
    page.wait_for_selector(".context .ready")


def ask(page: Any, question: str) -> str:
    """The answer's text."""
    turns = page.locator(".turn .turn-facts").count()
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.wait_for_function("n => document.querySelectorAll('.turn .turn-facts').length > n", arg=turns)
    return str(page.locator(".turn .answer").last.inner_text())
