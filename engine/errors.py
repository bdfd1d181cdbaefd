"""Errors of the engine. Each carries its numbers, and its message says what to do.

EngineError
├── CheckpointNotFound(name, tried)
│   └── CheckpointNotFetched(name, tried, reason)
├── CheckpointUnsupported(name, reason)
├── CheckpointDamaged(path, reason)
├── ContextTooLong(needed, limit)
├── ContextTooShort(needed, given)
├── StorageFull(needed, free)
├── ReadingsFull(needed, taken, limit)
├── NumericalFailure(layer, position, end)
├── OutOfMemory(needed, free, chunk)
├── KeysDoNotFit(tokens, needed, device, least, host)
├── UnknownPolicy(name, known)
├── SparsityConfigBad(path, reason)
├── GazeHeadsBad(path, reason)
├── SchemaUnsupported(where, reason)
├── SchemaTooLong(needed, limit)
├── WorkerDied(exit_code)
└── EngineFailure(reason)
"""

from __future__ import annotations

from collections.abc import Sequence


class EngineError(Exception):
    """Base of everything the engine refuses or fails at."""


class CheckpointNotFound(EngineError):
    def __init__(self, name: str, tried: Sequence[str]) -> None:
        super().__init__(name, tuple(tried))
        self.name = name
        self.tried = tuple(tried)

    def __str__(self) -> str:
        tried = "; ".join(self.tried) or "nothing"
        return (
            f"The model {self.name!r} was not found. Tried: {tried}. "
            "Name one of `lectern model`'s catalogue, a folder with config.json and safetensors, or a hub id."
        )


class CheckpointNotFetched(CheckpointNotFound):
    """It may be there, but its download did not begin or broke off."""

    def __init__(self, name: str, tried: Sequence[str], reason: str) -> None:
        super().__init__(name, tried)
        self.args = (name, tuple(tried), reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The model {self.name!r} could not be fetched: {self.reason}. "
            "What arrived is kept: try again, and it goes on from there."
        )


class CheckpointUnsupported(EngineError):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The model {self.name!r} cannot be used: {self.reason}. Choose a Llama, Qwen2 or Qwen3 model with --model."
        )


class CheckpointDamaged(EngineError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"The model file {self.path} is damaged ({self.reason}). Delete it and start again: it is fetched anew."


class ContextTooLong(EngineError):
    """A prompt reaches past the positions the model can tell apart. Both numbers count tokens."""

    def __init__(self, needed: int, limit: int) -> None:
        super().__init__(needed, limit)
        self.needed = needed
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"The context needs {self.needed:,} tokens; this model holds {self.limit:,}. "
            "Leave out a document or choose a model with a longer window."
        )


class ContextTooShort(EngineError):
    def __init__(self, needed: int, given: int) -> None:
        super().__init__(needed, given)
        self.needed = needed
        self.given = given

    def __str__(self) -> str:
        return (
            f"The text has {self.given:,} tokens and {self.needed:,} are needed. Give a longer text, or fewer --tokens."
        )


class StorageFull(EngineError):
    """Both numbers count bytes."""

    def __init__(self, needed: int, free: int) -> None:
        super().__init__(needed, free)
        self.needed = needed
        self.free = free

    def __str__(self) -> str:
        return (
            f"The disk is full: the next part of the reading needs {self.needed / 1e6:,.0f} MB and "
            f"{self.free / 1e6:,.0f} MB are free. What was read so far is kept; free some space and go on."
        )


class ReadingsFull(EngineError):
    """The kept readings have reached the size they may have. All numbers count bytes."""

    def __init__(self, needed: int, taken: int, limit: int) -> None:
        super().__init__(needed, taken, limit)
        self.needed = needed
        self.taken = taken
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"The kept readings take {self.taken / 1e6:,.0f} MB of the {self.limit / 1e6:,.0f} MB they may have, and "
            f"the next part needs {self.needed / 1e6:,.0f} MB. What was read so far is kept. "
            "Raise LECTERN_READINGS_BUDGET (`lectern readings` shows what takes it) and go on."
        )


class NumericalFailure(EngineError):
    """layer: None for the output; position: of the first token of the chunk that ends before ``end``."""

    def __init__(self, layer: int | None, position: int, end: int | None = None) -> None:
        super().__init__(layer, position, end)
        self.layer = layer
        self.position = position
        self.end = end

    def __str__(self) -> str:
        where = "the output" if self.layer is None else f"layer {self.layer}"
        at = f"at token {self.position:,}" if self.end is None else f"in tokens {self.position:,} to {self.end:,}"
        return (
            f"The model produced numbers that are not finite in {where} {at}. "
            "Nothing of this part was kept. Try another number format (LECTERN_DTYPE=float32) or another model."
        )


class OutOfMemory(EngineError):
    """needed, free: bytes; chunk: tokens of the smallest part of a reading that was tried. None: not known."""

    def __init__(self, needed: int | None = None, free: int | None = None, chunk: int | None = None) -> None:
        super().__init__(needed, free, chunk)
        self.needed = needed
        self.free = free
        self.chunk = chunk

    def __str__(self) -> str:
        figures = [
            *([] if self.needed is None else [f"{self.needed / 1e9:.1f} GB were asked for"]),
            *([] if self.free is None else [f"{self.free / 1e9:.1f} GB are free"]),
            *([] if self.chunk is None else [f"even for {self.chunk:,} tokens at a time"]),
        ]
        size = f" ({', '.join(figures)})" if figures else ""
        return (
            f"The machine ran out of memory{size}. What was read so far is kept. "
            "Close other programs, leave out a document, or choose a smaller model."
        )


class KeysDoNotFit(EngineError):
    """Keys and values of a prompt have no room, on the GPU or in the machine's memory.

    needed: bytes of all of them; device: bytes free for them on the GPU; least: how many of them have to be there if
    the rest lies in the machine's memory; host: bytes free there, None where that is not known.
    """

    def __init__(self, tokens: int, needed: int, device: int, least: int, host: int | None) -> None:
        super().__init__(tokens, needed, device, least, host)
        self.tokens, self.needed, self.device, self.least, self.host = tokens, needed, device, least, host

    def __str__(self) -> str:
        host = "" if self.host is None else f" the machine's memory for {self.host / 1e9:.1f} GB,"
        return (
            f"Keys and values of {self.tokens:,} tokens take {self.needed / 1e9:.1f} GB. The graphics card has "
            f"room for {self.device / 1e9:.1f} GB,{host} and the card must hold {self.least / 1e9:.1f} GB in any case. "
            "Leave out a document, close other programs, or choose a smaller model."
        )


class SchemaUnsupported(EngineError):
    """``where``: the path of the part that cannot be enforced while decoding, such as ``/items/name``; "" is all."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"The schema cannot be used{f' at {self.where}' if self.where else ''}: {self.reason}."


class SchemaTooLong(EngineError):
    """The shortest answer of a schema does not fit. Both count tokens."""

    def __init__(self, needed: int, limit: int) -> None:
        super().__init__(needed, limit)
        self.needed = needed
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"The shortest answer that this schema allows takes {self.needed:,} tokens; {self.limit:,} are allowed. "
            "Allow a longer answer, or ask for fewer items and properties."
        )


class WorkerDied(EngineError):
    def __init__(self, exit_code: int | None) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return (
            f"The engine stopped unexpectedly (exit code {self.exit_code}), most often for lack of memory. "
            "What was read so far is kept: try again, and it goes on from there."
        )


class EngineFailure(EngineError):
    """Something the engine did not foresee; the reason is the original error's own words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The engine failed: {self.reason}. What was read so far is kept; the log has the details."


class UnknownPolicy(EngineError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, tuple(known))
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        return f"There is no way to read called {self.name!r}: choose one of {', '.join(self.known)}."


class SparsityConfigBad(EngineError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"The file of attention budgets {self.path} does not fit: {self.reason}. Correct it, or remove it."


class GazeHeadsBad(EngineError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"The file of query-focused heads {self.path} does not fit: {self.reason}. Correct it, or remove it."
