"""What every format becomes: one canonical text and what is known about its parts.

Knows no file format. All offsets count code points into ``Document.text``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Format = Literal["txt", "md", "pdf", "epub", "html", "fb2", "mobi", "docx", "odt", "rtf", "csv", "xlsx", "cbz", "image"]
Kind = Literal["front", "body", "back"]

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """``text[start:end]`` runs from a heading to the next heading of any level.

    Chapters never overlap: a part (level 1) ends where its first chapter (level 2) begins, and what lies in the
    part is what follows up to the next chapter of its level. A contents entry that leads to a picture is empty.
    ``kind`` tells contents, title pages, licences and indexes before ("front") and after ("back") from the "body".
    ``included``: whether it is read with the document; None: if it is of the body.
    """

    title: str
    level: int
    start: int
    end: int
    kind: Kind = "body"
    included: bool | None = None

    @property
    def is_read(self) -> bool:
        return self.kind == "body" if self.included is None else self.included


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """``text[start:end]``: one paragraph, heading, stanza or list; stanzas and lists keep their line breaks."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``text[start:end]`` is what stands on the page ``number`` (from 1); empty for a page without kept text."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document, as it is stored, searched and read.

    text: NFC, paragraphs separated by ``"\\n\\n"``, no control character but ``"\\n"``, never empty.
    language: ISO 639-1 ("en", "zh", "ja", …) or None. chapters: in order; text before the first belongs to none.
    pages: cover the whole text without gaps; empty if the format has none.
    year: of publication; identifiers: "isbn:…", "doi:…", "arxiv:…"; cover: a JPEG of at most 60,000 bytes, or b"".
    """

    title: str
    authors: tuple[str, ...]
    language: str | None
    format: Format
    text: str
    chapters: tuple[Chapter, ...]
    paragraphs: tuple[Paragraph, ...]
    pages: tuple[Page, ...] = ()
    year: int | None = None
    identifiers: tuple[str, ...] = ()
    cover: bytes = b""

    def check(self) -> None:
        """Verify the invariants above. Raises ValueError naming the first that is broken."""
        size = len(self.text)
        if not self.title.strip():
            raise ValueError("the title is empty")
        if not self.text.strip():
            raise ValueError("the text is empty")
        if control := _CONTROL.search(self.text):
            raise ValueError(f"control character {control[0]!r} at {control.start()}")
        if not unicodedata.is_normalized("NFC", self.text):
            raise ValueError("the text is not NFC")
        _check_spans("chapter", self.chapters, size)
        _check_spans("page", self.pages, size)
        for chapter in self.chapters:
            if chapter.level < 1 or not chapter.title.strip():
                raise ValueError(f"chapter {chapter} has no title or a level below 1")
        if [page.number for page in self.pages] != list(range(1, len(self.pages) + 1)):
            raise ValueError("pages are not numbered 1, 2, 3, …")
        if self.pages and (self.pages[0].start != 0 or self.pages[-1].end != size):
            raise ValueError("pages do not cover the text")
        for before, after in pairwise(self.pages):
            if before.end != after.start:
                raise ValueError(f"between page {before.number} and the next lies text of no page")
        self._check_paragraphs()

    def _check_paragraphs(self) -> None:
        position = 0
        for paragraph in self.paragraphs:
            if position != paragraph.start:
                raise ValueError(f"paragraph at {paragraph.start} does not follow the one before, ending at {position}")
            body = self.text[paragraph.start : paragraph.end]
            if not body.strip() or body.strip("\n") != body or "\n\n" in body:
                raise ValueError(f"paragraph at {paragraph.start} is empty or holds a blank line")
            if self.text[paragraph.end : paragraph.end + 2] not in ("", "\n\n"):
                raise ValueError(f"paragraph ending at {paragraph.end} is not followed by a blank line")
            position = paragraph.end + 2
        if position != len(self.text) + 2:
            raise ValueError("paragraphs do not cover the text")


def _check_spans(name: str, spans: Sequence[Chapter] | Sequence[Page], size: int) -> None:
    position = 0
    for span in spans:
        if not position <= span.start <= span.end <= size:
            raise ValueError(f"{name} {span.start}..{span.end} overlaps the one before or leaves the text")
        position = span.end
