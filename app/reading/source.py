"""A document with its parts, looked up when they are needed: in which chapter and on which page a place lies."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

from app.documents.model import Chapter, Page
from app.library.records import DocumentRecord
from app.library.store import Library

Part = TypeVar("Part", Chapter, Page)


class Source:
    """``record`` may have left the shelf since."""

    def __init__(self, library: Library, record: DocumentRecord) -> None:
        self._library = library
        self.record = record

    @cached_property
    def text(self) -> str:
        return self._library.text(self.record.text_sha256)

    @cached_property
    def chapters(self) -> list[Chapter]:
        return self._library.chapters(self.record.id)

    @cached_property
    def pages(self) -> list[Page]:
        return self._library.pages(self.record.id)

    def chapter(self, offset: int) -> str | None:
        """The title of the chapter that holds an offset of the text."""
        one = _at(self.chapters, offset)
        return None if one is None else one.title

    def page(self, offset: int) -> int | None:
        """The number of the page that holds it."""
        one = _at(self.pages, offset)
        return None if one is None else one.number


def _at(parts: Sequence[Part], offset: int) -> Part | None:
    place = bisect_right(parts, offset, key=lambda part: part.start)
    return parts[place - 1] if place and offset < parts[place - 1].end else None
