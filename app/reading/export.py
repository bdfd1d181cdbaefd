"""A conversation as a file for people (Markdown, DOCX) or programs (JSON), with where its quotations stand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from app.library import rows
from app.library.records import DocumentRecord, ThreadRecord, TurnRecord
from app.reading.making import charts, office
from app.reading.making.rows import Places

if TYPE_CHECKING:
    from app.reading.desk import Desk

Format = Literal["md", "docx", "json", "svg", "png"]
FORMATS: dict[Format, str] = {
    "md": "text/markdown",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "json": "application/json",
    # of where its answers looked
    "svg": "image/svg+xml",
    "png": "image/png",
}
VERSION = 1
KIND = "lectern-conversation"
_NAME_LIMIT = 80
# what a file's name cannot hold, on any system
_UNFIT = re.compile(r"[\x00-\x1f\x7f<>:\"/\\|?*]+")
_MARKS = re.compile(r"([\\`*_\[\]<>#|~])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """name: of the file, with its suffix; type: its media type."""

    name: str
    type: str
    data: bytes


def conversation(desk: Desk, owner: str, thread_id: int, format: Format, language: str | None = None) -> Exported:
    """language: of the words in a drawing, the books' for None. Raises ThreadNotFound."""
    thread, turns = desk.quoted(owner, thread_id)
    with desk.library.read() as db:
        # a thread's documents may have left the shelf since
        documents = [rows.document(db, id) for id in thread.document_ids]
    if format in ("svg", "png"):
        first = (documents[0].language if documents else None) or "en"
        drawn = gaze_chart(desk, turns, documents, language or ("zh" if first.startswith("zh") else "en"))
        data = drawn.encode() if format == "svg" else office.png(drawn)
    elif format == "json":
        data = json.dumps(structure(thread, turns, documents), ensure_ascii=False, indent=1).encode("utf-8", "replace")
    else:
        text = markdown(thread, turns, documents)
        if format == "docx":
            # imported here: only this format needs it
            from app.documents.write_docx import docx

            data = docx(text, title=thread.title, language=(documents[0].language if documents else None) or "en")
        else:
            data = text.encode("utf-8", "replace")
    return Exported(name=f"{file_name(thread.title)}.{format}", type=FORMATS[format], data=data)


def gaze_chart(desk: Desk, turns: Sequence[TurnRecord], documents: Sequence[DocumentRecord], language: str) -> str:
    """Where in each book the answers looked, as SVG: a strip an answer."""
    places, books = Places(desk.library), []
    for document in documents:
        strips = [
            charts.Strip(label=turn.question, cells=strip["cells"])
            for turn in turns
            for strip in (turn.gaze or {}).get("strips", [])
            if strip["document"] == document.id
        ]
        if strips:
            title = document.title or document.filename
            books.append(charts.Book(title=title, chapters=places.along(document.id), strips=strips))
    return charts.gaze(books, language)


def structure(thread: ThreadRecord, turns: Sequence[TurnRecord], documents: Sequence[DocumentRecord]) -> dict[str, Any]:
    """All that the library holds of a conversation but the ids of tokens."""
    return {
        "format": KIND,
        "version": VERSION,
        "id": thread.id,
        "title": thread.title,
        "created": thread.created,
        "updated": thread.updated,
        "documents": [
            {
                "id": one.id,
                "title": one.title or one.filename,
                "authors": list(one.authors),
                "year": one.year,
                "language": one.language,
                "identifiers": list(one.identifiers),
                "sha256": one.sha256,
                "text_sha256": one.text_sha256,
            }
            for one in documents
        ],
        "turns": [
            {
                "question": turn.question,
                "answer": turn.answer,
                "created": turn.created,
                "model": turn.model,
                "finish": turn.finish,
                "error": turn.error,
                "tokens": turn.tokens,
                "seconds": turn.seconds,
                "quotes": (turn.quotes or {}).get("quotes", []),
            }
            for turn in turns
        ],
    }


def markdown(thread: ThreadRecord, turns: Sequence[TurnRecord], documents: Sequence[DocumentRecord]) -> str:
    """Questions as headings, answers as they were written, and under each what it quotes and where that stands."""
    parts = [f"# {_plain(thread.title)}", "\n".join(f"- {_source(one)}" for one in documents)]
    for turn in turns:
        parts.append(f"## {_plain(turn.question)}")
        parts.append(turn.answer.strip() or "…")
        quotes = [_quote(one) for one in (turn.quotes or {}).get("quotes", []) if one.get("place")]
        if quotes:
            parts.append("\n".join(quotes))
        if turn.model:
            parts.append(f"*{_plain(turn.model)}, {turn.created[:10]}*")
    return "\n\n".join(part for part in parts if part) + "\n"


def file_name(title: str) -> str:
    """A title as a name that every system takes, without its suffix."""
    name = " ".join(_UNFIT.sub(" ", title).split()).strip(" .")
    return name[:_NAME_LIMIT].strip(" .") or "conversation"


def _source(one: DocumentRecord) -> str:
    about = [", ".join(one.authors), str(one.year) if one.year else ""]
    said = "; ".join(part for part in about if part)
    return f"*{_plain(one.title or one.filename)}*{f' ({_plain(said)})' if said else ''}"


def _quote(one: dict[str, Any]) -> str:
    page = f"p. {one['page']}" if one.get("page") is not None else ""
    place = [_plain(part) for part in (one.get("title") or "", one.get("chapter") or "", page) if part]
    sign = "“" if one.get("similarity") == 1.0 else "≈ “"
    return f"- {sign}{_plain(one['text'])}” — {', '.join(place)}"


def _plain(text: str) -> str:
    """Text on one line that Markdown shows as it is."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))
