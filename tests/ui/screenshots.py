"""Takes a picture of every panel and state of the page: a real server, a real model, real books.

    python -m tests.ui.screenshots [--out assets/screenshots] [--model NAME] [--books DIR] [--only PART] [--all]

Each state in three: 1440 wide light English, 1024 dark English, 390 dark Chinese; the main ones in every width,
appearance and language; with --all every state. --only takes the parts named, with what they stand on. A part that fails
is told, and the walk goes on.
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Error, sync_playwright

from tests.ui.conftest import CHROMIUM, FLAGS, ROOT, Server
from tests.ui.walk import NOVELS, PAPER, Walk

SIZES = {1440: 900, 1024: 768, 390: 844}
FIRST = (1440, "light", "en")
THREE = [FIRST, (1024, "dark", "en"), (390, "dark", "zh")]
EVERY = list(itertools.product(SIZES, ("light", "dark"), ("en", "zh")))
SHARED = ROOT.parent / "shared"

# folders of the machine that takes the pictures are nobody's business
HOMELY = """new MutationObserver(() => {
    const places = ['/home/ada/.local/share/lectern', '/home/ada/.cache/lectern'];
    document.querySelectorAll('dl.places code').forEach((one, n) => { if (one.textContent !== places[n]) one.textContent = places[n]; });
}).observe(document, {childList: true, subtree: true});"""


class Camera:
    def __init__(self, page: Any, out: Path, *, everything: bool) -> None:
        self._page = page
        self._out = out
        self._everything = everything
        self._taken: dict[Path, bytes] = {}
        # parts are walked without pictures where others stand on them
        self.covered = False
        out.mkdir(parents=True, exist_ok=True)

    def take(self, state: str, *, every: bool = False, drawer: bool = False) -> None:
        """drawer: with the shelf open where it hides."""
        if self.covered:
            return
        for width, appearance, language in EVERY if every or self._everything else THREE:
            self._dress(width, appearance, language)
            open_ = drawer and width <= 820
            if open_:
                self._page.evaluate("Lectern.say('bar', 'showShelf')")
            self._page.wait_for_timeout(450)
            self._taken[self._out / f"{state}-{width}-{appearance}-{language}.webp"] = self._page.screenshot()
            if open_:
                self._page.evaluate("Lectern.say('bar', 'hideShelf')")
        self._dress(*FIRST)
        self._page.wait_for_timeout(200)

    def develop(self) -> None:
        """Write what was taken. It takes seconds a picture, in which an answer would go on, so it comes after a part."""
        for path, taken in self._taken.items():
            picture = Image.open(io.BytesIO(taken)).convert("RGB")
            # what only the last bits of a colour tell apart is the browser's smoothing
            rounded = picture.point(lambda value: min(255, (value + 2) // 4 * 4))
            rounded.save(path, "WEBP", lossless=True, quality=100, method=4)
            print(path, flush=True)
        self._taken.clear()

    def _dress(self, width: int, appearance: str, language: str) -> None:
        self._page.set_viewport_size({"width": width, "height": SIZES[width]})
        self._page.evaluate(
            "([appearance, language]) => { Lectern.setAppearance(appearance); Lectern.setLanguage(language); }",
            [appearance, language],
        )


PARTS = ("welcome", "empty", "dropping", "paper", "conversation", "passages", "text", "pages", "epub", "vertical", "chinese", "book", "settings", "making", "writing", "reading", "shelves", "several")  # fmt: skip
# what the others stand on
FIRST_PARTS = ("welcome", "paper")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshots")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--books", type=Path, default=SHARED)
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", choices=PARTS)
    parser.add_argument("--all", action="store_true", dest="everything")
    options = parser.parse_args()
    missing = [name for name in (PAPER, *NOVELS) if not (options.books / name).is_file()]
    if missing:
        parser.error(f"there is no {missing[0]} in {options.books}; say where the books are with --books")
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(home=Path(folder) / "home", model=options.model, environ={"LECTERN_WELCOME": "on"})
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-GB")
            page.set_default_timeout(60_000)
            page.add_init_script(HOMELY)
            page.goto(server.url)
            camera = Camera(page, options.out, everything=options.everything)
            walk = Walk(page, camera, Path(folder), options.books, options.model)
            for part in PARTS:
                if options.only and part not in (*options.only, *FIRST_PARTS):
                    continue
                camera.covered = bool(options.only) and part not in options.only
                try:
                    getattr(walk, part)()
                except Error as error:
                    failed.append(part)
                    print(f"{part}: {error}", file=sys.stderr, flush=True)
                    page.screenshot(path=str(Path(tempfile.gettempdir()) / f"lectern-{part}-failed.png"))
                    walk.close()
                camera.develop()
            browser.close()
        finally:
            server.stop()
    if failed:
        sys.exit(f"these parts failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
