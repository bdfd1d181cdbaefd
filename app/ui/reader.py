"""The reader: a book beside the conversation, a few sections or pages at a time, with notes and the spoiler guard.

Everything is asked for by the browser through server functions, which know nobody but the visitor they are told. All
offsets count code points of the document's text; the browser converts at its own border.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.documents.pdf_views import MOST_PAGES, PageView, page_views
from app.errors import DocumentNotFound
from app.library.notes import COLOURS
from app.reading.noted import FORMATS, write
from app.reading.pageable import Sectioner
from app.ui.notes import trouble
from app.ui.panel import Payload, panel
from app.ui.seat import Seat

if TYPE_CHECKING:
    from app.library.records import DocumentRecord
    from app.reading.desk import Desk

EVENTS = ("guarded",)
HITS = 200
QUERY_LIMIT = 200
MOST_COVERS = 60
# pictures of pages that are kept, in bytes
PICTURES = 96 * 2**20
WIDTHS = (600, 900, 1200, 1600, 2200)
# written from top to bottom by custom
VERTICAL = ("ja",)

log = logging.getLogger(__name__)


class Reader:
    def __init__(self, desk: Desk, *, space: bool) -> None:
        self._desk = desk
        self._space = space
        self._sections = Sectioner(desk.library)
        self._pictures = Pictures(PICTURES)

    def build(self) -> gr.HTML:
        return panel("reader", events=EVENTS, server=self.functions())

    def functions(self) -> list[Callable[[Any], Payload]]:
        """Server functions for the page, by the names that the browser calls."""
        return [
            self._served("open_book", self.open_book),
            self._served("sections", self.sections),
            self._served("pages", self.pages),
            self._served("look_up", self.look_up),
            self._served("keep_place", self.keep_place),
            self._served("guard", self.guard),
            self._served("note", self.note),
            self._served("export_notes", self.export_notes),
            self._served("covers", self.covers),
        ]

    def _served(self, name: str, act: Callable[[str, Payload], Payload]) -> Callable[[Any], Payload]:
        """A function as Gradio wants it: it is marked with an attribute and gets one value. No error leaves it."""

        def function(said: Any) -> Payload:
            heard = said if isinstance(said, dict) else {}
            owner = Seat.read(heard).owner(space=self._space)
            if owner is None:
                return {"refused": True}
            try:
                return act(owner, heard)
            except Exception as error:
                return {"refused": True, "note": trouble(error)}

        function.__name__ = name
        return function

    # the book

    def open_book(self, owner: str, said: Payload) -> Payload:
        """{"document"} -> what the reader shows before any text: parts, places, notes."""
        document = self._document(owner, said)
        cut = self._sections.get(document)
        library, place = self._desk.library, self._desk.place(owner, document.id)
        return {
            "document": document.id,
            "title": document.title or document.filename,
            "authors": list(document.authors),
            "language": document.language,
            "vertical": (document.language or "").split("-")[0] in VERTICAL,
            "characters": document.characters,
            "version": document.text_sha256[:12],
            "sections": cut.starts,
            "pages": [one.start for one in library.pages(document.id)],
            "paged": document.format == "pdf",
            "chapters": [
                {"title": one.title, "level": one.level, "start": one.start, "kind": one.kind}
                for one in library.chapters(document.id)
            ],
            "position": place.position,
            "upto": place.upto,
            "colours": COLOURS,
            "notes": self._notes(owner, document.id),
        }

    def sections(self, owner: str, said: Payload) -> Payload:
        """{"document", "numbers"} -> the blocks of these sections, each (start, text, level, goes on)."""
        document = self._document(owner, said)
        cut = self._sections.get(document)
        numbers = [one for one in _numbers(said.get("numbers")) if 0 <= one < len(cut.sections)][:4]
        return {
            "version": document.text_sha256[:12],
            "sections": {
                str(number): [
                    [one.start, cut.text[one.start : one.end], one.level, one.goes_on] for one in cut.sections[number]
                ]
                for number in numbers
            },
        }

    def pages(self, owner: str, said: Payload) -> Payload:
        """{"document", "numbers" (from 1), "width"} -> pictures, and the words on them: [start, text, line, box]."""
        document = self._document(owner, said)
        asked = said.get("width")
        # few widths, so that a picture is made once and not for every size of a window
        width = next((one for one in WIDTHS if isinstance(asked, int) and asked <= one), WIDTHS[-1])
        numbers = [one for one in _numbers(said.get("numbers")) if 1 <= one <= document.pages][:MOST_PAGES]
        text = self._sections.get(document).text
        kept = {one: self._pictures.get((document.sha256, one, width)) for one in numbers}
        missing = [one for one, view in kept.items() if view is None]
        if missing:
            paged = _Paged(text, self._desk.library.pages(document.id))
            path = self._desk.library.file_path(document)
            for view in page_views(path, paged, missing, width, filename=document.filename):
                kept[view["number"]] = view
                self._pictures.put((document.sha256, view["number"], width), view)
        return {"pages": {str(number): _page(view, text) for number, view in kept.items() if view is not None}}

    def look_up(self, owner: str, said: Payload) -> Payload:
        """{"document", "query"} -> where it stands in this book."""
        document, query = self._document(owner, said), str(said.get("query", ""))[:QUERY_LIMIT].strip()
        if not query:
            return {"query": query, "count": 0, "hits": []}
        found = self._desk.search(owner, query, [document.id], limit=HITS)
        return {"query": query, "count": found.count, "hits": [asdict(hit) for hit in found.hits]}

    def keep_place(self, owner: str, said: Payload) -> Payload:
        self._desk.keep_place(owner, _id(said, "document"), _offset(said, "position"))
        return {}

    def guard(self, owner: str, said: Payload) -> Payload:
        """{"document", "offset" or null} -> {"upto"}."""
        offset = None if said.get("offset") is None else _offset(said, "offset")
        return {"upto": self._desk.guard(owner, _id(said, "document"), offset).upto}

    # notes

    def note(self, owner: str, said: Payload) -> Payload:
        """{"document", "act": add, edit, remove or restore, …} -> {"notes", "id"}: all of the document's, and which
        was meant."""
        document, act = _id(said, "document"), said.get("act")
        words = None if said.get("note") is None else str(said["note"])
        colour = None if said.get("colour") is None else str(said["colour"])
        if act == "add":
            made = self._desk.add_note(
                owner,
                document,
                _offset(said, "start"),
                _offset(said, "end"),
                note=words or "",
                colour=colour or COLOURS[0],
            )
        elif act == "edit":
            made = self._desk.edit_note(owner, _id(said, "id"), note=words, colour=colour)
        elif act == "remove":
            made = self._desk.remove_note(owner, _id(said, "id"))
        elif act == "restore":
            made = self._desk.restore_note(owner, _id(said, "id"))
        else:
            raise ValueError("no such act")
        return {"id": made.id, "notes": self._notes(owner, document)}

    def export_notes(self, owner: str, said: Payload) -> Payload:
        """{"document", "format"} -> {"name", "type", "data"} of a file, its bytes in base64."""
        document, format = self._document(owner, said), str(said.get("format"))
        _, ending, type = FORMATS[format]
        name = "".join(one if one.isalnum() or one in " -_" else " " for one in document.title or document.filename)
        return {
            "name": " ".join(name.split())[:80] + ending,
            "type": type,
            "data": base64.b64encode(write(self._desk.noted(owner, [document.id]), format)).decode("ascii"),
        }

    def _notes(self, owner: str, document: int) -> list[Payload]:
        names = ("id", "start", "end", "quote", "note", "colour", "lost", "created")
        return [{name: getattr(one, name) for name in names} for one in self._desk.notes(owner, document)]

    # the shelf

    def covers(self, owner: str, said: Payload) -> Payload:
        """{"documents"} -> their covers as data addresses, null where there is none; few at a time."""
        owner_id, library = self._desk.owner_id(owner), self._desk.library
        wanted = set(_numbers(said.get("documents"))[:MOST_COVERS])
        found: dict[str, str | None] = {}
        for id in wanted:
            # one that was removed meanwhile needs none
            with suppress(DocumentNotFound):
                path = library.cover(library.document(owner_id, id))
                image = path.read_bytes() if path is not None else b""
                found[str(id)] = _address(image, "jpeg") if image else None
        return {"covers": found}

    def _document(self, owner: str, said: Payload) -> DocumentRecord:
        return self._desk.library.document(self._desk.owner_id(owner), _id(said, "document"))


class Pictures:
    """Views of pages, the ones not asked for longest going when there are too many bytes."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[tuple[str, int, int], PageView] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int, int]) -> PageView | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[str, int, int], view: PageView) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            self._size += _bytes(view) - (_bytes(before) if before else 0)
            self._kept[key] = view
            while self._size > self._most and len(self._kept) > 1:
                self._size -= _bytes(self._kept.popitem(last=False)[1])


class _Paged:
    def __init__(self, text: str, pages: list[Any]) -> None:
        self.text, self.pages = text, pages


def _bytes(view: PageView) -> int:
    return len(view["image"]) + 160 * len(view["pieces"])


def _page(view: PageView, text: str) -> Payload:
    return {
        "image": _address(view["image"], "png"),
        "ratio": round(view["ratio"], 5),
        "pieces": [[start, text[start:stop], line, *box] for start, stop, line, *box in view["pieces"]],
    }


def _address(image: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _numbers(value: Any) -> list[int]:
    if not isinstance(value, list):
        return []
    return list(dict.fromkeys(one for one in value if isinstance(one, int) and not isinstance(one, bool)))


def _id(said: Payload, name: str) -> int:
    value = said.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**53:
        raise ValueError(f"{name} is not an id")
    return value


def _offset(said: Payload, name: str) -> int:
    value = said.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(f"{name} is not an offset")
    return value
