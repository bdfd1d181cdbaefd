"""What the shelf says of a document, from its last reading job and from how far the current model read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.library.records import DocumentRecord, JobRecord, ReadingRecord

ShelfState = Literal["unread", "waiting", "reading", "stopped", "read", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfItem:
    """A document as the current model sees it.

    state: "waiting" (in the queue), "reading", "read", "stopped" (by its reader, or half read and left), "failed"
    (``error`` says why), "unread" (this model never began it and nothing is queued). progress: 0 to 1; tokens: of the
    text, None until counted; seconds_left, tokens_per_second, chapter (about
    where): while it is read; job_id: of its last reading; upto: the offset from which on its owner has not read it and
    wants nothing told, None for none; recall: of the reading, 0 to 1, as it was gauged, None where every key was
    attended to or nothing was gauged; pinned: what was read of it is never evicted.
    """

    id: int
    title: str
    author: str
    filename: str
    format: str
    sha256: str
    characters: int
    tokens: int | None
    chapters: int
    state: ShelfState
    error: str | None
    progress: float
    tokens_per_second: float | None
    seconds_left: float | None
    job_id: int | None
    created: str
    language: str | None = None
    year: int | None = None
    words: int | None = None
    identifiers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    used: str | None = None
    chapter: str | None = None
    upto: int | None = None
    recall: float | None = None
    pinned: bool = False


def shelf_item(
    document: DocumentRecord,
    job: JobRecord | None,
    reading: ReadingRecord | None,
    tokens: int | None,
    tags: tuple[str, ...] = (),
    used: str | None = None,
    chapter_at: Callable[[DocumentRecord, float], str | None] | None = None,
    upto: int | None = None,
    *,
    pinned: bool = False,
) -> ShelfItem:
    """``job``: the document's last reading job; ``reading``: of the current model; ``tokens``: in its tokenizer;
    ``used``: when it was last asked about; ``chapter_at``: names the chapter at a share of a document's text."""
    state = _state(job, reading)
    running = job if state == "reading" else None
    progress = _progress(state, running, reading)
    return ShelfItem(
        id=document.id,
        title=document.title or document.filename,
        author=", ".join(document.authors),
        filename=document.filename,
        format=document.format,
        sha256=document.sha256,
        characters=document.characters,
        tokens=tokens,
        chapters=document.chapters,
        state=state,
        error=job.error if job is not None and state == "failed" else None,
        progress=progress,
        tokens_per_second=running.tokens_per_second if running else None,
        seconds_left=running.seconds_left if running else None,
        job_id=job.id if job is not None else None,
        created=document.created,
        language=document.language,
        year=document.year,
        words=document.words,
        identifiers=document.identifiers,
        tags=tags,
        used=used,
        chapter=chapter_at(document, progress) if running is not None and chapter_at is not None else None,
        upto=upto,
        recall=_recall(reading) if state == "read" else None,
        pinned=pinned,
    )


def _state(job: JobRecord | None, reading: ReadingRecord | None) -> ShelfState:
    if job is not None and job.state == "running":
        return "reading"
    if reading is not None and reading.complete:
        # also where a job still waits: it will find nothing to do
        return "read"
    if job is not None and job.state == "waiting":
        return "waiting"
    if job is not None and job.state == "failed":
        return "failed"
    if job is not None and job.state == "stopped":
        return "stopped"
    # half read without a job of its own, in a conversation that was stopped
    return "unread" if reading is None or not reading.done else "stopped"


def _recall(reading: ReadingRecord | None) -> float | None:
    said = reading.provenance.get("recall") if reading is not None else None
    return None if said is None else float(said)


def _progress(state: ShelfState, running: JobRecord | None, reading: ReadingRecord | None) -> float:
    if state == "read":
        return 1.0
    if running is not None and running.total:
        return min(1.0, running.done / running.total)
    if reading is not None and reading.total:
        return min(1.0, reading.done / reading.total)
    return 0.0
