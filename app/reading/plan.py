"""Whether a context fits, said with numbers before anyone waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.errors import RoomExceeded
from app.reading.storage import DISK_RESERVE
from engine.protocol import PAGE_TOKENS, ModelInfo

# an answer shorter than this is not worth a reading: a context must leave room for it
LEAST_ANSWER = 256
# of the memory: the rest is for activations and other programs
MEMORY_SHARE = 0.85

# titles named of those that make way
SHOWN = 5

Bound = Literal["model", "memory", "disk", "budget"]

# beside the keys and values: their means and checksums
KEPT_SHARE = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A document of a context: ``tokens`` with its header."""

    id: int
    title: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A context against the room there is. Counts tokens.

    end: the positions skipped between segments counted too; needed: the shortest answer worth having besides.
    limit: the least of range_limit (what the model can tell apart), memory_limit and disk_limit (None: not known), and
    of what kept readings may take; bound: which of these that is. kept: read already; to_read: to be read before the
    answer begins. answer: tokens left for the answer, at most those asked for. seconds_left: the reading's, None if
    none was ever measured.
    message: one sentence for the reader, whether it fits or not. estimated: a document was not tokenized yet. evicts,
    evicted_bytes: titles of what was not used for long and would make way.
    """

    tokens: int
    end: int
    needed: int
    limit: int
    bound: Bound
    range_limit: int
    memory_limit: int | None
    disk_limit: int | None
    window: int
    kept: int
    to_read: int
    answer: int
    fits: bool
    message: str
    seconds_left: float | None
    documents: tuple[Part, ...]
    estimated: bool = False
    evicts: tuple[str, ...] = ()
    evicted_bytes: int = 0

    @property
    def error(self) -> RoomExceeded | None:
        """Why it does not fit, or None."""
        if self.fits:
            return None
        return RoomExceeded(self.needed, self.limit, self.bound, [(part.title, part.tokens) for part in self.documents])

    def check(self) -> None:
        """Raise RoomExceeded if it does not fit."""
        if self.error is not None:
            raise self.error


def plan(
    model: ModelInfo,
    *,
    opening: int,
    documents: Sequence[Part],
    conversation: int = 0,
    kept: int = 0,
    answer: int = LEAST_ANSWER,
    disk_free: int | None = None,
    readings_free: int | None = None,
    memory: int | None = None,
    speed: float | None = None,
    estimated: bool = False,
    end: int | None = None,
    evicts: Sequence[str] = (),
    evicted_bytes: int = 0,
) -> Plan:
    """opening, conversation, kept, answer: tokens; disk_free, readings_free, memory: bytes, of which the model takes
    its share, the first two with what would make way; speed: tokens a second; end: of a prompt that is laid out
    otherwise than segment after segment."""
    sizes = [opening, *(part.tokens for part in documents), conversation]
    tokens = sum(sizes)
    if end is None:
        end = 0
        for size in sizes:
            end = -(-end // PAGE_TOKENS) * PAGE_TOKENS + size
    kept = min(kept, tokens)
    to_read = tokens - kept

    # the positions skipped take no memory and no disk; what is kept already takes no more of the disk
    memory_limit = None if memory is None else _memory_limit(model, memory)
    memory_limit = memory_limit and end - tokens + memory_limit
    disk_limit = None
    if disk_free is not None:
        disk_limit = kept + (end - tokens) + max(0, disk_free - DISK_RESERVE) // model.kv_bytes
    limits: list[tuple[int, Bound]] = [(model.limit, "model")]
    if memory_limit is not None:
        limits.append((memory_limit, "memory"))
    if disk_limit is not None:
        limits.append((disk_limit, "disk"))
    if readings_free is not None:
        limits.append((kept + (end - tokens) + int(readings_free / KEPT_SHARE) // model.kv_bytes, "budget"))
    limit, bound = min(limits, key=lambda item: item[0])

    needed = end + min(answer, LEAST_ANSWER)
    fits = needed <= limit
    seconds_left = to_read / speed if speed else (0.0 if to_read == 0 else None)
    made = Plan(
        tokens=tokens,
        end=end,
        needed=needed,
        limit=limit,
        bound=bound,
        range_limit=model.limit,
        memory_limit=memory_limit,
        disk_limit=disk_limit,
        window=model.window,
        kept=kept,
        to_read=to_read,
        answer=max(0, min(answer, limit - end)),
        fits=fits,
        message=_message(tokens, to_read, end, model.window, seconds_left, estimated)
        + _makes_way(evicts, evicted_bytes),
        seconds_left=seconds_left,
        documents=tuple(documents),
        estimated=estimated,
        evicts=tuple(evicts),
        evicted_bytes=evicted_bytes,
    )
    return made if fits else replace(made, message=str(made.error))


def _memory_limit(model: ModelInfo, memory: int) -> int:
    return max(0, int(memory * MEMORY_SHARE) - weight_bytes(model)) // model.kv_bytes


def weight_bytes(model: ModelInfo) -> int:
    return model.parameters * (4 if model.dtype == "float32" else 2)


def _message(tokens: int, to_read: int, end: int, window: int, seconds_left: float | None, estimated: bool) -> str:
    about = "about " if estimated else ""
    said = f"{about}{tokens:,} tokens"
    if to_read == 0:
        said += ", all read"
    elif to_read < tokens:
        said += f", {to_read:,} still to read"
    if to_read and seconds_left is not None:
        said += f" (about {duration(seconds_left)})"
    if end > window:
        said += f"; beyond the {window:,} that this model was trained on, so it may miss things"
    return said[0].upper() + said[1:] + "."


def _makes_way(evicts: Sequence[str], size: int) -> str:
    if not size:
        return ""
    what = f": {', '.join(evicts[:SHOWN])}{' and others' if len(evicts) > SHOWN else ''}" if evicts else ""
    return f" What was not used for the longest makes way for it ({size / 1e6:,.0f} MB{what})."


def duration(seconds: float) -> str:
    """A time as a person says it: "8 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
