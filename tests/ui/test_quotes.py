"""The quotations of an answer in a real browser: marked, opened by keyboard and by mouse, in both appearances."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.library.store import Library
from app.library.threads import Threads
from tests.ui.books import write_tale

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ANSWER = """The keeper wrote of “a grey sea and no wind”, and the tale says that “the brass key lay under the *yellow* stone”.
Of the sale there is “the Duke of Argyll bought the lighthouse for nine pounds”, a <b>“so-called”</b> bargain.

> In the first year of chapter 1 the keeper, old Tobias Wren, wrote of
> fog from the north.
"""


def seed(home: Path, tmp_path: Path) -> None:
    """An answer of an earlier Lectern, which checked no quotations."""
    with Library(home) as library:
        owner = library.owner()
        document = library.add_document(owner, write_tale(tmp_path / "tale.txt"), "tale.txt").document
        threads = Threads(library)
        thread = threads.create(owner, [document.id], "The key")
        turn = threads.add_turn(thread.id, "What does the log say, and who bought the tower?")
        threads.save_answer(turn.id, answer=ANSWER, finish="stop", model="smollm2-135m")


def test_quotations_are_marked_and_open(
    serve: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path, shoot: Callable[[Any, str], None]
) -> None:
    home = tmp_path / "home"
    seed(home, tmp_path)
    page, watch = visit(serve(home))
    page.click(".thread-open")
    page.wait_for_selector(".turn .quote-mark")
    marks = page.locator(".turn .quote-mark")
    kinds = [mark.get_attribute("class").split()[-1] for mark in marks.all()]
    assert kinds == ["exact", "near", "missing", "exact"]
    # scare quotes accuse nobody, and what was markup in the answer is text
    assert "<b>“so-called”</b>" in page.locator(".turn .answer").inner_text()

    # by keyboard: the panel opens, says where, and Escape gives the focus back
    near = page.get_by_role("button", name="Nearly in the text")
    near.focus()
    page.keyboard.press("Enter")
    panel = page.locator(".quote-panel")
    assert panel.locator("del").inner_text().strip() == "yellow" and panel.locator("ins").inner_text().strip() in (
        "blue",
        "green",
        "red",
    )
    assert "The Lighthouse of Marrow Point" in panel.locator(".quote-place").inner_text()
    assert "CHAPTER" in panel.locator(".quote-place").inner_text().upper()
    assert panel.locator("mark").inner_text().startswith("The brass key lay under the")
    assert near.get_attribute("aria-expanded") == "true"
    shoot(page, "quotes-light")
    panel.get_by_role("button", name="Close").focus()
    page.keyboard.press("Escape")
    panel.wait_for(state="detached")
    assert page.evaluate("document.activeElement.classList.contains('quote-mark')")

    # by mouse, on the words themselves
    page.click(".quoted.missing")
    assert "stand nowhere" in panel.inner_text()
    page.evaluate("Lectern.toggleAppearance()")
    page.evaluate("Lectern.setLanguage('zh')")
    page.wait_for_selector(".quote-mark[title='原文中未找到']")
    page.locator(".quote-mark.exact").first.click()
    assert "一字不差" in panel.inner_text()
    shoot(page, "quotes-dark-zh")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert panel.bounding_box()["width"] <= 390
    shoot(page, "quotes-phone")
    assert watch.faults == []
