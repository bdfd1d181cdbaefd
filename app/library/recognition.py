"""A scan's text, page by page: every recognized page is kept at once, so that who stops or is ended goes on there.

Pages are recognized in processes of their own, a few at a time; what was found on them waits in the library until the
document is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from app.documents import ocr
from app.documents.formats import SCANS, SUFFIXES
from app.documents.model import Document
from app.errors import DocumentWithoutText, ParserFailed
from app.library.values import now, to_json

if TYPE_CHECKING:
    from app.library.store import Library

# pages done and pages in all; what it raises ends the recognition, and what was recognized is kept
Told = Callable[[int, int], None]
Found = list[Any]  # of a page: see ``ocr.look``

KEPT = timedelta(days=30)
# a page has a process of its own: more at once than there are cores help nobody
AT_ONCE = max(1, min(os.cpu_count() or 1, 4))
_FIRST = 5  # pages by which the language is told
_TROUBLE = 8  # pages that ended their process: the file is to blame


def recognize(
    library: Library, path: Path, sha256: str, filename: str, refusal: DocumentWithoutText, told: Told | None = None
) -> Document:
    """The document of a file that its parser refused for having pictures only.

    Raises that refusal where there is no recognizer for it, DocumentWithoutText where nothing was recognized,
    DocumentError, and what ``told`` raises.
    """
    if refusal.looked or SUFFIXES.get(PurePath(filename).suffix.lower()) not in SCANS or not ocr.available():
        raise refusal
    work = _Recognition(library, path, sha256, filename, told or (lambda done, total: None))
    try:
        return work.run()
    except DocumentWithoutText:
        with library.write() as db:
            forget(db, sha256)
        raise


def forget(db: Database, sha256: str) -> None:
    """The pages of a file that became a document, or never will."""
    db.execute("DELETE FROM recognitions WHERE file_sha256 = ?", [sha256])


def purge(library: Library) -> None:
    """Forget pages of files that nobody came back to."""
    before = (datetime.now(UTC) - KEPT).isoformat(timespec="microseconds")
    query = "SELECT file_sha256 FROM recognitions WHERE created < ?"
    with library.read() as db:
        due = [row["file_sha256"] for row in db.query(query, [before])]
    if due:
        with library.write() as db:
            for sha256 in due:
                forget(db, sha256)


class _Recognition:
    def __init__(self, library: Library, path: Path, sha256: str, filename: str, told: Told) -> None:
        self.library, self.path, self.sha256, self.filename, self.told = library, path, sha256, filename, told
        self.installed = ocr.languages()
        self.pages: dict[int, Found] = {}
        self.trouble = 0

    def run(self) -> Document:
        # imported late: a library that only lists its shelf starts no process
        from app.documents import sandbox

        count = int(sandbox.call(ocr.count, self.path, self.filename))
        names = self._begun(count)
        self.told(len(self.pages), count)
        if names is None:
            names = self._language(count)
        self._look([number for number in range(1, count + 1) if number not in self.pages], names, count)
        pages = [self.pages[number] for number in range(1, count + 1)]
        return sandbox.parse_in_process(self.path, self.filename, parse=ocr.assemble, pages=pages)

    def _begun(self, count: int) -> tuple[str, ...] | None:
        """Take up what is kept of this file, or begin; the languages, None while they are not settled."""
        recognizer = f"{ocr.VERSION} {'+'.join(self.installed)}"
        with self.library.write() as db:
            query = "SELECT recognizer, languages, pages FROM recognitions WHERE file_sha256 = ?"
            for row in db.query(query, [self.sha256]):
                if (row["recognizer"], row["pages"]) == (recognizer, count):
                    kept = db.query("SELECT number, found FROM recognized_pages WHERE file_sha256 = ?", [self.sha256])
                    self.pages = {page["number"]: json.loads(page["found"]) for page in kept}
                    return None if row["languages"] is None else tuple(row["languages"].split("+"))
            forget(db, self.sha256)
            db.execute(
                "INSERT INTO recognitions (file_sha256, recognizer, pages, created) VALUES (?, ?, ?, ?)",
                [self.sha256, recognizer, count, now()],
            )
        return None

    def _language(self, count: int) -> tuple[str, ...]:
        """Settle the languages by the first pages: fewer languages mean fewer mistakes."""
        first = range(1, min(_FIRST, count) + 1)
        self._look([number for number in first if number not in self.pages], self.installed, count)
        text = "\n".join(line[0] for number in first for line in self.pages[number][2])
        from app.documents import language

        names = ocr.fitting(language.guess(text))
        again = set(names) != set(self.installed)
        with self.library.write() as db:
            db.execute("UPDATE recognitions SET languages = ? WHERE file_sha256 = ?", ["+".join(names), self.sha256])
            if again:
                db.execute("DELETE FROM recognized_pages WHERE file_sha256 = ?", [self.sha256])
        if again:
            self.pages.clear()
        return names

    def _look(self, numbers: Sequence[int], names: Sequence[str], count: int) -> None:
        for at in range(0, len(numbers), AT_ONCE):
            batch = list(numbers[at : at + AT_ONCE])
            found = self._looked(batch, names)
            with self.library.write() as db:
                for number, page in zip(batch, found, strict=True):
                    db.execute(
                        "INSERT OR REPLACE INTO recognized_pages (file_sha256, number, found) VALUES (?, ?, ?)",
                        [self.sha256, number, to_json(page)],
                    )
            self.pages |= zip(batch, found, strict=True)
            self.told(len(self.pages), count)

    def _looked(self, batch: Sequence[int], names: Sequence[str]) -> list[Found]:
        from app.documents import sandbox

        try:
            found: list[Found] = sandbox.call(
                ocr.look, self.path, self.filename, timeout_s=ocr.PATIENCE_S, numbers=list(batch), names=list(names)
            )
            return found
        except ParserFailed as error:
            if "SIGINT" in error.reason or "SIGTERM" in error.reason:
                raise
            if len(batch) > 1:
                # one of them is to blame, and the others are not
                return [page for number in batch for page in self._looked([number], names)]
            self.trouble += 1
            if self.trouble == _TROUBLE:
                raise
            return [ocr.NOTHING]
