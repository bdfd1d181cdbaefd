"""Whether what was made of documents is made of all that they are now.

A version keeps a signature of the text that it looked at: its documents' chapters that are read, as far as their owner
allows, of those that were asked for. More chapters, another text, a guard that moved or another document change it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from app.errors import DocumentNotFound
from app.library.artefacts import ArtefactRecord, VersionRecord
from app.library.records import DocumentRecord

if TYPE_CHECKING:
    from app.library.store import Library
    from app.reading.desk import Desk

Span = tuple[int, int]
# a list of artefacts is looked at every few seconds
SIGNS = 512
_SIGNS: dict[tuple[str, tuple[Span, ...]], str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What a version does not know of a document: "new" (the document itself), "grown" (its text goes on; chapters: by
    so many) or "changed"."""

    document: int
    title: str
    kind: Literal["new", "grown", "changed"]
    chapters: int = 0


def looked_at(desk: Desk, documents: Sequence[DocumentRecord], choices: dict[str, Any]) -> list[dict[str, Any]]:
    """The signature of each document, as JSON: {"document", "sign", "characters", "chapters"}."""
    found = []
    for document in documents:
        guard = desk.allowed(document.owner_id, [document]).get(document.id, document.characters)
        spans, chapters = _spans(desk.library, document, guard, choices.get("chapters") or ())
        sign = _sign(desk.library, document.text_sha256, spans)
        size = sum(end - start for start, end in spans)
        found.append({"document": document.id, "sign": sign, "characters": size, "chapters": chapters})
    return found


def behind(desk: Desk, artefact: ArtefactRecord, version: VersionRecord) -> list[Behind]:
    """Of a version that was made before signatures were kept nothing is known."""
    known = {one["document"]: one for one in version.choices.get("of", ())}
    found: list[Behind] = []
    for id in artefact.document_ids if known else ():
        try:
            document = desk.library.document(artefact.owner_id, id)
        except DocumentNotFound:
            # it left the shelf; what was made of it stays true
            continue
        title = document.title or document.filename
        if id not in known:
            found.append(Behind(document=id, title=title, kind="new"))
            continue
        (now,) = looked_at(desk, [document], version.choices)
        before = known[id]
        if now["sign"] != before["sign"]:
            more = now["characters"] > before["characters"]
            chapters = max(0, now["chapters"] - before["chapters"]) if more else 0
            found.append(Behind(document=id, title=title, kind="grown" if more else "changed", chapters=chapters))
    return found


def _spans(
    library: Library, document: DocumentRecord, guard: int, wanted: Sequence[int]
) -> tuple[tuple[Span, ...], int]:
    """The ranges of the text that are looked at, and how many chapters those are."""
    chapters = library.chapters(document.id)
    starts = [one.start for one in chapters]
    spans: list[Span] = []
    count = 0
    for number, (start, end) in enumerate(zip([0, *starts], [*starts, document.characters], strict=True), -1):
        end = min(end, guard)
        if start >= end or (number >= 0 and not chapters[number].is_read) or (wanted and number + 1 not in wanted):
            continue
        count += number >= 0
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return tuple(spans), count


def _sign(library: Library, text_sha256: str, spans: tuple[Span, ...]) -> str:
    key = text_sha256, spans
    if key not in _SIGNS:
        body, made = library.text(text_sha256), hashlib.blake2b(digest_size=12)
        for start, end in spans:
            made.update(body[start:end].encode())
        if len(_SIGNS) >= SIGNS:
            _SIGNS.clear()
        _SIGNS[key] = made.hexdigest()
    return _SIGNS[key]
