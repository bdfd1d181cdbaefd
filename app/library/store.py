"""The library of one home: documents on their owners' shelves, their texts, tokens and readings.

``home/library.db`` and ``home/files``. Any number of processes may open the same home, and any number of threads may
use one Library. Jobs and threads are kept by ``jobs.Jobs`` and ``threads.Threads`` over it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from sqlite_utils import Database

from app.documents.model import Chapter, Document, Page, Paragraph
from app.documents.parse import refuse_at_the_door
from app.errors import DocumentNotFound, DocumentWithoutText, LibraryDamaged
from app.library import blobs, chapters, rows, shelving
from app.library.database import Connections
from app.library.files import FileStore, private_folder
from app.library.recognition import forget, recognize
from app.library.recognition import purge as forget_recognized
from app.library.records import Added, DocumentRecord, ReadingRecord, Refusal, Tokenization
from app.library.removed import purge
from app.library.rows import one
from app.library.values import clean, names_to_json, now, plain_name, to_json

Parse = Callable[[Path, str], Document]


class Library:
    """Opens the library in ``home``, making or migrating it.

    parse: what turns a file into a Document, by default in a process of its own.
    Raises LibraryDamaged, LibraryTooNew, LibraryBusy, LibraryFull, LibraryNotWritable; the first two leave the
    database as it was.
    """

    def __init__(self, home: Path, *, parse: Parse | None = None) -> None:
        self.home = private_folder(Path(home))
        self.path = self.home / "library.db"
        self._parse = parse or shelving.parse_in_process
        self._connections = Connections(self.path)
        with suppress(FileNotFoundError):
            self.path.chmod(0o600)
        self.files = FileStore(self.home / "files")
        self.sweep()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of all threads; call it when none of them is inside a block."""
        self._connections.close()

    def read(self) -> AbstractContextManager[Database]:
        """A block that sees one state of the library, and never waits for the writer."""
        return self._connections.read()

    def write(self, *, durable: bool = True) -> AbstractContextManager[Database]:
        """A transaction, undone if the block raises. A block within a block belongs to the outer one.

        durable: on return it survives a power cut; without, it survives a crash of the process only.
        """
        return self._connections.write(durable=durable)

    def snapshot(self) -> AbstractContextManager[Connection]:
        """A connection of its own outside any transaction, for what SQLite does only there (``VACUUM INTO``)."""
        return self._connections.apart()

    def sweep(self) -> int:
        """Remove what a killed process left beside the library, and what was removed from it for long enough; returns
        how many files went."""
        purge(self)
        forget_recognized(self)
        removed = self.files.remove(self.files.stale())
        with self.read() as db:
            orphaned = self.files.orphans(rows.file_hashes(db))
        if orphaned:
            # a file goes into its place inside its writer's transaction: nobody stands between the two now
            with self.write() as db:
                removed += self.files.remove(self.files.orphans(rows.file_hashes(db)))
        return removed

    def check(self) -> list[str]:
        """Everything that is wrong with the library, a line each. Reads all of it, texts and files: seconds."""
        from app.library.integrity import problems

        return problems(self)

    # owners

    def owner(self, name: str = "local") -> int:
        """The id of the person of this name, made if new."""
        with self.read() as db:
            for row in db.query("SELECT id FROM owners WHERE name = ?", [name]):
                return int(row["id"])
        with self.write() as db:
            db.execute("INSERT INTO owners (name, created) VALUES (?, ?) ON CONFLICT DO NOTHING", [name, now()])
            return int(one(db, "SELECT id FROM owners WHERE name = ?", [name])["id"])

    def owner_name(self, owner_id: int) -> str:
        with self.read() as db:
            return str(one(db, "SELECT name FROM owners WHERE id = ?", [owner_id])["name"])

    # documents

    def add_document(
        self, owner_id: int, path: Path, filename: str, told: Callable[[int, int], None] | None = None
    ) -> Added:
        """Copy, parse and store a file. The same bytes are the same document, whatever their name.

        told: called with the pages of a scan that are recognized, and all of them; what it raises ends that, and those
        pages are kept for the next time. Raises DocumentError, and nothing is kept; or a LibraryError.
        """
        path, filename = Path(path), plain_name(filename)
        format = refuse_at_the_door(path, filename)
        with self.files.take(path, filename, format) as incoming:
            parsed = None
            with self.read() as db:
                known = shelving.is_parsed(db, owner_id, incoming.sha256, format)
            if not known:
                try:
                    parsed = self._parse(incoming.path, filename)
                except DocumentWithoutText as refusal:
                    parsed = recognize(self, incoming.path, incoming.sha256, filename, refusal, told)
                shelving.check(parsed, filename)
            with self.write() as db:
                db.execute(
                    "INSERT INTO files (sha256, format, size, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    [incoming.sha256, format, incoming.size, now()],
                )
                kept = one(db, "SELECT format FROM files WHERE sha256 = ?", [incoming.sha256])
                # also over a file that is there: dropping a book again mends a damaged copy
                self.files.keep(incoming, kept["format"])
                if parsed is not None and parsed.cover:
                    self.files.keep_cover(incoming.sha256, parsed.cover)
                db.execute("DELETE FROM refusals WHERE owner_id = ? AND filename = ?", [owner_id, filename])
                forget(db, incoming.sha256)
                document_id, already = shelving.shelve(db, owner_id, incoming.sha256, format, filename, parsed)
                return Added(document=rows.document(db, document_id), already=already)

    def documents(self, owner_id: int) -> list[DocumentRecord]:
        """The shelf, in the order in which things came to it."""
        where = "WHERE d.owner_id = ? AND d.deleted_at IS NULL ORDER BY d.created, d.id"
        with self.read() as db:
            return [rows.document_record(row) for row in db.query(rows.DOCUMENTS + where, [owner_id])]

    def document(self, owner_id: int, id: int) -> DocumentRecord:
        """Raises DocumentNotFound for another's document, and for one that was removed."""
        with self.read() as db:
            rows.require_document(db, owner_id, id)
            return rows.document(db, id)

    def file_path(self, document: DocumentRecord) -> Path:
        """Where the document's bytes lie; other people's shelves may share the file."""
        with self.read() as db:
            return self.files.path(
                document.sha256, one(db, "SELECT format FROM files WHERE sha256 = ?", [document.sha256])["format"]
            )

    def text(self, text_sha256: str) -> str:
        """A canonical text. Raises LibraryDamaged if there is none of this hash."""
        with self.read() as db:
            for row in db.query("SELECT text FROM texts WHERE sha256 = ?", [text_sha256]):
                return str(row["text"])
        raise LibraryDamaged(str(self.path), f"the text {text_sha256[:12]}… is missing")

    def chapters(self, document_id: int) -> list[Chapter]:
        """As its owner corrected them, else as the parser found them."""
        with self.read() as db:
            return chapters.chapters(db, document_id)

    def read_spans(self, document_id: int) -> list[tuple[int, int]] | None:
        """The ranges of the text that a model reads, None for all of it."""
        with self.read() as db:
            return chapters.read_spans(db, document_id)

    def paragraphs(self, document_id: int) -> list[Paragraph]:
        return [Paragraph(**row) for row in self._parts("paragraphs", '"start", "end"', "ordinal", document_id)]

    def pages(self, document_id: int) -> list[Page]:
        return [Page(**row) for row in self._parts("pages", 'number, "start", "end"', "number", document_id)]

    def freeze_header(self, document_id: int, header: str) -> str:
        """Set the document's header unless it has one; returns the one that it keeps for good. What of the text is
        read is settled at the same moment."""
        with self.write() as db:
            for _ in list(db.query("SELECT 1 FROM documents WHERE id = ? AND header IS NULL", [document_id])):
                chapters.freeze_spans(db, document_id)
                db.execute("UPDATE documents SET header = ? WHERE id = ?", [header, document_id])
            for row in db.query("SELECT header FROM documents WHERE id = ?", [document_id]):
                return str(row["header"])
        raise DocumentNotFound(document_id)

    def rename_document(self, owner_id: int, id: int, title: str, authors: Sequence[str]) -> DocumentRecord:
        """Correct what the shelf shows. A frozen header stays, so that nothing is read again."""
        return self.edit_document(owner_id, id, title=title, authors=authors)

    def edit_document(
        self,
        owner_id: int,
        id: int,
        *,
        title: str | None = None,
        authors: Sequence[str] | None = None,
        year: int | None = None,
        language: str | None = None,
        identifiers: Sequence[str] | None = None,
    ) -> DocumentRecord:
        """Correct what is given; the rest, and a frozen header, stay as they are."""
        given = {
            "title": None if title is None else clean(title),
            "authors": None if authors is None else names_to_json(authors),
            "year": year,
            "language": language,
            "identifiers": None if identifiers is None else names_to_json(identifiers),
        }
        with self.write() as db:
            rows.require_document(db, owner_id, id)
            for column, value in given.items():
                if value is not None:
                    db.execute(f"UPDATE documents SET {column} = ? WHERE id = ?", [value, id])
            return rows.document(db, id)

    def cover(self, document: DocumentRecord) -> Path | None:
        """A small JPEG of its cover or first page, None where there is none."""
        path = self.files.cover_path(document.sha256)
        return path if path.is_file() else None

    def remove_document(self, owner_id: int, id: int) -> None:
        """Take it from the shelf and stop its reading. What was read stays: adding the same file brings it back."""
        with self.write() as db:
            rows.require_document(db, owner_id, id)
            db.execute("UPDATE documents SET deleted_at = ? WHERE id = ?", [now(), id])
            rows.stop_jobs(db, "document_id = ?", [id])

    # tokens

    def tokenization(self, text_sha256: str, tokenizer: str) -> Tokenization | None:
        query = "SELECT ids, offsets FROM tokenizations WHERE text_sha256 = ? AND tokenizer = ?"
        with self.read() as db:
            found = list(db.query(query, [text_sha256, tokenizer]))
        if not found:
            return None
        try:
            return Tokenization(ids=blobs.unpack(found[0]["ids"], "i"), offsets=blobs.unpack(found[0]["offsets"], "q"))
        except ValueError as error:
            raise LibraryDamaged(str(self.path), f"tokens of the text {text_sha256[:12]}…: {error}") from error

    def save_tokenization(self, text_sha256: str, tokenizer: str, ids: array[int], offsets: array[int]) -> None:
        """Keep a text's tokens. Raises ValueError for offsets that do not fit the ids or the text."""
        with self.read() as db:
            found = list(db.query("SELECT characters FROM texts WHERE sha256 = ?", [text_sha256]))
        if not found:
            raise LibraryDamaged(str(self.path), f"the text {text_sha256[:12]}… is missing")
        if len(offsets) != len(ids) + 1 or offsets[-1] != found[0]["characters"]:
            characters = found[0]["characters"]
            raise ValueError(f"{len(ids)} ids and {len(offsets)} offsets do not fit a text of {characters} characters")
        packed = blobs.pack(ids), blobs.pack(offsets, differences=True)
        with self.write() as db:
            db.execute(
                "INSERT INTO tokenizations (text_sha256, tokenizer, tokens, created, ids, offsets) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (text_sha256, tokenizer) DO UPDATE SET "
                "tokens = excluded.tokens, created = excluded.created, ids = excluded.ids, offsets = excluded.offsets",
                [text_sha256, tokenizer, len(ids), now(), *packed],
            )

    def token_count(self, text_sha256: str, tokenizer: str) -> int | None:
        query = "SELECT tokens FROM tokenizations WHERE text_sha256 = ? AND tokenizer = ?"
        with self.read() as db:
            return next((int(row["tokens"]) for row in db.query(query, [text_sha256, tokenizer])), None)

    def token_counts(self, owner_id: int, tokenizer: str) -> dict[int, int]:
        """Tokens by document id, of those documents on the shelf that were counted in this tokenizer."""
        query = """
            SELECT d.id, n.tokens FROM documents d JOIN versions v ON v.id = d.version_id
            JOIN tokenizations n ON n.text_sha256 = v.text_sha256 AND n.tokenizer = ?
            WHERE d.owner_id = ? AND d.deleted_at IS NULL
        """
        with self.read() as db:
            return {row["id"]: row["tokens"] for row in db.query(query, [tokenizer, owner_id])}

    # refusals

    def refuse(self, owner_id: int, filename: str, error: str | Exception) -> Refusal:
        """Remember that a file was not taken, until it is dismissed, dropped again or added."""
        name = plain_name(filename)
        with self.write() as db:
            db.execute("DELETE FROM refusals WHERE owner_id = ? AND filename = ?", [owner_id, name])
            row = one(
                db,
                "INSERT INTO refusals (owner_id, filename, error, created) VALUES (?, ?, ?, ?) "
                "RETURNING id, filename, error, created",
                [owner_id, name, clean(str(error)), now()],
            )
            return Refusal(**row)

    def refusals(self, owner_id: int) -> list[Refusal]:
        query = "SELECT id, filename, error, created FROM refusals WHERE owner_id = ? ORDER BY id"
        with self.read() as db:
            return [Refusal(**row) for row in db.query(query, [owner_id])]

    def dismiss_refusal(self, owner_id: int, id: int) -> None:
        """Forget it. One that is gone already is no error."""
        with self.write() as db:
            db.execute("DELETE FROM refusals WHERE owner_id = ? AND id = ?", [owner_id, id])

    # readings

    def reading(self, document_id: int, identity: str) -> ReadingRecord | None:
        with self.read() as db:
            query = "SELECT * FROM readings WHERE document_id = ? AND identity = ?"
            return next((rows.reading_record(row) for row in db.query(query, [document_id, identity])), None)

    def readings(self, owner_id: int, identity: str) -> dict[int, ReadingRecord]:
        """How far this model has read, by document id."""
        with self.read() as db:
            found = db.query("SELECT * FROM readings WHERE owner_id = ? AND identity = ?", [owner_id, identity])
            return {row["document_id"]: rows.reading_record(row) for row in found}

    def save_reading(
        self,
        document_id: int,
        identity: str,
        *,
        done: int,
        total: int,
        complete: bool,
        seconds: float,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        """Note how far a model has read. Without ``provenance`` the one noted before stays."""
        with self.write(durable=complete) as db:
            cursor = db.execute(
                "INSERT INTO readings (document_id, identity, owner_id, done, total, complete, seconds, provenance, "
                "updated) SELECT id, ?, owner_id, ?, ?, ?, ?, ?, ? FROM documents WHERE id = ? "
                "ON CONFLICT (document_id, identity) DO UPDATE SET done = excluded.done, total = excluded.total, "
                "complete = excluded.complete, seconds = excluded.seconds, updated = excluded.updated, "
                "provenance = CASE WHEN ? THEN excluded.provenance ELSE readings.provenance END",
                [
                    identity,
                    done,
                    total,
                    int(complete),
                    float(seconds),
                    to_json(provenance or {}),
                    now(),
                    document_id,
                    provenance is not None,
                ],
            )
            if not cursor.rowcount:
                raise DocumentNotFound(document_id)

    def _parts(self, table: str, columns: str, order: str, document_id: int) -> list[dict[str, Any]]:
        query = f"""
            SELECT {columns} FROM {table}
            WHERE version_id = (SELECT version_id FROM documents WHERE id = ?) ORDER BY {order}
        """
        with self.read() as db:
            return list(db.query(query, [document_id]))
