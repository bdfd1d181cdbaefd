"""The words of the interface, one JSON file a language; the first start shows what the browser asks for."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "zh")


@cache
def sayings() -> dict[str, dict[str, str]]:
    """Language -> what the program says of an error in English, with braces where its values stand -> the same in that
    language. Errors are kept as they were told, numbers and all, so the page knows them by their words; a value is
    looked up in the same way."""
    found = {}
    for name in LANGUAGES:
        path = FOLDER / f"said.{name}.json"
        found[name] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


@cache
def tables() -> dict[str, dict[str, str]]:
    """Language -> key -> text. ``key.one`` is the singular of ``key`` where a language has one."""
    return {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in LANGUAGES}
