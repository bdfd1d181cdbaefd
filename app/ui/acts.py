"""What happens when a reader acts: each act takes the seat and returns the panels that change, by name.

Acts are stateless but for one thing: which follower of an answer is a tab's latest. No act ends in a traceback; what
goes wrong becomes a note.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from app.errors import LecternError, ThreadNotFound
from app.reading import welcome
from app.reading.rereading import MODES
from app.ui import context, conversation, model, threads
from app.ui.notes import trouble
from app.ui.panel import Payload
from app.ui.seat import Seat
from app.ui.settings import sampling

if TYPE_CHECKING:
    from app.reading.desk import Desk
    from app.ui.shelf import Shelf

Changes = dict[str, Payload]


class Acts:
    def __init__(self, desk: Desk, shelf: Shelf, *, space: bool) -> None:
        self._desk = desk
        self._shelf = shelf
        self._space = space
        self._serial = itertools.count(1)
        self._lock = threading.Lock()
        # by browser session: its latest follower; an older one ends at its next event
        self._latest: dict[str, int] = {}

    # the page as a whole

    def arrive(self, seat: Seat, session: str) -> Changes:
        """A page was loaded."""
        owner = self._owner(seat)
        if owner is None:
            return {}
        welcome.offer(self._desk, owner, seat.language)
        changes = self.open(seat, session)
        try:
            changes |= {"shelf": self._shelf.show(owner), "threads": self._threads(owner)}
            changes["model"] = {**model.show(self._desk), "visitor": seat.visitor}
        except Exception as error:
            changes["notes"] = trouble(error)
        return changes

    def tick(self, seat: Seat) -> Changes:
        """Once a second: what changed since the seat was last told, and nothing else."""
        owner = self._owner(seat)
        if owner is None:
            return {}
        try:
            shelf = self._shelf.recent(owner)
            titles = {item["id"]: item["title"] for item in shelf["items"]}
            found = {
                "shelf": shelf,
                "threads": threads.show(self._desk, owner, titles),
                "model": model.show(self._desk),
            }
            changes = {name: said for name, said in found.items() if said["digest"] != seat.digests.get(name)}
            stamp = context.stamp(shelf, seat, found["model"])
            if stamp != seat.digests.get("composer"):
                changes["composer"] = {**context.show(self._desk, owner, seat), "digest": stamp}
            return changes
        except Exception as error:
            # the next second tries again; a note every second would help nobody
            trouble(error)
            return {}

    def leave(self, session: str) -> None:
        with self._lock:
            self._latest.pop(session, None)

    # conversations

    def open(self, seat: Seat, session: str, data: Payload | None = None) -> Changes:
        """Show the seat's conversation, a "turn" of it if the reader asks for one; the browser then follows its
        answer, if one is being written."""
        owner = self._owner(seat)
        if owner is None:
            return {}
        self._take(session)
        try:
            if seat.thread is None:
                return {
                    "transcript": conversation.blank(),
                    "live": conversation.idle(None),
                    "composer": context.show(self._desk, owner, seat),
                }
            if data and data.get("turn") is not None:
                self._desk.show_branch(owner, seat.thread, _id(data, "turn"))
            return self._shown(owner, seat.thread)
        except ThreadNotFound:
            # deleted in another tab, or another library lives at this address now
            gone = {**conversation.blank(), "adopt": True, "from": seat.thread}
            return {"transcript": gone, "live": conversation.idle(seat.thread)}
        except Exception as error:
            return {"live": conversation.idle(seat.thread), "notes": trouble(error)}

    def ask(self, seat: Seat, data: Payload) -> Changes:
        """Put the question in the queue and show it; the browser then follows the answer."""
        owner = self._owner(seat)
        if owner is None:
            return {}
        question = str(data.get("question", ""))
        try:
            how = sampling(data.get("sampling"))
            mode = next((one for one in MODES if one == data.get("mode")), "auto")
            if seat.thread is None:
                run = self._desk.ask(
                    owner, question, document_ids=seat.chosen, sampling=how, mode=mode, quick=seat.quick
                )
            else:
                instead = None if data.get("instead_of") is None else _id(data, "instead_of")
                run = self._desk.ask(
                    owner,
                    question,
                    thread_id=seat.thread,
                    instead_of=instead,
                    sampling=how,
                    mode=mode,
                    quick=seat.quick,
                )
            return {
                "transcript": {**self._transcript(owner, run.thread_id), "adopt": True, "from": seat.thread},
                "live": conversation.waiting(run.thread_id, run.job_id),
                "threads": self._threads(owner),
            }
        except Exception as error:
            return {"live": conversation.idle(seat.thread, refused=True), "notes": trouble(error)}

    def follow(self, seat: Seat, session: str, data: Payload) -> Iterator[Payload]:
        """What the small block shows, until the answer is complete or the tab goes elsewhere."""
        owner = self._owner(seat)
        if owner is None:
            return
        follower = self._take(session)
        try:
            for said in conversation.follow(self._desk, owner, _id(data, "thread"), _id(data, "job")):
                if self._latest.get(session) != follower:
                    return
                yield said
        except LecternError:
            # the answer is no longer to be followed: what there is of it stands in the turn
            yield conversation.idle(seat.thread)
        except Exception as error:
            trouble(error)
            yield conversation.idle(seat.thread)

    def commit(self, seat: Seat) -> Changes:
        """The answer is complete: the small block gives way to the turn in one step."""
        owner = self._owner(seat)
        if owner is None or seat.thread is None:
            return {}
        try:
            shown = self._shown(owner, seat.thread)
            return {**shown, "threads": self._threads(owner), "shelf": self._shelf.show(owner)}
        except Exception as error:
            return {"live": conversation.idle(seat.thread), "notes": trouble(error)}

    def branch(self, seat: Seat, session: str, data: Payload) -> Changes:
        """Show another branch of the open conversation."""
        return self.open(seat, session, data) if seat.thread is not None else {}

    def stop(self, seat: Seat, data: Payload) -> Changes:
        return self._do(seat, lambda owner: self._desk.stop(owner, _id(data, "job")))

    def begin(self, seat: Seat, session: str) -> Changes:
        """Leave the open conversation: the next question begins another."""
        self._take(session)
        return self._do(seat, None, "composer")

    def rename(self, seat: Seat, data: Payload) -> Changes:
        title = " ".join(str(data.get("title", "")).split())[: threads.TITLE_LIMIT]
        if not title:
            return {}
        return self._do(seat, lambda owner: self._desk.rename_thread(owner, _id(data, "id"), title), "threads")

    def remove_thread(self, seat: Seat, data: Payload) -> Changes:
        def remove(owner: str) -> None:
            thread = _id(data, "id")
            job = self._desk.running(owner, thread)
            if job is not None:
                # nobody would see the answer any more
                self._desk.stop(owner, job)
            self._desk.remove_thread(owner, thread)

        return self._do(seat, remove, "threads")

    def restore_thread(self, seat: Seat, data: Payload) -> Changes:
        """Take a removal back."""
        return self._do(seat, lambda owner: self._desk.restore_thread(owner, _id(data, "id")), "threads")

    # the shelf

    def changed(self, seat: Seat) -> Changes:
        """The browser handed a file over."""
        return self._do(seat, None, "shelf", "composer")

    def choose(self, seat: Seat) -> Changes:
        return self._do(seat, None, "composer")

    def stop_reading(self, seat: Seat, data: Payload) -> Changes:
        return self._do(seat, lambda owner: self._desk.stop_document(owner, _id(data, "id")), "shelf")

    def resume(self, seat: Seat, data: Payload) -> Changes:
        return self._do(seat, lambda owner: self._desk.read(owner, [_id(data, "id")]), "shelf")

    def first(self, seat: Seat, data: Payload) -> Changes:
        """Let a book be read before all others."""
        return self._do(seat, lambda owner: self._desk.read(owner, [_id(data, "id")], first=True), "shelf")

    def remove(self, seat: Seat, data: Payload) -> Changes:
        return self._do(seat, lambda owner: self._desk.remove(owner, _id(data, "id")), "shelf", "composer")

    def restore(self, seat: Seat, data: Payload) -> Changes:
        """Take a removal back."""
        return self._do(seat, lambda owner: self._desk.restore(owner, _id(data, "id")), "shelf", "composer")

    def renew(self, seat: Seat, data: Payload) -> Changes:
        """Let a book ("of") have the text of its later state ("id")."""
        ids = _id(data, "of"), _id(data, "id")
        return self._do(seat, lambda owner: self._desk.renew(owner, *ids), "shelf", "composer")

    def pin(self, seat: Seat, data: Payload) -> Changes:
        """Let nothing evict what was read of a book, or allow it again ("on")."""
        on = bool(data.get("on"))
        return self._do(seat, lambda owner: self._desk.pin(owner, [_id(data, "id")], pinned=on), "shelf")

    def dismiss(self, seat: Seat, data: Payload) -> Changes:
        return self._do(seat, lambda owner: self._desk.dismiss(owner, _id(data, "id")), "shelf")

    # shared

    def _owner(self, seat: Seat) -> str | None:
        return seat.owner(space=self._space)

    def _threads(self, owner: str) -> Payload:
        return threads.show(self._desk, owner, self._shelf.titles(owner))

    def _transcript(self, owner: str, thread: int) -> Payload:
        return conversation.transcript(self._desk, owner, thread, self._shelf.titles(owner))

    def _take(self, session: str) -> int:
        """Become the session's follower."""
        with self._lock:
            self._latest[session] = follower = next(self._serial)
        return follower

    def _shown(self, owner: str, thread: int) -> Changes:
        """A conversation, the answer under way in it, and the room it takes. Raises ThreadNotFound."""
        shown = self._transcript(owner, thread)
        job = self._desk.running(owner, thread)
        documents = Seat(thread=thread, chosen=tuple(shown["documents"]), quick=shown["quick"])
        return {
            "transcript": shown,
            "live": conversation.idle(thread) if job is None else conversation.waiting(thread, job),
            "composer": context.show(self._desk, owner, documents),
        }

    def _do(self, seat: Seat, act: Callable[[str], object] | None, *panels: str) -> Changes:
        """Do it, say what went wrong, and show the panels named as they are afterwards."""
        owner = self._owner(seat)
        if owner is None:
            return {}
        changes: Changes = {}
        try:
            if act is not None:
                act(owner)
        except Exception as error:
            changes["notes"] = trouble(error)
        show: dict[str, Callable[[], Payload]] = {
            "shelf": lambda: self._shelf.show(owner),
            "threads": lambda: self._threads(owner),
            "composer": lambda: context.show(self._desk, owner, seat),
        }
        try:
            changes |= {name: show[name]() for name in panels}
        except Exception as error:
            changes["notes"] = trouble(error)
        return changes


def _id(data: Payload, name: str) -> int:
    value = data.get(name)
    if not isinstance(value, int):
        raise ValueError(f"{name} is not an id")
    return value
