"""Which files of kept pages belong to which documents."""

from __future__ import annotations

from pathlib import Path

from app.library.records import DocumentRecord
from app.reading.desk import Desk
from app.reading.engines import Keeper
from app.reading.prompt import document_parts


def kept_files(desk: Desk, owner: str) -> dict[Path, list[DocumentRecord]]:
    """Where the pages of documents on the shelf lie that the current model read alone, by file. Raises EngineError."""
    engine = desk.engines.get(desk.settings.model)
    found: dict[Path, list[DocumentRecord]] = {}
    if not isinstance(engine, Keeper):
        return found
    owner_id = desk.owner_id(owner)
    known = desk.library.token_counts(owner_id, engine.model.tokenizer)
    for document in desk.library.documents(owner_id):
        if document.id in known:
            opening, text = document_parts(engine, desk.library, document)
            shared = set(engine.kept_files(opening))
            for path in engine.kept_files(text):
                if path not in shared:
                    found.setdefault(path, []).append(document)
    return found
