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
from app.ui.arriving import Arriving
from app.ui.notes import note, trouble
from app.ui.panel import Payload, digest, panel
from app.ui.seat import Seat

if TYPE_CHECKING:
    from app.library.records import DocumentRecord
    from app.reading.desk import Desk
    from app.reading.shelf import ShelfItem

# of a search: what a box of one line can show
QUERY_LIMIT = 200
HITS = 30
ARRIVING = 20  # files on their way that a shelf shows
REMOVED = 50  # books that are offered back
PATIENCE_SECONDS = 8.0  # of a page that asks what became of its files
FRESH_SECONDS = 0.9

log = logging.getLogger(__name__)
EVENTS = ("changed", "choose", "stop", "resume", "first", "remove", "restore", "dismiss", "pin", "renew")


class Shelf:
    def __init__(self, desk: Desk, *, space: bool) -> None:
        self._desk = desk
        self._space = space
        # by owner: when it was last looked at, and what was seen, for all tabs that ask within the same second
        self._seen: dict[str, tuple[float, Payload]] = {}
        self._arriving = Arriving(desk, self._answer)

    def build(self) -> gr.HTML:
        # Gradio marks server functions with an attribute, which a bound method cannot have, and hands them one value
        def arrive(said: Any) -> Payload:
            return self.arrive(said if isinstance(said, dict) else {})

        def settled(said: Any) -> Payload:
            return self.settled(said if isinstance(said, dict) else {})

        def arrival(said: Any) -> Payload:
            return self.arrival(said if isinstance(said, dict) else {})

        def refuse_large(said: Any) -> Payload:
            return self.refuse_large(said if isinstance(said, dict) else {})

        def find(said: Any) -> Payload:
            return self.find(said if isinstance(said, dict) else {})

        def add_address(said: Any) -> Payload:
            return self.add_address(said if isinstance(said, dict) else {})

        def removed(said: Any) -> Payload:
            return self.removed(said if isinstance(said, dict) else {})

        return panel(
            "shelf", events=EVENTS, server=[removed, arrive, settled, arrival, refuse_large, find, add_address]
        )

    def recent(self, owner: str) -> Payload:
        """As it was less than a second ago: a thousand books take tens of milliseconds, and every tab asks."""
        at, seen = self._seen.get(owner, (0.0, {}))
        return seen if seen and time.monotonic() - at < FRESH_SECONDS else self.show(owner)

    def show(self, owner: str) -> Payload:
        at = time.monotonic()
        # what is being worked on stands before what waits
        arriving = sorted(self._desk.intake.open(self._desk.owner_id(owner)), key=lambda one: one.state == "waiting")
        shown = digest(
            {
                "ready": True,
                # the newest first, where a reader looks for what was just dropped
                "items": [_item(item) for item in reversed(self._desk.shelf(owner))],
                # on their way in from this page, or from another that was closed
                "arriving": [
                    {"id": one.id, "name": one.filename, "state": one.state, "done": one.done, "total": one.total}
                    for one in arriving[:ARRIVING]
                ],
                "arriving_more": max(0, len(arriving) - ARRIVING),
                "removed": self._desk.removed_count(owner),
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

    # called by the browser for each file, so that each card tells its own story

    def arrive(self, said: Payload) -> Payload:
        """Take an uploaded file: said {"visitor", "path", "name"}, returns {"arrival"}, a number to ask ``settled``
        for, or a "note"."""
        owner, name = Seat.read(said).owner(space=self._space), str(said.get("name"))
        upload = _uploaded(said.get("path"))
        if owner is None or upload is None:
            return {"note": note("note.upload", {"name": name}, kind="error")}
        try:
            return {"arrival": self._arriving.note(owner, upload, name)}
        except Exception as error:
            return {"note": trouble(error)}

    def settled(self, said: Payload) -> Payload:
        """What became of files that arrived: said {"visitor", "arrivals"}, returns {"answers": [{"arrival", …}]} of
        those that have ended, soon: {"id", "already"} of a document, and a "note", a "twin" or a "later" (what it is a
        later state of) if there is something to tell. A refused file is a card of the shelf."""
        owner = Seat.read(said).owner(space=self._space)
        given = said.get("arrivals")
        ids = [one for one in given if isinstance(one, int)] if isinstance(given, list) else []
        if owner is None or not ids:
            return {"answers": []}
        found = self._arriving.answers(owner, ids, PATIENCE_SECONDS)
        return {"answers": [{"arrival": id, **answer} for id, answer in found.items()]}

    def arrival(self, said: Payload) -> Payload:
        """Of a file on its way: said {"visitor", "id", "act"}, to "stop" it, to "resume" it, or to "drop" it."""
        owner, id = Seat.read(said).owner(space=self._space), said.get("id")
        acts = {"stop": self._arriving.stop, "resume": self._arriving.resume, "drop": self._arriving.drop}
        act = acts.get(str(said.get("act")))
        if owner is not None and isinstance(id, int) and act is not None:
            try:
                act(owner, id)
            except Exception as error:
                return {"note": trouble(error)}
        return {}

    def removed(self, said: Payload) -> Payload:
        """What was taken from the shelf and can come back: said {"visitor"}, returns {"items": [{"id", "title",
        "removed"}]}, the last one first."""
        owner = Seat.read(said).owner(space=self._space)
        found = [] if owner is None else self._desk.removed(owner, REMOVED)
        return {"items": [{"id": one.id, "title": one.title or one.filename, "removed": at} for one, at in found]}

    def resume(self) -> None:
        """Take in what was on its way when a server ended."""
        self._arriving.go_on()

    def add_address(self, said: Payload) -> Payload:
        """Fetch what stands at a web address or an arXiv number: said {"visitor", "address"}, returns as ``settled``
        does of a file."""
        owner, address = Seat.read(said).owner(space=self._space), str(said.get("address", ""))[: sources.LONGEST]
        if owner is None or not sources.is_address(address):
            return {}
        try:
            added = self._desk.add_source(owner, address)
            return self._answer(owner, added.document, added.already)
        except DocumentError as error:
            log.info("refused an address: %s", type(error).__name__)
            return {}
        except Exception as error:
            return {"note": trouble(error)}

    def _answer(self, owner: str, document: DocumentRecord, already: bool) -> Payload:
        answer: Payload = {"id": document.id, "already": already}
        title = document.title or document.filename
        if already:
            answer["note"] = note("note.already", {"title": title})
        elif (before := self._desk.continued(owner, document)) is not None:
            of = {"of": before.id, "like": before.title or before.filename}
            answer["later"] = {"id": document.id, "title": title, **of, "n": document.characters - before.characters}
        elif twins := self._desk.twins(owner, document):
            # the reader says whether it is the same book
            answer["twin"] = {"id": document.id, "title": title, "like": twins[0].title or twins[0].filename}
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
        "words": item.words,
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
