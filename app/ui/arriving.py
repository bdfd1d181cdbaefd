"""Files that reached the server: taken in by threads of its own, whether a page waits for them or not.

A file is noted in the library the moment it has arrived, so that a server that ends goes on with it when it starts
again; what a page would like to be told of it waits here until that page asks.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gradio.utils import get_upload_folder

from app.library.intake import WORKERS, Arrival, Interrupted
from app.ui.notes import trouble
from app.ui.panel import Payload

if TYPE_CHECKING:
    from app.library.records import DocumentRecord
    from app.reading.desk import Desk

_ANSWERS = 5_000  # for pages that never ask again

log = logging.getLogger(__name__)


class Arriving:
    """told: what a page is told of a document that was taken in, and whether it stood on the shelf already."""

    def __init__(self, desk: Desk, told: Callable[[str, DocumentRecord, bool], Payload]) -> None:
        self._desk = desk
        self._told = told
        self._waiting: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._workers = 0
        # by arrival: whose it was, and what there is to tell
        self._answers: dict[int, tuple[str, Payload]] = {}
        self._inside: set[int] = set()
        self._changed = threading.Condition()

    def note(self, owner: str, upload: Path, name: str) -> int:
        """Take a file in, soon; returns the number to ask for."""
        arrival = self._desk.intake.note(self._desk.owner_id(owner), upload, name, again=True)
        self._submit(owner, arrival.id)
        return arrival.id

    def answers(self, owner: str, ids: Sequence[int], patience: float) -> dict[int, Payload]:
        """What is to be told of those that have ended, each once; waits so many seconds for the first of them. One
        that is not on its way at all has nothing to be told."""
        end = time.monotonic() + patience
        with self._changed:
            while True:
                mine = [id for id in ids if self._answers.get(id, ("",))[0] == owner]
                found = {id: self._answers.pop(id)[1] for id in mine}
                found |= {id: {} for id in ids if id not in found and id not in self._inside}
                left = end - time.monotonic()
                if found or left <= 0:
                    return found
                self._changed.wait(left)

    def stop(self, owner: str, id: int) -> None:
        self._desk.intake.stop(self._desk.owner_id(owner), id)

    def resume(self, owner: str, id: int) -> None:
        """Go on with one that was stopped."""
        if self._desk.intake.resume(self._desk.owner_id(owner), id) is not None:
            self._submit(owner, id)

    def drop(self, owner: str, id: int) -> None:
        """Take one that was stopped away."""
        arrival = self._desk.intake.get(self._desk.owner_id(owner), id)
        if arrival is not None and arrival.state == "stopped":
            self._forget(arrival)

    def go_on(self) -> None:
        """Take in what was on its way when a server ended."""
        folder = Path(get_upload_folder()).resolve()
        self._desk.intake.requeue()
        for arrival in self._desk.intake.open():
            # what a command takes in is the command's
            if arrival.state == "waiting" and Path(arrival.source).is_relative_to(folder):
                self._submit(self._desk.library.owner_name(arrival.owner_id), arrival.id)

    def _submit(self, owner: str, id: int) -> None:
        with self._changed:
            if id in self._inside:
                # the same bytes under the same name, sent twice, or stopped and wanted again before its turn
                return
            self._inside.add(id)
            self._waiting.put((owner, id))
            if self._workers < WORKERS:
                self._workers += 1
                # a daemon: a server that ends does not wait for a scan, it goes on the next time
                threading.Thread(target=self._work, name="lectern-arriving", daemon=True).start()

    def _work(self) -> None:
        while True:
            owner, id = self._waiting.get()
            try:
                answer = self._take(owner, id)
            except Interrupted:
                # somebody ends this program: the file waits for the next one
                continue
            except Exception as error:
                answer = {"note": trouble(error)}
                # a full disk, perhaps: it stands still until its reader says so, if that can be written down
                with suppress(Exception):
                    self.stop(owner, id)
            with self._changed:
                self._inside.discard(id)
                self._answers[id] = owner, answer
                while len(self._answers) > _ANSWERS:
                    del self._answers[next(iter(self._answers))]
                self._changed.notify_all()

    def _take(self, owner: str, id: int) -> Payload:
        arrival = self._desk.intake.get(self._desk.owner_id(owner), id)
        if arrival is None or arrival.state != "waiting":
            return {}
        if not Path(arrival.source).is_file():
            self._desk.intake.forget(arrival)
            return {}
        ended = self._desk.intake.take(arrival, partial(self._desk.add, owner))
        if ended.state == "failed":
            # the desk noted the refusal, and the shelf shows it: a note would only say it twice
            log.info("refused a file")
        if ended.state not in ("done", "failed"):
            return {}
        self._forget(ended)
        if ended.document_id is None:
            return {}
        return self._told(owner, self._desk.document(owner, ended.document_id), ended.already)

    def _forget(self, arrival: Arrival) -> None:
        path = Path(arrival.source)
        try:
            # the library has its own copy by now
            path.unlink(missing_ok=True)
            path.parent.rmdir()
        except OSError:
            log.debug("an upload was left behind")
        # only now: whoever sees no arrival any more finds no file of it either
        self._desk.intake.forget(arrival)
