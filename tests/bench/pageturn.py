"""How long a page turn takes in the reader: ``python -m tests.bench.pageturn [--books DIR] [--turns N]``.

A real server and Chromium; the longest shared text, a Chinese one, one from top to bottom and a paper in pages. A turn
is from the key to the second frame after it, when the new page is painted. Rows: median, 95th percentile and longest
in milliseconds, the same for a jump to a place anywhere in the book (its text must be fetched), opening, and how many
elements the reader has in the page.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from app.library.store import Library
from tests.bench import rows
from tests.ui.conftest import CHROMIUM, FLAGS, Server

BOOKS = (
    "books/war-and-peace.txt",
    "books/hong-lou-meng.txt",
    "books/kusamakura-preview.epub",
    "papers/mapreduce.pdf",
)
TURN = """forth => new Promise((done) => {
    const at = performance.now(), scroller = document.querySelector('.reader-scroll');
    scroller.dispatchEvent(new KeyboardEvent('keydown', {key: forth ? 'PageDown' : 'PageUp', bubbles: true}));
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - at)));
})"""
JUMP = """async (share) => {
    const at = performance.now(), reader = Lectern.reader;
    await reader.open(reader.document, {start: Math.floor(share * window.benchCharacters)});
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - at;
}"""


def summary(name: str, seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    high = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {
        f"{name}_ms": round(statistics.median(ordered), 1),
        f"{name}_p95_ms": round(high, 1),
        f"{name}_longest_ms": round(ordered[-1], 1),
    }


def measure(page: Any, document: int, characters: int, turns: int) -> dict[str, float]:
    begun = time.perf_counter()
    page.evaluate("id => Lectern.reader.open(id)", document)
    page.wait_for_selector(".reader-flow [data-at]")
    opening = (time.perf_counter() - begun) * 1000
    page.evaluate("n => { window.benchCharacters = n; }", characters)
    found = []
    for place in range(turns):
        found.append(page.evaluate(TURN, place % 10 != 9))
        # as fast as anybody reads; what is ahead is fetched meanwhile
        page.wait_for_timeout(120)
    choice = random.Random(1)
    jumps = [page.evaluate(JUMP, choice.random()) for _ in range(20)]
    elements = page.evaluate("document.querySelectorAll('[data-panel=reader] *').length")
    return {"open_ms": round(opening, 1), **summary("turn", found), **summary("jump", jumps), "elements": elements}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=rows.ROOT.parent / "shared")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder) / "home"
        with Library(home) as library:
            paths = [given.shared / one for one in BOOKS if (given.shared / one).exists()]
            documents = [library.add_document(library.owner(), path, path.name).document for path in paths]
        server = Server(home=home)
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-GB")
            page.goto(server.url)
            page.wait_for_selector(".open-book")
            for document in documents:
                row = {"book": document.filename, "characters": document.characters, "turns": given.turns}
                row |= measure(page, document.id, document.characters, given.turns)
                if given.dry:
                    print(row, flush=True)
                else:
                    rows.record("pageturn", row)
            browser.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
