"""The part of the desk that is about a person's own reading: notes, where they are, and up to where they have read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from app.errors import PlaceInvalid
from app.library.notes import COLOURS, NoteRecord, Notes
from app.library.places import PlaceRecord, Places, cut
from app.library.records import DocumentRecord
from app.library.store import Library
from app.reading.noted import Noted, Source

_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%")


class Marginalia:
    """What ``Desk`` inherits; an owner is a person's name in the library."""

    library: Library

    def owner_id(self, owner: str) -> int:
        raise NotImplementedError

    # notes

    def notes(self, owner: str, document_id: int | None = None) -> list[NoteRecord]:
        """Of a document in the order of its text, or of the whole shelf. Raises DocumentNotFound."""
        return Notes(self.library).list(self.owner_id(owner), document_id)

    def add_note(
        self, owner: str, document_id: int, start: int, end: int, *, note: str = "", colour: str = COLOURS[0]
    ) -> NoteRecord:
        """Mark a range of a text. Raises DocumentNotFound, RangeInvalid, ColourUnknown."""
        return Notes(self.library).add(self.owner_id(owner), document_id, start, end, note=note, colour=colour)

    def edit_note(self, owner: str, note_id: int, *, note: str | None = None, colour: str | None = None) -> NoteRecord:
        """Raises NoteNotFound, ColourUnknown."""
        return Notes(self.library).edit(self.owner_id(owner), note_id, note=note, colour=colour)

    def remove_note(self, owner: str, note_id: int) -> NoteRecord:
        """Raises NoteNotFound."""
        return Notes(self.library).remove(self.owner_id(owner), note_id)

    def restore_note(self, owner: str, note_id: int) -> NoteRecord:
        """Take a removal back. Raises NoteNotFound."""
        return Notes(self.library).restore(self.owner_id(owner), note_id)

    def noted(self, owner: str, document_ids: Sequence[int] | None = None) -> list[Noted]:
        """Notes with the place where each stands, ready to be written out. Raises DocumentNotFound."""
        owner_id = self.owner_id(owner)
        if document_ids is None:
            documents = self.library.documents(owner_id)
        else:
            documents = [self.library.document(owner_id, one) for one in document_ids]
        made: list[Noted] = []
        for document in documents:
            notes = Notes(self.library).list(owner_id, document.id)
            if notes:
                chapters, pages = self.library.chapters(document.id), self.library.pages(document.id)
                made.append(Noted.of(Source.of(document), notes, chapters, pages))
        return made

    # places

    def place(self, owner: str, document_id: int) -> PlaceRecord:
        """Where somebody is in a document. Raises DocumentNotFound."""
        return Places(self.library).get(self.owner_id(owner), document_id)

    def keep_place(self, owner: str, document_id: int, position: int) -> None:
        """Raises DocumentNotFound."""
        Places(self.library).keep(self.owner_id(owner), document_id, position)

    def guard(self, owner: str, document_id: int, offset: int | None) -> PlaceRecord:
        """Answer, search and look only before the paragraph at ``offset``; None: in all of the text.

        Raises DocumentNotFound, PlaceInvalid.
        """
        return Places(self.library).guard(self.owner_id(owner), document_id, offset)

    def guards(self, owner: str, document_ids: Sequence[int] | None = None) -> dict[int, int]:
        """By document, the offset from which on its text is not to be told."""
        return Places(self.library).guards(self.owner_id(owner), document_ids)

    def allowed(
        self, owner_id: int, documents: Iterable[DocumentRecord], upto: Mapping[int, int] | None = None
    ) -> dict[int, int]:
        """The guards of these documents, tightened by ``upto``, which counts where it names one of them."""
        ids = [one.id for one in documents]
        limits = Places(self.library).guards(owner_id, ids)
        for id, offset in (upto or {}).items():
            if id in ids:
                limits[id] = min(limits.get(id, offset), cut(self.library, id, offset))
        return limits

    def find_place(self, owner: str, document_id: int, said: str) -> int:
        """The offset that a person means: a chapter by its title (its beginning), a share ("40%") or an offset.

        Raises DocumentNotFound, PlaceInvalid.
        """
        document = self.library.document(self.owner_id(owner), document_id)
        said = " ".join(said.split())
        if share := _SHARE.fullmatch(said):
            return int(document.characters * min(100.0, float(share[1])) / 100)
        if said.isascii() and said.isdigit():
            return int(said)
        chapters = [(" ".join(one.title.split()), one) for one in self.library.chapters(document_id)]
        wanted = said.casefold()
        for agree in (
            lambda title: title == wanted,
            lambda title: re.match(re.escape(wanted) + r"\b", title) is not None,
            lambda title: wanted in title,
        ):
            found = [(title, one) for title, one in chapters if wanted and agree(title.casefold())]
            if len(found) > 1:
                # a contents list in the book names every chapter once more, as front matter
                found = [(title, one) for title, one in found if one.kind == "body"] or found
            if len(found) == 1:
                return found[0][1].start
            if found:
                raise PlaceInvalid(said, [title for title, _ in found])
        raise PlaceInvalid(said)
