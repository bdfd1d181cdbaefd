"""What was asked for and cannot be done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from app.errors.base import LecternError


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


class RenewalInvalid(LecternError):
    """A document that cannot be the later state of another."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"It cannot take the other's place: {self.reason}. Nothing was changed."


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


def _tokens(count: int) -> str:
    # millions say enough only where there are about as many
    return f"{count / 1e6:.1f} M" if count >= 500_000 else f"{count:,}"
