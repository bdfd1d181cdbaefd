"""The part of the desk that needs no model: refusals, search, collections, removals taken back."""

from __future__ import annotations

from collections.abc import Sequence

from app.library.records import DocumentRecord, Refusal
from app.library.removed import removed_documents, restore_document
from app.library.search import LIMIT, Found, search
from app.library.store import Library
from app.library.tags import change_tags


class Catalogue:
    """What ``Desk`` inherits; the library is everybody's, an owner is a person's name in it."""

    library: Library

    def owner_id(self, owner: str) -> int:
        raise NotImplementedError

    def refuse(self, owner: str, filename: str, error: str | Exception) -> Refusal:
        """Note that a file was not taken, where that was known before it came here."""
        return self.library.refuse(self.owner_id(owner), filename, error)

    def refusals(self, owner: str) -> list[Refusal]:
        return self.library.refusals(self.owner_id(owner))

    def dismiss(self, owner: str, refusal_id: int) -> None:
        self.library.dismiss_refusal(self.owner_id(owner), refusal_id)

    def restore(self, owner: str, document_id: int) -> DocumentRecord:
        """Take back a removal. Raises DocumentNotFound for what never was there, or is gone for good."""
        return restore_document(self.library, self.owner_id(owner), document_id)

    def removed(self, owner: str) -> list[tuple[DocumentRecord, str]]:
        return removed_documents(self.library, self.owner_id(owner))

    def tag(
        self, owner: str, document_ids: Sequence[int], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Raises DocumentNotFound, TagInvalid, and then changes nothing."""
        change_tags(self.library, self.owner_id(owner), document_ids, add=add, remove=remove)

    def search(self, owner: str, query: str, document_ids: Sequence[int] | None = None, *, limit: int = LIMIT) -> Found:
        """Full text, exact counts. Raises DocumentNotFound."""
        return search(self.library, self.owner_id(owner), query, document_ids, limit=limit)
