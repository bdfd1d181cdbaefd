"""Small conversions between what the application holds and what a row holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

FILENAME_LIMIT = 255


def now() -> str:
    """The time, ISO-8601 in UTC, always of the same width: it sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def clean(text: str) -> str:
    """``text`` without halves of surrogate pairs, which a browser can send and UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def plain_name(filename: str) -> str:
    """The last part of a path from any system, printable and of a bearable length: a name for people, not a path."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    name = "".join(character for character in clean(name) if character.isprintable()).strip()
    if len(name) > FILENAME_LIMIT:
        stem, dot, suffix = name.rpartition(".")
        kept = dot + suffix if stem and len(suffix) < 16 else ""
        name = name[: FILENAME_LIMIT - len(kept)] + kept
    return name or "untitled"


def to_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def names_to_json(names: Sequence[str]) -> str:
    return to_json([clean(name) for name in names])
