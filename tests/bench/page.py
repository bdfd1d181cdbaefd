"""The page's own figures, in a real Chromium.

    python -m tests.bench.page prepare --home DIR            a library of 1,000 books and a conversation of 200 long turns
    python -m tests.bench.page opening --home DIR            first paint, interactive, scrolling of the shelf
    python -m tests.bench.page streaming --home DIR          updates a second and processor time while an answer grows
    python -m tests.bench.page crowd [--minutes 10 --readers 10 --model smollm2-135m]

All but ``crowd`` use the plain engine of ``tests.ui.plain``: what they time is the page, not a model.
``crowd`` uses a real one: readers with shelves of their own (as on a Space) drop books and ask about them; whatever one
sees of another, misses of an answer, or finds in its console is an error.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from app.documents.parse import parse_file
from app.library.store import Library
from app.library.threads import Threads
from tests.bench import rows
from tests.ui.books import write_tale
from tests.ui.conftest import CHROMIUM, FLAGS, Server

SIZE = {"width": 1440, "height": 900}
PARAGRAPH = "The keeper trimmed the lamp, wrote *one line* in the log, and went to bed while the tide turned. " * 5
SECONDS = 60
REPEATS = 5
# tokens of an answer, where readers wait for each other; and how long one waits before it counts as lost, seconds
ANSWER, PATIENCE = 100, 300


def shelf(home: Path, folder: Path, books: int, turns: int = 0) -> None:
    with Library(home, parse=parse_file) as library:
        owner = library.owner()
        for number in range(books):
            path = folder / f"{number:04}.md"
            path.write_text(
                f"---\ntitle: The Log of Year {number}\nauthor: Keeper {number % 97}\n---\n\n{number} {PARAGRAPH}"
            )
            added = library.add_document(owner, path, path.name).document
        if turns:
            threads = Threads(library)
            thread = threads.create(owner, [added.id], "A long conversation")
            for number in range(turns):
                turn = threads.add_turn(thread.id, f"What happened in year {number}?")
                threads.save_answer(turn.id, answer="\n\n".join([PARAGRAPH] * 4), finish="stop", model="plain")


def prepare(options: argparse.Namespace) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        shelf(options.home, Path(folder), options.books, options.turns)
        server = Server(home=options.home, plain=True)
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport=SIZE)
            page.goto(server.url)
            # until every book's tokens are counted: that is not the page's work
            counted = "n => document.querySelectorAll('.card-size').length === n"
            page.wait_for_function(counted, arg=options.books, timeout=600_000)
            browser.close()
        finally:
            server.stop()


def opening(options: argparse.Namespace) -> None:
    from playwright.sync_api import sync_playwright

    found: list[dict[str, Any]] = []
    with sync_playwright() as playwright:
        server = Server(home=options.home, plain=True)
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for _ in range(REPEATS):
                page = browser.new_page(viewport=SIZE)
                page.set_default_timeout(120_000)
                page.goto(server.url, wait_until="commit")
                interactive = page.wait_for_function(
                    """n => document.querySelectorAll('.card').length === n && document.getElementById('question')
                        && new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0)))""",
                    arg=options.books,
                    polling="raf",
                ).json_value()
                paints = page.evaluate("performance.getEntriesByType('paint').map(one => [one.name, one.startTime])")
                page.wait_for_timeout(1500)
                found.append({"interactive": interactive, **dict(paints), "frames": page.evaluate(SCROLL)})
                page.close()
            browser.close()
        finally:
            server.stop()
    frames = [frame for one in found for frame in one["frames"]]
    rows.record(
        "page",
        {
            "what": "opening",
            "books": options.books,
            "first_paint_ms": round(median(one["first-contentful-paint"] for one in found)),
            "interactive_ms": round(median(one["interactive"] for one in found)),
            "interactive_worst_ms": round(max(one["interactive"] for one in found)),
            "scroll_frame_ms": {"median": round(median(frames), 1), "worst": round(max(frames), 1)},
        },
    )


# from the first book to the last in 120 frames: the time of each
SCROLL = """async () => {
    const box = document.querySelector('.cards'), frames = [];
    let last = null;
    for (let step = 0; step < 120; step += 1) {
        box.scrollTop = (box.scrollHeight * step) / 120;
        const now = await new Promise(requestAnimationFrame);
        if (last !== null) frames.push(now - last);
        last = now;
    }
    return frames;
}"""

WATCH = """() => {
    window.grown = [];
    const answer = document.querySelector('[data-panel=live] .answer');
    new MutationObserver(() => window.grown.push(performance.now())).observe(answer, {childList: true, subtree: true, characterData: true});
}"""


def streaming(options: argparse.Namespace) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        server = Server(home=options.home, plain=True, pace=40)
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport=SIZE)
            page.set_default_timeout(120_000)
            page.goto(server.url)
            page.click(".thread-open:has-text('A long conversation')")
            page.wait_for_function("n => document.querySelectorAll('.turn').length === n", arg=options.turns)
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            page.evaluate(WATCH)
            page.fill("#question", f"Tell it all (say {40 * (options.seconds + 30)})")
            page.keyboard.press("Enter")
            page.wait_for_function("() => window.grown.length > 20")
            process = psutil.Process(server.process.pid) if server.process else psutil.Process()
            begun, windows = len(page.evaluate("window.grown")), []
            for _ in range(options.seconds // 10):
                before, cpu, at = _task(session), sum(process.cpu_times()[:2]), time.monotonic()
                page.wait_for_timeout(10_000)
                took, count = time.monotonic() - at, len(page.evaluate("window.grown"))
                windows.append(
                    {
                        "updates_per_second": round((count - begun) / took, 1),
                        "page_cpu": round((_task(session) - before) / took, 3),
                        "server_cpu": round((sum(process.cpu_times()[:2]) - cpu) / took, 3),
                    }
                )
                begun = count
            characters = page.evaluate("document.querySelector('[data-panel=live] .answer').innerText.length")
            browser.close()
        finally:
            server.stop()
    rows.record(
        "page",
        {
            "what": "streaming",
            "turns": options.turns,
            "seconds": options.seconds,
            "characters": characters,
            "windows": windows,
        },
    )


def _task(session: Any) -> float:
    """Seconds that the page's main thread was busy so far."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


async def reader(browser: Any, url: str, number: int, folder: Path, end: float) -> dict[str, Any]:
    """One reader's ten minutes: what it waited for, and what was wrong."""
    told: dict[str, Any] = {"read": [], "first_word": [], "answer": [], "errors": []}
    context = await browser.new_context(viewport=SIZE, locale="en-GB")
    context.set_default_timeout(PATIENCE * 1000)
    page = await context.new_page()
    page.on("console", lambda said: told["errors"].append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: told["errors"].append(str(error)))
    page.on("response", lambda got: told["errors"].append(f"{got.status} {got.url}") if got.status >= 400 else None)
    await page.goto(url)
    await page.wait_for_selector("[data-panel=shelf].empty")
    # one model answers them all in turn: nobody shall wait for a long answer of another
    await page.evaluate("n => Lectern.store.write('localStorage', 'sampling', {max_tokens: n})", ANSWER)
    chance, books, asked = random.Random(number), 0, 0
    while time.monotonic() < end:
        if books == 0 or (books < 4 and chance.random() < 0.3):
            books += 1
            title = f"Reader {number} Volume {books}"
            path = write_tale(folder / f"r{number}-{books}.txt", chapters=1 + chance.randrange(3), title=title)
            at = time.monotonic()
            await page.set_input_files("#add-books", str(path))
            await page.wait_for_selector(f".card[data-state=read]:has-text('{title}')")
            told["read"].append(round(time.monotonic() - at, 2))
        asked += 1
        question = f"Question {asked} of reader {number}: what lay under the stone?"
        at = time.monotonic()
        await page.fill("#question", question)
        await page.keyboard.press("Enter")
        await page.wait_for_function("n => document.querySelectorAll('.turn').length === n", arg=asked)
        await page.wait_for_function(
            "n => document.querySelector('[data-panel=live].active .answer')?.textContent || document.querySelectorAll('.turn .turn-facts').length === n",
            arg=asked,
        )
        told["first_word"].append(round(time.monotonic() - at, 2))
        await page.wait_for_function("n => document.querySelectorAll('.turn .turn-facts').length === n", arg=asked)
        told["answer"].append(round(time.monotonic() - at, 2))
        seen = await page.evaluate(
            "() => [[...document.querySelectorAll('.question')].map(one => one.textContent), "
            "[...document.querySelectorAll('.card-title')].map(one => one.textContent), "
            "[...document.querySelectorAll('.turn .answer')].length, document.querySelectorAll('.trouble').length]"
        )
        if [f"Question {one} of reader {number}" for one in range(1, asked + 1)] != [
            text.split(":")[0] for text in seen[0]
        ]:
            told["errors"].append(f"questions of others, or lost: {seen[0]}")
        if len(seen[1]) != books or any(not re.match(f"Reader {number} ", text) for text in seen[1]):
            told["errors"].append(f"books of others, or lost: {seen[1]}")
        if seen[2] != asked or seen[3]:
            told["errors"].append(f"{seen[2]} of {asked} answers, {seen[3]} failed")
        await page.wait_for_timeout(chance.randrange(500, 4000))
    # what was streamed is what is kept
    answers = "() => [...document.querySelectorAll('.turn .answer')].map(one => one.textContent)"
    before = await page.evaluate(answers)
    told["errors"] = [one for one in told["errors"]]
    errors = list(told["errors"])
    await page.reload()
    await page.wait_for_function("n => document.querySelectorAll('.turn .turn-facts').length === n", arg=asked)
    # gradio's client complains of streams cut by the reload
    told["errors"] = errors
    if await page.evaluate(answers) != before:
        told["errors"].append("answers differ after a reload")
    await context.close()
    return told


async def crowded(options: argparse.Namespace, server: Server, folder: Path) -> list[dict[str, Any]]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        end = time.monotonic() + options.minutes * 60
        work = [reader(browser, server.url, n, folder, end) for n in range(1, options.readers + 1)]
        told = await asyncio.gather(*work)
        await browser.close()
        return list(told)


def crowd(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        environ = {"SPACE_ID": "someone/lectern", "LECTERN_WELCOME": "off"}
        server = Server(home=Path(folder) / "home", model=options.model, environ=environ)
        server.start()
        try:
            told = asyncio.run(crowded(options, server, Path(folder)))
        finally:
            server.stop()
    waited = {name: [second for one in told for second in one[name]] for name in ("read", "first_word", "answer")}
    rows.record(
        "page",
        {
            "what": "crowd",
            "model": options.model,
            "readers": options.readers,
            "minutes": options.minutes,
            "answer_tokens": ANSWER,
            "waited_seconds": {
                name: {"count": len(found), "median": median(found), "worst": max(found)}
                for name, found in waited.items()
            },
            "by_reader": [{name: len(one[name]) for name in ("read", "answer")} for one in told],
            "errors": [error for one in told for error in one["errors"]],
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("prepare", "opening", "streaming", "crowd"))
    parser.add_argument("--home", type=Path)
    parser.add_argument("--books", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--readers", type=int, default=10)
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    if options.what != "crowd" and options.home is None:
        parser.error("name the home that `prepare` made, or shall make: --home DIR")
    {"prepare": prepare, "opening": opening, "streaming": streaming, "crowd": crowd}[options.what](options)


if __name__ == "__main__":
    main()
