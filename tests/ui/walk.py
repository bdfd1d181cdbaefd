"""The way through the page that ``tests.ui.screenshots`` takes its pictures on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tests.ui.books import chapters_beyond, write_broken_pdf, write_tale

PAPER = "papers/bitcoin.pdf"  # read in a minute
NOVELS = ("books/hong-lou-meng.txt", "books/moby-dick-excerpt.epub", "books/kusamakura-preview.epub", "books/pride-and-prejudice.pdf", "books/alice.txt", "papers/dynamo.pdf")  # fmt: skip
QUESTION = "What problem does the paper solve? Quote the sentence that says it."
AGAIN = "How are transactions ordered?"


class Taker(Protocol):
    def take(self, state: str, *, every: bool = False, drawer: bool = False) -> None: ...


class Walk:
    """The way through the page. Every part leaves it as the next one wants it: nothing open, English, 1440 wide."""

    def __init__(self, page: Any, camera: Taker, folder: Path, books: Path, model: str) -> None:
        self.page, self.camera, self.folder, self.books, self.model = page, camera, folder, books, model

    def card(self, title: str) -> Any:
        return self.page.locator(f".card:has-text({title!r})").first

    def wait_for(self, title: str, state: str, seconds: float = 600) -> None:
        self.card(title).and_(self.page.locator(f'[data-state="{state}"]')).wait_for(timeout=seconds * 1000)

    def choose(self, *titles: str) -> None:
        """A new conversation over these books."""
        self.page.click(".new-thread")
        while self.page.locator(".card input:checked").count():
            self.page.locator(".card input:checked").first.click()
        for title in titles:
            self.card(title).get_by_role("checkbox").check()

    def ask(self, question: str, seen: Callable[[], None] | None = None) -> None:
        turns = self.page.locator(".turn .turn-facts").count()
        self.page.fill("#question", question)
        self.page.keyboard.press("Enter")
        if seen:
            self.page.wait_for_function(
                "() => (document.querySelector('[data-panel=live] .answer')?.innerText.length || 0) > 60",
                timeout=300_000,
            )
            seen()
        told = "n => document.querySelectorAll('.turn .turn-facts').length > n"
        self.page.wait_for_function(told, arg=turns, timeout=300_000)

    def open(self, title: str) -> None:
        """A book in the reader, its first screen drawn."""
        self.page.evaluate(
            "title => { Lectern.reader.open(Lectern.shelf.find((one) => one.title.includes(title)).id); }", title
        )
        self.page.wait_for_function(
            "title => document.querySelector('.reader-title')?.textContent.includes(title)", arg=title
        )
        self.page.wait_for_selector("[data-panel=reader].open:not(.loading)")
        self.page.wait_for_timeout(1200)

    def close(self) -> None:
        self.page.evaluate(
            "() => { Lectern.reader.close(); for (const one of document.querySelectorAll('dialog[open]')) one.close(); }"
        )
        self.page.evaluate("() => { const live = document.activeElement; if (live) live.blur(); }")

    def select(self, text: str) -> None:
        """Select a passage of the open book."""
        self.page.evaluate(
            """text => {
                const walker = document.createTreeWalker(document.querySelector('.reader-flow'), NodeFilter.SHOW_TEXT);
                for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                    const at = node.data.indexOf(text);
                    if (at >= 0) { getSelection().setBaseAndExtent(node, at, node, at + text.length); return; }
                }
            }""",
            text,
        )
        self.page.wait_for_selector(".reader-menu:not([hidden])")

    # the parts, in their order

    def welcome(self) -> None:
        self.page.wait_for_selector(".suggestions")
        # short answers, the same each time
        self.page.evaluate("Lectern.store.write('localStorage', 'sampling', {temperature: 0, max_tokens: 140})")
        self.wait_for("Patient Reader", "read")
        self.camera.take("welcome", every=True)

    def empty(self) -> None:
        card = self.card("Patient Reader")
        card.hover()
        card.get_by_role("button", name="Remove").click()
        self.page.wait_for_selector(".confirm")
        self.camera.take("removing", drawer=True)
        card.get_by_role("button", name="Remove", exact=True).click()
        self.page.wait_for_selector("[data-panel=shelf].empty")
        self.camera.take("empty")
        self.camera.take("empty-shelf", drawer=True)
        self.page.locator("[data-panel=shelf]").get_by_role("button", name="Undo").click()
        self.card("Patient Reader").wait_for()

    def dropping(self) -> None:
        self.page.evaluate(
            """() => {
                const carried = new DataTransfer();
                carried.items.add(new File(['x'], 'book.epub'));
                window.dispatchEvent(new DragEvent('dragenter', {dataTransfer: carried, bubbles: true}));
            }"""
        )
        self.camera.take("dropping")
        self.page.evaluate("window.dispatchEvent(new DragEvent('dragleave'))")

    def paper(self) -> None:
        """What everything else is asked of; and a file that is refused."""
        self.choose("Patient Reader")
        self.ask("What is the rule above the library’s door?")
        self.page.set_input_files(
            "#add-books", [str(self.books / PAPER), str(write_broken_pdf(self.folder / "scan.pdf"))]
        )
        self.page.wait_for_selector(".card.refused")
        self.camera.take("refused", drawer=True)
        self.page.locator(".card.refused .card-actions button").click()
        self.wait_for("Bitcoin", "read")

    def conversation(self) -> None:
        self.choose("Bitcoin")
        self.page.wait_for_selector(".context .ready")
        self.camera.take("begin")
        self.ask(QUESTION, lambda: self.camera.take("answering"))
        self.ask(AGAIN)
        self.camera.take("conversation", every=True)
        if self.page.locator(".quote-mark").count():
            self.page.locator(".quote-mark").first.scroll_into_view_if_needed()
            self.page.locator(".quote-mark").first.click()
            self.camera.take("quote")
            self.page.keyboard.press("Escape")
        step = self.page.locator(".turn").last.locator("[data-focus=gaze-after]")
        if step.count():
            step.click()
            step.scroll_into_view_if_needed()
            self.camera.take("gaze")
        self.page.locator(".menu summary").click()
        self.camera.take("export")
        self.page.keyboard.press("Escape")
        # versions of a question, and the question being edited
        self.page.evaluate("Lectern.say('transcript', 'editLast')")
        self.page.wait_for_selector(".edit-box")
        self.camera.take("editing")
        self.page.fill(".edit-box", "How are transactions ordered, in one sentence?")
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(".turn:last-child .branches")
        self.page.wait_for_selector(".turn:last-child .turn-facts", timeout=300_000)
        self.camera.take("versions")

    def passages(self) -> None:
        """A book asked by its passages, and open beside the answer."""
        self.add("alice.txt", "Alice")
        self.choose("Alice")
        self.page.locator('.modes input[value="reread"]').check()
        self.ask("What did the Caterpillar tell Alice about the mushroom?")
        self.page.locator('.modes input[value="auto"]').check()
        place = self.page.locator(".gaze-places.passages button").first
        place.scroll_into_view_if_needed()
        self.camera.take("passages")
        place.click()
        self.page.wait_for_selector("[data-panel=reader].open:not(.loading)")
        self.page.wait_for_timeout(1500)
        self.camera.take("room")
        self.close()

    def add(self, name: str, title: str) -> None:
        """Onto the shelf, and not read for now."""
        if self.card(title).count():
            return
        path = next(one for one in (self.books / each for each in NOVELS) if one.name == name)
        self.page.set_input_files("#add-books", str(path))
        found = "title => Lectern.shelf?.some((one) => one.title.includes(title))"
        self.page.wait_for_function(found, arg=title, timeout=300_000)
        self.stop(title)

    def stop(self, title: str) -> None:
        self.page.wait_for_timeout(1500)
        button = self.card(title).get_by_role("button", name="Stop")
        if button.count():
            button.click()
            self.page.wait_for_timeout(500)

    def reading(self) -> None:
        """Two that the smallest model can hold: one read, the other waiting."""
        titles = ("草枕", "Dynamo")
        for name, title in zip(("kusamakura-preview.epub", "dynamo.pdf"), titles, strict=True):
            self.add(name, title)
        for title in titles:
            self.card(title).locator("[data-focus=act]").click()
        self.page.wait_for_selector(".card[data-state=reading] .state-more", timeout=300_000)
        self.page.locator(".cards").evaluate("one => { one.scrollTop = 0; }")
        self.camera.take("reading", drawer=True)
        for title in titles:
            self.stop(title)
        self.page.wait_for_selector(".card[data-state=stopped]")
        self.camera.take("stopped", drawer=True)

    def shelves(self) -> None:
        self.page.fill("[data-panel=threads] .find-box", "transactions")
        self.page.wait_for_selector(".thread mark")
        self.camera.take("threads-found", drawer=True)
        self.page.fill("[data-panel=threads] .find-box", "")
        self.page.fill("[data-panel=shelf] .find-box", "honest")
        self.page.wait_for_selector(".hit")
        self.camera.take("search", drawer=True)
        self.page.fill("[data-panel=shelf] .find-box", "")
        self.page.wait_for_selector(".hits", state="hidden")
        self.page.locator(".thread").last.hover()
        self.page.locator(".thread").last.get_by_role("button", name="Delete").click()
        self.page.wait_for_selector("[data-panel=threads] .undo button")
        self.camera.take("deleted", drawer=True)
        self.page.locator("[data-panel=threads]").get_by_role("button", name="Undo").click()

    def text(self) -> None:
        self.add("alice.txt", "Alice")
        self.open("Alice")
        self.page.evaluate("Lectern.reader.open(Lectern.reader.document, {start: 4000})")
        self.page.wait_for_timeout(900)
        self.camera.take("reader-text")
        self.select("There was nothing so")
        self.camera.take("reader-passage")
        self.page.locator(".reader-menu .colour.green").click()
        self.page.wait_for_selector("mark.noted.green")
        self.select("hurried on")
        self.page.locator(".reader-menu").get_by_role("button", name="Note").click()
        self.page.wait_for_selector(".note-field")
        self.page.keyboard.type("The clock again: who sets it?")
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_selector(".noted-words")
        self.camera.take("reader-notes")
        self.page.locator("[data-pane=contents]").click()
        self.camera.take("reader-contents")
        self.page.locator("[data-pane=look_up]").click()
        self.page.fill(".reader-pane .find-box", "rabbit")
        self.page.wait_for_selector(".reader-pane .hit")
        self.camera.take("reader-search")
        self.page.locator(".pane-head button").click()
        self.page.locator(".guard-set").click()
        self.page.wait_for_selector(".reader-guard button")
        self.camera.take("reader-guard")
        self.page.locator(".reader-guard button").last.click()
        self.page.locator(".reader-bar > button").last.click()
        self.page.locator(".type-option.sepia").click()
        self.camera.take("reader-type")
        self.page.locator(".type-option.page").click()
        self.close()

    def pages(self) -> None:
        self.open("Bitcoin")
        self.page.evaluate("Lectern.reader.open(Lectern.reader.document, {start: 9000})")
        self.page.wait_for_timeout(3000)
        self.camera.take("reader-pages")
        self.close()

    def epub(self) -> None:
        self.add("moby-dick-excerpt.epub", "Moby")
        self.open("Moby")
        self.page.keyboard.press("PageDown")
        self.page.wait_for_timeout(800)
        self.camera.take("reader-epub")
        self.close()

    def vertical(self) -> None:
        self.add("kusamakura-preview.epub", "草枕")
        self.open("草枕")
        self.page.evaluate("Lectern.reader.open(Lectern.reader.document, {start: 1500})")
        self.page.wait_for_timeout(1500)
        self.camera.take("reader-vertical")
        self.close()

    def chinese(self) -> None:
        self.add("hong-lou-meng.txt", "红楼梦")
        self.open("红楼梦")
        self.page.evaluate("Lectern.reader.open(Lectern.reader.document, {start: 9000})")
        self.page.wait_for_timeout(1500)
        self.camera.take("reader-chinese")
        self.close()

    def book(self) -> None:
        self.add("alice.txt", "Alice")
        self.card("Alice").locator(".about").click()
        self.page.wait_for_selector("dialog.book-dialog[open] .book-row")
        self.camera.take("book")
        self.close()

    def settings(self) -> None:
        for section in ("model", "answers", "reading", "storage", "look", "privacy"):
            self.page.evaluate("name => Lectern.say('settings', 'show', name)", section)
            if section == "storage" and not self.page.locator(".backup-made").count():
                self.page.get_by_role("button", name="Make a backup").click()
                self.page.wait_for_selector(".backup-made")
            self.page.wait_for_timeout(1500)
            self.camera.take(f"settings-{section}")
            self.close()
        self.page.evaluate("Lectern.say('keys', 'show')")
        self.camera.take("keys")
        self.close()

    def making(self) -> None:
        self.choose("Bitcoin")
        self.page.locator("[data-panel=artefacts]").get_by_role("button", name="Make").click()
        self.page.click("[data-template=timeline]")
        self.page.wait_for_selector(".artefact-form")
        self.camera.take("artefact-template")
        self.page.click("[data-template=glossary]")
        self.page.fill(".artefact-form [name=parts]", "2")
        self.page.locator(".artefact-form").get_by_role("button", name="Make it").click()
        self.page.wait_for_selector(".artefact-progress")
        self.camera.take("artefact-making")
        self.page.wait_for_selector("[data-do=again]", timeout=400_000)
        self.camera.take("artefact")
        self.close()
        self.camera.take("artefact-list", drawer=True)

    def writing(self) -> None:
        self.page.locator("[data-panel=writing]").get_by_role("button", name="Write").click()
        self.page.wait_for_selector("dialog.draft[open] .draft-text")
        self.page.fill(
            ".draft-text",
            "The ledger\n\nNobody in the village trusted the bank, so they wrote every debt on the wall of the mill, where all could read it.",
        )
        self.page.locator(".artefact-rename:visible").fill("The ledger on the wall")
        self.page.keyboard.press("Enter")
        self.page.locator(".draft-text").focus()
        self.page.keyboard.press("Control+End")
        self.page.click("[data-do=write]")
        self.page.wait_for_selector("[data-option]", timeout=300_000)
        self.page.wait_for_selector(".option.live", state="detached", timeout=300_000)
        self.camera.take("writing")
        self.close()

    def several(self) -> None:
        """Several books; how they are opened; and too many."""
        self.choose("Bitcoin", "Patient Reader")
        self.page.wait_for_selector(".context strong:has-text('2 books')")
        self.page.wait_for_selector("button.context-text")
        self.page.click("button.context-text")
        self.camera.take("meter")
        self.page.click("#quick")
        self.page.wait_for_selector(".context .ready")
        self.camera.take("quick")
        self.page.click("#quick")
        huge = write_tale(self.folder / "huge.txt", chapters=chapters_beyond(self.model), title="The Keeper's Log")
        self.page.set_input_files("#add-books", [str(huge)])
        self.card("Keeper").wait_for(timeout=300_000)
        self.card("Keeper").get_by_role("checkbox").check()
        self.page.locator('.modes input[value="whole"]').check()
        self.page.wait_for_selector(".context.over", timeout=300_000)
        # its reading is refused as well, once its tokens are counted
        self.wait_for("Keeper", "failed")
        self.camera.take("too-much")
        self.camera.take("failed", drawer=True)
        self.page.locator('.modes input[value="auto"]').check()
        self.page.click("button.context-text")
