from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.documents.parse import parse_file
from app.library.store import Library
from app.reading.desk import Desk
from app.settings import Settings
from app.ui.chapters import Chapters
from app.ui.seat import LOCAL, new_visitor
from tests.app.reading.conftest import Machine, PlainEngine

TEXT = "# A book\n\n## Contents\n\nOne and Two\n\n## One\n\nThe lamp was lit.\n\nIt burned.\n\n## Two\n\nThe lamp went out.\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    settings = Settings.load({"home": tmp_path / "home", "cache": tmp_path / "cache", "model": "plain"}, {})
    with Library(settings.home, parse=parse_file) as library:
        desk = Desk(settings, library, lambda name: PlainEngine(name, Machine()))
        desk.engines.get("plain")
        path = tmp_path / "book.md"
        path.write_text(TEXT, encoding="utf-8")
        desk.add(LOCAL, path, "book.md")
        yield desk


@pytest.fixture
def panel(desk: Desk) -> Chapters:
    return Chapters(desk, space=False)


def test_what_is_known_of_a_book(panel: Chapters) -> None:
    told = panel.look({"id": 1})
    assert (told["title"], told["format"], told["words"], told["corrected"]) == ("A book", "Markdown", 18, False)
    assert told["tokens"] and "gb18030" in told["encodings"]
    assert [(row["title"], row["kind"], row["included"]) for row in told["chapters"]][-3:] == [
        ("Contents", "front", False), ("One", "body", True), ("Two", "body", True),
    ]  # fmt: skip
    assert all(row["page"] is None and 0 <= row["share"] < 1 for row in told["chapters"])


def test_it_is_corrected_and_as_found_again(panel: Chapters, desk: Desk) -> None:
    rows = panel.look({"id": 1})["chapters"]
    rows[0]["included"] = True
    rows[-1]["title"] = "The end"
    said = {
        "id": 1,
        "title": " The  Lamp ",
        "authors": "A. Stone; B. Reed and C. Ash",
        "year": 1901,
        "language": "fr",
        "identifiers": "10.1000/182, nonsense",
    }
    assert panel.save({**said, "chapters": rows}) == {"saved": True}
    told = panel.look({"id": 1})
    assert (told["title"], told["authors"], told["year"], told["language"], told["identifiers"]) == (
        "The Lamp", "A. Stone; B. Reed; C. Ash", 1901, "fr", "doi:10.1000/182",
    )  # fmt: skip
    assert told["corrected"] and told["chapters"][-1]["title"] == "The end" and told["chapters"][0]["included"]
    assert panel.save({"id": 1, "chapters": None})["saved"]
    assert not panel.look({"id": 1})["corrected"]


def test_a_book_that_was_read_is_read_anew(panel: Chapters, desk: Desk) -> None:
    desk.library.freeze_header(1, "<document>")
    rows = panel.look({"id": 1})["chapters"]
    answer = panel.save({"id": 1, "chapters": [row | {"included": True} for row in rows]})
    assert answer["note"]["key"] == "note.read_anew"
    assert desk.jobs.list(desk.owner_id(LOCAL), states=("waiting",), kind="read")


def test_where_a_chapter_may_begin(panel: Chapters) -> None:
    found = panel.place({"id": 1, "text": "it   BURNED"})
    assert (
        found["text"] == "It burned."
        and found["start"] == TEXT.replace("#", "").replace("\n ", "\n").index("It burned") - 1
    )
    assert panel.place({"id": 1, "text": "nowhere"})["note"]["key"] == "note.no_place"
    assert panel.place({"id": 1, "text": " "}) == {}


def test_another_encoding_is_another_text_in_its_place(panel: Chapters, desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_bytes("三国演义\n\n话说天下大势，分久必合，合久必分。".encode("gb18030"))
    id = desk.add(LOCAL, path, "b.txt").document.id
    desk.tag(LOCAL, [id], add=["小说"])
    # an encoding that cannot read the bytes changes nothing
    assert panel.save({"id": id, "encoding": "utf-8"})["note"]["name"] == "EncodingWrong"
    assert panel.save({"id": id, "encoding": "gb18030"})["note"]["key"] == "note.reencoded"
    (item,) = [one for one in desk.shelf(LOCAL) if one.filename == "b.txt"]
    assert item.id != id and item.tags == ("小说",) and item.title == "三国演义"


@pytest.mark.parametrize(
    "said",
    [
        {}, {"id": "1"}, {"id": True}, {"id": 99}, {"id": -1}, {"id": 1, "chapters": "all"}, {"id": 1, "chapters": [1]},
        {"id": 1, "chapters": [{"title": "x", "level": "1", "start": 0, "kind": "body", "included": True}]},
        {"id": 1, "chapters": [{"title": "x", "level": 1, "start": -5, "kind": "body", "included": True}]},
        {"id": 1, "chapters": []},
    ],
)  # fmt: skip
def test_what_makes_no_sense_changes_nothing(panel: Chapters, desk: Desk, said: dict[str, Any]) -> None:
    before = desk.chapters(LOCAL, 1)
    answers = [panel.look(said) if "chapters" not in said else {}, panel.place({**said, "text": "x"}), panel.save(said)]
    assert not any(answer.get("saved") for answer in answers) or said.get("id") is True
    assert desk.chapters(LOCAL, 1) == before


def test_a_visitor_sees_their_own_books_only(desk: Desk) -> None:
    panel = Chapters(desk, space=True)
    assert panel.look({"id": 1}) == {}
    assert panel.look({"id": 1, "visitor": new_visitor()})["note"]["name"] == "DocumentNotFound"


@pytest.mark.browser
def test_the_dialog(serve: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path) -> None:
    home = tmp_path / "home"
    book = tmp_path / "book.md"
    book.write_text(
        TEXT.replace("A book", "<img src=x onerror=alert(1)>").replace("lit.", "lit. " * 30), encoding="utf-8"
    )
    with Library(home, parse=parse_file) as library:
        library.add_document(library.owner(), book, "book.md")
    page, watch = visit(serve(home))
    page.click(".card [data-focus=about]")
    page.wait_for_selector(".book-row")
    assert page.locator(".book-row.out").count() == 1 and page.locator("dialog[open]").count() == 1
    page.fill(".book-begin", "it burned")
    page.click(".book-add .button")
    page.wait_for_function("document.querySelectorAll('.book-row').length === 4")
    page.locator(".book-row input[type=checkbox]").first.check()
    page.fill("#book-year", "1901")
    page.click(".book-foot .primary")
    page.wait_for_selector(".book-dialog", state="hidden")
    page.click(".card [data-focus=about]")
    page.wait_for_selector(".book-row")
    assert page.locator(".book-row").count() == 4 and page.locator(".book-row.out").count() == 0
    assert page.input_value("#book-year") == "1901"
    page.keyboard.press("Escape")
    page.wait_for_selector(".book-dialog", state="hidden")
    assert watch.faults == []


def test_a_book_is_put_into_collections(panel: Chapters, desk: Desk) -> None:
    assert panel.save({"id": 1, "tags": "Lamps，  To   read, Lamps"}) == {"saved": True}
    told = panel.look({"id": 1})
    assert (told["tags"], told["collections"]) == ("Lamps, To read", ["Lamps", "To read"])
    assert panel.save({"id": 1, "tags": "Lamps"}) == {"saved": True}
    assert desk.shelf(LOCAL)[0].tags == ("Lamps",)
    assert panel.save({"id": 1, "tags": "x" * 80})["note"]["name"] == "TagInvalid"
    assert desk.shelf(LOCAL)[0].tags == ("Lamps",)
