"""Who asks and from where: read from what the browser says, and trusted no further than that."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from app.ui.strings import LANGUAGES

LOCAL = "local"
# ids are made by `new_visitor`: nobody guesses one, and nothing else is taken for one
VISITOR = re.compile(r"[A-Za-z0-9_-]{32,64}")
MOST_CHOSEN = 1000


def new_visitor() -> str:
    return secrets.token_urlsafe(32)


def is_visitor(value: object) -> bool:
    return isinstance(value, str) and VISITOR.fullmatch(value) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What one tab shows. ``digests``: by panel, of what it holds already; ``visitor``: "" until one was given;
    ``language``: the page's; ``quick``: several books are taken as each was read alone."""

    visitor: str = ""
    thread: int | None = None
    chosen: tuple[int, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    language: str = ""
    quick: bool = False

    @classmethod
    def read(cls, value: Any) -> Seat:
        """From the browser's words; what is not understood counts as not said."""
        if not isinstance(value, dict):
            return cls()
        visitor, thread, chosen, digests = (value.get(key) for key in ("visitor", "thread", "chosen", "digests"))
        return cls(
            visitor=visitor if is_visitor(visitor) else "",
            thread=thread if _is_id(thread) else None,
            chosen=tuple(dict.fromkeys(one for one in chosen if _is_id(one)))[:MOST_CHOSEN]
            if isinstance(chosen, list)
            else (),
            language=language if isinstance(language := value.get("language"), str) and language in LANGUAGES else "",
            quick=value.get("quick") is True,
            digests={str(key): str(said) for key, said in digests.items()} if isinstance(digests, dict) else {},
        )

    def owner(self, *, space: bool) -> str | None:
        """The name under which the library keeps what is theirs; None: a Space does not know this visitor yet."""
        if not space:
            return LOCAL
        return f"visitor:{self.visitor}" if self.visitor else None


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53
