"""Checks what an answer quotes against the texts of its documents, word for word. No model has a say in it.

Not reported: what is too short to accuse anybody of (under three words, or four Chinese characters), what repeats the
question, and the titles of documents and chapters, where they are not found. Scare quotes are no quotations.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.library import rows
from app.library.store import Library
from app.reading.folding import WIDE, bare
from app.reading.matching import Difference, Match, match
from app.reading.passages import TextIndex
from app.reading.quotations import Form, Quotation, quotations, sentences
from app.reading.source import Source

Kind = Literal["exact", "near", "not found"]

# changes with the method: what was checked otherwise is then checked again
VERSION = 1
INDEX_BYTES = 256 * 2**20
LEAST_WORDS = 3
LEAST_WIDE = 4
AROUND = 160  # characters of the text shown before and after a passage
BETWEEN = 80  # between two parts of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A quotation and what became of it. All ranges count code points.

    text: as it is quoted; start, stop: its range in the answer; document: an id, title the document's;
    place: its range in the document's text, from its first part to its last; page: a number from 1, chapter: a title,
    None where there is none; found: what stands there; difference: (operation, quoted, found) word by word, see
    ``matching.difference``; similarity: 1.0 if exact; passage: (text, whether it is what was found) in order, with
    the text around it. What was not found has None, 0.0 or nothing in their places.
    """

    text: str
    start: int
    stop: int
    form: Form
    kind: Kind
    document: int | None = None
    title: str | None = None
    place: tuple[int, int] | None = None
    page: int | None = None
    chapter: str | None = None
    found: str | None = None
    similarity: float = 0.0
    difference: Difference = ()
    passage: tuple[tuple[str, bool], ...] = ()


class Indexes:
    """Texts ready to be searched, by their hashes; the ones not used for longest go when there are too many bytes."""

    def __init__(self, library: Library, most: int = INDEX_BYTES) -> None:
        self._library = library
        self._most = most
        self._kept: OrderedDict[str, TextIndex] = OrderedDict()
        # one text is made ready at a time, and never twice
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(one.size for one in self._kept.values())

    def get(self, text_sha256: str) -> TextIndex:
        """Raises LibraryDamaged if there is no such text."""
        with self._lock:
            if text_sha256 not in self._kept:
                self._kept[text_sha256] = TextIndex(self._library.text(text_sha256))
            self._kept.move_to_end(text_sha256)
            while len(self._kept) > 1 and self.size > self._most:
                self._kept.popitem(last=False)
            return self._kept[text_sha256]


class Quotes:
    """What the desk and the runner ask. The caller need not own the documents: they are a thread's own."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.indexes = Indexes(library)

    def check(self, answer: str, document_ids: Sequence[int], question: str = "") -> list[Quote]:
        """Every quotation of an answer, in order. Milliseconds, and 0.1 s a million characters met for the first time.

        Raises LibraryError.
        """
        found = quotations(answer)
        return self._check(found, self._sources(document_ids), question) if found else []

    def check_sentences(self, answer: str, document_ids: Sequence[int]) -> list[Quote]:
        """Every sentence of an answer that stands in the texts, exactly or nearly, and those that do not."""
        return self._check(sentences(answer), self._sources(document_ids), "")

    def stands(self, document_id: int, start: int, stop: int, text: str) -> bool:
        """Whether ``text`` is what the document says from ``start`` to ``stop``, word for word."""
        (source,) = self._sources([document_id])
        return self.indexes.get(source.record.text_sha256).text[start:stop] == text

    def stored(self, question: str, answer: str, document_ids: Sequence[int]) -> dict[str, Any]:
        """The quotes of a finished answer as the library keeps them, with what they were checked against."""
        quotes = self.check(answer, document_ids, question)
        return {"of": self.stamp(document_ids), "quotes": [asdict(one) for one in quotes]}

    def stamp(self, document_ids: Sequence[int]) -> str:
        """Changes with the texts of the documents and with the method."""
        hashes = [source.record.text_sha256 for source in self._sources(document_ids)]
        return hashlib.blake2b(" ".join([str(VERSION), *hashes]).encode(), digest_size=12).hexdigest()

    def _sources(self, document_ids: Sequence[int]) -> list[Source]:
        with self._library.read() as db:
            # a thread's documents may have left the shelf since
            return [Source(self._library, rows.document(db, one)) for one in document_ids]

    def _check(self, found: Sequence[Quotation], sources: Sequence[Source], question: str) -> list[Quote]:
        texts = [self.indexes.get(source.record.text_sha256) for source in sources]
        asked = bare(question).text
        quotes = []
        for quotation in found:
            told = match(quotation.text, texts)
            if (told is None or not told.exact) and _is_no_quotation(quotation, sources, asked):
                continue
            quotes.append(_quote(quotation, told, sources, texts))
        return quotes


def _titles(source: Source) -> frozenset[str]:
    record = source.record
    named = [record.title, *record.title.split(":")[:1], *(one.title for one in source.chapters)]
    return frozenset(bare(one).text for one in named)


def is_short(text: str) -> bool:
    """Too short for its absence to mean anything."""
    wide = sum(ord(character) >= WIDE and character.isalnum() for character in text)
    words = sum(any(one.isalnum() and ord(one) < WIDE for one in word) for word in text.split())
    return wide < LEAST_WIDE and words < LEAST_WORDS


def _is_no_quotation(quotation: Quotation, sources: Sequence[Source], asked: str) -> bool:
    if is_short(quotation.text):
        return True
    said = bare(quotation.text).text
    return said in asked or any(said in _titles(source) for source in sources)


def _quote(quotation: Quotation, told: Match | None, sources: Sequence[Source], texts: Sequence[TextIndex]) -> Quote:
    about: dict[str, Any] = {
        "text": quotation.text,
        "start": quotation.start,
        "stop": quotation.stop,
        "form": quotation.form,
    }
    if told is None:
        return Quote(**about, kind="not found")
    source, text = sources[told.source], texts[told.source].text
    start, stop = told.spans[0][0], told.spans[-1][1]
    return Quote(
        **about,
        kind="exact" if told.exact else "near",
        document=source.record.id,
        title=source.record.title,
        place=(start, stop),
        page=source.page(start),
        chapter=source.chapter(start),
        found=told.found,
        similarity=round(told.similarity, 4),
        difference=told.difference,
        passage=tuple(_passage(text, told.spans)),
    )


def _passage(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[str, bool]]:
    start, stop = spans[0][0], spans[-1][1]
    pieces = [(_before(text, start), False)]
    for number, (first, last) in enumerate(spans):
        if number:
            between = text[spans[number - 1][1] : first]
            if len(between) > 2 * BETWEEN:
                between = f"{between[:BETWEEN]} […] {between[-BETWEEN:]}"
            pieces.append((between, False))
        pieces.append((text[first:last], True))
    pieces.append((_after(text, stop), False))
    return [piece for piece in pieces if piece[0]]


def _before(text: str, start: int) -> str:
    """What stands before, from the beginning of a word or paragraph on."""
    begin = max(0, start - AROUND)
    shown = text[begin:start]
    if begin and not text[begin - 1].isspace():
        shown = shown[_first_space(shown) :]
    return ("… " if begin else "") + shown.lstrip()


def _after(text: str, stop: int) -> str:
    end = min(len(text), stop + AROUND)
    shown = text[stop:end]
    if end < len(text) and not text[end].isspace():
        shown = shown[: len(shown) - _first_space(shown[::-1])]
    return shown.rstrip() + (" …" if end < len(text) else "")


def _first_space(shown: str) -> int:
    """Where a word ends, if that is near: Chinese has no spaces."""
    return next((place for place, character in enumerate(shown[:24]) if character.isspace()), 0)
