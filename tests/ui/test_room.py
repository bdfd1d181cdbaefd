"""Flows of the room in a real browser, over one server with a plain engine that answers at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.ui.conftest import Server, Watch, ask, begin

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_first_start_is_welcomed(page: tuple[Any, Watch], books: list[str]) -> None:
    at, _ = page
    at.wait_for_selector(".card[data-state=read]:has-text('The Patient Reader')")
    assert at.locator(".card").get_by_role("checkbox").is_checked()
    assert at.locator(".suggestions button").count() == 3
    # what is dropped while nobody chose takes the place of the welcome book
    at.set_input_files("#add-books", books[:1])
    at.wait_for_selector(".card:has-text('Marrow Point'):has(input:checked)")
    assert at.locator(".card input:checked").count() == 1
    at.locator(".card:has-text('Marrow Point') input").uncheck()
    at.locator(".card:has-text('The Patient Reader') input").check()
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
    # the turn is there a moment before the answer counts as ended
    at.wait_for_selector(".send:not(.stop)")
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


def test_a_second_tab_sees_the_answer_grow(page: tuple[Any, Watch], books: list[str], room: Server) -> None:
    at, watch = page
    begin(at, books)
    at.fill("#question", "Tell it all (say 20000)")
    at.keyboard.press("Enter")
    grown = "() => document.querySelector('[data-panel=live].active .answer')?.innerText.length > 50"
    at.wait_for_function(grown)
    other = at.context.new_page()
    watch.over(other)
    other.goto(room.url)
    other.wait_for_function(grown)
    # stopped in one, it ends in both
    other.focus("#question")
    other.keyboard.press("Escape")
    for tab in (at, other):
        tab.wait_for_selector(".turn .turn-facts:has-text('stopped by you')")
    # a tab in the background draws nothing: its text is there all the same
    told = [tab.locator(".turn .answer").last.text_content() for tab in (at, other)]
    assert told[0] and told[0] == told[1]
    with watch.leaving():
        other.close()


def test_settings_are_changed_and_kept(page: tuple[Any, Watch], books: list[str]) -> None:
    at, watch = page
    begin(at, books)
    at.locator("body").press(",")
    at.wait_for_selector("dialog.settings[open] .offer")
    # arrows go from section to section
    at.keyboard.press("ArrowDown")
    at.get_by_role("group", name="Manner").get_by_role("button", name="Exact").click()
    assert at.evaluate("Lectern.sampling()") == {"temperature": 0}
    at.get_by_role("tab", name="Storage").click()
    at.get_by_label("Kept readings may take (GB)").fill("25")
    at.keyboard.press("Enter")
    at.get_by_role("tab", name="Language and look").click()
    at.get_by_role("button", name="Dark", exact=True).click()
    at.get_by_role("button", name="Large", exact=True).click()
    at.get_by_role("button", name="中文", exact=True).click()
    at.get_by_role("tab", name="隐私").click()
    assert re.search(r"\d", at.locator(".verdict.good").inner_text())
    at.keyboard.press("Escape")
    assert at.locator("dialog[open]").count() == 0
    with watch.leaving():
        at.reload()
        at.wait_for_selector(".card")
    root = at.locator("html")
    assert [root.get_attribute(name) for name in ("lang", "data-appearance", "data-size")] == ["zh", "dark", "large"]
    assert at.evaluate("Lectern.sampling()") == {"temperature": 0}
    at.get_by_role("button", name="Show in English").click()
    at.get_by_role("button", name="Settings").click()
    at.get_by_role("tab", name="Storage").click()
    budget = at.get_by_label("Kept readings may take (GB)")
    assert budget.input_value() == "25"
    budget.fill("")
    at.keyboard.press("Enter")
    at.wait_for_function("() => document.querySelector('#set-budget').value === ''")


FOCUSED = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const frame = one.closest('.question-box, .modes label') || one;
    const seen = [one, frame].some((each) => getComputedStyle(each).outlineStyle !== 'none') || getComputedStyle(frame).boxShadow !== 'none';
    const name = one.getAttribute('aria-label') || one.innerText || one.labels?.[0]?.innerText || one.placeholder || one.title;
    return [name, seen, one.outerHTML.slice(0, 120)];
}"""


def test_everything_is_reached_by_keys(page: tuple[Any, Watch], books: list[str]) -> None:
    at, _ = page
    begin(at, books)
    ask(at, "First?")
    at.evaluate("document.activeElement.blur()")
    at.keyboard.press("?")
    at.wait_for_selector("dialog.keys[open] kbd")
    at.keyboard.press("Escape")
    # letters do nothing where one writes
    at.keyboard.press("/")
    at.keyboard.type("no?n")
    assert at.input_value("#question") == "no?n" and at.locator("dialog[open]").count() == 0
    at.fill("#question", "")
    # each control has a visible focus and a name, in the order of the page
    at.evaluate("document.querySelector('[data-panel=brand] button').focus()")
    names: list[str] = []
    for _ in range(90):
        at.keyboard.press("Tab")
        said = at.evaluate(FOCUSED)
        if said is None:
            break
        assert said[0] and said[1], said
        names.append(said[0])
    assert {"Settings", "Edit the question", "Your question"} <= set(names)
    # a book is opened, turned and closed
    at.evaluate("document.activeElement.blur()")
    at.keyboard.press("o")
    at.wait_for_selector("[data-panel=reader].open:not(.loading) .reader-scroll:focus")
    at.keyboard.press("Space")
    at.wait_for_function("() => document.querySelector('.reader-scroll').scrollTop > 0")
    at.keyboard.press("Escape")
    at.wait_for_selector("[data-panel=reader]:not(.open)", state="attached")
    at.keyboard.press("n")
    at.wait_for_selector("[data-panel=transcript].blank")


def test_a_reading_is_pinned_and_books_are_taken_as_read_alone(page: tuple[Any, Watch], books: list[str]) -> None:
    at, watch = page
    begin(at, books)
    pin = at.locator(".card:has-text('Handbook') .pin")
    at.locator(".card:has-text('Handbook')").hover()
    pin.click()
    at.wait_for_selector(".card:has-text('Handbook') .pin.on")
    assert at.locator("#quick").count() == 0
    at.locator(".card:has-text('Handbook')").get_by_role("checkbox").check()
    lever = at.get_by_role("switch", name="Quick")
    lever.click()
    assert lever.get_attribute("aria-checked") == "true"
    assert "not seen one another" in at.locator("#quick-cost").inner_text()
    # each was read alone: nothing is left to read
    at.wait_for_selector(".context .ready")
    ask(at, "Both?")
    at.wait_for_selector(".gaze-mode:has-text('each book as read alone')")
    with watch.leaving():
        at.reload()
        at.wait_for_selector("#quick[aria-checked=true]")
    at.click("#quick")
    at.wait_for_selector(".context .takes")
    at.locator(".card:has-text('Handbook')").hover()
    at.locator(".card:has-text('Handbook') .pin").click()
    at.wait_for_selector(".card:has-text('Handbook') .pin:not(.on)")


def test_where_an_answer_looked_is_shown_and_opens(page: tuple[Any, Watch], books: list[str]) -> None:
    at, _ = page
    begin(at, books)
    at.locator('.modes input[value="whole"]').check()
    ask(at, "Where does he look? (say 40)")
    turn = at.locator(".turn").last
    assert turn.locator(".gaze-mode .chip").inner_text() == "Whole book"
    assert turn.locator(".gaze-bar").count() == 1 and turn.locator(".gaze-places li").count() >= 1
    # sentence by sentence, round to the whole answer
    turn.locator("[data-focus=gaze-after]").click()
    at.wait_for_selector(".turn:last-child .gaze-said:has-text('Sentence 1 of 3')")
    assert turn.locator(".gaze-marks span").count() >= 1
    turn.locator("[data-focus=gaze-before]").click()
    at.wait_for_selector(".turn:last-child .gaze-said:has-text('The whole answer')")
    turn.locator(".gaze-bar").click()
    at.wait_for_selector("[data-panel=reader].open:not(.loading) .reader-title:has-text('Marrow Point')")
    at.keyboard.press("Escape")

    # from passages, each of which opens where it stands
    at.locator('.modes input[value="reread"]').check()
    at.wait_for_selector(".context:has-text('passages')")
    ask(at, "What lay under the green stone in the seventh year of chapter 2?")
    turn = at.locator(".turn").last
    assert turn.locator(".gaze-mode .chip").inner_text() == "Re-reading"
    assert turn.locator(".passages .gaze-number").all_inner_texts()[0] == "[1]"
    turn.locator(".passages button").first.click()
    at.wait_for_selector("[data-panel=reader].open:not(.loading) mark.found")
    at.evaluate("Lectern.reader.close()")
    at.locator('.modes input[value="auto"]').check()


SELECT = """text => {
    const walker = document.createTreeWalker(document.querySelector('.reader-flow'), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const at = node.data.indexOf(text);
        if (at >= 0) { getSelection().setBaseAndExtent(node, at, node, at + text.length); return; }
    }
}"""


def test_a_passage_is_explained_and_translated(page: tuple[Any, Watch], books: list[str]) -> None:
    at, _ = page
    begin(at, books)
    at.locator(".card:has-text('Marrow Point') .open-book").click()
    at.wait_for_selector("[data-panel=reader].open:not(.loading) .reader-flow [data-at]")
    for name, words in (("Explain", "Explain this passage"), ("Translate", "into Chinese")):
        answered = at.locator(".turn .turn-facts").count()
        at.evaluate(SELECT, "The brass key")
        at.wait_for_selector(".reader-menu:not([hidden])")
        at.locator(".reader-menu").get_by_role("button", name=name).click()
        at.wait_for_function("n => document.querySelectorAll('.turn .turn-facts').length > n", arg=answered)
        question = at.locator(".turn .question").last
        assert words in question.inner_text() and ">" not in question.inner_text()
        assert question.locator(".asked-passage").inner_text() == "The brass key"
    assert at.locator(".thread-title").first.inner_text().endswith("The brass key")
    # where the reader covers the conversation it makes way
    at.set_viewport_size({"width": 390, "height": 844})
    at.evaluate(SELECT, "The brass key")
    at.wait_for_selector(".reader-menu:not([hidden])")
    at.locator(".reader-menu").get_by_role("button", name="Ask").click()
    assert at.input_value("#question").startswith("> The brass key")
    assert at.locator("#question").is_visible() and not at.locator("[data-panel=reader].open").count()
