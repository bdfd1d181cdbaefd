"""Flows of the room in a real browser, over one server with a plain engine that answers at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.books import write_chinese, write_epub, write_tale
from tests.ui.conftest import Server, Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]


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
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", accept_downloads=True)
    context.set_default_timeout(60_000)
    page, watch = context.new_page(), Watch(room.url)
    watch.over(page)
    page.goto(room.url)
    page.wait_for_selector("[data-panel=shelf] .drop-zone strong", state="attached")
    yield page, watch
    context.close()
    assert watch.faults == []


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("books")
    made = [write_tale(folder / "tale.txt"), write_epub(folder / "handbook.epub"), write_chinese(folder / "灯塔.txt")]
    return [str(path) for path in made]


def begin(page: Any, books: list[str]) -> None:
    """A new conversation over the tale, which is on the shelf and read."""
    page.wait_for_selector(".card")
    if not page.locator(".card:has-text('Marrow Point')").count():
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


def test_a_first_start_is_welcomed(page: tuple[Any, Watch]) -> None:
    at, _ = page
    at.wait_for_selector(".card[data-state=read]:has-text('The Patient Reader')")
    assert at.locator(".card").get_by_role("checkbox").is_checked()
    assert at.locator(".suggestions button").count() == 3
    at.click(".suggestions button:has-text('Pim')")
    assert at.input_value("#question") == "What became of Pim?"
    at.keyboard.press("Enter")
    at.wait_for_selector(".turn .turn-facts")


def test_a_question_is_edited_and_the_old_branch_stays(page: tuple[Any, Watch], books: list[str]) -> None:
    at, watch = page
    begin(at, books)
    ask(at, "First?")
    ask(at, "Second?")
    at.locator(".turn").first.hover()
    at.locator(".turn").first.get_by_role("button", name="Edit the question").click()
    at.wait_for_selector(".edit-box:focus")
    at.keyboard.press("Escape")
    assert at.locator(".edit-box").count() == 0
    at.locator(".turn").first.hover()
    at.locator(".turn").first.get_by_role("button", name="Edit the question").click()
    at.wait_for_selector(".edit-box:focus")
    at.keyboard.type(" (say 5)")
    at.keyboard.press("Enter")
    at.wait_for_selector(".branches:has-text('2 of 2')")
    at.wait_for_selector(".turn .turn-facts")
    assert at.locator(".turn").count() == 1 and at.locator(".question").inner_text() == "First? (say 5)"
    assert len(at.locator(".turn .answer").inner_text().split()) == 5
    # the earlier one, with all that followed it, also after a reload
    at.get_by_role("button", name="Earlier version").click()
    at.wait_for_function("() => document.querySelectorAll('.turn').length === 2")
    with watch.leaving():
        at.reload()
        at.wait_for_function("() => document.querySelectorAll('.turn').length === 2")
    assert at.locator(".question").first.inner_text() == "First?"
    # asked again, and another branch of the second
    at.locator(".turn").last.hover()
    at.locator(".turn").last.get_by_role("button", name="Ask again").click()
    at.wait_for_selector(".turn:last-child .branches:has-text('2 of 2')")
    # an empty question and the arrow up: the last question is edited
    at.wait_for_selector(".turn:last-child .turn-facts")
    at.focus("#question")
    at.keyboard.press("ArrowUp")
    at.wait_for_selector(".turn:last-child .edit-box")


def test_conversations_are_found_kept_as_files_deleted_and_brought_back(
    page: tuple[Any, Watch], books: list[str]
) -> None:
    at, _ = page
    begin(at, books)
    ask(at, "Where does the albatross sleep?")
    begin(at, books)
    ask(at, "Something else.")
    at.get_by_role("searchbox", name="Search conversations").fill("ALBATROSS")
    at.wait_for_selector(".thread mark:has-text('albatross')")
    assert at.locator("[data-panel=threads] .thread").count() == 1
    at.click(".thread-open")
    at.wait_for_selector(".turn.found")
    assert "albatross" in at.locator(".question").inner_text()
    at.get_by_role("searchbox", name="Search conversations").fill("")
    at.wait_for_function("() => document.querySelectorAll('.thread').length > 1")

    at.click(".menu summary")
    with at.expect_download() as told:
        at.get_by_role("button", name="Markdown").click()
    text = Path(told.value.path()).read_text(encoding="utf-8")
    assert told.value.suggested_filename.endswith(".md") and "## Where does the albatross sleep?" in text

    count = at.locator(".thread").count()
    row = at.locator(".thread:has-text('albatross')")
    row.hover()
    row.get_by_role("button", name="Delete this conversation").click()
    at.wait_for_function("n => document.querySelectorAll('.thread').length === n", arg=count - 1)
    at.wait_for_selector("[data-panel=transcript].blank")
    at.locator("[data-panel=threads]").get_by_role("button", name="Undo").click()
    row.wait_for()
    assert at.locator(".thread").count() == count


def test_the_meter_shows_every_book_and_leaves_one_out(page: tuple[Any, Watch], books: list[str]) -> None:
    at, _ = page
    begin(at, books)
    assert re.search(r"1 book.*tokens.*read: answers in about \d+ s", at.locator(".context").inner_text(), re.S)
    for title in ("Handbook", "海角灯塔"):
        at.locator(f".card:has-text('{title}')").get_by_role("checkbox").check()
    at.wait_for_selector(".context strong:has-text('3 books')")
    at.click("button.context-text")
    assert at.locator(".meter-books li").count() == 3 and at.locator(".meter .part").count() == 4
    at.get_by_role("button", name="Leave out “A Handbook for Keepers”").click()
    at.wait_for_selector(".context strong:has-text('2 books')")
    assert not at.locator(".card:has-text('Handbook')").get_by_role("checkbox").is_checked()
