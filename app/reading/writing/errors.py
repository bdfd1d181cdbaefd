"""What can be wrong with a draft or a task for it.

LecternError
└── WritingError
    ├── DraftNotFound(id)
    ├── VersionNotFound(id, number)
    ├── OptionNotFound(id)
    ├── TaskUnknown(task, known)
    ├── TaskIncomplete(task, missing)
    ├── RangeChanged()
    └── NothingWritten(reason)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from app.errors import LecternError


class WritingError(LecternError):
    """Base of what the writing desk refuses or fails at."""


class DraftNotFound(WritingError):
    def __init__(self, id: int) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"There is no draft {self.id}. `lectern write list` shows those that exist."


class VersionNotFound(WritingError):
    def __init__(self, id: int, number: int) -> None:
        super().__init__(id, number)
        self.id, self.number = id, number

    def __str__(self) -> str:
        return f"The draft {self.id} has no version {self.number}. `lectern write versions {self.id}` lists them."


class OptionNotFound(WritingError):
    def __init__(self, id: int) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"There is no continuation {self.id} of this draft. Have it written again."


class TaskUnknown(WritingError):
    def __init__(self, task: str, known: Sequence[str]) -> None:
        super().__init__(task, tuple(known))
        self.task, self.known = task, tuple(known)

    def __str__(self) -> str:
        return f"{self.task!r} is no task of the writing desk. It knows {', '.join(self.known)}."


class TaskIncomplete(WritingError):
    """``missing``: "selection", "wish", "passages" or "options"."""

    WORDS: ClassVar[dict[str, str]] = {
        "selection": "select the passage that it is about",
        "wish": "say what you want",
        "passages": "choose passages of a book, or select some of the draft",
        "options": "choose two continuations or more",
        "text": "write something first",
    }

    def __init__(self, task: str, missing: str) -> None:
        super().__init__(task, missing)
        self.task, self.missing = task, missing

    def __str__(self) -> str:
        return f"For “{self.task}”, {self.WORDS.get(self.missing, self.missing)}."


class RangeChanged(WritingError):
    def __str__(self) -> str:
        return "The passage was changed since this was written for it. Copy what you need, or have it written again."


class NothingWritten(WritingError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"Nothing was written: {self.reason}. Try it again."
