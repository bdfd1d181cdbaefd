"""A model is fetched from the settings: the real client of the hub, over a hub on this machine that takes its time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import Hub, make_checkpoint
from tests.ui.conftest import Server, Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def slow_hub(tmp_path: Path) -> Iterator[Hub]:
    """It has someone/tiny, 40 MB of random weights: the client writes, and so can tell, ten megabytes at a time."""
    hub = Hub()
    hub.serve(make_checkpoint(tmp_path / "tiny", "qwen3", vocab_size=16_384, hidden_size=256))
    hub.pace = 12_000_000
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def test_a_model_is_downloaded_told_and_chosen(
    chromium: Any, slow_hub: Hub, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    first = make_checkpoint(tmp_path / "first", "llama")
    cache = tmp_path / "cache"
    places = {"HF_ENDPOINT": slow_hub.address, "HF_HOME": str(tmp_path / "hf"), "LECTERN_CACHE": str(cache)}
    server = serve(model=str(first), **places)
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(60_000)
    page, watch = context.new_page(), Watch(server.url)
    watch.over(page)
    page.goto(server.url)
    page.wait_for_selector(".model-line:has-text('first')")
    page.evaluate("Lectern.say('settings', 'show', 'model')")
    # it breaks off in the middle, and is explained in either language
    slow_hub.broken = 25_000_000
    page.get_by_label("Another model").fill("someone/tiny")
    page.locator("dialog.settings form").get_by_role("button", name="Use").click()
    page.wait_for_selector("dialog.settings .fetching .bar:not(.unsure)")
    trouble = page.locator("dialog.settings .trouble")
    trouble.wait_for()
    said = trouble.inner_text()
    assert "someone/tiny" in said and "try again, and it goes on from there" in said, said
    assert "someone/tiny" in page.locator("[data-panel=model] .model-problem").inner_text()
    page.evaluate("Lectern.setLanguage('zh')")
    assert "重试时会接着下载" in trouble.inner_text()
    page.evaluate("Lectern.setLanguage('en')")
    # again: it goes on where it was, its progress is seen, and it is the model in use
    slow_hub.broken = None
    slow_hub.spans.clear()
    trouble.get_by_role("button", name="Try again").click()
    page.wait_for_selector("dialog.settings .fetching .bar:not(.unsure)")
    line = page.locator("dialog.settings .fetching").inner_text()
    told = re.search(r"someone/tiny is being prepared, (\d+) %", line)
    assert told and 0 < int(told[1]) < 100 and re.search(r"[\d.]+ MB / [\d.]+ MB", line), line
    assert trouble.count() == 0
    page.wait_for_selector(".model-line:has-text('someone/tiny')")
    page.wait_for_selector("dialog.settings .fetching", state="detached")
    assert page.get_by_label("Another model").input_value() == "someone/tiny"
    assert slow_hub.spans and min(slow_hub.spans) >= 10_000_000
    assert (cache / "models" / "someone--tiny" / "manifest.json").is_file()
    with watch.leaving():
        context.close()
    assert watch.faults == []
