"""A shelf of 1,000 documents, the chapters of real books: how fast it is filled, listed and searched.

    python -m tests.bench.library [--documents N] [--books DIR]

Parsing runs in this process: what is timed is the library's own work and the parser's, not starting processes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from app.commands.common import local_engines
from app.documents.parse import parse_file
from app.library.store import Library
from app.reading.desk import Desk
from app.settings import Settings
from tests.bench import rows

BOOKS = Path(__file__).resolve().parents[3] / "shared" / "books"
OWNER = "local"
QUERIES = ("黛玉", "曹操", "white whale", "Mr. Darcy", "hale", "the")
REPEATS = 7


def chapters(folder: Path, most: int) -> list[tuple[str, str]]:
    """(title, text) of the longest chapters of all books, at most so many."""
    found = []
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".txt", ".epub", ".pdf")):
        book = parse_file(path, path.name)
        for chapter in book.chapters:
            text = book.text[chapter.start : chapter.end].strip()
            if text:
                found.append((f"{book.title}, {chapter.title}", text))
    found.sort(key=lambda one: -len(one[1]))
    return found[:most]


def milliseconds(work: Callable[[], Any]) -> dict[str, float]:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return {"median": round(median(times), 1), "worst": round(max(times), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--books", type=Path, default=BOOKS)
    options = parser.parse_args()
    texts = chapters(options.books, options.documents)
    with tempfile.TemporaryDirectory() as folder:
        drop = Path(folder) / "drop"
        drop.mkdir()
        for number, (title, text) in enumerate(texts):
            (drop / f"{number:04}.md").write_text(f"# {title}\n\n{text}\n", encoding="utf-8")
        settings = Settings.load({"home": Path(folder) / "home", "cache": Path(folder) / "cache"}, {})
        with Library(settings.home, parse=parse_file) as library:
            desk = Desk(settings, library, local_engines(settings))
            start = time.perf_counter()
            for path in sorted(drop.iterdir()):
                desk.add(OWNER, path, path.name)
            seconds = time.perf_counter() - start
            row = {
                "documents": len(desk.shelf(OWNER)),
                "characters": sum(item.characters for item in desk.shelf(OWNER)),
                "documents_per_second": round(len(texts) / seconds, 1),
                "shelf_ms": milliseconds(lambda: desk.shelf(OWNER)),
                "search_ms": {query: milliseconds(lambda query=query: desk.search(OWNER, query)) for query in QUERIES},  # type: ignore[misc]
                "counts": {query: desk.search(OWNER, query).count for query in QUERIES},
                "database_bytes": library.path.stat().st_size,
            }
    rows.record("library", row)


if __name__ == "__main__":
    main()
