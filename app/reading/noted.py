"""Notes written out: as Markdown or for Word to read, as CSV for Anki, as JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import groupby
from typing import Any

from app.documents.model import Chapter, Page
from app.library.notes import NoteRecord
from app.library.records import DocumentRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The document that notes are about."""

    id: int
    title: str
    authors: tuple[str, ...]
    language: str | None = None

    @classmethod
    def of(cls, document: DocumentRecord) -> Source:
        title = document.title or document.filename
        return cls(id=document.id, title=title, authors=document.authors, language=document.language)

    def __str__(self) -> str:
        return ", ".join([self.title, *self.authors])


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A note and where it stands: the title of its chapter, its page from 1; None where there is none."""

    note: NoteRecord
    chapter: str | None
    page: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A document's notes in the order of its text."""

    source: Source
    marks: tuple[Mark, ...]

    @classmethod
    def of(
        cls, source: Source, notes: Sequence[NoteRecord], chapters: Sequence[Chapter], pages: Sequence[Page]
    ) -> Noted:
        chapter_at, page_at = [one.start for one in chapters], [one.start for one in pages]
        marks = []
        for note in notes:
            chapter = bisect_right(chapter_at, note.start) - 1
            page = bisect_right(page_at, note.start) - 1
            marks.append(
                Mark(
                    note=note,
                    chapter=chapters[chapter].title if chapter >= 0 else None,
                    page=pages[page].number if page >= 0 else None,
                )
            )
        return cls(source=source, marks=tuple(marks))


def as_markdown(noted: Sequence[Noted]) -> str:
    """A heading a document and chapter, each passage a block quote with its note below."""
    parts: list[str] = []
    for one in noted:
        parts.append(f"# {_plain(one.source.title)}")
        if one.source.authors:
            parts.append(_plain(", ".join(one.source.authors)))
        for chapter, marks in groupby(one.marks, key=lambda mark: mark.chapter):
            if chapter:
                parts.append(f"## {_plain(chapter)}")
            for mark in marks:
                parts.append("\n".join(f"> {_plain(line)}".rstrip() for line in mark.note.quote.splitlines()))
                if mark.note.note:
                    parts.append(mark.note.note)
                place = [f"p. {mark.page}" if mark.page else "", mark.note.colour, mark.note.created[:10]]
                parts.append(f"*{' · '.join(part for part in place if part)}*")
    return "\n\n".join(parts) + "\n" if parts else ""


def as_docx(noted: Sequence[Noted]) -> bytes:
    """The Markdown for Word, in the fonts of the first document's language."""
    # imported here: only this format needs it
    from app.documents.write_docx import docx

    first = noted[0].source if noted else None
    language = (first.language if first else None) or "en"
    return docx(as_markdown(noted), title=first.title if first else "", language=language)


def as_anki(noted: Sequence[Noted]) -> str:
    """CSV as Anki imports it, its directives on top: the passage in front, what was written to it and its source on
    the back, HTML in both."""
    written = io.StringIO()
    written.write("#separator:Comma\n#html:true\n#columns:Front,Back,Tags\n#tags column:3\n")
    writer = csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for one in noted:
        for mark in one.marks:
            place = [str(one.source), mark.chapter or "", f"p. {mark.page}" if mark.page else ""]
            source = f"<small>{_html(' · '.join(part for part in place if part))}</small>"
            back = f"{_html(mark.note.note)}<br><br>{source}" if mark.note.note else source
            tags = ["lectern", _tag(one.source.title), mark.note.colour]
            writer.writerow([_html(mark.note.quote), back, " ".join(tag for tag in tags if tag)])
    return written.getvalue()


def as_json(noted: Sequence[Noted]) -> str:
    """A list of notes, each with its document, chapter and page."""
    return json.dumps([row for one in noted for row in note_rows(one)], ensure_ascii=False, indent=2) + "\n"


def note_rows(noted: Noted) -> list[dict[str, Any]]:
    return [
        {
            **asdict(mark.note),
            "document": noted.source.title,
            "authors": list(noted.source.authors),
            "chapter": mark.chapter,
            "page": mark.page,
        }
        for mark in noted.marks
    ]


# name -> (what writes it, ending of a file's name, media type)
FORMATS: dict[str, tuple[Callable[[Sequence[Noted]], str | bytes], str, str]] = {
    "md": (as_markdown, ".md", "text/markdown"),
    "docx": (as_docx, ".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    "anki": (as_anki, ".csv", "text/csv"),
    "json": (as_json, ".json", "application/json"),
}


def write(noted: Sequence[Noted], format: str) -> bytes:
    """The bytes of a file. Raises KeyError for no format of these."""
    made = FORMATS[format][0](noted)
    return made if isinstance(made, bytes) else made.encode("utf-8", "replace")


def _plain(text: str) -> str:
    """As Markdown that shows the text and nothing else."""
    line = re.sub(r"([\\`*_\[\]<>])", r"\\\1", " ".join(text.split()))
    return re.sub(r"^(\d*)([#>+.)-])(?=\s)", r"\1\\\2", line)


def _html(text: str) -> str:
    return escape(text, quote=False).replace("\n", "<br>")


def _tag(title: str) -> str:
    # a tag of Anki has no space; "::" would make it a branch
    return re.sub(r"[\s:,\"']+", "_", title).strip("_")[:60]
