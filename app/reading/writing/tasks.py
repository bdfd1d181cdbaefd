"""What may be done with a draft, from assets/writing/tasks.json: prompts in both languages, what each needs.

needs: "nothing", "selection" (of the draft), "passages" (of a book or of the draft), "options" (written before) ·
wish: what the writer adds, if anything · items: {property: longest} and count: [least, most] of a task that lists.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.reading.writing.errors import TaskUnknown

FILE = Path(__file__).resolve().parents[3] / "assets" / "writing" / "tasks.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    id: str
    title: dict[str, str]
    prompt: dict[str, str]
    needs: str
    wish: dict[str, str] | None = None
    items: dict[str, int] | None = None
    count: tuple[int, int] = (1, 1)

    def schema(self) -> dict[str, Any] | None:
        """Of the answer of a task that lists; None for one that writes."""
        if self.items is None:
            return None
        item = {name: {"type": "string", "maxLength": most} for name, most in self.items.items()}
        return listed(item, *self.count)


def listed(item: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    items = {"type": "array", "minItems": least, "maxItems": most, "items": {"type": "object", "properties": item}}
    return {"type": "object", "properties": {"items": items}}


@lru_cache(maxsize=1)
def tasks() -> dict[str, Task]:
    said = json.loads(FILE.read_text("utf-8"))
    return {id: Task(id=id, **(one | {"count": tuple(one.get("count", (1, 1)))})) for id, one in said.items()}


def task(id: str) -> Task:
    """Raises TaskUnknown."""
    if id not in tasks():
        raise TaskUnknown(id, list(tasks()))
    return tasks()[id]
