"""The main job in a real browser, over a real server and the small model."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.library.store import Library
from app.library.threads import Threads
from tests.ui.books import chapters_beyond, write_broken_pdf, write_epub, write_tale
from tests.ui.conftest import MODEL

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LIVE = "[data-panel=live]"
QUESTION = "What was kept under the stone?"
LONG = "Tell the whole tale again from its beginning to its end, year by year, in your own words."


def card(page: Any, title: str) -> Any:
    return page.locator(f".card:has-text({title!r})")


def wait_for_state(page: Any, title: str, state: str, seconds: float = 90) -> None:
    card(page, title).and_(page.locator(f'[data-state="{state}"]')).wait_for(timeout=seconds * 1000)


def ask(page: Any, question: str) -> None:
    """Ask, and wait until the answer has begun, or is there already: a small model may be brief."""
    turns = page.locator(".turn").count()
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.wait_for_function("n => document.querySelectorAll('.turn').length > n", arg=turns)


def answering(page: Any) -> bool:
    return bool(page.evaluate(f"() => Boolean(document.querySelector('{LIVE}.active'))"))


def words(page: Any, *, more_than: int = 0) -> str:
    """The last answer, as soon as it is longer than so many characters, or complete."""
    found = page.wait_for_function(
        f"""least => {{
            const live = document.querySelector('{LIVE}.active'), last = [...document.querySelectorAll('.turn')].pop();
            const text = live ? live.querySelector('.answer').innerText : last?.querySelector('.answer')?.innerText;
            return text && (text.length > least || !live) ? text : null;
        }}""",
        arg=more_than,
    )
    return str(found.json_value())


def stop(page: Any) -> None:
    if answering(page):
        page.click(".send.stop")
    page.wait_for_function(f"() => !document.querySelector('{LIVE}').classList.contains('active')")


def reused(page: Any) -> int:
    """Tokens that the last answer found read before, from the line below it."""
    facts = page.locator(".turn-facts").last.inner_text()
    found = re.search(r"([\d,]+) of [\d,]+ tokens read before", facts)
    assert found, facts
    return int(found[1].replace(",", ""))


def test_a_book_is_dropped_read_and_asked(
    serve: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path, shoot: Callable[[Any, str], None]
) -> None:
    server = serve()
    page, watch = visit(server)
    page.wait_for_selector("[data-panel=shelf].empty")
    page.wait_for_selector(".welcome .steps")
    shoot(page, "empty")

    # several at once through the picker, then one dropped on the page
    tale, bad = write_tale(tmp_path / "tale.txt", chapters=16), write_broken_pdf(tmp_path / "broken.pdf")
    page.set_input_files("#add-books", [str(tale), str(bad)])
    handbook = write_epub(tmp_path / "handbook.epub").read_bytes()
    page.evaluate(
        """(bytes) => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(bytes)], "handbook.epub", {type: "application/epub+zip"}));
            for (const name of ["dragenter", "dragover", "drop"])
                window.dispatchEvent(new DragEvent(name, {dataTransfer: carried, bubbles: true, cancelable: true}));
        }""",
        list(handbook),
    )
    wait_for_state(page, "broken.pdf", "refused")
    assert "broken.pdf" in card(page, "broken.pdf").locator(".reason").inner_text()

    # watched while it is read: the share grows, and the time left is told
    shares: set[int] = set()
    page.wait_for_selector(".card .state-more:has-text('left')")
    shoot(page, "reading")
    end = time.monotonic() + 90
    while time.monotonic() < end and card(page, "Marrow Point").get_attribute("data-state") != "read":
        text = card(page, "Marrow Point").inner_text()
        shares |= {int(found) for found in re.findall(r"Reading, (\d+) %", text)}
        page.wait_for_timeout(200)
    wait_for_state(page, "Marrow Point", "read")
    wait_for_state(page, "A Handbook for Keepers", "read")
    assert len(shares) > 1, shares

    # the first book dropped is chosen, so a question can follow at once
    assert card(page, "Marrow Point").get_by_role("checkbox").is_checked()
    page.wait_for_selector(".context .ready")
    # the book with room for an answer may be more than the model was trained on
    page.locator("input[name=lectern-mode][value=whole]").check(force=True)
    ask(page, QUESTION)
    assert page.input_value("#question") == ""
    first = words(page)
    assert words(page, more_than=len(first)).startswith(first[:5])
    shoot(page, "answering")
    stop(page)
    assert page.locator(".turn .answer").inner_text().startswith(first[:5])
    book = reused(page)
    assert book > 1000
    shoot(page, "answered")

    # a reload in the middle of an answer finds it going on; so does a second tab
    for _ in range(4):
        ask(page, LONG)
        begun = words(page)
        with watch.leaving():
            page.reload()
            page.wait_for_selector(f"{LIVE}.active, .turn .turn-facts")
            page.wait_for_function("() => document.querySelectorAll('.turn').length > 1")
        if answering(page):
            break
    assert answering(page), "no answer was long enough to be found again"
    assert words(page, more_than=len(begun)).startswith(begun[:5])
    second = page.context.new_page()
    watch.over(second)
    second.goto(server.url)
    second.wait_for_function("() => document.querySelectorAll('.turn').length > 1")
    words(second)
    stop(page)
    assert "stopped by you" in page.locator(".turn-facts").last.inner_text()
    second.wait_for_function(f"() => !document.querySelector('{LIVE}').classList.contains('active')")
    second.wait_for_function(
        "text => [...document.querySelectorAll('.turn .answer')].pop().innerText === text",
        arg=page.locator(".turn .answer").last.inner_text(),
    )
    with watch.leaving():
        second.close()

    # after a restart everything is there, and the book is not read again
    before, turns = page.locator(".turns").inner_text(), page.locator(".turn").count()
    with watch.leaving():
        server.stop()
        server.start()
        page.goto(server.url)
        page.wait_for_selector(".turn")
    assert page.locator(".turns").inner_text() == before
    assert card(page, "Marrow Point").get_attribute("data-state") == "read"
    ask(page, "Who wrote of it?")
    words(page)
    stop(page)
    assert page.locator(".turn").count() == turns + 1
    assert reused(page) >= book

    # the same file again says so, and is not doubled; a refused one can be dismissed
    page.set_input_files("#add-books", [str(tale)])
    page.wait_for_selector(".note:has-text('on the shelf already')")
    assert page.locator(".card[data-key^=book]").count() == 2
    card(page, "broken.pdf").get_by_role("button").click()
    card(page, "broken.pdf").wait_for(state="detached")

    # a conversation of its own over other books
    page.click(".new-thread")
    page.wait_for_selector(".blank")
    card(page, "A Handbook for Keepers").get_by_role("checkbox").check()
    page.wait_for_selector(".context strong:has-text('2 books')")
    ask(page, "What do these books share?")
    stop(page)
    page.wait_for_function("() => document.querySelectorAll('.thread').length === 2")
    page.click(f".thread-open:has-text({QUESTION!r})")
    page.wait_for_function("n => document.querySelectorAll('.turn').length === n", arg=turns + 1)
    assert page.locator(".context strong").inner_text() == "1 book"
    assert watch.faults == []


def test_a_reading_is_stopped_and_resumed(
    serve: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path, shoot: Callable[[Any, str], None]
) -> None:
    page, watch = visit(serve())
    page.set_input_files("#add-books", [str(write_tale(tmp_path / "long.txt", chapters=12))])
    page.wait_for_selector(".card .state-more")
    card(page, "Marrow Point").get_by_role("button", name="Stop").click()
    wait_for_state(page, "Marrow Point", "stopped")
    shoot(page, "stopped")
    stopped = card(page, "Marrow Point").inner_text()
    card(page, "Marrow Point").get_by_role("button", name="Resume").click()
    wait_for_state(page, "Marrow Point", "reading")
    found = re.search(r"Stopped at (\d+) %", stopped)
    if found:
        page.wait_for_function(
            "least => { const said = document.querySelector('.card .state').innerText.match(/(\\d+) %/);"
            " return said && Number(said[1]) >= least; }",
            arg=int(found[1]),
        )
    # a book can be taken from the shelf while it is being read
    card(page, "Marrow Point").hover()
    card(page, "Marrow Point").get_by_role("button", name="Remove").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Remove").click()
    page.wait_for_selector("[data-panel=shelf].empty")
    assert watch.faults == []


def test_the_default_model_answers(
    serve: Callable[..., Any],
    visit: Callable[..., Any],
    default_model: str,
    tmp_path: Path,
    shoot: Callable[[Any, str], None],
) -> None:
    page, watch = visit(serve(model=default_model))
    page.wait_for_selector(".model-line strong:has-text('Qwen2.5-Coder')")
    assert "often wrong" in page.locator(".model-line").inner_text()
    page.set_input_files("#add-books", [str(write_tale(tmp_path / "tale.txt", chapters=1))])
    wait_for_state(page, "Marrow Point", "read")
    ask(page, QUESTION)
    assert words(page)
    stop(page)
    assert reused(page) > 300
    shoot(page, "default-model")
    assert watch.faults == []


HOSTILE_TITLE = "${alert(1)} {{constructor}} <img src=x onerror=alert(2)> `+alert(3)+`"
HOSTILE_ANSWER = """Look: ![a chart](http://pictures.example/leak.png) and ![b][ref] <img src="http://pictures.example/2.png">
<script>window.pwned = 1</script> <svg onload="window.pwned = 2"> [click](javascript:window.pwned=3)

<iframe src="http://pictures.example/3"></iframe>

${window.pwned = 4} {{#with this}}{{/with}} `${window.pwned = 5}`

[ref]: http://pictures.example/4.png
"""


def seed(home: Path, tmp_path: Path) -> None:
    """A shelf and conversations made through the library itself, as a bad book and a bad model would leave them."""
    with Library(home) as library:
        owner = library.owner()
        book = tmp_path / "book.txt"
        write_tale(book)
        document = library.add_document(owner, book, "<b>book</b>.txt").document
        library.rename_document(owner, document.id, HOSTILE_TITLE, ["<i>Mallory</i>"])
        large = tmp_path / "large.txt"
        write_tale(large, chapters=chapters_beyond(MODEL), title="A Very Long Tale")
        library.add_document(owner, large, "large.txt")
        library.refuse(owner, "<script>window.pwned = 6</script>.pdf", "“<img src=x onerror=alert(7)>” is damaged.")
        threads = Threads(library)
        thread = threads.create(owner, [document.id], "<img src=x onerror=alert(4)>${alert(5)}")
        turn = threads.add_turn(thread.id, "<script>window.pwned = 8</script> ${alert(6)}")
        threads.save_answer(turn.id, answer=HOSTILE_ANSWER, finish="stop", model="<u>model</u>")


def test_titles_questions_and_answers_are_text(
    serve: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path, shoot: Callable[[Any, str], None]
) -> None:
    home = tmp_path / "home"
    seed(home, tmp_path)
    page, watch = visit(serve(home))
    page.click(".thread-open")
    page.wait_for_selector(".turn .answer")
    card(page, "constructor").wait_for()
    page.wait_for_timeout(1500)
    assert page.evaluate("window.pwned") is None
    assert HOSTILE_TITLE in card(page, "constructor").inner_text()
    assert "<script>window.pwned = 1</script>" in page.locator(".turn .answer").inner_text()
    assert page.locator(".turn .answer").locator("img, script, svg, iframe, [onload], [href^=javascript]").count() == 0
    assert page.locator(".no-picture").first.inner_text() == "a chart"
    shoot(page, "hostile")

    # more than the model holds: the numbers, and no way to send
    page.click(".new-thread")
    page.wait_for_function("() => document.querySelectorAll('.card-size').length === 2")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.wait_for_selector(".context .fine")
    page.locator('.modes input[value="whole"]').check()
    page.wait_for_selector(".context.over")
    said = page.locator(".context.over").inner_text()
    assert re.search(r"[\d,]{6,} tokens are more than the [\d,]{6,} that this model can hold", said), said
    assert "A Very Long Tale" in said
    # put there by the command line, it is read when its reader says so; this one cannot be
    card(page, "A Very Long Tale").get_by_role("button", name="Read", exact=True).click()
    wait_for_state(page, "A Very Long Tale", "failed")
    assert "This model can hold" in card(page, "A Very Long Tale").locator(".state-more").get_attribute("title")
    page.fill("#question", "Does it fit?")
    assert page.locator(".send").is_disabled()
    shoot(page, "too-much")
    assert watch.faults == []


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_every_width_in_both_languages_and_appearances(
    serve: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path, shoot: Callable[[Any, str], None], width: int
) -> None:
    home = tmp_path / "home"
    seed(home, tmp_path)
    options = {"viewport": {"width": width, "height": 844}, "locale": "zh-CN", "color_scheme": "dark"}
    page, watch = visit(serve(home), **options)
    narrow = width <= 820
    assert page.locator("html").get_attribute("lang") == "zh"
    assert page.locator("html").get_attribute("data-appearance") == "dark"
    if narrow:
        assert not page.locator(".drop-zone").is_visible()
        page.get_by_role("button", name="书架").click()
    page.wait_for_selector(".drop-zone:has-text('添加书籍')")
    tokens = "n => Lectern.t('shelf.tokens', {size: Lectern.tokens(n), n})"
    assert [page.evaluate(tokens, n) for n in (526, 11_800)] == ["526 词元", "1.18\u00a0万词元"]
    page.get_by_role("button", name="Show in English").click()
    page.get_by_role("button", name="Light or dark").click()
    page.wait_for_selector(".drop-zone:has-text('Add books')")
    assert page.locator("html").get_attribute("data-appearance") == "light"
    page.click(".thread-open")
    page.wait_for_selector(".turn .answer")
    page.wait_for_timeout(400)
    assert page.locator(".drop-zone").is_visible() is not narrow
    assert page.locator("#question").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # what was chosen is remembered
    with watch.leaving():
        page.reload()
    page.wait_for_selector(".turn .answer")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("html").get_attribute("data-appearance") == "light"
    shoot(page, f"width-{width}")
    assert watch.faults == []


def test_a_space_gives_every_visitor_a_shelf_of_their_own(
    serve: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path, shoot: Callable[[Any, str], None]
) -> None:
    server = serve(SPACE_ID="someone/lectern")
    page, watch = visit(server)
    page.wait_for_selector(".temporary")
    page.set_input_files("#add-books", [str(write_tale(tmp_path / "mine.txt", chapters=1))])
    card(page, "Marrow Point").wait_for()
    stranger, their_watch = visit(server)
    stranger.wait_for_selector("[data-panel=shelf].empty")
    with watch.leaving():
        page.reload()
    card(page, "Marrow Point").wait_for()
    stranger.wait_for_timeout(1500)
    assert stranger.locator(".card").count() == 0
    shoot(page, "space")
    assert watch.faults == [] and their_watch.faults == []
