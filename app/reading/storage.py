"""Kept readings as what a person knows, documents and conversations; how much they may take, and what makes way."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.library.pins import forget_reading, pinned_documents, titles
from app.library.store import Library
from app.settings import Settings
from engine.provenance import summary
from engine.snapshots import allowed_bytes, taken_bytes
from engine.survey import Reading, Survey, evict, victims

log = logging.getLogger(__name__)

# left for the library and for other programs
DISK_RESERVE = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Bytes. taken: by kept readings; limit: what they may take, None for as much as the disk has; disk_free: None
    where the system does not tell."""

    taken: int
    limit: int | None
    disk_free: int | None

    @property
    def budget_free(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.taken)

    @property
    def free(self) -> int | None:
        """What can be kept before anything must make way."""
        disk = None if self.disk_free is None else max(0, self.disk_free - DISK_RESERVE)
        return min((one for one in (self.budget_free, disk) if one is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What makes way for ``needed`` bytes; freed: what that gives, less than was missing where there is no more."""

    space: Space
    readings: tuple[Reading, ...] = ()
    freed: int = 0


class Storage:
    """settings: gives those of the moment, which a page may change. known: documents of files of older versions, which
    do not name their segment, by path."""

    def __init__(self, settings: Callable[[], Settings], library: Library) -> None:
        self._settings, self._library = settings, library
        self._survey = Survey(settings().readings)
        self.known: Mapping[Path, Sequence[int]] = {}

    def space(self) -> Space:
        settings = self._settings()
        root, budget = settings.readings, settings.readings_budget
        taken = taken_bytes(root)
        limit = allowed_bytes(root, taken, budget) if isinstance(budget, float) else budget
        try:
            free: int | None = shutil.disk_usage(settings.home).free
        except OSError:
            free = None
        return Space(taken=taken, limit=limit, disk_free=free)

    def way(self, needed: int, keep: Sequence[Path] = ()) -> Way:
        """What would make way for ``needed`` more bytes, the longest unused first.

        Never what is pinned, what lies in the files ``keep``, or what either was read behind.
        """
        space = self.space()
        missing = 0 if space.free is None else needed - space.free
        # the budget may have shrunk below what is there
        if space.limit is not None:
            missing = max(missing, space.taken + needed - space.limit)
        if missing <= 0:
            return Way(space=space)
        chosen, freed = victims(self._survey.readings(), missing, self._protected(keep))
        return Way(space=space, readings=tuple(chosen), freed=freed)

    def make_way(self, way: Way) -> None:
        """Evict. Only for the holder of the engine's lock."""
        for reading in way.readings:
            freed = evict([reading])
            log.info("evicted %s: %d bytes, last used %s", reading.segment, freed, _time(reading.used))
            # what was read behind another document is no reading of the shelf
            if not any(self.documents(one) for one in reading.behind()):
                for id in self.documents(reading):
                    forget_reading(self._library, id, reading.identity)

    def named(self, owner_id: int, readings: Sequence[Reading]) -> list[str]:
        """Titles of what readings are of, each once."""
        documents, threads = titles(self._library, owner_id)
        found = []
        for reading in readings:
            found += [documents[id] for id in self.documents(reading) if id in documents]
            found += [threads[id] for id in _ids(reading, "conversation") if id in threads]
        return list(dict.fromkeys(found))

    def documents(self, reading: Reading) -> list[int]:
        """The documents whose text a reading is: one, or several of the same text in files of older versions."""
        if reading.segment is None:
            return sorted({id for file in reading.files for id in self.known.get(file.path, ())})
        return _ids(reading, "document")

    def rows(self, owner_id: int) -> list[dict[str, Any]]:
        """A row for each model and each document or conversation, the largest first; what has no name of this owner's
        is summed up as "other"."""
        documents, threads = titles(self._library, owner_id)
        pinned = pinned_documents(self._library)
        groups: dict[tuple[Any, ...], list[Reading]] = {}
        for reading in self._survey.readings():
            own = tuple(id for id in self.documents(reading) if id in documents)
            thread = next((id for id in _ids(reading, "conversation") if id in threads), None)
            behind = tuple(id for one in reading.behind() for id in self.documents(one) if id in documents)
            kind = "document" if own else "conversation" if thread is not None else "other"
            if kind == "other":
                behind = ()
            groups.setdefault((reading.identity, kind, own, thread, behind), []).append(reading)
        found = []
        for (identity, kind, own, thread, behind), readings in groups.items():
            headers = [file.header for reading in readings for file in reading.files]
            read = summary((header.tokens, header.provenance) for header in headers)
            found.append(
                {
                    "model": identity,
                    "kind": kind,
                    "documents": [{"id": id, "title": documents[id]} for id in own],
                    "conversation": None if thread is None else {"id": thread, "title": threads[thread]},
                    "behind": [{"id": id, "title": documents[id]} for id in behind],
                    "tokens": sum(header.tokens for header in headers),
                    "bytes": sum(reading.bytes for reading in readings),
                    "files": len(headers),
                    "used": _time(max(reading.used for reading in readings)),
                    "pinned": any(id in pinned for id in own),
                    "storage": " and ".join(sorted({"int8" if header.group else "exact" for header in headers})),
                    "policies": sorted({_policy(header.provenance) for header in headers}),
                    "versions": sorted({header.provenance.get("version", "unknown") for header in headers}),
                    "recall": float(read["recall"]) if "recall" in read else None,
                    "recall_low": float(read["recall_low"]) if "recall_low" in read else None,
                    "widened": int(read.get("widened", 0)),
                }
            )
        return sorted(found, key=lambda row: -row["bytes"])

    def _protected(self, keep: Sequence[Path]) -> Any:
        pinned, kept = pinned_documents(self._library), set(keep)

        def protected(reading: Reading) -> bool:
            # an opening takes next to nothing, and everything stands on it
            return (
                reading.segment == "opening"
                or any(id in pinned for id in self.documents(reading))
                or any(file.path in kept for file in reading.files)
            )

        return protected


def _ids(reading: Reading, kind: str) -> list[int]:
    """The id in the name of a segment, "document:3"."""
    name, _, id = (reading.segment or "").partition(":")
    return [int(id)] if name == kind and id.isdecimal() else []


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _policy(provenance: Mapping[str, str]) -> str:
    # an answer's pages were written while it was said
    return provenance.get("policy") or provenance.get("written_by", "unknown")
