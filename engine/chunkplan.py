"""In which chunks a text is read, and how widely each looks: decided before the reading and kept beside it.

A segment of a prompt has a plan. What changes on the way (a wider budget after a low recall, smaller chunks after
running out of memory, chunks of equal time once their cost is known) is written down before the chunk that it concerns
is kept. Whoever goes on with the reading follows the plan, so a reading that was interrupted ends bit for bit like one
that was not. No torch here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.budgets import Budgets
from engine.errors import StorageFull
from engine.protocol import PAGE_TOKENS, Prompt
from engine.snapshots import Store, piece_key, piece_lengths, sync_folder

log = logging.getLogger(__name__)

SUFFIX = ".plan"
# how widely a chunk looks: its budgets times this. DENSE is everything there is
NARROWEST, WIDEST, DENSE = 1, 4, 0


class Borders(Protocol):
    def border_after(self, position: int) -> int: ...


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """``tokens`` from position ``start``, with every head's budget times ``widen`` (DENSE: all keys)."""

    start: int
    tokens: int
    widen: int = NARROWEST

    @property
    def end(self) -> int:
        return self.start + self.tokens


def chunk_length(start: int, left: int, borders: Borders, tokens: int) -> int:
    """At most ``tokens`` of ``left`` from ``start``, up to the next DCA border, ending on a page border if it can."""
    end = min(start + left, start + tokens, borders.border_after(start))
    if end < start + left and end % PAGE_TOKENS and end - end % PAGE_TOKENS > start:
        end -= end % PAGE_TOKENS
    return end - start


def even_chunks(start: int, end: int, borders: Borders, tokens: int) -> list[PlannedChunk]:
    """Positions ``start`` .. ``end`` in chunks of as many tokens."""
    found = []
    while start < end:
        length = chunk_length(start, end - start, borders, tokens)
        found.append(PlannedChunk(start, length))
        start += length
    return found


def timed_chunks(
    start: int,
    end: int,
    borders: Borders,
    tokens: int,
    seconds: Callable[[int, int], float],
    *,
    target: float,
    least: int,
) -> list[PlannedChunk]:
    """The same in chunks of whole pages, each the longest that takes at most ``target`` seconds.

    seconds(position, tokens) of a chunk; tokens: the most a chunk may have; least: what it has however long it takes.
    """
    found = []
    while start < end:
        # seconds grow with tokens: the longest that fits, by halving
        low, high = least // PAGE_TOKENS, max(least, tokens) // PAGE_TOKENS
        while low < high:
            middle = (low + high + 1) // 2
            if seconds(start, min(middle * PAGE_TOKENS, end - start)) <= target:
                low = middle
            else:
                high = middle - 1
        length = chunk_length(start, end - start, borders, low * PAGE_TOKENS)
        found.append(PlannedChunk(start, length))
        start += length
    return found


class ChunkPlan:
    """The plan of one segment: its chunks in order, without a hole.

    policy: the name of the choice of keys; budgets: None without; timed: the chunks were
    cut by time. ``path`` None is a plan that lives as long as this object.
    """

    def __init__(
        self,
        chunks: Sequence[PlannedChunk],
        *,
        policy: str,
        budgets: Budgets | None,
        parent: bytes = b"",
        path: Path | None = None,
        timed: bool = False,
    ) -> None:
        self.chunks = list(chunks)
        self.policy, self.budgets = policy, budgets
        self.parent, self.path, self.timed = parent, path, timed

    @property
    def start(self) -> int:
        return self.chunks[0].start

    @property
    def end(self) -> int:
        return self.chunks[-1].end

    def at(self, position: int) -> PlannedChunk:
        """What is left of the chunk at ``position``."""
        chunk = self.chunks[self._index(position)]
        return PlannedChunk(position, chunk.end - position, chunk.widen)

    def left(self, position: int) -> list[PlannedChunk]:
        """What is left to read from ``position`` on."""
        if position >= self.end:
            return []
        return [self.at(position), *self.chunks[self._index(position) + 1 :]]

    def _index(self, position: int) -> int:
        if not self.start <= position < self.end:
            raise ValueError(f"position {position} is outside of the plan for {self.start}..{self.end}")
        return bisect_right([chunk.start for chunk in self.chunks], position) - 1

    def widen(self, position: int, widen: int) -> None:
        """Let the chunk at ``position`` look more widely, and those after it; only it alone, if at everything."""
        index = self._index(position)
        after = WIDEST if widen == DENSE else widen
        self.chunks[index:] = [
            PlannedChunk(chunk.start, chunk.tokens, chunk.widen if chunk.widen == DENSE else max(chunk.widen, after))
            for chunk in self.chunks[index:]
        ]
        chunk = self.chunks[index]
        self.chunks[index] = PlannedChunk(chunk.start, chunk.tokens, widen)
        self.save()

    def recut(self, position: int, cut: Callable[[int, int], list[PlannedChunk]], *, timed: bool = False) -> None:
        """Cut what is left from ``position`` on anew; each part looks as widely as what stood at its start.

        cut(start, end) -> chunks.
        """
        position = max(position, self.start)
        if position >= self.end:
            return
        index = self._index(position)
        before, widens = self.chunks[:index], {chunk.start: chunk.widen for chunk in self.left(position)}
        if self.chunks[index].start < position:
            first = self.chunks[index]
            before.append(PlannedChunk(first.start, position - first.start, first.widen))
        starts = sorted(widens)
        self.chunks = before + [
            PlannedChunk(chunk.start, chunk.tokens, widens[starts[bisect_right(starts, chunk.start) - 1]])
            for chunk in cut(position, self.end)
        ]
        self.timed = timed
        self.save()

    def save(self) -> None:
        """Write the plan to its file, all or nothing. Raises StorageFull."""
        if self.path is None:
            return
        said = {
            "parent": self.parent.hex(),
            "start": self.start,
            "policy": self.policy,
            "budgets": None if self.budgets is None else self.budgets.table,
            "most": None if self.budgets is None else self.budgets.most,
            "timed": self.timed,
            "chunks": [(chunk.tokens, chunk.widen) for chunk in self.chunks],
        }
        body = json.dumps(said, separators=(",", ":"))
        whole = json.dumps({"crc32": zlib.crc32(body.encode()), "plan": body}).encode()
        part = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            if error.errno in (28, 122):  # ENOSPC, EDQUOT
                raise StorageFull(len(whole), 0) from error
            raise
        sync_folder(self.path.parent)


def load(path: Path) -> ChunkPlan | None:
    """The plan in that file, None where there is none or it is damaged: it is made again then."""
    try:
        outer: Any = json.loads(path.read_text("utf-8"))
        body = str(outer["plan"])
        if zlib.crc32(body.encode()) != outer["crc32"]:
            raise ValueError("it does not match its checksum")
        said: Any = json.loads(body)
        start, chunks = int(said["start"]), []
        for tokens, widen in said["chunks"]:
            chunks.append(PlannedChunk(start, int(tokens), int(widen)))
            start += int(tokens)
        if not chunks:
            raise ValueError("it has no chunks")
        table = said["budgets"]
        return ChunkPlan(
            chunks,
            policy=str(said["policy"]),
            # earlier plans had no bound
            budgets=None if table is None else Budgets(tuple(tuple(map(int, row)) for row in table), said.get("most")),
            parent=bytes.fromhex(said["parent"]),
            path=path,
            timed=bool(said["timed"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("a plan is passed over: %s: %s", path.name, error)
        return None


class Plans:
    """The plans of a prompt's segments, from the store or made now.

    policy, budgets: what a new plan says; fixed: the policy was asked for by name, and a plan of another one is made
    anew. Otherwise an old plan is followed, whatever became the default since.
    """

    def __init__(
        self,
        store: Store | None,
        borders: Borders,
        *,
        tokens: int,
        policy: str,
        budgets: Budgets | None,
        fixed: bool,
    ) -> None:
        self._store, self._borders, self._tokens = store, borders, tokens
        self._policy, self._budgets, self._fixed = policy, budgets, fixed

    def of(self, prompt: Prompt, found: int) -> list[ChunkPlan]:
        """A plan for every segment that is not wholly among the first ``found`` tokens, in order."""
        plans = []
        parent = b"" if self._store is None else self._store.root_key
        before = 0
        # behind books that were read alone there is a conversation, whose key the store makes of theirs
        store = None if prompt.composed else self._store
        for position, segment in zip(prompt.starts, prompt.segments, strict=True):
            if before + len(segment.ids) > found:
                plans.append(self._plan(store, parent, position, segment.ids))
            if store is not None:
                parent = segment_key(parent, position, segment.ids)
            before += len(segment.ids)
        return plans

    def _plan(self, store: Store | None, parent: bytes, start: int, ids: array[int]) -> ChunkPlan:
        path = None
        if store is not None:
            path = store.folder / plan_name(parent, start, ids)
            old = load(path)
            follows = old is not None and (old.start, old.end) == (start, start + len(ids))
            if old is not None and follows and (not self._fixed or old.policy == self._policy):
                return old
        chunks = even_chunks(start, start + len(ids), self._borders, self._tokens)
        plan = ChunkPlan(chunks, policy=self._policy, budgets=self._budgets, parent=parent, path=path)
        if len(chunks) > 1:
            plan.save()
        return plan


def segment_key(parent: bytes, start: int, ids: array[int]) -> bytes:
    """The key of a whole segment, cut at page borders alone."""
    done = 0
    for length in piece_lengths(start, len(ids)):
        parent = piece_key(parent, start + done, ids[done : done + length])
        done += length
    return parent


def plan_name(parent: bytes, start: int, ids: array[int]) -> str:
    digest = hashlib.sha256(b"plan" + parent + struct.pack("<q", start))
    digest.update(ids.tobytes())
    return digest.hexdigest()[:40] + SUFFIX


def sweep(store: Store) -> None:
    """Remove plans of which nothing is kept, and half-written ones. Only for the holder of the engine's lock."""
    store.refresh()
    if not store.folder.is_dir():
        return
    for path in store.folder.glob(f"*{SUFFIX}.part"):
        path.unlink(missing_ok=True)
    for path in store.folder.glob(f"*{SUFFIX}"):
        plan = load(path)
        if plan is None or not store.holds_after(plan.parent, plan.start):
            path.unlink(missing_ok=True)
