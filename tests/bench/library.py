"""A shelf of 1,000 documents, the chapters of real books: how fast it is filled, listed and searched. And a shelf of
the books themselves: whether a search counts what ``str.count`` counts, and how fast.

    python -m tests.bench.library [--documents N] [--alone N] [--books DIR]

The shelf is filled as an import does it, each file parsed in a process of its own; ``--alone`` files are taken in by a
Python each before, as where there is no fork.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from app.commands.common import local_engines
from app.documents import SUFFIXES, sandbox
from app.documents.parse import parse_file
from app.library.intake import WORKERS, work
from app.library.search import search
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


def pooled(desk: Desk, paths: list[Path]) -> dict[str, Any]:
    """How fast files are taken in, as an import does it: each parsed in a process of its own."""
    owner_id = desk.owner_id(OWNER)
    arrivals = [desk.intake.note(owner_id, path) for path in paths]
    start = time.perf_counter()
    ended = work(desk.intake, arrivals, partial(desk.add, OWNER), workers=WORKERS)
    seconds = time.perf_counter() - start
    failed = sum(one.state == "failed" for one in ended)
    return {"files": len(ended), "failed": failed, "workers": WORKERS, "per_second": round(len(ended) / seconds, 1)}


def python_a_file(settings: Settings, paths: list[Path]) -> dict[str, Any]:
    """The same where there is no fork: each file by a Python of its own."""
    forks, sandbox.FORKS = sandbox.FORKS, False
    try:
        with Library(settings.home) as library:
            return pooled(Desk(settings, library, local_engines(settings)), paths)
    finally:
        sandbox.FORKS = forks


def shelf_of_books(folder: Path, home: Path) -> dict[str, Any]:
    """Counts and milliseconds of searches over the books themselves."""
    with Library(home, parse=parse_file) as library:
        owner = library.owner()
        for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
            library.add_document(owner, path, path.name)
        documents = library.documents(owner)
        texts = [library.text(one.text_sha256).casefold() for one in documents]
        searched = {}
        for query in QUERIES[:4]:
            count = search(library, owner, query).count
            searched[query] = {
                "count": count,
                "str_count": sum(text.count(query.casefold()) for text in texts),
                "ms": milliseconds(lambda query=query: search(library, owner, query)),  # type: ignore[misc]
            }
        return {"shelf": "books", "documents": len(documents), "characters": sum(map(len, texts)), "search": searched}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--alone", type=int, default=100)
    parser.add_argument("--books", type=Path, default=BOOKS)
    options = parser.parse_args()
    texts = chapters(options.books, options.documents)
    with tempfile.TemporaryDirectory() as folder:
        drop = Path(folder) / "drop"
        drop.mkdir()
        for number, (title, text) in enumerate(texts):
            (drop / f"{number:04}.md").write_text(f"# {title}\n\n{text}\n", encoding="utf-8")
        rows.record("library", shelf_of_books(options.books, Path(folder) / "books"))
        paths = sorted(drop.iterdir())
        step = max(1, len(paths) // max(options.alone, 1))
        settings = Settings.load({"home": Path(folder) / "alone", "cache": Path(folder) / "cache"}, {})
        alone = python_a_file(settings, paths[::step][: options.alone])
        settings = Settings.load({"home": Path(folder) / "home", "cache": Path(folder) / "cache"}, {})
        with Library(settings.home) as library:
            desk = Desk(settings, library, local_engines(settings))
            pool = pooled(desk, paths)
            row = {
                "documents": len(desk.shelf(OWNER)),
                "characters": sum(item.characters for item in desk.shelf(OWNER)),
                "import": pool,
                "import_python_a_file": alone,
                "shelf_ms": milliseconds(lambda: desk.shelf(OWNER)),
                "search_ms": {query: milliseconds(lambda query=query: desk.search(OWNER, query)) for query in QUERIES},  # type: ignore[misc]
                "counts": {query: desk.search(OWNER, query).count for query in QUERIES},
                "database_bytes": library.path.stat().st_size,
            }
    rows.record("library", row)


if __name__ == "__main__":
    main()
