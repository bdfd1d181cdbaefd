"""The small book that a new shelf begins with, written by us in each language of the page."""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import LecternError

if TYPE_CHECKING:
    from app.reading.desk import Desk

log = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "welcome"
NAMES = {"en": "The Patient Reader.md", "zh": "耐心的读者.md"}


@cache
def hashes() -> frozenset[str]:
    """The SHA-256 of each of its files, by which the page knows it on a shelf."""
    return frozenset(hashlib.sha256(_path(language).read_bytes()).hexdigest() for language in NAMES)


def offer(desk: Desk, owner: str, language: str) -> int | None:
    """Put it on a shelf on which nothing ever stood, and queue its reading; its id, or None where there is no need.

    Takes a second for parsing. It is a courtesy: what goes wrong with it is logged, and nobody's trouble.
    """
    if not desk.settings.welcome or not _new(desk, owner):
        return None
    language = language if language in NAMES else "en"
    try:
        return desk.add(owner, _path(language), NAMES[language]).document.id
    except (LecternError, OSError) as error:
        log.warning("no welcome book: %s", type(error).__name__)
        return None


def _path(language: str) -> Path:
    return FOLDER / f"{language}.md"


def _new(desk: Desk, owner: str) -> bool:
    owner_id = desk.owner_id(owner)
    with desk.library.read() as db:
        tables = ("documents", "threads", "refusals")
        return not any(
            list(db.query(f"SELECT 1 FROM {name} WHERE owner_id = ? LIMIT 1", [owner_id])) for name in tables
        )
