"""What a task tells the model and asks it, and the structures of the answers that name sentences by number."""

from __future__ import annotations

from typing import Any

from app.library.drafts import DraftRecord
from app.reading.making.template import AT
from app.reading.making.units import sentences
from app.reading.writing.tasks import Task, listed

KNOWN_LIMIT = 60
FACT, WHY, NAME = 120, 160, 40
KINDS = ("person", "place", "fact")
TEXT_TOKENS, LIST_TOKENS = 320, 512


def asked_of(draft: DraftRecord, what: Task, *, wish: str, passage: str, texts: list[str]) -> str:
    """What the model is told and asked, after the draft."""
    language = draft.language
    zh = language == "zh"
    parts = []
    if draft.style and what.id not in ("bible", "check", "style"):
        parts.append(("文风：\n" if zh else "The style to keep to:\n") + draft.style)
    if draft.bible and what.id not in ("bible", "check", "style"):
        lines = [f"- {one['name']}: {one['fact']}" for one in draft.bible[:KNOWN_LIMIT]]
        parts.append(("设定：\n" if zh else "What is settled:\n") + "\n".join(lines))
    for number, one in enumerate(texts, 1):
        parts.append(f"<{number}>\n{one}\n</{number}>")
    if passage and what.needs == "selection":
        parts.append(("这一段：\n" if zh else "The passage:\n") + passage)
    parts.append(what.prompt[language].replace("{wish}", wish or ("由你决定" if zh else "as you see fit")))
    if what.items is not None:
        names = ", ".join(f'"{name}"' for name in what.items)
        parts.append(
            f"以 JSON 作答，每条含 {names}。" if zh else f'Answer in JSON: {{"items": [...]}}, each with {names}.'
        )
    return "\n\n".join(parts)


def numbered_sentences(text: str, start: int, end: int) -> list[dict[str, Any]]:
    """Of the draft: {"start", "end", "text"}, ranges in its code points."""
    found = []
    place = start
    for paragraph in text[start:end].split("\n\n"):
        for first, last in sentences(text, place, place + len(paragraph)):
            found.append({"start": first, "end": last, "text": text[first:last]})
        place += len(paragraph) + 2
    return found


def bible_schema(count: int) -> dict[str, Any]:
    return listed(
        {
            AT: {"type": "integer", "minimum": 1, "maximum": max(1, count)},
            "kind": {"enum": list(KINDS)},
            "name": {"type": "string", "maxLength": NAME},
            "fact": {"type": "string", "maxLength": FACT},
        },
        1,
        10,
    )


def check_schema(count: int, known: int) -> dict[str, Any]:
    return listed(
        {
            AT: {"type": "integer", "minimum": 1, "maximum": max(1, count)},
            "against": {"type": "integer", "minimum": 1, "maximum": max(1, known)},
            "why": {"type": "string", "maxLength": WHY},
        },
        0,
        6,
    )
