"""What the benchmarks share: a checkpoint by name, a text, a session."""

from __future__ import annotations

import argparse
import os
import resource
import sys
from array import array
from pathlib import Path
from typing import Literal

# as the engine's own process does, before torch is imported
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from engine import checkpoint
from engine.config import EngineConfig, default_device, default_dtype
from engine.machine import keep_freed_memory
from engine.protocol import ModelInfo, Prompt, Segment
from engine.session import Session
from engine.tokenizer import Tokenizer

keep_freed_memory()

DEFAULT_TEXT = Path(__file__).resolve().parents[3] / "shared" / "books" / "war-and-peace.txt"


def cache_folder() -> Path:
    from platformdirs import user_cache_path

    return Path(os.environ.get("LECTERN_CACHE") or user_cache_path("lectern"))


def describe(name: str, *, dtype: str = "auto") -> ModelInfo:
    found = checkpoint.resolve(name, cache=cache_folder())
    device = default_device()
    return checkpoint.describe(found, dtype=default_dtype(device) if dtype == "auto" else dtype, device=device)


def config(
    info: ModelInfo,
    readings: Path | None,
    *,
    chunk_size: int | None = None,
    local_size: int | None = None,
    chunk_tokens: int | None = None,
    policy: str | None = None,
    temperature: Literal["none", "yarn"] = "none",
) -> EngineConfig:
    """A session's settings; ``chunk_size`` and ``local_size`` override the model's Dual Chunk Attention.

    policy: None or "default" for what people get.
    """
    return EngineConfig(
        folder=Path(info.folder),
        readings=readings,
        identity=info.identity,
        chunk_size=chunk_size or info.chunk_size,
        local_size=local_size or info.local_size,
        limit=max(info.limit, 1 << 20),
        dtype=info.dtype,  # type: ignore[arg-type]
        device=info.device,  # type: ignore[arg-type]
        chunk_tokens=chunk_tokens,
        policy=None if policy == "default" else policy,
        temperature=temperature,
    )


def text_ids(tokenizer: Tokenizer, text: Path, tokens: int) -> array[int]:
    """The first ``tokens`` tokens of a file as it lies, line ends and all; SystemExit where it is too short."""
    ids = tokenizer.encode([text.read_bytes().decode("utf-8-sig")])[0].ids
    if len(ids) < tokens:
        sys.exit(f"{text} has {len(ids)} tokens, {tokens} are asked for")
    return ids[:tokens]


def one_segment(ids: array[int]) -> Prompt:
    return Prompt(segments=(Segment(name="text", ids=ids),))


def peak_bytes() -> int:
    """Peak resident memory of this process, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def anonymous_bytes() -> int | None:
    """Anonymous memory this process holds now, mapped files apart; None where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text("utf-8")
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")), None)


def arguments(description: str, *, tokens: list[int]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", nargs="+", default=["smollm2-135m", "qwen2.5-coder-0.5b"])
    parser.add_argument("--tokens", nargs="+", type=int, default=tokens)
    parser.add_argument("--text", type=Path, default=DEFAULT_TEXT)
    return parser


__all__ = [
    "Session",
    "anonymous_bytes",
    "arguments",
    "cache_folder",
    "config",
    "describe",
    "one_segment",
    "peak_bytes",
    "text_ids",
]
