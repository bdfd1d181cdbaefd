"""Errors that a reader can meet. Each carries its data as attributes, and its message says what to do.

LecternError
├── DocumentError(filename)
│   ├── DocumentUnreadable(filename, reason)
│   ├── DocumentEmpty(filename)
│   ├── DocumentTooLarge(filename, size, limit)
│   ├── DocumentTypeUnknown(filename, known)
│   ├── DocumentEncrypted(filename)
│   ├── DocumentDamaged(filename, reason)
│   ├── DocumentWithoutText(filename, pages, looked)
│   ├── DocumentNotText(filename)
│   ├── EncodingWrong(filename, encoding, position)
│   ├── EncodingUnknown(filename, encoding)
│   ├── EncodingPointless(filename)
│   └── ParserFailed(filename, reason)
├── NotFound(id)
│   ├── DocumentNotFound(id)
│   ├── ThreadNotFound(id)
│   ├── TurnNotFound(id)
│   ├── JobNotFound(id)
│   └── NoteNotFound(id)
├── LibraryError
│   ├── LibraryDamaged(path, reason)
│   ├── LibraryTooNew(version)
│   ├── LibraryBusy(seconds)
│   ├── LibraryFull(path)
│   ├── LibraryNotWritable(path)
│   ├── BackupDamaged(path, reason)
│   ├── BackupExists(path)
│   └── HomeNotEmpty(path, found)
├── RoomExceeded(needed, limit, reason, documents)
├── SettingInvalid(name, value, reason)
├── TagInvalid(name, longest)
├── ChaptersInvalid(reason)
├── SourceRefused(address, reason)
├── SourceFailed(address, reason)
├── RangeInvalid(start, end, characters)
├── ColourUnknown(name, known)
├── PlaceInvalid(place)
├── QuestionsBad(path, reason)
├── QuestionEmpty()
└── NothingChosen()

Every argument goes to ``Exception.__init__`` in order, so that each error pickles (parser process to parent).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class LecternError(Exception):
    """Base of everything the application refuses or fails at."""


class DocumentError(LecternError):
    """A file that cannot become a document; ``filename`` is the name its reader knows."""

    def __init__(self, filename: str, *details: object) -> None:
        super().__init__(filename, *details)
        self.filename = filename


class DocumentUnreadable(DocumentError):
    """The file is not there, or may not be read."""

    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(filename, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"“{self.filename}” cannot be opened ({self.reason}). Check its name and that you may read it."


class DocumentEmpty(DocumentError):
    def __str__(self) -> str:
        return f"“{self.filename}” is empty. Check that it was saved or downloaded completely, then add it again."


class DocumentTooLarge(DocumentError):
    """Both numbers count bytes."""

    def __init__(self, filename: str, size: int, limit: int) -> None:
        super().__init__(filename, size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"“{self.filename}” has {_megabytes(self.size)}; Lectern takes files up to {_megabytes(self.limit)}. "
            "Split it, or save it without its pictures."
        )


class DocumentTypeUnknown(DocumentError):
    """``known`` are the suffixes that Lectern reads."""

    def __init__(self, filename: str, known: Sequence[str]) -> None:
        super().__init__(filename, tuple(known))
        self.known = tuple(known)

    def __str__(self) -> str:
        return (
            f"“{self.filename}” is of a type that Lectern cannot read. "
            f"It reads {', '.join(self.known)}: save the document as one of these."
        )


class DocumentEncrypted(DocumentError):
    def __str__(self) -> str:
        return (
            f"“{self.filename}” is locked: it is encrypted or copy-protected. "
            "Save a copy that opens without a password and add that."
        )


class DocumentDamaged(DocumentError):
    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(filename, reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"“{self.filename}” is damaged or incomplete ({self.reason}). "
            "Download it again, or open it in its own program and save a fresh copy."
        )


class DocumentWithoutText(DocumentError):
    """Pictures of pages only; ``pages`` is their number, ``looked``: a recognizer looked at them and found none."""

    def __init__(self, filename: str, pages: int, looked: bool = False) -> None:
        super().__init__(filename, pages, looked)
        self.pages = pages
        self.looked = looked

    def __str__(self) -> str:
        pages = "page is a picture" if self.pages == 1 else f"{self.pages:,} pages are pictures"
        if self.looked:
            return (
                f"“{self.filename}” holds no text: its {pages}, and Tesseract recognized no words in them. "
                "Install the data of its language for Tesseract, or add a sharper scan."
            )
        if not self.filename.lower().endswith((".pdf", ".cbz")):
            return (
                f"“{self.filename}” holds no text: its {pages}. "
                "Save it as a PDF, run that through text recognition (OCR, for example ocrmypdf) and add the result."
            )
        return (
            f"“{self.filename}” holds no text: its {pages}. Install Tesseract (apt install tesseract-ocr, for "
            "Chinese tesseract-ocr-chi-sim too), restart Lectern and add it again; or add the result of another OCR "
            "program."
        )


class DocumentNotText(DocumentError):
    """A binary file under the name of a text."""

    def __str__(self) -> str:
        return (
            f"“{self.filename}” is not a text file, whatever its name says. "
            "Give it the suffix of its real type, or save it as plain text."
        )


class EncodingWrong(DocumentError):
    """The bytes cannot be read in the encoding that was named; ``position`` is the first that cannot."""

    def __init__(self, filename: str, encoding: str, position: int) -> None:
        super().__init__(filename, encoding, position)
        self.encoding = encoding
        self.position = position

    def __str__(self) -> str:
        return (
            f"“{self.filename}” is not in {self.encoding}: its byte {self.position:,} has no meaning there. "
            "Name another encoding, or none to have it told by the content."
        )


class EncodingUnknown(DocumentError):
    def __init__(self, filename: str, encoding: str) -> None:
        super().__init__(filename, encoding)
        self.encoding = encoding

    def __str__(self) -> str:
        return (
            f"“{self.filename}” cannot be read as {self.encoding!r}: no encoding of that name is known. "
            "Some that are: utf-8, utf-16, gb18030, big5, shift-jis, euc-jp, euc-kr, cp1252, cp1251."
        )


class EncodingPointless(DocumentError):
    """An encoding was named for a file that says itself how it is to be read."""

    def __str__(self) -> str:
        return f"“{self.filename}” is no plain text: it needs no encoding. Add it without one."


class ParserFailed(DocumentError):
    """The parser crashed, or took too long or too much memory."""

    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(filename, reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"“{self.filename}” could not be read: {self.reason}. "
            "Try another format of the same book, or save it anew in its own program."
        )


class NotFound(LecternError):
    """There is nothing under this id, or it belongs to another person."""

    def __init__(self, id: int) -> None:
        super().__init__(id)
        self.id = id


class DocumentNotFound(NotFound):
    def __str__(self) -> str:
        return f"There is no document {self.id}. `lectern list` shows the shelf with its numbers."


class ThreadNotFound(NotFound):
    def __str__(self) -> str:
        return f"There is no conversation {self.id}. `lectern threads` shows those that exist."


class TurnNotFound(NotFound):
    def __str__(self) -> str:
        return f"There is no question {self.id} in this conversation. Open the conversation again."


class JobNotFound(NotFound):
    def __str__(self) -> str:
        return f"There is no job {self.id}: it ended and was cleared away. Start it again."


class NoteNotFound(NotFound):
    def __str__(self) -> str:
        return f"There is no note {self.id}. `lectern notes` shows those that exist."


class LibraryError(LecternError):
    """The library as a whole cannot be used."""


class LibraryDamaged(LibraryError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The library {self.path} is damaged ({self.reason}). Nothing in it was changed. "
            "Put a backup in its place, or choose another folder with --home."
        )


class LibraryTooNew(LibraryError):
    """``version`` names the part of the schema that this Lectern does not know."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.version = version

    def __str__(self) -> str:
        return (
            f"This library was written by a newer Lectern (its schema knows {self.version!r}). Nothing in it was "
            "changed. Install the newest Lectern, or choose another folder with --home."
        )


class LibraryBusy(LibraryError):
    """Another process held the library for longer than ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"Another program kept the library busy for more than {self.seconds:g} seconds. "
            "Close other Lectern windows and tools that have it open, then try again."
        )


class LibraryFull(LibraryError):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"The disk of {self.path} is full. Nothing was lost; free some space and try again."


class LibraryNotWritable(LibraryError):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"Lectern may not write to {self.path}. Give yourself that right, or choose another folder with --home."


class BackupDamaged(LibraryError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"“{self.path}” cannot be used for a backup: {self.reason}. Nothing was changed; try an older backup."


class BackupExists(LibraryError):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"“{self.path}” is there already. Give another name, or move it away first."


class HomeNotEmpty(LibraryError):
    """``found``: the names in the home that a restored library would meet."""

    def __init__(self, path: str, found: Sequence[str]) -> None:
        super().__init__(path, tuple(found))
        self.path = path
        self.found = tuple(found)

    def __str__(self) -> str:
        names = ", ".join(self.found[:5]) + (f" and {len(self.found) - 5} more" if len(self.found) > 5 else "")
        return f"“{self.path}” holds {names} already. Restore into an empty folder: --home DIR."


class RoomExceeded(LecternError):
    """What was chosen does not fit. Counts tokens.

    ``reason`` is what sets the limit: "model", "memory", "disk", "budget", or a clause of one's own that the limit
    follows ("this engine can hold"). ``documents`` are those chosen, each with its tokens, in their order.
    """

    CLAUSES: ClassVar[dict[str, str]] = {
        "model": "this model can hold",
        "memory": "the memory of this machine has room for",
        "disk": "the free space on the disk has room for",
        "budget": "what kept readings may still take has room for",
    }
    REMEDIES: ClassVar[dict[str, str]] = {
        "model": "choose a model with a longer window (`lectern model` shows what fits this machine)",
        "memory": "choose a smaller model or a machine with more memory",
        "disk": "free some space on the disk",
        "budget": "raise LECTERN_READINGS_BUDGET (`lectern readings` shows what takes it)",
    }

    def __init__(self, needed: int, limit: int, reason: str, documents: Sequence[tuple[str, int]]) -> None:
        documents = tuple((title, tokens) for title, tokens in documents)
        super().__init__(needed, limit, reason, documents)
        self.needed = needed
        self.limit = limit
        self.reason = reason
        self.documents = documents

    @property
    def leave_out(self) -> tuple[tuple[str, int], ...]:
        """The documents any one of which is enough to leave out; empty if one is not enough."""
        return tuple(document for document in self.documents if document[1] >= self.needed - self.limit)

    def __str__(self) -> str:
        needed, limit = _tokens(self.needed), _tokens(self.limit)
        if needed == limit:
            needed, limit = f"{self.needed:,}", f"{self.limit:,}"
        what = {0: "this conversation is", 1: "this book is"}.get(
            len(self.documents), f"these {len(self.documents)} books are"
        )
        remedy = self.REMEDIES.get(self.reason, self.REMEDIES["model"])
        message = f"{what[0].upper()}{what[1:]} {needed} tokens; {self.CLAUSES.get(self.reason, self.reason)} {limit}. "
        if len(self.documents) < 2:
            return f"{message}{remedy[0].upper()}{remedy[1:]}."
        titles = [f"“{title}” ({_tokens(tokens)})" for title, tokens in self.leave_out or self.documents]
        if not self.leave_out:
            return f"{message}Leave out several of {', '.join(titles)}, or {remedy}."
        return f"{message}Leave out {'one of ' if len(titles) > 1 else ''}{', '.join(titles)}, or {remedy}."


class SettingInvalid(LecternError):
    """``name`` is the setting as its user wrote it (``--port``, ``LECTERN_PORT``)."""

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(name, value, reason)
        self.name = name
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"The setting {self.name} cannot be {str(self.value)!r}: {self.reason}."


class TagInvalid(LecternError):
    """``longest`` counts characters."""

    def __init__(self, name: str, longest: int) -> None:
        super().__init__(name, longest)
        self.name = name
        self.longest = longest

    def __str__(self) -> str:
        return f"“{self.name}” cannot be a tag. Take a name of 1 to {self.longest} characters on one line."


class ChaptersInvalid(LecternError):
    """A list of chapters that cannot be one."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"These cannot be the chapters: {self.reason}. Nothing was changed."


class SourceRefused(LecternError):
    """An address that is not fetched, whatever stands there."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"“{self.address}” is not fetched: {self.reason}. Download it yourself and add the file."


class SourceFailed(LecternError):
    """An address that could not be fetched."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"“{self.address}” could not be fetched: {self.reason}. Check the address and try again."


class RangeInvalid(LecternError):
    """All three count characters."""

    def __init__(self, start: int, end: int, characters: int) -> None:
        super().__init__(start, end, characters)
        self.start = start
        self.end = end
        self.characters = characters

    def __str__(self) -> str:
        return (
            f"The text has no passage from {self.start:,} to {self.end:,}: it has {self.characters:,} characters. "
            "Mark some words of it."
        )


class ColourUnknown(LecternError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        return f"A highlight cannot be {self.name!r}. Take one of {', '.join(self.known)}."


class PlaceInvalid(LecternError):
    """``place``: a chapter's title, an offset or a share, as it was said."""

    def __init__(self, place: str, chapters: Sequence[str] = ()) -> None:
        super().__init__(place, chapters)
        self.place = place
        self.chapters = tuple(chapters)

    def __str__(self) -> str:
        if self.chapters:
            named = ", ".join(f"“{title}”" for title in self.chapters[:5])
            return f"“{self.place}” could be {named}. Write the whole title, or an offset in characters."
        return (
            f"“{self.place}” is no place up to which something of the text is read. "
            "Name a chapter as the contents have it, an offset in characters, or a share such as 40%."
        )


class QuestionEmpty(LecternError):
    def __str__(self) -> str:
        return "The question is empty. Write what you want to know and send it again."


class NothingChosen(LecternError):
    def __str__(self) -> str:
        return "No document is chosen. Choose one or several on the shelf, then ask."


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MB"


def _tokens(count: int) -> str:
    # millions say enough only where there are about as many
    return f"{count / 1e6:.1f} M" if count >= 500_000 else f"{count:,}"


class QuestionsBad(LecternError):
    """A file of questions with known places, or one of its questions, cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The questions cannot be used: {self.path}: {self.reason}. A file holds a JSON list of "
            '{"document": id, "question": text, "anchors": [words of the place that answers it]}.'
        )
