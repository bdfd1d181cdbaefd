"""The part of the desk that keeps house: what kept readings take, what is pinned, what would make way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.library.jobs import Jobs
from app.library.pins import pin
from app.library.store import Library
from app.reading.engines import Engines, Keeper
from app.reading.plan import Plan
from app.reading.prompt import document_parts, reading_prompt
from app.reading.room import Room
from app.reading.storage import Storage
from app.reading.surroundings import Surroundings
from app.settings import Settings
from engine.protocol import Engine


class Keeping:
    """What ``Desk`` inherits."""

    settings: Settings
    library: Library
    engines: Engines
    jobs: Jobs
    storage: Storage

    def owner_id(self, owner: str) -> int:
        raise NotImplementedError

    def machine(self) -> Surroundings:
        raise NotImplementedError

    def space(self, engine: Engine, owner_id: int) -> Room:
        memory = self.machine().memory_for(engine.model)
        return Room(engine=engine, library=self.library, storage=self.storage, owner_id=owner_id, memory=memory)

    def pin(self, owner: str, document_ids: Sequence[int], *, pinned: bool = True) -> None:
        """Never evict what was read of these documents; or allow it again. Raises DocumentNotFound."""
        pin(self.library, self.owner_id(owner), document_ids, pinned=pinned)

    def kept(self, owner: str) -> dict[str, Any]:
        """What is kept of all that was read: taken, limit, disk_free (bytes) and rows (see ``Storage.rows``)."""
        owner_id = self.owner_id(owner)
        space = self.storage.space()
        rows = self.storage.rows(owner_id)
        if any(row["kind"] == "other" for row in rows):
            # files of older versions do not say what they are of: look at where the current model finds its documents
            self.storage.known = self._kept_alone(owner_id)
            rows = self.storage.rows(owner_id)
        return asdict(space) | {"rows": rows}

    def reading_room(self, owner: str, document_id: int) -> Plan:
        """Whether reading a document would fit, and what would make way. Raises DocumentNotFound, EngineError."""
        owner_id = self.owner_id(owner)
        document = self.library.document(owner_id, document_id)
        engine = self.engines.now(self.settings.model)
        prompt = reading_prompt(engine, self.library, document, freeze=False)
        return self.space(engine, owner_id).prompt(prompt, [document])

    def was_quick(self, owner_id: int, thread_id: int | None) -> bool:
        """Whether the last question of a conversation took its documents as they were read alone."""
        if thread_id is None:
            return False
        asked = [job for job in self.jobs.list(owner_id, kind="ask") if job.thread_id == thread_id]
        return bool(asked and asked[-1].payload.get("quick"))

    def _kept_alone(self, owner_id: int) -> dict[Path, list[int]]:
        """Where the pages of documents that the current model read alone lie, by file, as far as it is at hand."""
        engine = self.engines.ready(self.settings.model)
        found: dict[Path, list[int]] = {}
        if engine is None or not isinstance(engine, Keeper):
            return found
        counted = self.library.token_counts(owner_id, engine.model.tokenizer)
        for document in self.library.documents(owner_id):
            if document.id in counted:
                opening, text = document_parts(engine, self.library, document)
                shared = set(engine.kept_files(opening))
                for path in engine.kept_files(text):
                    if path not in shared:
                        found.setdefault(path, []).append(document.id)
        return found
