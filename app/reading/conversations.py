"""What a reader does with conversations, but for asking: see, name, remove, find, go to another branch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from app.errors import LibraryDamaged
from app.library.jobs import Jobs
from app.library.records import ThreadHit, ThreadRecord, TurnRecord
from app.library.threads import Threads
from app.reading.catalogue import Catalogue
from app.reading.quotes import Quote, Quotes

THREADS_FOUND = 50


class Conversations(Catalogue):
    """What ``Desk`` inherits."""

    jobs: Jobs
    conversations: Threads
    quotes: Quotes

    def threads(self, owner: str) -> list[ThreadRecord]:
        return self.conversations.list(self.owner_id(owner))

    def thread(self, owner: str, thread_id: int) -> tuple[ThreadRecord, list[TurnRecord]]:
        """Raises ThreadNotFound."""
        owner_id = self.owner_id(owner)
        with self.library.read():
            return self.conversations.get(owner_id, thread_id), self.conversations.turns(thread_id)

    def quoted(self, owner: str, thread_id: int) -> tuple[ThreadRecord, list[TurnRecord]]:
        """A thread, the quotations of its finished turns checked against the texts as they are now.

        They were checked when the answer was finished; here are those of an older Lectern, or of a document that was
        parsed again since. A turn whose texts cannot be had is shown unchecked. Raises ThreadNotFound.
        """
        thread, turns = self.thread(owner, thread_id)
        with suppress(LibraryDamaged):
            stamp = self.quotes.stamp(thread.document_ids)
            for place, turn in enumerate(turns):
                if turn.answer and turn.finish is not None and (turn.quotes or {}).get("of") != stamp:
                    stored = self.quotes.stored(turn.question, turn.answer, thread.document_ids)
                    self.conversations.save_quotes(turn.id, turn.answer, stored)
                    turns[place] = replace(turn, quotes=stored)
        return thread, turns

    def sentences(self, owner: str, thread_id: int, turn_id: int) -> list[Quote]:
        """Every sentence of an answer, looked for in the texts. Raises ThreadNotFound; none for an unknown turn."""
        thread, turns = self.thread(owner, thread_id)
        turn = next((one for one in turns if one.id == turn_id), None)
        return [] if turn is None else self.quotes.check_sentences(turn.answer, thread.document_ids)

    def rename_thread(self, owner: str, thread_id: int, title: str) -> ThreadRecord:
        return self.conversations.rename(self.owner_id(owner), thread_id, title)

    def remove_thread(self, owner: str, thread_id: int) -> None:
        self.conversations.remove(self.owner_id(owner), thread_id)

    def restore_thread(self, owner: str, thread_id: int) -> ThreadRecord:
        """Take a removal back. Raises ThreadNotFound."""
        return self.conversations.restore(self.owner_id(owner), thread_id)

    def find_threads(self, owner: str, query: str) -> list[ThreadHit]:
        """Conversations in which a text stands, in any branch."""
        return self.conversations.search(self.owner_id(owner), query.strip(), THREADS_FOUND)

    def beside(self, owner: str, thread_id: int) -> dict[int, tuple[int, ...]]:
        """For each turn with others in its place: all of these. Raises ThreadNotFound."""
        owner_id = self.owner_id(owner)
        with self.library.read():
            self.conversations.get(owner_id, thread_id)
            return self.conversations.beside(thread_id)

    def show_branch(self, owner: str, thread_id: int, turn_id: int) -> None:
        """Show the branch that goes through a turn; what is asked next goes on there. Raises ThreadNotFound,
        TurnNotFound."""
        owner_id = self.owner_id(owner)
        with self.library.write():
            self.conversations.get(owner_id, thread_id)
            self.conversations.show_branch(thread_id, turn_id)

    def running(self, owner: str, thread_id: int) -> int | None:
        """The job that answers, or will answer, the oldest open question of the branch that is shown."""
        jobs = self.jobs.list(self.owner_id(owner), states=("waiting", "running"), kind="ask")
        shown = {turn.id for turn in self.conversations.turns(thread_id)} if jobs else set()
        for job in jobs:
            if job.turn_id in shown:
                return job.id
        return None
