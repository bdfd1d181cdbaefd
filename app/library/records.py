"""Rows of the library as its users see them. Times are ISO-8601 in UTC; ids are integers from 1."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any, Literal

JobKind = Literal["read", "ask", "make", "write"]
JobState = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """A document on somebody's shelf.

    sha256: of the file's bytes; text_sha256: of the canonical text in UTF-8; characters: code points of that text;
    chapters, pages: how many (``Library.chapters`` and ``.pages`` give them); header: what stands before the text in
    a prompt, frozen when the document was first read, None until then; words: of Chinese and Japanese, characters;
    year, words: None where not known (words: of what came to the shelf before they were counted).
    """

    id: int
    owner_id: int
    title: str
    authors: tuple[str, ...]
    language: str | None
    filename: str
    format: str
    sha256: str
    text_sha256: str
    characters: int
    chapters: int
    pages: int
    created: str
    header: str | None
    year: int | None
    words: int | None
    identifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """``already``: the same bytes stood on this shelf before, and nothing was done."""

    document: DocumentRecord
    already: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenization:
    """A text in one tokenizer: ``text[offsets[i]:offsets[i + 1]]`` is token i.

    ids: array('i') of n; offsets: array('q') of n + 1 in code points, the last being the text's length.
    """

    ids: array[int]
    offsets: array[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRecord:
    """How far one model has read one document. ``done`` and ``total`` count tokens; ``identity`` is the model's."""

    document_id: int
    identity: str
    done: int
    total: int
    complete: bool
    seconds: float
    provenance: dict[str, Any]
    updated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A file that was not taken, and why (``error`` is the message for its reader)."""

    id: int
    filename: str
    error: str
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A piece of work for the engine. ``done``, ``total`` and ``reused`` count tokens."""

    id: int
    owner_id: int
    kind: JobKind
    state: JobState
    priority: int
    payload: dict[str, Any]
    document_id: int | None
    thread_id: int | None
    turn_id: int | None
    done: int
    total: int
    reused: int
    tokens_per_second: float | None
    seconds_left: float | None
    error: str | None
    created: str
    started: str | None
    finished: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Something that happened to a job; ``id`` grows with time and is the cursor of its followers."""

    id: int
    job_id: int
    kind: str
    payload: dict[str, Any]
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadRecord:
    """A conversation over documents, in the order in which they stand in its prompt."""

    id: int
    owner_id: int
    title: str
    document_ids: tuple[int, ...]
    created: str
    updated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadHit:
    """Where a search found a conversation: in ``turn_id``, None for its title; snippet: before, match, after."""

    thread: ThreadRecord
    turn_id: int | None
    snippet: tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecord:
    """A question and its answer. ``answer_ids`` is None until there is an answer.

    ordinal: from 1, in the order of asking, over all branches of the thread; parent_id: the turn that it follows, None
    for a first one.
    finish: why the answer ended ("stop", "length", "stopped"), None before; tokens, seconds: counts and times by name;
    quotes: what was quoted, as ``reading.quotes`` keeps it, None where it was not checked yet; upto: by document, the
    offset up to which it was answered from, all of it where none is given; reading: the mode and the passages, as
    ``reading.rereading`` keeps them; gaze: where the model looked, as ``reading.gaze`` keeps it.
    """

    id: int
    thread_id: int
    ordinal: int
    question: str
    answer: str
    answer_ids: array[int] | None
    finish: str | None
    tokens: dict[str, int]
    seconds: dict[str, float]
    model: str | None
    error: str | None
    created: str
    quotes: dict[str, Any] | None = None
    parent_id: int | None = None
    upto: dict[int, int] = field(default_factory=dict)
    reading: dict[str, Any] | None = None
    gaze: dict[str, Any] | None = None
