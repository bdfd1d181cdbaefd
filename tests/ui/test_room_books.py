"""The same of its books: those that come twice, backups, collections, order, places that stay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from app.library.backup import restore
from app.library.store import Library
from tests.ui.books import write_tale
from tests.ui.conftest import Watch, begin

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_books_that_are_there_already_are_told_in_one_note(page: tuple[Any, Watch], books: list[str]) -> None:
    at, _ = page
    begin(at, books)
    at.set_input_files("#add-books", books)
    said = at.locator(".note:has-text('On the shelf already')")
    at.wait_for_function(
        "() => /Handbook/.test(document.querySelector('.notes').innerText) && /灯塔/.test(document.querySelector('.notes').innerText) && /Marrow/.test(document.querySelector('.notes').innerText)"
    )
    assert said.count() == 1 and at.locator(".note").count() == 1


def test_a_backup_is_made_downloaded_and_restored(page: tuple[Any, Watch], books: list[str], tmp_path: Path) -> None:
    at, watch = page
    begin(at, books)
    at.evaluate("Lectern.say('settings', 'show', 'storage')")
    at.get_by_role("button", name="Make a backup").click()
    # it is made whether the page stays or not
    with watch.leaving():
        at.reload()
        at.wait_for_selector(".card")
    at.evaluate("Lectern.say('settings', 'show', 'storage')")
    at.wait_for_selector(".backup-made strong:has-text('lectern-')")
    with at.expect_download() as told:
        at.locator(".backup-made").get_by_role("link", name="Download").click()
    kept = tmp_path / told.value.suggested_filename
    told.value.save_as(kept)
    home = tmp_path / "restored"
    made = restore(kept, home)
    assert made.documents == len(books) + 1
    with Library(home) as library:
        assert library.check() == []
        assert "The Lighthouse of Marrow Point" in [one.title for one in library.documents(library.owner())]
    at.locator(".restoring summary").click()
    assert f"lectern restore {kept.name} --home" in at.locator(".restoring pre").inner_text()
    # its address is nobody else's to guess, and what is taken away is gone
    address = at.locator(".backup-made a").get_attribute("href")
    assert at.request.get(watch.url + "/lectern/backup/x/" + kept.name).status == 404
    at.get_by_role("button", name="Take this backup away").click()
    at.wait_for_selector(".backup-made", state="detached")
    assert at.request.get(watch.url + address).status == 404


def test_a_collection_is_made_and_filters_the_shelf(page: tuple[Any, Watch], books: list[str]) -> None:
    at, _ = page
    begin(at, books)
    for title in ("Handbook", "Marrow Point"):
        at.locator(f".card:has-text({title!r}) .about").click()
        at.wait_for_selector("dialog.book-dialog[open] .book-row")
        at.get_by_role("combobox", name="Collections").fill("The sea, To read" if title == "Handbook" else "The sea")
        at.locator(".book-foot").get_by_role("button", name="Save").click()
        at.wait_for_selector("dialog.book-dialog[open]", state="detached")
        at.wait_for_selector(f".card:has-text({title!r}) .card-tags:has-text('The sea')")
    chips = at.locator(".finder .chips")
    assert chips.locator("button").all_inner_texts() == ["The sea", "To read"]
    every = at.locator(".card").count()
    chips.get_by_role("button", name="The sea").click()
    at.wait_for_function("() => document.querySelectorAll('.card').length === 2")
    assert every > 2 and chips.locator("[aria-pressed=true]").inner_text() == "The sea"
    # with words, within it
    at.get_by_role("searchbox", name="Search titles and full text").fill("handbook")
    at.wait_for_function("() => document.querySelectorAll('.card').length === 1")
    at.get_by_role("searchbox", name="Search titles and full text").fill("")
    chips.get_by_role("button", name="To read").click()
    at.wait_for_function("() => document.querySelectorAll('.card').length === 1")
    assert "Handbook" in at.locator(".card").inner_text()
    # what is chosen stays so while it is not shown
    assert at.evaluate("Lectern.seat.chosen.length") == 1
    chips.get_by_role("button", name="To read").click()
    at.wait_for_function("n => document.querySelectorAll('.card').length === n", arg=every)
    # a collection without books is none
    for title in ("Handbook", "Marrow Point"):
        at.locator(f".card:has-text({title!r}) .about").click()
        at.wait_for_selector("dialog.book-dialog[open] .book-row")
        at.get_by_role("combobox", name="Collections").fill("")
        at.locator(".book-foot").get_by_role("button", name="Save").click()
        at.wait_for_selector("dialog.book-dialog[open]", state="detached")
    at.wait_for_function("() => !document.querySelector('.finder .chips button')")


def test_what_is_read_stays_where_it_is_when_the_window_changes(page: tuple[Any, Watch], books: list[str]) -> None:
    at, _ = page
    begin(at, books)
    at.locator(".card:has-text('Marrow Point') .open-book").click()
    at.wait_for_selector("[data-panel=reader].open:not(.loading) .reader-flow [data-at]")
    at.evaluate("Lectern.reader.open(Lectern.reader.document, {start: 3000})")
    at.wait_for_timeout(600)
    place = at.evaluate("Lectern.reader.flow.position()")
    for width in (390, 1024, 820, 1440):
        at.set_viewport_size({"width": width, "height": 844})
        at.wait_for_timeout(500)
        now = at.evaluate("Lectern.reader.flow.position()")
        assert abs(now - place) < 90, (width, place, now)
    assert place > 1500
    at.evaluate("Lectern.reader.close()")


def test_the_shelf_is_sorted_and_a_reading_is_put_first(
    page: tuple[Any, Watch], books: list[str], tmp_path: Path
) -> None:
    at, _ = page
    begin(at, books)
    at.get_by_role("combobox", name="Sort by").select_option("title")
    titles = at.locator(".card .card-title").all_inner_texts()
    assert titles == sorted(titles, key=str.casefold) and len(titles) > 2
    at.get_by_role("combobox", name="Sort by").select_option("added")
    long = [write_tale(tmp_path / f"{n}.txt", chapters=400, title=f"{n} Long Log") for n in ("A", "B")]
    at.set_input_files("#add-books", [str(path) for path in long])
    at.wait_for_selector(".card[data-state=reading]:has-text('Long Log') .card-where:has-text('tokens/s')")
    waiting = at.locator(".card[data-state=waiting]:has-text('Long Log')")
    waiting.wait_for()
    name = waiting.locator(".card-title").inner_text()
    waiting.get_by_role("button", name=re.compile("first", re.IGNORECASE)).click()
    at.wait_for_selector(f".card[data-state=reading]:has-text({name!r})")
    for title in ("A Long Log", "B Long Log"):
        at.locator(f".card:has-text({title!r})").get_by_role("button", name="Stop").click()
        at.wait_for_selector(f".card[data-state=stopped]:has-text({title!r})")
        card = at.locator(f".card:has-text({title!r})")
        card.hover()
        card.get_by_role("button", name="Remove").click()
        card.locator(".confirm button").first.click()
        card.wait_for(state="detached")
