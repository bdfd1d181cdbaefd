"""Nobody is shut out: axe-core over every panel and state of the page, light and dark, in one browser session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ui.books import write_broken_pdf, write_chinese, write_epub, write_letter, write_tale
from tests.ui.conftest import Server, Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TABS = ("model", "answers", "reading", "storage", "look", "privacy")
READER = "[data-panel=reader]"
PANES = ("contents", "look_up", "notes")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Words and pages at a pace at which a reading and an answer can be looked at."""
    server = Server(home=tmp_path_factory.mktemp("access") / "home", plain=True, pace=60)
    server.start()
    yield server
    server.stop()


class Walk:
    """One page led through its states; ``look`` notes what axe finds in each, in both appearances."""

    def __init__(self, page: Any, violations: Callable[..., list[str]]) -> None:
        self.page, self._violations = page, violations
        self.found: list[str] = []
        # as the system's appearance would, and without the time that transitions take
        page.emulate_media(reduced_motion="reduce")

    def look(self, state: str, within: str = "html", *, appearances: Sequence[str] = ("light", "dark")) -> None:
        """within: what is new in this state."""
        for appearance in appearances:
            self.page.evaluate("name => Lectern.setAppearance(name)", appearance)
            # the new colours are drawn
            self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 30)))")
            self.found += [f"{state}, {appearance}: {said}" for said in self._violations(self.page, within)]

    def card(self, title: str) -> Any:
        return self.page.locator(f".card:has-text('{title}')")

    def escape(self) -> None:
        self.page.keyboard.press("Escape")

    def shelf(self, folder: Path) -> None:
        page = self.page
        page.wait_for_selector("[data-panel=shelf].empty")
        self.look("empty")
        long = write_tale(folder / "long.txt", chapters=400, title="The Long Log")
        page.set_input_files("#add-books", [str(write_broken_pdf(folder / "scan.pdf")), str(long)])
        page.wait_for_selector(".card.refused")
        page.wait_for_selector(".card[data-state=reading]")
        self.look("reading and refused")
        self.card("Long Log").get_by_role("button", name="Stop").click()
        page.wait_for_selector(".card[data-state=stopped]")
        books = [
            write_tale(folder / "tale.txt"),
            write_epub(folder / "handbook.epub"),
            write_letter(folder / "letter.pdf"),
            write_chinese(folder / "灯塔.txt"),
        ]
        page.set_input_files("#add-books", [str(path) for path in books])
        page.wait_for_function("() => document.querySelectorAll('.card[data-state=read]').length === 4")
        self.look("stopped and read")
        self.card("Handbook").hover()
        self.card("Handbook").get_by_role("button", name="Remove").click()
        page.wait_for_selector(".confirm")
        self.look("removing", "#lectern-side")
        self.card("Handbook").get_by_role("button", name="Keep").click()
        page.fill("[data-panel=shelf] .find-box", "keeper")
        page.wait_for_selector(".hit")
        self.look("search", "#lectern-side")
        page.fill("[data-panel=shelf] .find-box", "")

    def conversation(self) -> None:
        page = self.page
        while page.locator(".card input:checked").count():
            page.locator(".card input:checked").first.click()
        for title in ("Marrow Point", "Handbook"):
            self.card(title).get_by_role("checkbox").check()
        page.wait_for_selector(".context strong:has-text('2 books')")
        page.click("button.context-text")
        self.look("meter", "#lectern-main")
        page.fill("#question", "Tell it all (say 4000)")
        page.keyboard.press("Enter")
        page.wait_for_function(
            "() => document.querySelector('[data-panel=live].active .answer')?.innerText.length > 50"
        )
        self.look("answering")
        page.focus("#question")
        self.escape()
        page.wait_for_selector(".turn .turn-facts")
        self.look("answered", "#lectern-main")
        page.locator("[data-focus=check]").last.click()
        page.wait_for_selector(".checked:has-text('own words')")
        self.look("every sentence looked up", "#lectern-main")
        page.click(".menu summary")
        self.look("menu", "#lectern-main")
        self.escape()
        page.evaluate("Lectern.say('transcript', 'editLast')")
        page.wait_for_selector(".edit-box")
        self.look("editing", "#lectern-main")
        self.escape()

    def reader(self) -> None:
        page = self.page
        for title, state in (("Marrow Point", "text"), ("letter", "pages"), ("灯塔", "chinese")):
            self.card(title).locator(".open-book").click()
            page.wait_for_selector("[data-panel=reader].open:not(.loading)")
            page.wait_for_selector(".reader-flow [data-at], .reader-page img")
            self.look(f"reader, {state}", READER)
        self.card("Marrow Point").locator(".open-book").click()
        page.wait_for_function("document.querySelector('.reader-flow').textContent.includes('brass key')")
        page.evaluate(
            """() => {
                const walker = document.createTreeWalker(document.querySelector('.reader-flow'), NodeFilter.SHOW_TEXT);
                for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                    const at = node.data.indexOf('brass key');
                    if (at >= 0) { getSelection().setBaseAndExtent(node, at, node, at + 9); return; }
                }
            }"""
        )
        page.wait_for_selector(".reader-menu:not([hidden])")
        self.look("passage", READER)
        page.locator(".reader-menu .colour.green").click()
        page.wait_for_selector("mark.noted.green")
        page.locator(".guard-set").click()
        page.wait_for_selector(".card-guard")
        for pane in PANES:
            page.locator(f"[data-pane={pane}]").click()
            page.wait_for_selector(".reader-pane:not([hidden])")
            self.look(f"reader, {pane}", READER)
        page.locator(".reader-bar > button").last.click()
        page.wait_for_selector(".reader-type:not([hidden])")
        for tone in ("sepia", "dark", "light", "page"):
            page.locator(f".type-option.{tone}").click()
            # paper of its own, whatever the page looks like
            self.look(f"reader, type, {tone}", READER, appearances=("light",))
        page.locator(".reader-guard button").last.click()
        page.evaluate("Lectern.reader.close()")

    def dialogs(self) -> None:
        page = self.page
        for tab in TABS:
            page.evaluate("name => Lectern.say('settings', 'show', name)", tab)
            page.wait_for_function("() => document.querySelector('.settings-page').children.length > 1")
            if tab == "storage":
                page.get_by_role("button", name="Make a backup").click()
                page.wait_for_selector(".backup-made")
                page.locator(".restoring summary").click()
            self.look(f"settings, {tab}", "dialog[open]")
            self.escape()
        page.evaluate("Lectern.say('keys', 'show')")
        self.look("keys", "dialog[open]")
        self.escape()
        self.card("Handbook").locator(".about").click()
        page.wait_for_selector("dialog.book-dialog[open]")
        page.wait_for_timeout(400)
        self.look("about a book", "dialog[open]")
        self.escape()

    def making(self) -> None:
        page = self.page
        page.locator("[data-panel=artefacts]").get_by_role("button", name="Make").click()
        page.wait_for_selector(".template")
        self.look("artefacts", "dialog[open]")
        page.click("[data-template=timeline]")
        page.wait_for_selector(".artefact-form")
        self.look("template", "dialog[open]")
        page.locator(".artefact-form").get_by_role("button", name="Make it").click()
        page.wait_for_selector(".artefact-items li", timeout=120_000)
        page.wait_for_selector("[data-do=again]", timeout=120_000)
        self.look("artefact", "dialog[open]")
        page.click("[data-do=edit]")
        page.wait_for_selector(".artefact-edit")
        self.look("artefact edited", "dialog[open]")
        self.escape()
        page.locator("[data-panel=writing]").get_by_role("button", name="Write").click()
        page.wait_for_selector("dialog.draft[open] .draft-text")
        page.fill(".draft-text", "The lamp was lit.")
        page.locator(".draft-known summary").click()
        page.click("[data-do=write]")
        page.wait_for_selector("[data-option]", timeout=120_000)
        self.look("writing desk", "dialog[open]")
        self.escape()

    def phone(self) -> None:
        page = self.page
        page.set_viewport_size({"width": 390, "height": 844})
        self.look("phone")
        page.evaluate("Lectern.say('bar', 'showShelf')")
        page.wait_for_timeout(100)
        self.look("phone, shelf")
        page.evaluate("Lectern.setLanguage('zh')")
        # what the program says of a file too
        assert "已损坏或不完整（文件在结尾之前中断）" in page.locator(".card.refused .reason").inner_text()
        self.look("phone, shelf, Chinese")


def test_no_panel_shuts_anybody_out(
    room: Server, chromium: Any, tmp_path: Path, violations: Callable[..., list[str]]
) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(60_000)
    page, watch = context.new_page(), Watch(room.url)
    watch.over(page)
    page.goto(room.url)
    walk = Walk(page, violations)
    walk.shelf(tmp_path)
    walk.conversation()
    walk.reader()
    walk.dialogs()
    walk.making()
    walk.phone()
    context.close()
    assert not walk.found, "\n".join(dict.fromkeys(walk.found))
    assert watch.faults == []
