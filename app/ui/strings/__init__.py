"""The words of the interface, one JSON file a language; the first start shows what the browser asks for."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "zh")


@cache
def tables() -> dict[str, dict[str, str]]:
    """Language -> key -> text. ``key.one`` is the singular of ``key`` where a language has one."""
    return {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in LANGUAGES}
