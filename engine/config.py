"""Settings of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.machine import gpus
from engine.protocol import PAGE_TOKENS

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]
Temperature = Literal["none", "yarn"]
Storage = Literal["exact", "int8"]

# tokens prefilled at a time, per device: enough rows to fill the matrix products, few enough to stop soon
CPU_CHUNK = 2048
CUDA_CHUNK = 32768

Chunking = Literal["equal tokens", "equal time"]


def default_device() -> Literal["cpu", "cuda"]:
    """A GPU that the driver's own tool lists, else the CPU. Asks no torch."""
    return "cuda" if gpus() else "cpu"


def default_dtype(device: Literal["cpu", "cuda"]) -> Literal["float32", "bfloat16"]:
    """bfloat16 where the hardware multiplies it, float32 elsewhere: emulated, it is several times slower."""
    if device == "cuda":
        return "bfloat16"
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return "float32"
    return "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What a session is started with.

    folder: the checkpoint (config.json, safetensors, tokenizer.json); readings: where kept pages live, None to keep
    nothing; chunk_tokens: None for the device's default, the most there are at a time; chunking: how a long text is cut
    ("equal time" shortens later chunks by what the first ones took), None for the device's default; threads: None for
    all cores; policy: how a prefill chooses its keys (``engine.sparsity.NAMES``), None for ``block`` where the model's
    budgets are known, else dense; temperature: of attention beyond the trained window (``DualChunk.sharpness``), part
    of identity; readings_limit: bytes that kept pages may take, None for as much as the disk has; readings_share:
    instead, their share of what the disk has free without them; storage: "int8" makes the files of a reading smaller
    when it is finished (``engine.compact``), not part of identity; gaze: tell with each token of an answer where the
    model looked; device_memory: bytes of a GPU's memory that keys and values may take, None for what is free: those of
    a longer context lie in the machine's memory (``engine.placing``).
    """

    folder: Path
    readings: Path | None
    identity: str
    chunk_size: int
    local_size: int
    limit: int
    dtype: Literal["float32", "bfloat16", "float16"]
    device: Literal["cpu", "cuda"]
    chunk_tokens: int | None = None
    chunking: Chunking | None = None
    threads: int | None = None
    policy: str | None = None
    temperature: Temperature = "none"
    readings_limit: int | None = None
    readings_share: float | None = None
    storage: Storage = "exact"
    gaze: bool = True
    device_memory: int | None = None

    def __post_init__(self) -> None:
        if self.chunk_tokens is not None and (self.chunk_tokens < 1 or self.chunk_tokens % PAGE_TOKENS):
            raise ValueError(f"chunk_tokens must be a positive multiple of {PAGE_TOKENS}, not {self.chunk_tokens}")
        if self.chunking not in (None, "equal tokens", "equal time"):
            raise ValueError(f"chunking must be 'equal tokens' or 'equal time', not {self.chunking!r}")
        if self.temperature not in ("none", "yarn"):
            raise ValueError(f"temperature must be none or yarn, not {self.temperature!r}")
        if self.storage not in ("exact", "int8"):
            raise ValueError(f"storage must be exact or int8, not {self.storage!r}")
        if self.device_memory is not None and self.device_memory < 0:
            raise ValueError(f"device_memory must be 0 or more bytes, not {self.device_memory}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be 1 or more, not {self.threads}")

    @property
    def prefill_tokens(self) -> int:
        if self.chunk_tokens is not None:
            return self.chunk_tokens
        return CUDA_CHUNK if self.device == "cuda" else CPU_CHUNK

    @property
    def prefill_chunking(self) -> Chunking:
        """Timed chunks differ from one reading to the next, and with them the last bits of what is kept: a CPU, whose
        chunks are short in any case, goes without."""
        if self.chunking is not None:
            return self.chunking
        return "equal time" if self.device == "cuda" else "equal tokens"
