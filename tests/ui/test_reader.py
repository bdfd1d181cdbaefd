"""The reader: what its server functions answer, and a book read, marked and guarded in a real browser."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.documents.parse import parse_file
from app.library.store import Library
from app.reading.desk import Desk
from app.settings import Settings
from app.ui.reader import Pictures, Reader
from app.ui.seat import LOCAL, new_visitor
from tests.app.reading.conftest import Machine, PlainEngine
from tests.ui.books import write_chinese, write_letter, write_tale

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    settings = Settings.load({"home": tmp_path / "home", "cache": tmp_path / "cache", "model": "plain"}, {})
    with Library(settings.home, parse=parse_file) as library:
        yield Desk(settings, library, lambda name: PlainEngine(name, Machine()))


@pytest.fixture
def ask(desk: Desk) -> Ask:
    functions = {one.__name__: one for one in Reader(desk, space=False).functions()}
    return lambda name, **said: functions[name](said)


def put(desk: Desk, path: Path) -> int:
    return desk.library.add_document(desk.owner_id(LOCAL), path, path.name).document.id


class TestAnswers:
    def test_a_book_comes_in_sections_that_make_its_text(self, desk: Desk, ask: Ask, tmp_path: Path) -> None:
        book = put(desk, write_tale(tmp_path / "tale.txt", chapters=20))
        told = ask("open_book", document=book)
        text = desk.library.text(desk.library.document(1, book).text_sha256)
        assert told["characters"] == len(text) and len(told["sections"]) > 3 and told["notes"] == []
        blocks: list[list[Any]] = []
        for number in range(len(told["sections"])):
            (found,) = ask("sections", document=book, numbers=[number])["sections"].values()
            assert found[0][0] == told["sections"][number] or number == 0
            blocks += found
        assert "\n\n".join(block[1] for block in blocks) == text
        assert [block[1] for block in blocks if block[2]][:2] == [one["title"] for one in told["chapters"]][:2]

    def test_nonsense_is_answered_without_an_error(self, desk: Desk, ask: Ask, tmp_path: Path) -> None:
        book = put(desk, write_tale(tmp_path / "tale.txt"))
        for name, said in [
            ("open_book", {}),
            ("open_book", {"document": 99}),
            ("sections", {"document": "1"}),
            ("guard", {"document": book, "offset": -1}),
            ("guard", {"document": book, "offset": 0}),
            ("keep_place", {"document": book, "position": None}),
            ("note", {"document": book, "act": "burn"}),
            ("note", {"document": book, "act": "add", "start": 5, "end": 2}),
            ("export_notes", {"document": book, "format": "exe"}),
        ]:
            answer = ask(name, **said)
            assert answer["refused"] and answer["note"]["kind"] == "error", (name, said)
        assert ask("sections", document=book, numbers=[10**9, True, "x"])["sections"] == {}
        assert ask("pages", document=book, numbers=[1])["pages"] == {}

    def test_one_visitor_sees_nothing_of_anothers(self, desk: Desk, tmp_path: Path) -> None:
        functions = {one.__name__: one for one in Reader(desk, space=True).functions()}
        mine, other = new_visitor(), new_visitor()
        owner_id = desk.owner_id(f"visitor:{mine}")
        path = write_tale(tmp_path / "tale.txt")
        book = desk.library.add_document(owner_id, path, path.name).document.id
        assert functions["open_book"]({"visitor": mine, "document": book})["title"]
        for name in functions:
            answer = functions[name]({"visitor": other, "document": book, "documents": [book], "position": 3,
                                      "offset": 400, "act": "add", "start": 0, "end": 4, "format": "md", "query": "the"})  # fmt: skip
            assert answer == {"covers": {}} if name == "covers" else answer["refused"], name
            assert functions[name]({"document": book}) == {"refused": True}

    def test_notes_and_the_guard_and_the_place_are_kept(self, desk: Desk, ask: Ask, tmp_path: Path) -> None:
        book = put(desk, write_tale(tmp_path / "tale.txt"))
        made = ask("note", document=book, act="add", start=4, end=14, note="Where?", colour="green")
        assert [note["quote"] for note in made["notes"]] == ["Lighthouse"]
        edited = ask("note", document=book, act="edit", id=made["id"], colour="pink")
        assert (edited["notes"][0]["colour"], edited["notes"][0]["note"]) == ("pink", "Where?")
        file = ask("export_notes", document=book, format="md")
        assert "> Lighthouse\n\nWhere?" in b64decode(file["data"]).decode() and file["name"].endswith(".md")
        assert b64decode(ask("export_notes", document=book, format="docx")["data"])[:2] == b"PK"
        assert ask("note", document=book, act="remove", id=made["id"])["notes"] == []
        assert len(ask("note", document=book, act="restore", id=made["id"])["notes"]) == 1
        ask("keep_place", document=book, position=700)
        upto = ask("guard", document=book, offset=900)["upto"]
        told = ask("open_book", document=book)
        assert told["position"] == 700 and told["upto"] == upto and 0 < upto <= 900
        assert ask("look_up", document=book, query="CHAPTER 3")["count"] == 0
        ask("guard", document=book, offset=None)
        assert ask("look_up", document=book, query="CHAPTER 3")["count"] == 13

    def test_a_page_has_a_picture_and_its_words(self, desk: Desk, ask: Ask, tmp_path: Path) -> None:
        book = put(desk, write_letter(tmp_path / "letter.pdf"))
        text = desk.library.text(desk.library.document(1, book).text_sha256)
        first = desk.library.pages(book)[0]
        page = ask("pages", document=book, numbers=[1, 7], width=500)["pages"]["1"]
        assert page["image"].startswith("data:image/png;base64,") and page["ratio"] > 1
        for start, word, _line, x0, y0, x1, y1 in page["pieces"]:
            assert text[start : start + len(word)] == word and 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
        assert len("".join(piece[1] for piece in page["pieces"])) > 0.9 * len(
            "".join(text[first.start : first.end].split())
        )
        assert ask("covers", documents=[book])["covers"][str(book)].startswith("data:image/jpeg")


def test_pictures_are_kept_within_their_bytes() -> None:
    pictures = Pictures(1000)
    for number in range(5):
        pictures.put(("a", number, 600), {"number": number, "image": b"x" * 400, "ratio": 1.0, "pieces": []})
        pictures.get(("a", 0, 600))
    assert pictures.get(("a", 0, 600)) and pictures.get(("a", 4, 600)) and not pictures.get(("a", 2, 600))


# ---- in a browser


def passage(page: Any, text: str) -> None:
    """Select a passage as a person does; waits for what can be done with it."""
    page.evaluate(
        """text => {
            const walker = document.createTreeWalker(document.querySelector('.reader-flow'), NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                const at = node.data.indexOf(text);
                if (at < 0) continue;
                getSelection().setBaseAndExtent(node, at, node, at + text.length);
                return;
            }
            throw new Error('no such passage: ' + text);
        }""",
        text,
    )
    page.wait_for_selector(".reader-menu:not([hidden])")


def opened(page: Any, title: str) -> None:
    page.locator(f".card:has-text({title!r}) .open-book").click()
    page.wait_for_function(
        """title => document.querySelector('[data-panel=reader].open:not(.loading) .reader-title')?.textContent.includes(title)
            && document.querySelector('.reader-flow [data-at]')""",
        arg=title,
    )


@pytest.mark.browser
@pytest.mark.slow
def test_a_book_is_read_marked_and_guarded(serve: Any, visit: Any, tmp_path: Path, shoot: Any) -> None:
    home = tmp_path / "home"
    with Library(home, parse=parse_file) as library:
        owner = library.owner()
        for path in (
            write_tale(tmp_path / "tale.txt", chapters=40),
            write_chinese(tmp_path / "灯塔.txt"),
            write_letter(tmp_path / "letter.pdf"),
        ):
            library.add_document(owner, path, path.name)
        text = library.text(library.documents(owner)[0].text_sha256)
    page, watch = visit(serve(home))
    opened(page, "Marrow Point")
    shoot(page, "reader")

    # a few sections are there, however long the book, and reading goes on by keys
    assert page.locator(".reader-section").count() < 12
    page.evaluate("Lectern.reader.flow.ensure()")
    before = page.evaluate("Lectern.reader.flow.position()")
    for _ in range(6):
        page.keyboard.press("PageDown")
        page.wait_for_timeout(60)
    page.wait_for_function("before => Lectern.reader.flow.position() > before + 3000", arg=before)
    page.keyboard.press("End")
    page.wait_for_function("most => Lectern.reader.flow.position() > most", arg=len(text) - 6000)
    page.keyboard.press("Home")
    page.wait_for_function("Lectern.reader.flow.position() === 0")

    # contents, and search in the book
    page.locator("[data-pane=contents]").click()
    page.locator(".contents-entry").filter(has_text="CHAPTER 20").first.click()
    page.wait_for_function("at => Math.abs(Lectern.reader.flow.position() - at) < 400", arg=text.index("CHAPTER 20"))
    page.locator("[data-pane=look_up]").click()
    page.keyboard.type("the twelfth year", delay=2)
    page.wait_for_selector(".reader-pane .fine:has-text('does not say')")
    page.fill(".reader-pane .find-box", "of chapter 31 the")
    page.wait_for_selector(".reader-hits .hit")
    page.keyboard.press("Enter")
    page.wait_for_selector(".reader-flow mark.found:has-text('of chapter 31 the')")

    # a highlight, a note, taken away and brought back
    page.keyboard.press("Escape")
    passage(page, "gulls on every stone")
    page.locator(".reader-menu .colour.blue").click()
    page.wait_for_selector(".reader-flow mark.noted.blue:has-text('gulls on every stone')")
    passage(page, "The brass key")
    page.locator(".reader-menu").get_by_role("button", name="Note").click()
    page.wait_for_selector(".note-field")
    page.keyboard.type("What does it open?")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".noted-words:has-text('What does it open?')")
    shoot(page, "reader-notes")
    page.locator(".notes-list .noted").nth(0).get_by_role("button", name="Delete the note").click()
    page.wait_for_function("document.querySelectorAll('.notes-list .noted').length === 1")
    page.locator(".reader-pane").get_by_role("button", name="Undo").click()
    page.wait_for_function("document.querySelectorAll('.notes-list .noted').length === 2")
    with page.expect_download() as download:
        page.locator(".reader-pane").get_by_role("button", name="Markdown").click()
    assert "What does it open?" in Path(download.value.path()).read_text(encoding="utf-8")

    # the guard: on the shelf, above the composer, and gone again
    page.keyboard.press("Escape")
    page.locator(".guard-set").click()
    page.wait_for_selector(".reader-guard:not([hidden])")
    page.wait_for_selector(".card .card-guard")
    page.locator(".card:has-text('Marrow Point') input").check()
    page.wait_for_selector(".guard-chip")
    shoot(page, "reader-guard")
    page.locator(".guard-chip button").click()
    page.wait_for_selector(".card-guard", state="detached")
    page.wait_for_selector(".reader-guard", state="hidden")

    # a passage into the composer
    passage(page, "fog from the north")
    page.locator(".reader-menu").get_by_role("button", name="Ask").click()
    assert page.input_value("#question").startswith("> fog from the north")

    # and one into a draft, for its style
    passage(page, "fog from the north")
    page.locator(".reader-menu").get_by_role("button", name="Take its style").click()
    page.wait_for_selector("dialog.draft[open] .draft-passage:has-text('fog from the north')")
    assert page.input_value(".draft-task") == "style"
    page.locator("dialog.draft").get_by_role("button", name="Close").click()

    # the place is kept, for another day
    place = page.evaluate("Lectern.reader.flow.position()")
    page.locator(".reader-bar").get_by_role("button", name="Close the book").click()
    page.wait_for_selector("[data-panel=reader]", state="hidden")
    with watch.leaving():
        page.wait_for_timeout(300)
        page.reload()
        page.wait_for_selector(".open-book")
    opened(page, "Marrow Point")
    page.wait_for_function("place => Math.abs(Lectern.reader.flow.position() - place) < 300", arg=place)

    # pages of a PDF, with words that can be selected; lines from top to bottom
    opened(page, "etter")
    page.wait_for_selector(".reader-page img")
    words = page.evaluate("document.querySelector('.page-words span').textContent.slice(0, 12)")
    passage(page, words)
    page.locator(".reader-menu .colour.green").click()
    page.wait_for_selector(".page-marks .noted.green")
    opened(page, "海角灯塔")
    page.locator(".reader-bar").get_by_role("button", name="Type and paper").click()
    page.locator(".type-option.down").click()
    page.wait_for_selector(".reader-flow.vertical [data-at]")
    shoot(page, "reader-vertical")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(200)
    box = page.locator("[data-panel=reader]").bounding_box()
    assert (box["width"], box["height"]) == (390, 844)
    assert watch.faults == []
