"""Takes a picture of every panel and state of the page: a real server, a real model, real books.

    python -m tests.ui.screenshots [--out assets/screenshots] [--model NAME] [--books DIR] [--all]

Without --all each state at 1440 light in English and at 390 dark in Chinese, and the main ones in every width,
appearance and language; with it, every state in all of them. Pictures have a palette of 255 colours.
"""

from __future__ import annotations

import argparse
import io
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.ui.books import chapters_beyond, write_broken_pdf, write_letter, write_tale
from tests.ui.conftest import CHROMIUM, FLAGS, ROOT, Server

SIZES = {1440: 900, 1024: 768, 390: 844}
FIRST = (1440, "light", "en")
PAIR = [FIRST, (390, "dark", "zh")]
EVERY = list(itertools.product(SIZES, ("light", "dark"), ("en", "zh")))
SHARED = ROOT.parent / "shared"
# on the shelf, the last one to be asked about; a paper is read in a minute, a novel is shown while it is read
BOOKS = ("books/hong-lou-meng.txt", "books/pride-and-prejudice.pdf", "books/moby-dick-excerpt.epub", "books/kusamakura-preview.epub", "books/alice.txt", "papers/bitcoin.pdf")  # fmt: skip
PAPER = "Bitcoin"
QUESTION = "What problem does the paper solve? Quote the sentence that says it."
AGAIN = "How are transactions ordered?"


class Camera:
    def __init__(self, page: Any, out: Path, *, everything: bool) -> None:
        self._page = page
        self._out = out
        self._everything = everything
        out.mkdir(parents=True, exist_ok=True)

    def take(self, state: str, *, every: bool = False, drawer: bool = False) -> None:
        """One picture each; drawer: with the shelf open where it hides."""
        for width, appearance, language in EVERY if every or self._everything else PAIR:
            self._dress(width, appearance, language)
            if drawer and width <= 820:
                self._page.evaluate("Lectern.say('bar', 'showShelf')")
            self._page.wait_for_timeout(450)
            path = self._out / f"{state}-{width}-{appearance}-{language}.png"
            # what only a pixel's difference would tell apart needs no colour of its own
            picture = Image.open(io.BytesIO(self._page.screenshot())).convert("RGB")
            picture.quantize(255, dither=Image.Dither.NONE).save(path, optimize=True)
            print(path, flush=True)
            if drawer and width <= 820:
                self._page.evaluate("Lectern.say('bar', 'hideShelf')")
        self._dress(*FIRST)

    def _dress(self, width: int, appearance: str, language: str) -> None:
        self._page.set_viewport_size({"width": width, "height": SIZES[width]})
        self._page.evaluate(
            "([appearance, language]) => { Lectern.setLanguage(language); Lectern.setAppearance(appearance); }",
            [appearance, language],
        )


def card(page: Any, title: str) -> Any:
    return page.locator(f".card:has-text({title!r})")


def wait_for(page: Any, title: str, state: str, seconds: float = 600) -> None:
    card(page, title).and_(page.locator(f'[data-state="{state}"]')).wait_for(timeout=seconds * 1000)


def ask(page: Any, question: str, seen: Callable[[], None] | None = None) -> None:
    turns = page.locator(".turn .turn-facts").count()
    page.fill("#question", question)
    page.keyboard.press("Enter")
    if seen:
        page.wait_for_function(
            "() => (document.querySelector('[data-panel=live] .answer')?.innerText.length || 0) > 60"
        )
        seen()
    page.wait_for_function("n => document.querySelectorAll('.turn .turn-facts').length > n", arg=turns)


def read(page: Any, camera: Camera, title: str, state: str) -> None:
    """A book open in the reader, where the shelf has it by now."""
    found = "title => Lectern.shelf.find((one) => one.title.includes(title))?.id ?? null"
    id = page.evaluate(found, title)
    if id is None:
        return
    page.evaluate("id => { Lectern.reader.open(id); }", id)
    page.wait_for_selector("[data-panel=reader].open:not(.loading)")
    page.wait_for_timeout(2500)
    camera.take(f"reader-{state}", every=state == "text")
    page.evaluate("() => { Lectern.reader.close(); }")
    page.wait_for_selector("[data-panel=reader]:not(.open)", state="attached")


def walk(page: Any, camera: Camera, folder: Path, books: list[Path], model: str) -> None:
    page.wait_for_selector(".suggestions")
    # short answers, the same each time
    page.evaluate("Lectern.store.write('localStorage', 'sampling', {temperature: 0, max_tokens: 140})")
    wait_for(page, "Patient Reader", "read")
    camera.take("welcome", every=True)
    camera.take("welcome-shelf", drawer=True)
    ask(page, "What is the rule above the library’s door?")

    # while they are read: one, the others waiting, and a file that was refused
    paper = books[-1]
    page.set_input_files("#add-books", [str(paper), str(write_broken_pdf(folder / "scan.pdf"))])
    wait_for(page, PAPER, "read")
    page.set_input_files("#add-books", [str(path) for path in books[:-1]])
    page.click(".new-thread")
    while page.locator(".card input:checked").count():
        page.locator(".card input:checked").first.click()
    card(page, PAPER).get_by_role("checkbox").check()
    page.wait_for_selector(".context .ready")
    camera.take("begin")
    ask(page, QUESTION, lambda: camera.take("answering"))
    ask(page, AGAIN)
    camera.take("conversation", every=True)
    if page.locator(".quote-mark").count():
        page.locator(".quote-mark").first.click()
        camera.take("quote")
        page.keyboard.press("Escape")
    read_it_oneself(page, camera, folder)

    for title, state in (("Alice", "text"), (PAPER, "pages"), ("草枕", "vertical"), ("红楼梦", "chinese")):
        read(page, camera, title, state)

    page.wait_for_selector(".card[data-state=reading] .state-more", timeout=300_000)
    camera.take("reading", drawer=True)
    for stop in (
        page.locator(".card[data-state=waiting], .card[data-state=reading]").get_by_role("button", name="Stop").all()
    ):
        stop.click()
    page.wait_for_selector(".card[data-state=stopped]")
    camera.take("stopped", drawer=True)

    # versions of a question, and the question being edited
    page.evaluate("Lectern.say('transcript', 'editLast')")
    page.wait_for_selector(".edit-box")
    camera.take("editing")
    page.fill(".edit-box", "How are transactions ordered, in one sentence?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn:last-child .branches")
    page.wait_for_selector(".turn:last-child .turn-facts")
    camera.take("versions")

    page.fill("[data-panel=threads] .find-box", "transactions")
    page.wait_for_selector(".thread mark")
    camera.take("threads-found", drawer=True)
    page.fill("[data-panel=threads] .find-box", "")
    page.fill("[data-panel=shelf] .find-box", "honest")
    page.wait_for_selector(".hit")
    camera.take("search", drawer=True)
    page.fill("[data-panel=shelf] .find-box", "")

    # several books, and too many
    page.click(".new-thread")
    for title in ("Alice", "Pride", PAPER):
        if not card(page, title).first.get_by_role("checkbox").is_checked():
            card(page, title).first.get_by_role("checkbox").check()
    page.wait_for_selector(".context .takes")
    page.click("button.context-text")
    camera.take("meter")
    huge = write_tale(folder / "huge.txt", chapters=chapters_beyond(model), title="The Keeper's Complete Log")
    page.set_input_files("#add-books", [str(huge)])
    card(page, "Complete Log").wait_for(timeout=300_000)
    card(page, "Complete Log").get_by_role("checkbox").check()
    page.locator('.modes input[value="whole"]').check()
    page.wait_for_selector(".context.over", timeout=300_000)
    # its reading is refused as well, once its tokens are counted
    wait_for(page, "Complete Log", "failed")
    camera.take("too-much")
    page.locator('.modes input[value="auto"]').check()
    page.click("button.context-text")
    page.locator(".thread").last.hover()
    page.locator(".thread").last.get_by_role("button", name="Delete").click()
    page.wait_for_selector("[data-panel=threads] .undo button")
    camera.take("deleted", drawer=True)

    for section in ("model", "answers", "reading", "storage", "look", "privacy"):
        page.evaluate("name => Lectern.say('settings', 'show', name)", section)
        page.wait_for_timeout(1500)
        camera.take(f"settings-{section}", every=section == "model")
        page.keyboard.press("Escape")
    page.evaluate("Lectern.say('keys', 'show')")
    camera.take("keys")
    page.keyboard.press("Escape")


def select(page: Any, text: str) -> None:
    """Select a passage of the open book."""
    page.evaluate(
        """text => {
            const walker = document.createTreeWalker(document.querySelector('.reader-flow'), NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                const at = node.data.indexOf(text);
                if (at >= 0) { getSelection().setBaseAndExtent(node, at, node, at + text.length); return; }
            }
        }""",
        text,
    )
    page.wait_for_selector(".reader-menu:not([hidden])")


def read_it_oneself(page: Any, camera: Camera, folder: Path) -> None:
    """The reader: a passage selected, notes, the guard, contents, pages of a PDF, lines from top to bottom."""
    card(page, "Marrow Point").locator(".open-book").click()
    page.wait_for_selector(".reader-flow [data-at]")
    select(page, "gulls on every stone. The brass key lay under the blue stone")
    camera.take("reader-passage", every=True)
    page.locator(".reader-menu .colour.green").click()
    page.wait_for_selector("mark.noted.green")
    select(page, "fog from the north")
    page.locator(".reader-menu button:has(svg):nth-child(2)").nth(1).click()
    page.wait_for_selector(".note-field")
    page.keyboard.type("Always fog. Is it the same night?")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".noted-words")
    camera.take("reader-notes")
    page.keyboard.press("Escape")
    page.locator(".guard-set").click()
    page.wait_for_selector(".card-guard")
    page.locator("[data-pane=contents]").click()
    camera.take("reader-guard", every=True)
    page.keyboard.press("Escape")
    page.locator(".reader-guard button").last.click()
    page.locator(".reader-bar > button").last.click()
    page.locator(".type-option.sepia").click()
    camera.take("reader-type")
    page.locator(".type-option.page").click()
    card(page, "海角灯塔").locator(".open-book").click()
    page.wait_for_function("document.querySelector('.reader-title').textContent.includes('灯塔')")
    page.locator(".reader-bar > button").last.click()
    page.locator(".type-option.down").click()
    page.keyboard.press("Escape")
    camera.take("reader-vertical")
    letter = write_letter(folder / "letter.pdf")
    page.set_input_files("#add-books", [str(letter)])
    wait_for(page, "letter", "read")
    card(page, "letter").locator(".open-book").click()
    page.wait_for_selector(".reader-page img")
    camera.take("reader-pages")
    page.locator(".reader-bar > button").first.click()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshots")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--books", type=Path, default=SHARED)
    parser.add_argument("--all", action="store_true", dest="everything")
    options = parser.parse_args()
    books = [options.books / name for name in BOOKS if (options.books / name).is_file()]
    if not books or books[-1].name != Path(BOOKS[-1]).name:
        parser.error(f"there is no {BOOKS[-1]} in {options.books}; say where the books are with --books")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(home=Path(folder) / "home", model=options.model, environ={"LECTERN_WELCOME": "on"})
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-GB")
            page.set_default_timeout(300_000)
            page.goto(server.url)
            try:
                walk(page, Camera(page, options.out, everything=options.everything), Path(folder), books, options.model)
            except Exception:
                page.screenshot(path=str(Path(tempfile.gettempdir()) / "lectern-screenshots-failed.png"))
                raise
            browser.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
