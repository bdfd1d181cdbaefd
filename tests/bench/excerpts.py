"""Beginnings of the shared books, as documents of a library that is kept between runs: what is read once stays read."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.commands.common import OWNER, local_engines
from app.documents.parse import parse_file
from app.library.records import DocumentRecord
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.runner import Runner
from app.settings import Settings

QUESTIONS = Path(__file__).with_name("questions.json")
BOOKS = Path(__file__).resolve().parents[3] / "shared" / "books"


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """``chapters``: the first of them that are read, and the first that is not, counted from 0."""

    name: str
    file: str
    language: str
    title: str
    chapters: tuple[int, int]

    def text(self) -> str:
        """SystemExit where the shared books are not there."""
        path = BOOKS / self.file
        if not path.exists():
            sys.exit(f"{path} is not there: this benchmark needs the shared books")
        document = parse_file(path, self.file)
        first, last = self.chapters
        return document.text[document.chapters[first].start : document.chapters[last - 1].end]


def load() -> tuple[list[Book], list[dict[str, Any]]]:
    """The books, and the questions about them: book, question, anchors, answers."""
    found = json.loads(QUESTIONS.read_text("utf-8"))
    books = [
        Book(name=name, **about | {"chapters": tuple(about["chapters"])}) for name, about in found["books"].items()
    ]
    return books, found["questions"]


@contextmanager
def library(home: Path, model: str) -> Iterator[tuple[Desk, dict[str, DocumentRecord]]]:
    """A desk over ``home`` with the excerpts of all books on its shelf, by their names."""
    settings = Settings.load({"home": str(home), "model": model})
    with Library(settings.home) as opened:
        desk = Desk(settings, opened, local_engines(settings))
        known = {one.filename: one for one in opened.documents(desk.owner_id(OWNER))}
        found: dict[str, DocumentRecord] = {}
        for book in load()[0]:
            filename = f"{book.title}.txt"
            if filename not in known:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "excerpt.txt"
                    path.write_text(book.text(), "utf-8")
                    known[filename] = desk.add(OWNER, path, filename).document
            found[book.name] = known[filename]
        try:
            yield desk, found
        finally:
            desk.engines.close()


def read(desk: Desk, documents: list[DocumentRecord]) -> None:
    """Read what is not read yet, one document after another, and say how it goes."""
    jobs = desk.read(OWNER, [one.id for one in documents], first=True)
    with Runner(desk) as runner:
        runner.start(jobs)
        for job, document in zip(jobs, documents, strict=True):
            for event in desk.follow(OWNER, job):
                if event.kind == "end":
                    print(document.title, event.payload["state"], event.payload["seconds"], flush=True)
