"""Takes a picture of every state of the page, from a real server, a real model and books of our own.

    python -m tests.ui.screenshots [--out assets/screenshots] [--model NAME] [--all]

Without --all each state once, and the conversation in every width, appearance and language; with it, every state in
all of them.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.ui.books import chapters_beyond, write_broken_pdf, write_chinese, write_epub, write_tale
from tests.ui.conftest import CHROMIUM, FLAGS, ROOT, Server

SIZES = {1440: 900, 1024: 768, 390: 844}
FIRST = (1440, "light", "en")
EVERY = list(itertools.product(SIZES, ("light", "dark"), ("en", "zh")))
QUESTION = "Where did the keeper leave the brass key, and what did he write in the log?"


class Camera:
    def __init__(self, page: Any, out: Path, *, everything: bool) -> None:
        self._page = page
        self._out = out
        self._everything = everything
        out.mkdir(parents=True, exist_ok=True)

    def take(self, state: str, *, every: bool = False, drawer: bool = False) -> None:
        """One picture, or one in every width, appearance and language; drawer: with the shelf open where it hides."""
        for width, appearance, language in EVERY if every or self._everything else [FIRST]:
            self._page.set_viewport_size({"width": width, "height": SIZES[width]})
            self._page.evaluate(
                "([appearance, language]) => { Lectern.setLanguage(language);"
                " if (document.documentElement.dataset.appearance !== appearance) Lectern.toggleAppearance(); }",
                [appearance, language],
            )
            if drawer and width <= 820:
                self._page.evaluate("Lectern.say('bar', 'showShelf')")
            self._page.wait_for_timeout(400)
            path = self._out / f"{state}-{width}-{appearance}-{language}.png"
            self._page.screenshot(path=str(path))
            print(path)
            if drawer and width <= 820:
                self._page.evaluate("Lectern.say('bar', 'hideShelf')")
        width, appearance, language = FIRST
        self._page.set_viewport_size({"width": width, "height": SIZES[width]})
        self._page.evaluate("language => Lectern.setLanguage(language)", language)


def card(page: Any, title: str) -> Any:
    return page.locator(f".card:has-text({title!r})")


def wait_for(page: Any, title: str, state: str, seconds: float = 600) -> None:
    card(page, title).and_(page.locator(f'[data-state="{state}"]')).wait_for(timeout=seconds * 1000)


def walk(page: Any, camera: Camera, folder: Path, model: str) -> None:
    page.wait_for_selector(".welcome .steps")
    camera.take("empty", drawer=True)

    # while they are read: one, the others waiting, and a file that was refused
    long = write_tale(folder / "long.txt", chapters=60, title="The Winter Passage")
    small = write_tale(folder / "tale.txt")
    files = [
        small,
        write_epub(folder / "handbook.epub"),
        write_chinese(folder / "灯塔.txt"),
        write_broken_pdf(folder / "scan.pdf"),
    ]
    page.set_input_files("#add-books", [str(path) for path in files])
    wait_for(page, "Marrow Point", "read")
    camera.take("begin", drawer=True)

    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('[data-panel=live] .answer').innerText.length > 60")
    camera.take("answering")
    page.wait_for_selector(".turn .turn-facts", timeout=300_000)
    wait_for(page, "Handbook", "read")
    wait_for(page, "海角灯塔", "read")
    page.fill("#question", "What does the tale say about the lamp? Answer in two sentences.")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.turn .turn-facts').length === 2", timeout=300_000)
    camera.take("conversation", every=True)

    page.set_input_files("#add-books", [str(long)])
    page.wait_for_selector(".card .state-more", timeout=120_000)
    camera.take("reading", drawer=True)
    card(page, "Winter Passage").get_by_role("button").filter(has_text="Stop").click()
    wait_for(page, "Winter Passage", "stopped")
    camera.take("stopped", drawer=True)

    huge = write_tale(folder / "huge.txt", chapters=chapters_beyond(model), title="The Keeper's Complete Log")
    page.set_input_files("#add-books", [str(huge)])
    page.click(".new-thread")
    card(page, "Complete Log").get_by_role("checkbox").check()
    page.wait_for_selector(".context.over", timeout=300_000)
    # its reading is refused as well, once its tokens are counted
    wait_for(page, "Complete Log", "failed")
    camera.take("too-much")
    page.click(".model-line summary")
    camera.take("model")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshots")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--all", action="store_true", dest="everything")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(home=Path(folder) / "home", model=options.model)
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-GB")
            page.set_default_timeout(120_000)
            page.goto(server.url)
            walk(page, Camera(page, options.out, everything=options.everything), Path(folder), options.model)
            browser.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
