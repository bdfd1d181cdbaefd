"""What a book is and which chapters it has: a dialog in which its reader corrects both."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.documents.formats import BY_FORMAT
from app.documents.language import from_tag
from app.documents.metadata import YEARS, named
from app.documents.model import Chapter
from app.documents.naming import split_authors
from app.ui.notes import note, trouble
from app.ui.panel import Payload, panel
from app.ui.seat import Seat

if TYPE_CHECKING:
    from app.reading.desk import Desk

EVENTS = ("changed",)
MOST = 5_000  # chapters that a browser may send
TEXT = 500  # characters of a field
# what a guess may be corrected to
ENCODINGS = (
    "utf-8", "utf-16", "gb18030", "big5", "shift-jis", "euc-jp", "euc-kr", "cp1252", "cp1250", "cp1251", "koi8-r",
)  # fmt: skip


class Chapters:
    def __init__(self, desk: Desk, *, space: bool) -> None:
        self._desk = desk
        self._space = space

    def build(self) -> gr.HTML:
        # Gradio marks server functions with an attribute, which a bound method cannot have
        def look(said: Any) -> Payload:
            return self.look(said if isinstance(said, dict) else {})

        def place(said: Any) -> Payload:
            return self.place(said if isinstance(said, dict) else {})

        def save(said: Any) -> Payload:
            return self.save(said if isinstance(said, dict) else {})

        return panel("book", events=EVENTS, server=[look, place, save])

    def look(self, said: Payload) -> Payload:
        """Said {"visitor", "id"}: what is known of the book, its chapters with the page or the share they begin at."""
        owner, id = self._who(said)
        if owner is None or id is None:
            return {}
        try:
            return self._book(owner, id)
        except Exception as error:
            return {"note": trouble(error)}

    def place(self, said: Payload) -> Payload:
        """Said {"visitor", "id", "text"}: {"start", "text"} of the paragraph in which these words come first, or a
        note. A chapter may begin there."""
        owner, id = self._who(said)
        wanted = " ".join(str(said.get("text", ""))[:TEXT].split()).casefold()
        if owner is None or id is None or not wanted:
            return {}
        try:
            document = self._desk.document(owner, id)
            text = self._desk.library.text(document.text_sha256)
            for one in self._desk.library.paragraphs(id):
                body = text[one.start : one.end]
                if wanted in " ".join(body.split()).casefold():
                    return {"start": one.start, "text": body[:80], **self._where(id, one.start, len(text))}
        except Exception as error:
            return {"note": trouble(error)}
        return {"note": note("note.no_place", {"text": str(said.get("text"))[:80]}, kind="error")}

    def save(self, said: Payload) -> Payload:
        """Said {"visitor", "id"} and of "title", "authors", "year", "language", "identifiers", "tags" (with commas
        between them) and "encoding" what was changed, "chapters" as a list, or None for those that were found. Returns
        {"saved"} and a "note" to tell."""
        owner, id = self._who(said)
        if owner is None or id is None:
            return {}
        try:
            self._desk.edit(owner, id, **_given(said))
            if isinstance(tags := said.get("tags"), str):
                self._collect(owner, id, tags)
            answer: Payload = {"saved": True}
            if "chapters" in said:
                wanted = None if said["chapters"] is None else _chapters(said["chapters"])
                if self._desk.set_chapters(owner, id, wanted)[1]:
                    self._desk.read(owner, [id])
                    answer["note"] = note("note.read_anew")
            if (encoding := said.get("encoding")) in ENCODINGS:
                added = self._desk.reencode(owner, id, str(encoding))
                answer["note"] = note("note.reencoded", {"title": added.title or added.filename}, kind="done")
            return answer
        except Exception as error:
            return {"note": trouble(error)}

    def _collect(self, owner: str, id: int, said: str) -> None:
        """The collections a book stands in, as its reader wrote them."""
        wanted = list(dict.fromkeys(" ".join(one.split()) for one in _COMMAS.split(said[:TEXT]) if one.strip()))
        had = next((one.tags for one in self._desk.shelf(owner) if one.id == id), ())
        self._desk.tag(owner, [id], add=wanted, remove=[one for one in had if one not in wanted])

    def _book(self, owner: str, id: int) -> Payload:
        document = self._desk.document(owner, id)
        shelf = self._desk.shelf(owner)
        item = next((one for one in shelf if one.id == id), None)
        rows = [
            {
                "title": one.title, "level": one.level, "start": one.start, "kind": one.kind, "included": one.is_read,
                **self._where(id, one.start, document.characters),
            }
            for one in self._desk.chapters(owner, id)
        ]  # fmt: skip
        return {
            "id": id,
            "title": document.title,
            "filename": document.filename,
            "authors": "; ".join(document.authors),
            "year": document.year,
            "language": document.language,
            "identifiers": ", ".join(document.identifiers),
            "tags": ", ".join(item.tags) if item else "",
            "collections": sorted({tag for one in shelf for tag in one.tags}),
            "format": BY_FORMAT[document.format].label if document.format in BY_FORMAT else document.format,
            "words": document.words,
            "characters": document.characters,
            "tokens": item.tokens if item else None,
            "pages": document.pages,
            "encodings": list(ENCODINGS) if document.format in _TEXTS else [],
            "chapters": rows,
            "corrected": self._desk.has_own_chapters(owner, id),
        }

    def _where(self, id: int, start: int, characters: int) -> Payload:
        pages = self._desk.library.pages(id)
        page = next((one.number for one in pages if one.start <= start < one.end), None)
        return {"page": page, "share": start / max(characters, 1)}

    def _who(self, said: Payload) -> tuple[str | None, int | None]:
        id = said.get("id")
        return Seat.read(said).owner(space=self._space), id if isinstance(id, int) and 0 < id < 2**53 else None


_COMMAS = re.compile("[,，、;；]")
_TEXTS = frozenset(format for format, info in BY_FORMAT.items() if info.text)


def _given(said: Payload) -> dict[str, Any]:
    """What a browser says of a book, as far as it makes sense."""
    given: dict[str, Any] = {}
    if isinstance(title := said.get("title"), str) and title.strip():
        given["title"] = " ".join(title.split())[:TEXT]
    if isinstance(authors := said.get("authors"), str):
        names = [name for part in authors[:TEXT].split(";") for name in split_authors(part)]
        given["authors"] = tuple(dict.fromkeys(names))
    year = said.get("year")
    if isinstance(year, int) and YEARS[0] <= year <= YEARS[1]:
        given["year"] = year
    if isinstance(code := said.get("language"), str) and (language := from_tag(code)):
        given["language"] = language
    if isinstance(identifiers := said.get("identifiers"), str):
        given["identifiers"] = named(part for part in identifiers[:TEXT].split(",") if part.strip())
    return given


def _chapters(rows: Any) -> list[Chapter]:
    """Raises ValueError for what is no list of chapters."""
    if not isinstance(rows, list) or len(rows) > MOST:
        raise ValueError("no list of chapters")
    return [_chapter(row) for row in rows]


def _chapter(row: Any) -> Chapter:
    title, level, start, kind = (row[name] for name in ("title", "level", "start", "kind"))
    if not isinstance(level, int) or not isinstance(start, int):
        raise ValueError("no chapter")
    return Chapter(
        title=str(title)[:TEXT], level=level, start=start, end=start, kind=kind, included=bool(row["included"])
    )
