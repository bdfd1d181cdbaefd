"""Where keys and values of a prompt lie: on the device while they fit there, else in the machine's memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from engine.errors import KeysDoNotFit, OutOfMemory
from engine.hostarena import HostArena
from engine.kvcache import Arena, KVShape
from engine.machine import WORKSPACE_LAYERS, available_memory
from engine.protocol import PAGE_TOKENS
from engine.sparsity import BLOCK, QUERY_BLOCK

if TYPE_CHECKING:
    from engine.model import LanguageModel

# libraries and kernels on a device, and what other programs on the machine may come to need
LIBRARIES = 1 << 30
SPARE = 1 << 30
# positions of an arena beyond what is asked for, so that a conversation goes on in it
MORE = 4 * PAGE_TOKENS


def arena_bytes(shape: KVShape, positions: int) -> int:
    """Of an arena on the device: keys, values and mean keys."""
    return positions * shape.token_bytes + _means_bytes(shape, positions)


def host_arena_bytes(shape: KVShape, positions: int) -> tuple[int, int]:
    """Of one in the machine's memory: (bytes on the device, bytes there)."""
    whole = positions * shape.token_bytes
    return whole * min(WORKSPACE_LAYERS, shape.layers) // shape.layers + _means_bytes(shape, positions), whole


def _means_bytes(shape: KVShape, positions: int) -> int:
    return positions * shape.token_bytes // (2 * BLOCK)


def working_bytes(model: LanguageModel, rows: int, positions: int) -> int:
    """What reading ``rows`` tokens at the end of ``positions`` takes of a device beside weights, keys and values."""
    config = model.model.config
    size, wide = model.shape.dtype.itemsize, model.heads * model.shape.dim
    hidden, intermediate = int(config.hidden_size), int(config.intermediate_size)
    # the residual twice, the gate, its product and the other half; queries thrice, as they are turned, and outputs
    linear = rows * (2 * hidden + 3 * intermediate + 5 * wide) * size
    # parts are merged in float32; of a choice scores, what is kept and its order, as int64 in and out
    merged = 2 * 4 * rows * wide
    chosen = model.shape.kv_heads * -(-rows // QUERY_BLOCK) * -(-positions // BLOCK) * (4 + 2 + 2 * 8)
    return linear + max(merged, chosen) + LIBRARIES


def place(model: LanguageModel, positions: int, rows: int) -> Arena:
    """An arena for ``positions``, read at most ``rows`` at a time; the last job's where that has room.

    On a GPU it lies where it fits (``EngineConfig.device_memory``, else what is free but for ``working_bytes``). Raises
    KeysDoNotFit before anything is taken, OutOfMemory where that fails after all.
    """
    last, model.arena = model.arena, None
    room = model.device_memory if model.in_arena else None
    if room is None and model.device.type != "cpu":
        room = max(0, (model.free_memory() or 0) + _bytes(last)[0] - working_bytes(model, rows, positions))
    whole = arena_bytes(model.shape, positions)
    on_device = room is None or whole <= room
    device, host = host_arena_bytes(model.shape, positions)
    free = available_memory()
    free = None if free is None else max(0, free + _bytes(last)[1] - SPARE)
    beside = room is not None and device <= room and (free is None or host <= free)
    if not on_device and not beside:
        assert room is not None
        raise KeysDoNotFit(positions, whole, room, device, free)
    if last is not None and last.on_device is on_device and last.capacity >= positions and last.complete:
        if model.decoder is not None:
            model.decoder.leave()
        return last
    del last
    if model.decoder is not None:
        model.decoder.release()
    if on_device:
        # room for the next question, where there is any
        wide = (
            positions + MORE if room is not None and arena_bytes(model.shape, positions + MORE) <= room else positions
        )
        try:
            return Arena(model.shape, wide, BLOCK)
        except (MemoryError, RuntimeError) as error:
            if out_of_memory(error) is None:
                raise
            if not beside:
                raise OutOfMemory(whole, model.free_memory()) from error
    assert room is not None
    more = host_arena_bytes(model.shape, positions + MORE)
    wide = positions + MORE if more[0] <= room and free is not None and more[1] <= free else positions
    try:
        return HostArena(model.shape, wide, BLOCK)
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error) is None:
            raise
        raise OutOfMemory(whole, model.free_memory()) from error


def _bytes(arena: Arena | None) -> tuple[int, int]:
    """(bytes on a device, bytes in the machine's memory beside it) of an arena that may be let go of."""
    if arena is None:
        return 0, 0
    if arena.on_device:
        return arena.data.nbytes + arena.means.nbytes, 0
    assert isinstance(arena, HostArena)
    return arena.workspace_bytes, arena.data.nbytes


def out_of_memory(error: BaseException) -> int | None:
    """The bytes that were asked for, 0 where they are not told, None if the error is another one."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return _bytes_asked(str(error))
    # PyTorch says "can't allocate memory" as a RuntimeError on a CPU
    return _bytes_asked(str(error)) if "allocate memory" in str(error) else None


def _bytes_asked(told: str) -> int:
    found = re.search(r"allocate (\d[\d.]*) (bytes|MiB|GiB)", told)
    units = {"bytes": 1, "MiB": 1 << 20, "GiB": 1 << 30}
    return int(float(found[1]) * units[found[2]]) if found else 0
