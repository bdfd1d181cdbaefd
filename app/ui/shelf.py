"""The shelf: which books are there, how far each is read, and files on their way in."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.utils import get_upload_folder

from app.documents import sources
from app.documents.parse import FILE_LIMIT
from app.errors import DocumentError, DocumentTooLarge
from app.ui.notes import note, trouble
from app.ui.panel import Payload, digest, panel
from app.ui.seat import Seat

if TYPE_CHECKING:
    from app.library.records import Added
    from app.reading.desk import Desk
    from app.reading.shelf import ShelfItem

# of a search: what a box of one line can show
QUERY_LIMIT = 200
HITS = 30
ARRIVING = 20  # files on their way that a shelf shows
FRESH_SECONDS = 0.9

log = logging.getLogger(__name__)
EVENTS = ("changed", "choose", "stop", "resume", "first", "remove", "restore", "dismiss", "pin")


class Shelf:
    def __init__(self, desk: Desk, *, space: bool) -> None:
        self._desk = desk
        self._space = space
        # by owner: when it was last looked at, and what was seen, for all tabs that ask within the same second
        self._seen: dict[str, tuple[float, Payload]] = {}

    def build(self) -> gr.HTML:
        # Gradio marks server functions with an attribute, which a bound method cannot have, and hands them one value
        def add_file(said: Any) -> Payload:
            return self.add_file(said if isinstance(said, dict) else {})

        def refuse_large(said: Any) -> Payload:
            return self.refuse_large(said if isinstance(said, dict) else {})

        def find(said: Any) -> Payload:
            return self.find(said if isinstance(said, dict) else {})

        def add_address(said: Any) -> Payload:
            return self.add_address(said if isinstance(said, dict) else {})

        return panel("shelf", events=EVENTS, server=[add_file, refuse_large, find, add_address])

    def recent(self, owner: str) -> Payload:
        """As it was less than a second ago: a thousand books take tens of milliseconds, and every tab asks."""
        at, seen = self._seen.get(owner, (0.0, {}))
        return seen if seen and time.monotonic() - at < FRESH_SECONDS else self.show(owner)

    def show(self, owner: str) -> Payload:
        at = time.monotonic()
        shown = digest(
            {
                "ready": True,
                # the newest first, where a reader looks for what was just dropped
                "items": [_item(item) for item in reversed(self._desk.shelf(owner))],
                # on their way in from this page, or from another that was closed
                "arriving": [
                    {"id": one.id, "filename": one.filename}
                    for one in self._desk.intake.open(self._desk.owner_id(owner))[:ARRIVING]
                ],
                "refusals": [
                    {"id": one.id, "filename": one.filename, "error": one.error} for one in self._desk.refusals(owner)
                ],
            }
        )
        # a slower look that began earlier must not hide what is newer
        if at >= self._seen.get(owner, (0.0, {}))[0]:
            self._seen[owner] = (at, shown)
        return shown

    def titles(self, owner: str) -> dict[int, str]:
        """Of the books on the shelf, by id."""
        return {item.id: item.title for item in self._desk.shelf(owner)}

    # called by the browser for each file, one after another, so that each card tells its own story

    def add_file(self, said: Payload) -> Payload:
        """Take an uploaded file: said {"visitor", "path", "name"}, returns {"id", "already"} and a "note" if there is
        something to tell. A refused file is a card of the shelf."""
        owner, name = Seat.read(said).owner(space=self._space), str(said.get("name"))
        upload = _uploaded(said.get("path"))
        if owner is None or upload is None:
            return {"note": note("note.upload", {"name": name}, kind="error")}
        try:
            added = self._take(owner, upload, name)
        except DocumentError as error:
            # the desk noted the refusal, and the shelf shows it: a note would only say it twice
            log.info("refused a file: %s", type(error).__name__)
            return {}
        except Exception as error:
            return {"note": trouble(error)}
        finally:
            _discard(upload)
        return self._answer(owner, added)

    def _take(self, owner: str, upload: Path, name: str) -> Added:
        """As ``Desk.add``, noted meanwhile: a server that ends now takes it in when it starts again."""
        intake = self._desk.intake
        arrival = intake.note(self._desk.owner_id(owner), upload, name, again=True)
        intake.claim(arrival)
        try:
            return self._desk.add(owner, upload, name)
        finally:
            intake.forget(arrival)

    def resume(self) -> None:
        """Take in what was on its way when a server ended. Blocks: for a thread of its own."""
        folder = Path(get_upload_folder()).resolve()
        intake = self._desk.intake
        intake.requeue()
        for arrival in intake.open():
            path, owner = Path(arrival.source), self._desk.library.owner_name(arrival.owner_id)
            # what a command takes in is the command's
            if not path.is_relative_to(folder) or not intake.claim(arrival):
                continue
            try:
                if path.is_file():
                    self._desk.add(owner, path, arrival.filename)
            except DocumentError as error:
                log.info("refused a file: %s", type(error).__name__)
            except Exception as error:
                log.error("a file could not be taken in: %s", type(error).__name__)
                continue
            intake.forget(arrival)
            _discard(path)

    def add_address(self, said: Payload) -> Payload:
        """Fetch what stands at a web address or an arXiv number: said {"visitor", "address"}, as ``add_file``."""
        owner, address = Seat.read(said).owner(space=self._space), str(said.get("address", ""))[: sources.LONGEST]
        if owner is None or not sources.is_address(address):
            return {}
        try:
            return self._answer(owner, self._desk.add_source(owner, address))
        except DocumentError as error:
            log.info("refused an address: %s", type(error).__name__)
            return {}
        except Exception as error:
            return {"note": trouble(error)}

    def _answer(self, owner: str, added: Added) -> Payload:
        answer: Payload = {"id": added.document.id, "already": added.already}
        title = added.document.title or added.document.filename
        if added.already:
            answer["note"] = note("note.already", {"title": title})
        elif twins := self._desk.twins(owner, added.document):
            # the reader says whether it is the same book
            answer["twin"] = {"id": added.document.id, "title": title, "like": twins[0].title or twins[0].filename}
        return answer

    def refuse_large(self, said: Payload) -> Payload:
        """A file too large to be sent at all, by what the browser says of it: {"visitor", "name", "size"}."""
        owner, name, size = Seat.read(said).owner(space=self._space), str(said.get("name")), said.get("size")
        try:
            if owner is not None and isinstance(size, int):
                self._desk.refuse(owner, name, DocumentTooLarge(name, size, FILE_LIMIT))
        except Exception as error:
            return {"note": trouble(error)}
        return {}

    def find(self, said: Payload) -> Payload:
        """Where a text stands: said {"visitor", "query"}, returns {"query", "count", "hits"}, each hit with its book,
        place and snippet in three parts."""
        owner, query = Seat.read(said).owner(space=self._space), str(said.get("query", ""))[:QUERY_LIMIT].strip()
        if owner is None or not query:
            return {"query": query, "count": 0, "hits": []}
        try:
            found = self._desk.search(owner, query, limit=HITS)
        except Exception as error:
            return {"query": query, "count": 0, "hits": [], "note": trouble(error)}
        return {"query": query, "count": found.count, "hits": [asdict(hit) for hit in found.hits]}


def _item(item: ShelfItem) -> Payload:
    # coarse times: a shelf is sent again only when a reader could see the difference
    seconds = item.seconds_left
    step = 1 if seconds is None or seconds < 90 else 30
    return {
        "id": item.id,
        "title": item.title,
        "author": item.author,
        "filename": item.filename,
        "format": item.format,
        "sha256": item.sha256[:8],
        "tokens": item.tokens,
        "state": item.state,
        "error": item.error,
        "progress": round(item.progress, 3),
        "seconds_left": None if seconds is None else round(seconds / step) * step,
        # rounded, so that it does not flicker
        "speed": None if item.tokens_per_second is None else _rounded(item.tokens_per_second),
        "chapter": item.chapter,
        "job": item.job_id,
        "characters": item.characters,
        "used": item.used,
        "upto": item.upto,
        "recall": item.recall,
        "pinned": item.pinned,
        "tags": list(item.tags),
    }


def _rounded(number: float) -> int:
    """To two digits."""
    return int(float(f"{number:.2g}"))


def _uploaded(path: Any) -> Path | None:
    """The path if it is a file that Gradio received; a browser may name any other, and gets none."""
    if not isinstance(path, str):
        return None
    real = Path(path).resolve()
    return real if real.is_relative_to(Path(get_upload_folder()).resolve()) and real.is_file() else None


def _discard(path: Path) -> None:
    # the library has its own copy by now
    try:
        path.unlink(missing_ok=True)
        path.parent.rmdir()
    except OSError:
        log.debug("an upload was left behind")
