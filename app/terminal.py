"""Words on a terminal: the status line on stderr, and text of others made harmless."""

from __future__ import annotations

import sys
import time
import unicodedata
from typing import TextIO

from app.reading.plan import duration

# without a terminal, a line of its own so often
PLAIN_SECONDS = 10.0


def printable(text: str) -> str:
    """``text`` without what would command a terminal or reverse its lines; line breaks and tabs stay."""
    return "".join(one for one in text if one in "\n\t" or not _commands(one))


def one_line(text: str) -> str:
    return " ".join(printable(text).split())


class Status:
    """What is going on, on one line that is written over; without a terminal as plain lines, now and then."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._shown = ""
        self._what = ""
        self._at = float("-inf")

    def __enter__(self) -> Status:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def share(
        self, what: str, done: int, total: int, per_second: float | None = None, seconds_left: float | None = None
    ) -> None:
        """``done`` of ``total``, of tokens if ``per_second`` of them is known."""
        said = what
        if total:
            said += f" {100 * done // total} %"
        if per_second:
            said += f" · {per_second:,.0f} tokens/s"
        if seconds_left is not None:
            said += f" · {duration(seconds_left)} left"
        now = time.monotonic()
        if self._tty:
            if said != self._shown:
                self._write(f"\r{said}\x1b[K")
                self._shown = said
        elif what != self._what or now - self._at >= PLAIN_SECONDS:
            self._write(f"{said}\n")
            self._what, self._at = what, now

    def say(self, line: str) -> None:
        """A line that stays."""
        self.clear()
        self._write(f"{line}\n")

    def clear(self) -> None:
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _commands(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in _BIDI


# marks that reorder what stands after them
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
