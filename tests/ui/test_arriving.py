"""A batch of files when a server ends, in a real browser: what had arrived goes on, what had not is said."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.library.intake import Intake
from app.library.store import Library
from app.ui.seat import LOCAL
from tests.ui.books import write_tale
from tests.ui.conftest import Server

pytestmark = pytest.mark.browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(home=tmp_path / "home", plain=True)
    yield server
    server.stop()


def kill(server: Server) -> None:
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()
    server.process = None


def test_a_batch_and_a_server_that_ends(server: Server, chromium: Any, tmp_path: Path) -> None:
    arrived = write_tale(tmp_path / "arrived.txt", title="The Tale That Arrived")
    lost = [write_tale(tmp_path / f"lost-{n}.txt", title=f"Lost Tale {n}") for n in range(5)]
    # what a server that was killed leaves: a file that it has, and did not take in
    with Library(server.home) as library:
        upload = server.home / "uploads" / "0123" / "arrived.txt"
        upload.parent.mkdir(parents=True)
        arrived.rename(upload)
        Intake(library).note(library.owner(LOCAL), upload)
    server.start()
    context = chromium.new_context(locale="en-GB")
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector(".card:has-text('The Tale That Arrived')")
    assert not upload.exists()
    page.locator(".card").get_by_role("checkbox").check()
    page.wait_for_selector("button.context-text")

    kill(server)
    # said by Lectern and not by Gradio; what was asked is not lost with it
    page.wait_for_selector(".note.error:has-text('Lectern does not answer')")
    assert not page.locator(".toast-item").first.is_visible()
    page.fill("#question", "Which tale arrived?")
    page.keyboard.press("Enter")
    assert page.input_value("#question") == ""
    page.set_input_files("#add-books", [str(path) for path in lost])
    notice = page.locator(".lost:visible")
    notice.wait_for()
    page.wait_for_function("() => document.querySelector('.lost').textContent.includes('5 files')")
    said = notice.inner_text()
    assert "lost-0.txt" in said and "2 others" in said and "not on the shelf" in said
    # the page is loaded again when the server is back: its files are gone, and it says which those were
    server.start()
    page.wait_for_selector(".lost:has-text('when this page was loaded again')")
    assert page.input_value("#question") == "Which tale arrived?"
    assert page.locator(".lost button:has-text('Send again')").count() == 0
    page.click(".lost button[aria-label='Dismiss']")

    # a page that lives sends them again
    page.route("**/gradio_api/upload*", lambda route: route.abort())
    page.set_input_files("#add-books", [str(lost[0])])
    again = page.locator(".lost button:has-text('Send again')")
    again.wait_for()
    assert page.get_by_text("Failed to fetch").count() == 0
    page.unroute_all()
    again.click()
    page.wait_for_selector(".card:has-text('Lost Tale 0')")
    assert not notice.is_visible()
    context.close()
