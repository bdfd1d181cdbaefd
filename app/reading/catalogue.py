"""The part of the desk that needs no model: refusals, search, collections, removals taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from app.documents import sources
from app.documents.model import Chapter
from app.documents.transcode import utf8_copy
from app.library.chapters import is_corrected, set_chapters
from app.library.records import Added, DocumentRecord, Refusal
from app.library.removed import removed_count, removed_documents, restore_document
from app.library.renewed import continued, renew
from app.library.search import LIMIT, Found, search
from app.library.store import Library
from app.library.tags import change_tags, tags
from app.library.twins import twins


class Catalogue:
    """What ``Desk`` inherits; the library is everybody's, an owner is a person's name in it."""

    library: Library

    def owner_id(self, owner: str) -> int:
        raise NotImplementedError

    def add(self, owner: str, path: Path, filename: str, told: Callable[[int, int], None] | None = None) -> Added:
        raise NotImplementedError

    def read(self, owner: str, document_ids: Sequence[int] | None = None, *, first: bool = False) -> list[int]:
        raise NotImplementedError

    def refuse(self, owner: str, filename: str, error: str | Exception) -> Refusal:
        """Note that a file was not taken, where that was known before it came here."""
        return self.library.refuse(self.owner_id(owner), filename, error)

    def refusals(self, owner: str) -> list[Refusal]:
        return self.library.refusals(self.owner_id(owner))

    def dismiss(self, owner: str, refusal_id: int) -> None:
        self.library.dismiss_refusal(self.owner_id(owner), refusal_id)

    def remove(self, owner: str, document_id: int) -> None:
        """Take a document from the shelf. What was read of it stays, and is found if it comes back."""
        self.library.remove_document(self.owner_id(owner), document_id)

    def rename(self, owner: str, document_id: int, title: str, authors: Sequence[str]) -> DocumentRecord:
        return self.library.rename_document(self.owner_id(owner), document_id, title, authors)

    def edit(
        self,
        owner: str,
        document_id: int,
        *,
        title: str | None = None,
        authors: Sequence[str] | None = None,
        year: int | None = None,
        language: str | None = None,
        identifiers: Sequence[str] | None = None,
    ) -> DocumentRecord:
        """Correct what is given. Nothing is read again. Raises DocumentNotFound."""
        given = {"title": title, "authors": authors, "year": year, "language": language, "identifiers": identifiers}
        return self.library.edit_document(self.owner_id(owner), document_id, **given)  # type: ignore[arg-type]

    def restore(self, owner: str, document_id: int) -> DocumentRecord:
        """Take back a removal. Raises DocumentNotFound for what never was there, or is gone for good."""
        return restore_document(self.library, self.owner_id(owner), document_id)

    def removed(self, owner: str, most: int = -1) -> list[tuple[DocumentRecord, str]]:
        """What can be brought back, and when it was removed, the last one first; at ``most`` so many."""
        return removed_documents(self.library, self.owner_id(owner), most)

    def removed_count(self, owner: str) -> int:
        return removed_count(self.library, self.owner_id(owner))

    def document(self, owner: str, document_id: int) -> DocumentRecord:
        """Raises DocumentNotFound."""
        return self.library.document(self.owner_id(owner), document_id)

    def has_own_chapters(self, owner: str, document_id: int) -> bool:
        """Whether its owner corrected them. Raises DocumentNotFound."""
        id = self.document(owner, document_id).id
        with self.library.read() as db:
            return is_corrected(db, id)

    def add_source(self, owner: str, address: str, told: Callable[[int, int | None], None] | None = None) -> Added:
        """Fetch a web address or an arXiv number and take the file in. ``told``: bytes that came, and all of them.

        Raises SourceRefused, SourceFailed, and what ``add`` raises.
        """
        with sources.fetch(address, self.library.files.incoming, told=told) as found:
            added = self.add(owner, found.path, found.filename)
        number = f"arxiv:{found.arxiv}"
        if found.arxiv and number not in added.document.identifiers:
            known = (*(one for one in added.document.identifiers if not one.startswith("arxiv:")), number)
            changed = self.library.edit_document(self.owner_id(owner), added.document.id, identifiers=known)
            added = replace(added, document=changed)
        return added

    def reencode(self, owner: str, document_id: int, encoding: str) -> DocumentRecord:
        """Read a text again in the encoding that it is really in: another text, so another document in its place, with
        its title, collections and all that its owner said of it. The first one goes like any removed one.

        Raises DocumentNotFound, EncodingWrong, EncodingUnknown, EncodingPointless, and then changes nothing.
        """
        before = self.document(owner, document_id)
        owner_id = self.owner_id(owner)
        with utf8_copy(self.library.file_path(before), encoding) as copy:
            after = self.add(owner, copy, before.filename).document
        if after.id != before.id:
            said = {"authors": before.authors, "year": before.year, "identifiers": before.identifiers}
            self.library.edit_document(owner_id, after.id, **{name: value for name, value in said.items() if value})  # type: ignore[arg-type]
            names = tags(self.library, owner_id).get(before.id, ())
            self.tag(owner, [after.id], add=names)
            self.library.remove_document(owner_id, before.id)
        return after

    def chapters(self, owner: str, document_id: int) -> list[Chapter]:
        """As corrected by their owner, else as the parser found them. Raises DocumentNotFound."""
        return self.library.chapters(self.library.document(self.owner_id(owner), document_id).id)

    def set_chapters(
        self, owner: str, document_id: int, chapters: Sequence[Chapter] | None
    ) -> tuple[list[Chapter], bool]:
        """Correct them, or None for the parser's again. True: what a model reads changed, and must be read anew.

        Raises DocumentNotFound, ChaptersInvalid.
        """
        return set_chapters(self.library, self.owner_id(owner), document_id, chapters)

    def twins(self, owner: str, document: DocumentRecord) -> list[DocumentRecord]:
        """What else on the shelf is likely the same book."""
        return twins(document, self.library.documents(self.owner_id(owner)))

    def continued(self, owner: str, document: DocumentRecord) -> DocumentRecord | None:
        """What else on the shelf this document is a later state of: the same text, and more behind it."""
        return continued(self.library, document, self.library.documents(self.owner_id(owner)))

    def renew(self, owner: str, document_id: int, newer_id: int) -> DocumentRecord:
        """Let a document have the file and text of a later one, which leaves the shelf with the earlier ones; what
        belongs to the document stays. It is read again, from where the two texts part.

        Raises DocumentNotFound, RenewalInvalid, and then changes nothing.
        """
        owner_id = self.owner_id(owner)
        with self.library.write() as db:
            begun = list(db.query("SELECT 1 FROM jobs WHERE document_id = ? AND kind = 'read'", [document_id]))
            document, _ = renew(self.library, owner_id, document_id, newer_id)
            if begun:
                self.read(owner, [document_id])
        return document

    def tag(
        self, owner: str, document_ids: Sequence[int], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Raises DocumentNotFound, TagInvalid, and then changes nothing."""
        change_tags(self.library, self.owner_id(owner), document_ids, add=add, remove=remove)

    def search(self, owner: str, query: str, document_ids: Sequence[int] | None = None, *, limit: int = LIMIT) -> Found:
        """Full text, exact counts. Raises DocumentNotFound."""
        return search(self.library, self.owner_id(owner), query, document_ids, limit=limit)
