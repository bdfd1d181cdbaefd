"""What this machine has, and which models of the catalogue it could run. No torch: a look takes milliseconds."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.catalogue import CATALOGUE, Entry
from engine.pace import entry_pace, has_tiles

Bound = Literal["gpu memory", "memory", "disk", "range"]

BOOK_TOKENS = 50_000
BOOK_SECONDS = 3600.0
"""On a CPU a model is recommended if it reads a short novel within an hour."""

WORKSPACE_LAYERS = 2
"""Layers on a GPU at a time of keys and values that lie in the machine's memory (``engine.hostarena``)."""
MEANS_SHARE = 1 / 32
"""Of keys and values: their means, of every 16 keys one, which lie on the GPU in any case."""

# activations of a chunk, the logits, the libraries
_WORKING_GPU = 4 << 30
_WORKING_CPU = 3 << 29
# a reading never fills the disk to the last byte
_SPARE_DISK = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Bytes of memory, and the driver's name of the card."""

    name: str
    memory_total: int
    memory_free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """cores: those this process may use; memory in bytes, a container's limit counted; disk_free of the home's disk;
    tiles: whether its processor has matrix tiles.
    """

    cores: int
    memory_total: int
    memory_available: int
    disk_free: int
    gpus: tuple[Gpu, ...]
    tiles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Whether a model with a context of ``tokens`` fits, and what binds.

    device: "cuda" or "cpu"; bound: what stops it, or, when it fits, what would first; needed and available: bytes, or
    tokens for "range"; most: the longest context that would fit, 0 if not even the weights do; on_card: the longest
    whose keys and values lie on the GPU, None without one: those of a longer one lie in the machine's memory, from
    which a token of an answer fetches what it looks at, and a reading one layer after another, which is slower;
    seconds: to read the context, None where that cannot be told (GPUs differ too much).
    """

    fits: bool
    device: Literal["cuda", "cpu"]
    bound: Bound
    needed: int
    available: int
    most: int
    seconds: float | None
    on_card: int | None = None


def look(folder: Path) -> Machine:
    """Look at the machine; ``folder``, which need not exist yet, says whose disk counts."""
    import psutil  # type: ignore[import-untyped]

    memory = psutil.virtual_memory()
    limit = _container_limit()
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    return Machine(
        cores=cores(),
        memory_total=min(memory.total, limit),
        memory_available=min(memory.available, limit),
        disk_free=shutil.disk_usage(there).free,
        gpus=gpus(),
        tiles=has_tiles(),
    )


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that a new program could have now, None where that cannot be told."""
    try:
        import psutil
    except ImportError:
        return None
    return int(min(psutil.virtual_memory().available, _container_limit()))


def _container_limit() -> int:
    """Bytes that a container may use: psutil shows the whole host's."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(name).read_text())
        except (OSError, ValueError):  # "max" when there is none
            continue
    return 1 << 62


def keep_freed_memory() -> None:
    """Have the C library keep large blocks for the next operation instead of giving them back to the system each time.

    Faulting fresh pages in costs a layer's matrix products a fifth of their speed. Does nothing without glibc.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    # larger ones (an arena of keys and values) still go back at once
    mallopt(mmap_threshold, 1 << 28)
    mallopt(trim_threshold, (1 << 31) - 1)
    mallopt(top_pad, 1 << 26)


def gpus() -> tuple[Gpu, ...]:
    """The cards that the driver's own tool lists; none where it is missing, fails or hangs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):  # a driver that hangs or fails is no GPU
        return ()
    return parse_nvidia_smi(result.stdout)


def parse_nvidia_smi(output: str) -> tuple[Gpu, ...]:
    """Lines of "name, MiB in all, MiB free"; others are left out."""
    gpus = []
    for line in output.splitlines():
        parts = [part.strip() for part in line.rsplit(",", 2)]
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
            gpus.append(Gpu(name=parts[0], memory_total=int(parts[1]) << 20, memory_free=int(parts[2]) << 20))
    return tuple(gpus)


def fits(entry: Entry, machine: Machine, tokens: int) -> Fit:
    """Whether ``entry`` with a context of ``tokens`` fits: on the largest GPU if it has room, else on the CPU."""
    gpu = max(machine.gpus, key=lambda gpu: gpu.memory_total, default=None)
    beside = machine.memory_total - _WORKING_CPU
    if gpu is not None:
        fit = _fit(entry, tokens, "cuda", gpu.memory_total - _WORKING_GPU, machine.disk_free, beside)
        if fit.fits or fit.bound not in ("gpu memory", "memory"):
            return fit
    fit = _fit(entry, tokens, "cpu", beside, machine.disk_free)
    return replace(fit, seconds=entry_pace(entry, tiles=machine.tiles).seconds(0, tokens, cores=machine.cores))


def _fit(
    entry: Entry, tokens: int, device: Literal["cuda", "cpu"], memory: int, disk: int, beside: int | None = None
) -> Fit:
    """memory: bytes for weights, keys and values; beside: of a GPU, those of the machine's memory for the latter."""
    weights, each = entry.weight_bytes, entry.kv_bytes
    name: Bound = "gpu memory" if device == "cuda" else "memory"
    # what, needed, available, most tokens
    room: tuple[Bound, int, int, int]
    rooms = [room := (name, weights + tokens * each, max(memory, 0), (memory - weights) // each)]
    on_card = max(room[3], 0) if device == "cuda" else None
    if beside is not None:
        there = int(each * (WORKSPACE_LAYERS / entry.shape.layers + MEANS_SHARE)) + 1
        parted: list[tuple[Bound, int, int, int]] = [
            ("gpu memory", weights + tokens * there, max(memory, 0), (memory - weights) // there),
            ("memory", tokens * each, max(beside, 0), beside // each),
        ]
        if min(most for *_, most in parted) > room[3]:
            rooms = parted
    # kept pages lie on disk; the weights may be there already, which this cannot know
    needed, spare = weights + tokens * each, disk - _SPARE_DISK
    rooms.append(("disk", needed, max(spare, 0), (spare - weights) // each))
    rooms.append(("range", tokens, entry.limit, entry.limit))
    bound, needed, available, most = min(rooms, key=lambda room: room[3])
    return Fit(
        fits=tokens <= most,
        device=device,
        bound=bound,
        needed=needed,
        available=available,
        most=max(most, 0),
        seconds=None,
        on_card=on_card,
    )


def recommend(machine: Machine, tokens: int = BOOK_TOKENS) -> tuple[str, ...]:
    """Names of the models that fit with a context of ``tokens`` and read at a bearable speed, the most able first."""
    good = []
    for entry in CATALOGUE:
        book = fits(entry, machine, BOOK_TOKENS)
        if fits(entry, machine, tokens).fits and (book.seconds is None or book.seconds <= BOOK_SECONDS):
            good.append(entry)
    return tuple(entry.name for entry in sorted(good, key=lambda entry: entry.parameters, reverse=True))
