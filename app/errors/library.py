"""What is not there, and what can be wrong with the library."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors.base import LecternError


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


class OriginalDamaged(LibraryError):
    """The library's own copy of a book's file, which a backup would have to hold."""

    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(filename, reason)
        self.filename = filename
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"No backup was made: the library's copy of “{self.filename}” is damaged ({self.reason}). Add the file once"
            " more, which mends it, and back up again."
        )


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
