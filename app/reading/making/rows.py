"""An artefact as rows and columns, with the places of its items in words: what every export begins with."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from app.documents.model import Chapter, Page
from app.library import rows as documents
from app.library.anchors import find_again
from app.library.store import Library
from app.reading.making.desk import Shown

WORDS = {
    "en": {"page": "p. {}", "document": "Document", "place": "Place", "text": "Passage", "parts": "Not joined yet"},
    "zh": {"page": "第 {} 页", "document": "文献", "place": "出处", "text": "原文", "parts": "尚未合并"},
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a range of a document stands, for people."""

    document: int
    title: str
    start: int
    end: int
    text: str
    page: int | None
    chapter: str | None
    # the words of the passage that an item quotes
    quote: str | None = None
    # the document has another text by now, in which the passage does not stand
    gone: bool = False


class Places:
    """Looks places up; the parts of each document once. ``moved``: documents that have another text by now, in which
    a passage is looked for by its words."""

    def __init__(self, library: Library, moved: Collection[int] = ()) -> None:
        self._library = library
        self._moved = moved
        self._texts: dict[int, str] = {}
        self._known: dict[int, tuple[str, list[Chapter], list[Page]]] = {}
        self._characters: dict[int, int] = {}

    def of(self, evidence: dict[str, Any]) -> Place:
        title, chapters, pages = self._parts(evidence["document"])
        start, end, gone = self._now(evidence)
        chapter = None if gone else _at(chapters, start)
        page = None if gone else _at(pages, start)
        return Place(
            document=evidence["document"],
            title=title,
            start=start,
            end=end,
            text=evidence["text"],
            page=page.number if isinstance(page, Page) else None,
            chapter=chapter.title if isinstance(chapter, Chapter) else None,
            quote=evidence.get("quote"),
            gone=gone,
        )

    def _now(self, evidence: dict[str, Any]) -> tuple[int, int, bool]:
        """Where its words stand today, and whether they do no more."""
        id, start, end, words = (evidence[name] for name in ("document", "start", "end", "text"))
        if id not in self._moved:
            return start, end, False
        if id not in self._texts:
            with self._library.read() as db:
                self._texts[id] = self._library.text(documents.document(db, id).text_sha256)
        text = self._texts[id]
        if text[start:end] == words:
            return start, end, False
        found = find_again(text, words, "", "", share=min(1.0, start / max(1, len(text))))
        return (*found, False) if found is not None else (start, end, True)

    def chapters(self, document: int) -> list[Chapter]:
        return self._parts(document)[1]

    def title(self, document: int) -> str:
        return self._parts(document)[0]

    def characters(self, document: int) -> int:
        self._parts(document)
        return self._characters[document]

    def along(self, document: int) -> list[tuple[float, str]]:
        """Where its chapters start, as a share of it, and their titles."""
        size = max(1, self.characters(document))
        return [(one.start / size, one.title) for one in self.chapters(document) if one.kind == "body"]

    def _parts(self, document: int) -> tuple[str, list[Chapter], list[Page]]:
        if document not in self._known:
            with self._library.read() as db:
                # it may have left the shelf since
                record = documents.document(db, document)
            self._characters[document] = record.characters
            parts = self._library.chapters(document), self._library.pages(document)
            self._known[document] = (record.title or record.filename, *parts)
        return self._known[document]


def places_of(library: Library, shown: Shown) -> Places:
    return Places(library, [one.document for one in shown.behind if one.kind != "new"])


def _at(parts: Sequence[Any], offset: int) -> Any:
    place = bisect_right(parts, offset, key=lambda part: part.start)
    return parts[place - 1] if place and offset < parts[place - 1].end else None


def said(place: Place, language: str, *, several: bool) -> str:
    """ "Alice, CHAPTER I, p. 3": the document only where there are several."""
    page = WORDS[language]["page"].format(place.page) if place.page is not None else ""
    return (
        ", ".join(part for part in (place.title if several else "", place.chapter or "", page) if part) or place.title
    )


def columns(shown: Shown) -> list[str]:
    """The properties that the items have, in the template's order."""
    content = shown.content or {}
    item = shown.template.item if content.get("partial") else shown.template.last
    return list(item["properties"])


def value(shown: Shown, name: str, item: dict[str, Any], language: str) -> str:
    """A property for people: the name of a choice in their language, a list in one line."""
    one = item.get(name, "")
    described = shown.template.last["properties"].get(name) or shown.template.item["properties"].get(name) or {}
    names = described.get("x-values", {})
    if isinstance(one, str):
        return str(names.get(one, {}).get(language, one))
    return "; ".join(map(str, one)) if isinstance(one, list) else str(one)


def table(shown: Shown, places: Places, language: str) -> tuple[list[str], list[list[str]]]:
    """Heads and rows for people; a comparison is a row a document, its columns those chosen."""
    items = (shown.content or {}).get("items", [])
    names = columns(shown)
    if names == ["column", "value"]:
        chosen = list(
            dict.fromkeys([*shown.version.choices["inputs"].get("columns", []), *(i["column"] for i in items)])
        )
        rows = []
        for document in shown.artefact.document_ids:
            cells = []
            for column in chosen:
                found = [i for i in items if i["column"] == column and _of(i) == document]
                cells.append(" · ".join(dict.fromkeys(i["value"] for i in found)) or "–")
            rows.append([places.title(document), *cells])
        return [WORDS[language]["document"], *chosen], rows
    several = len(shown.artefact.document_ids) > 1
    heads = [*(shown.template.label(name, language) for name in names), WORDS[language]["place"]]
    made = []
    for item in items:
        where = "; ".join(dict.fromkeys(said(places.of(one), language, several=several) for one in item["evidence"]))
        made.append([*(value(shown, name, item, language) for name in names), where])
    return heads, made


def _of(item: dict[str, Any]) -> int | None:
    return item["evidence"][0]["document"] if item["evidence"] else None


def full(shown: Shown, places: Places, language: str) -> tuple[list[str], list[list[str]]]:
    """Every item's every place in a row of its own: what a spreadsheet is for."""
    names = columns(shown)
    heads = [*(shown.template.label(name, language) for name in names)]
    heads += [WORDS[language]["document"], *(_HEADS[language])]
    made = []
    for item in (shown.content or {}).get("items", []):
        cells = [value(shown, name, item, language) for name in names]
        for evidence in item["evidence"] or [None]:
            if evidence is None:
                made.append([*cells, "", "", "", "", "", ""])
                continue
            place = places.of(evidence)
            page = "" if place.page is None else str(place.page)
            made.append([*cells, place.title, place.chapter or "", page, str(place.start), str(place.end), place.text])
    return heads, made


_HEADS = {
    "en": ["Chapter", "Page", "Start", "End", "Passage"],
    "zh": ["章节", "页码", "起点", "终点", "原文"],
}
