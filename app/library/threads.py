"""Conversations: which documents they are about, in which order, and what was asked and answered."""

from __future__ import annotations

import builtins
import json
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from app.errors import LibraryDamaged, NothingChosen, QuestionEmpty, ThreadNotFound, TurnNotFound
from app.library import blobs, rows
from app.library.records import ThreadHit, ThreadRecord, TurnRecord
from app.library.values import clean, now, to_json

if TYPE_CHECKING:
    from app.library.store import Library

# characters shown around what a search found
SNIPPET = 60
# from a turn back to the first of its branch
_PATH = (
    "WITH RECURSIVE path (id, parent_id) AS (SELECT id, parent_id FROM turns WHERE id = {last} "
    "UNION ALL SELECT t.id, t.parent_id FROM turns t JOIN path ON t.id = path.parent_id) "
    "SELECT {columns} FROM turns WHERE id IN (SELECT id FROM path) ORDER BY ordinal"
)
_THREADS = "SELECT id, owner_id, title, created, updated FROM threads "
_TURN_COLUMNS = (
    "id, thread_id, ordinal, question, answer, answer_ids, finish, tokens, seconds, model, error, created, quotes, "
    "parent_id, upto, reading, gaze"
)


class Threads:
    def __init__(self, library: Library) -> None:
        self.library = library

    def create(self, owner_id: int, document_ids: Sequence[int], title: str) -> ThreadRecord:
        """Begin a conversation over these documents; their order is kept, since it is the order of the prompt.

        Raises NothingChosen, DocumentNotFound.
        """
        if not document_ids:
            raise NothingChosen()
        with self.library.write() as db:
            for document_id in document_ids:
                rows.require_document(db, owner_id, document_id)
            time = now()
            id = rows.one(
                db,
                "INSERT INTO threads (owner_id, title, created, updated) VALUES (?, ?, ?, ?) RETURNING id",
                [owner_id, clean(title), time, time],
            )["id"]
            db.conn.executemany(
                "INSERT INTO thread_documents (thread_id, ordinal, owner_id, document_id) VALUES (?, ?, ?, ?)",
                # a document chosen twice stands where it was chosen first
                [(id, n, owner_id, document) for n, document in enumerate(dict.fromkeys(document_ids))],
            )
            return _thread(db, owner_id, id)

    def list(self, owner_id: int) -> builtins.list[ThreadRecord]:
        """Conversations, the one last spoken in first."""
        where = "WHERE owner_id = ? AND deleted_at IS NULL ORDER BY updated DESC, id DESC"
        with self.library.read() as db:
            return [_thread_record(db, row) for row in db.query(_THREADS + where, [owner_id])]

    def get(self, owner_id: int, id: int) -> ThreadRecord:
        """Raises ThreadNotFound for another's, and for one that was removed."""
        with self.library.read() as db:
            return _thread(db, owner_id, id)

    def rename(self, owner_id: int, id: int, title: str) -> ThreadRecord:
        with self.library.write() as db:
            _thread(db, owner_id, id)
            db.execute("UPDATE threads SET title = ? WHERE id = ?", [clean(title), id])
            return _thread(db, owner_id, id)

    def remove(self, owner_id: int, id: int) -> None:
        """Take it from the list and stop what is being answered in it; its rows stay."""
        with self.library.write() as db:
            _thread(db, owner_id, id)
            db.execute("UPDATE threads SET deleted_at = ? WHERE id = ?", [now(), id])
            rows.stop_jobs(db, "thread_id = ?", [id])

    def restore(self, owner_id: int, id: int) -> ThreadRecord:
        """Take a removal back; one that is there stays. Raises ThreadNotFound."""
        with self.library.write() as db:
            db.execute("UPDATE threads SET deleted_at = NULL WHERE id = ? AND owner_id = ?", [id, owner_id])
            return _thread(db, owner_id, id)

    def add_turn(
        self, thread_id: int, question: str, *, instead_of: int | None = None, upto: Mapping[int, int] | None = None
    ) -> TurnRecord:
        """Ask the next question of the branch that is shown, or, ``instead_of`` a turn, begin a branch beside it.
        The branch of the new turn is then shown. ``upto``: by document, the offset before which it is answered.

        Raises QuestionEmpty, ThreadNotFound; TurnNotFound where the thread has no such turn.
        """
        if not question.strip():
            raise QuestionEmpty()
        time = now()
        with self.library.write() as db:
            thread = list(db.query("SELECT head_id FROM threads WHERE id = ? AND deleted_at IS NULL", [thread_id]))
            if not thread:
                raise ThreadNotFound(thread_id)
            parent = thread[0]["head_id"] if instead_of is None else _turn(db, thread_id, instead_of)["parent_id"]
            row = rows.one(
                db,
                "INSERT INTO turns (thread_id, ordinal, owner_id, question, created, parent_id, upto) "
                "SELECT id, (SELECT coalesce(max(ordinal), 0) + 1 FROM turns WHERE thread_id = threads.id), "
                f"owner_id, ?, ?, ?, ? FROM threads WHERE id = ? RETURNING {_TURN_COLUMNS}",
                [clean(question), time, parent, to_json(dict(upto or {})), thread_id],
            )
            db.execute("UPDATE threads SET updated = ?, head_id = ? WHERE id = ?", [time, row["id"], thread_id])
            return self._turn_record(row)

    def save_answer(
        self,
        turn_id: int,
        *,
        answer: str = "",
        answer_ids: Sequence[int] | None = None,
        finish: str | None = None,
        tokens: dict[str, int] | None = None,
        seconds: dict[str, float] | None = None,
        model: str | None = None,
        error: str | None = None,
        quotes: dict[str, Any] | None = None,
        reading: dict[str, Any] | None = None,
        gaze: dict[str, Any] | None = None,
    ) -> TurnRecord:
        """Set the whole answer of a turn, over an earlier one. Raises ValueError if there is no such turn."""
        with self.library.write() as db:
            found = list(
                db.query(
                    "UPDATE turns SET answer = ?, answer_ids = ?, finish = ?, tokens = ?, seconds = ?, model = ?, "
                    f"error = ?, quotes = ?, reading = ?, gaze = ? WHERE id = ? RETURNING {_TURN_COLUMNS}",
                    [
                        clean(answer),
                        None if answer_ids is None else blobs.pack(answer_ids),
                        finish,
                        to_json(tokens or {}),
                        to_json(seconds or {}),
                        model,
                        None if error is None else clean(error),
                        *(None if one is None else to_json(one) for one in (quotes, reading, gaze)),
                        turn_id,
                    ],
                )
            )
            if not found:
                raise ValueError(f"there is no turn {turn_id}")
            db.execute("UPDATE threads SET updated = ? WHERE id = ?", [now(), found[0]["thread_id"]])
            return self._turn_record(found[0])

    def save_quotes(self, turn_id: int, answer: str, quotes: dict[str, Any]) -> None:
        """Keep what was found of an answer's quotations, unless another answer has taken its place."""
        with self.library.write(durable=False) as db:
            db.execute(
                "UPDATE turns SET quotes = ? WHERE id = ? AND answer = ?", [to_json(quotes), turn_id, clean(answer)]
            )

    def turns(self, thread_id: int) -> builtins.list[TurnRecord]:
        """The branch that is shown, in order; empty for a thread that is not there."""
        last = "(SELECT head_id FROM threads WHERE id = ?)"
        with self.library.read() as db:
            found = db.query(_PATH.format(last=last, columns=_TURN_COLUMNS), [thread_id])
            return [self._turn_record(row) for row in found]

    def branch(self, turn_id: int) -> builtins.list[TurnRecord]:
        """A turn and those before it, whichever branch is shown; the turn is the last. Raises TurnNotFound."""
        with self.library.read() as db:
            found = [
                self._turn_record(row) for row in db.query(_PATH.format(last="?", columns=_TURN_COLUMNS), [turn_id])
            ]
        if not found:
            raise TurnNotFound(turn_id)
        return found

    def every_turn(self, thread_id: int) -> builtins.list[TurnRecord]:
        """Of all branches, in the order of asking."""
        query = f"SELECT {_TURN_COLUMNS} FROM turns WHERE thread_id = ? ORDER BY ordinal"
        with self.library.read() as db:
            return [self._turn_record(row) for row in db.query(query, [thread_id])]

    def beside(self, thread_id: int) -> dict[int, tuple[int, ...]]:
        """The ids of the turns that begin where a turn begins, itself among them, for each that has others beside
        it."""
        groups: dict[int | None, builtins.list[int]] = {}
        with self.library.read() as db:
            for row in db.query("SELECT id, parent_id FROM turns WHERE thread_id = ? ORDER BY ordinal", [thread_id]):
                groups.setdefault(row["parent_id"], []).append(row["id"])
        return {id: tuple(ids) for ids in groups.values() if len(ids) > 1 for id in ids}

    def show_branch(self, thread_id: int, turn_id: int) -> None:
        """Show the branch that goes through a turn, as far as it was last gone on with. Raises TurnNotFound."""
        with self.library.write() as db:
            last = _turn(db, thread_id, turn_id)["id"]
            while True:
                query = "SELECT id FROM turns WHERE parent_id = ? ORDER BY ordinal DESC LIMIT 1"
                later = list(db.query(query, [last]))
                if not later:
                    break
                last = later[0]["id"]
            db.execute("UPDATE threads SET head_id = ? WHERE id = ?", [last, thread_id])

    def search(self, owner_id: int, query: str, limit: int) -> builtins.list[ThreadHit]:
        """Conversations in whose title, questions or answers a text stands, letter case apart, each once with the
        first place found; the one last spoken in first."""
        wanted, found = query.casefold(), []
        if not wanted:
            return []
        with self.library.read() as db:
            for thread in self.list(owner_id):
                if len(found) == limit:
                    break
                turns = db.query(
                    "SELECT id, question, answer FROM turns WHERE thread_id = ? ORDER BY ordinal", [thread.id]
                )
                # a title is often the first question: what leads to a place comes before what does not
                texts = [(turn["id"], text) for turn in turns for text in (turn["question"], turn["answer"])]
                texts.append((None, thread.title))
                for turn_id, text in texts:
                    at = text.casefold().find(wanted)
                    if at >= 0:
                        found.append(ThreadHit(thread=thread, turn_id=turn_id, snippet=_around(text, at, len(wanted))))
                        break
        return found

    def _turn_record(self, row: dict[str, Any]) -> TurnRecord:
        packed = row["answer_ids"]
        try:
            answer_ids: array[int] | None = None if packed is None else blobs.unpack(packed, "i")
        except ValueError as error:
            raise LibraryDamaged(str(self.library.path), f"the answer of turn {row['id']}: {error}") from error
        decoded: dict[str, Any] = {
            "answer_ids": answer_ids,
            "tokens": json.loads(row["tokens"]),
            "seconds": json.loads(row["seconds"]),
            "upto": {int(id): offset for id, offset in json.loads(row["upto"]).items()},
        }
        for name in ("quotes", "reading", "gaze"):
            decoded[name] = None if row[name] is None else json.loads(row[name])
        return TurnRecord(**(row | decoded))


def _thread(db: Database, owner_id: int, id: int) -> ThreadRecord:
    query = _THREADS + "WHERE id = ? AND owner_id = ? AND deleted_at IS NULL"
    for row in db.query(query, [id, owner_id]):
        return _thread_record(db, row)
    raise ThreadNotFound(id)


def _turn(db: Database, thread_id: int, id: int) -> dict[str, Any]:
    for row in db.query("SELECT id, parent_id FROM turns WHERE id = ? AND thread_id = ?", [id, thread_id]):
        return row
    raise TurnNotFound(id)


def _around(text: str, at: int, length: int) -> tuple[str, str, str]:
    """What stands before, at and after a place, on one line. A case-folded place is near enough for a snippet."""
    low, high = max(0, at - SNIPPET), min(len(text), at + length + SNIPPET)
    parts = text[low:at], text[at : at + length], text[at + length : high]
    before, match, after = (" ".join(part.split(" ")).replace("\n", " ") for part in parts)
    return ("…" if low else "") + before, match, after + ("…" if high < len(text) else "")


def _thread_record(db: Database, row: dict[str, Any]) -> ThreadRecord:
    documents = db.query("SELECT document_id FROM thread_documents WHERE thread_id = ? ORDER BY ordinal", [row["id"]])
    return ThreadRecord(**row, document_ids=tuple(found["document_id"] for found in documents))
