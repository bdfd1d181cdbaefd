"""Models of a known shape with random weights: what a card can do where no checkpoint is at hand.

Used by ``tests.bench.prefill`` and ``tests.bench.decode`` with ``--random NAME``. Needs torch, transformers and Triton,
no checkpoint, no library, no installation. What random weights attend to says nothing about fidelity: the recall gauge
is not acted on here, and budgets are the same for every head. ``--host-memory`` leaves keys and values in the machine's
memory (``engine.hostarena``), as where the card is too small.
"""

from __future__ import annotations

import gc
import json
import random
import time
from array import array
from pathlib import Path
from threading import Event as Flag
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from engine import attention, prefill
from engine.config import EngineConfig, default_device, default_dtype
from engine.copies import Lane, pinned_zeros
from engine.errors import KeysDoNotFit, OutOfMemory
from engine.hostarena import HostArena
from engine.kvcache import Arena, KVCache
from engine.model import LanguageModel
from engine.pages import Pages
from engine.placing import host_arena_bytes
from engine.protocol import PAGE_TOKENS
from engine.row import CROSSOVER
from engine.sparsity import BLOCK
from engine.sparsity.policy import LOCAL, SINK
from tests.bench import rows, setup

# shape, and Dual Chunk Attention's chunk and local size
SHAPES: dict[str, tuple[dict[str, Any], int, int]] = {
    "Qwen2.5-7B": (
        {
            "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
            "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False,
        },
        262144,
        8192,
    ),
    "Qwen2.5-0.5B": (
        {
            "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
            "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
        },
        32768,
        4096,
    ),
    "tiny": (
        {
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2,
            "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 512, "tie_word_embeddings": True,
        },
        4096,
        1024,
    ),
}  # fmt: skip
WARM = 4


def make(name: str, device: str, policy: str, chunk_tokens: int | None = None) -> tuple[LanguageModel, EngineConfig]:
    """Raises SystemExit for a shape that is not known."""
    if name not in SHAPES:
        raise SystemExit(f"no shape called {name!r}: choose one of {', '.join(SHAPES)}")
    shape, chunk_size, local_size = SHAPES[name]
    device = default_device() if device == "auto" else device
    config = EngineConfig(
        folder=Path(name), readings=None, identity=name, chunk_size=chunk_size, local_size=local_size, limit=1 << 22,
        dtype=default_dtype(device), device=device, policy=policy, chunk_tokens=chunk_tokens,  # type: ignore[arg-type]
    )  # fmt: skip

    def load(config: EngineConfig) -> Any:
        about = Qwen2Config(
            **shape, max_position_embeddings=chunk_size, rope_parameters={"rope_type": "default", "rope_theta": 1e6}
        )
        torch.manual_seed(0)
        with torch.device(config.device):
            return AutoModelForCausalLM.from_config(
                about, dtype=getattr(torch, config.dtype), attn_implementation=attention.register()
            )

    return LanguageModel(config, load), config


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Operations a second of a large product, and bytes a second of a large copy, read and written."""
    large = device.type == "cuda"
    size, count = (8192, 1 << 30) if large else (1024, 1 << 26)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    source = torch.ones(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def best(function: Any) -> float:
        found = float("inf")
        for _ in range(6):
            wait(device)
            begun = time.perf_counter()
            function()
            wait(device)
            found = min(found, time.perf_counter() - begun)
        return found

    return 2.0 * size**3 / best(lambda: left @ right), 2.0 * count / best(lambda: target.copy_(source))


def bus_rate(device: torch.device) -> float:
    """Bytes a second from pinned memory of the machine to the device."""
    count = 1 << 30 if device.type == "cuda" else 1 << 26
    lane, target = Lane(device), torch.empty(count, dtype=torch.uint8, device=device)
    source = pinned_zeros((count,), torch.uint8, device, lane)
    found = float("inf")
    for _ in range(6):
        begun = time.perf_counter()
        lane.copy(target, source)
        lane.wait()
        found = min(found, time.perf_counter() - begun)
    return count / found


def bus_bytes(model: LanguageModel, tokens: int) -> int:
    """What a token after so many fetches from the machine's memory: the keys that heads choose, or all."""
    shape = model.shape
    budgets = model._decoding()
    if budgets is None or tokens < CROSSOVER:
        return tokens * shape.token_bytes
    every = [(layer, head) for layer in range(shape.layers) for head in range(shape.kv_heads)]
    keys = sum(min(tokens, budgets.keys(layer, head, tokens) + SINK + LOCAL) for layer, head in every)
    return keys * shape.token_bytes // len(every)


def random_ids(tokens: int, vocabulary: int) -> array[int]:
    return array("i", random.Random(1).choices(range(vocabulary), k=tokens))


def peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else setup.peak_bytes()


def measure_prefill(
    name: str, tokens: int, policy: str, device: str, chunk_tokens: int | None, *, host: bool = False
) -> dict[str, Any]:
    prefill.BAR = 0.0
    model, config = make(name, device, policy, chunk_tokens)
    if host:
        leave_on_host(model, tokens)
    work, rate = model.shape, rates(model.device, model.shape.dtype)
    linear = 2.0 * model.layer_parameters * tokens
    dense = 4.0 * model.heads * work.dim * work.layers * (tokens**2 / 2)
    ceiling = {
        "linear_operations": linear,
        "dense_attention_operations": dense,
        "kv_bytes": tokens * work.token_bytes,
        "operations_per_second": rate[0],
        "copied_bytes_per_second": rate[1],
        "linear_seconds": linear / rate[0],
        "dense_seconds": (linear + dense) / rate[0],
    }
    if host:
        # each chunk brings all before it, layer by layer, and takes its own back
        starts = range(0, tokens, config.prefill_tokens)
        crossing = (sum(starts) + tokens) * work.token_bytes
        ceiling |= {"bus_bytes": crossing, "bus_seconds": crossing / bus_rate(model.device)}
    print(json.dumps({"ceiling": ceiling}), flush=True)
    estimates: list[float] = []

    def told(progress: Any) -> None:
        if progress.seconds_left is not None and progress.done > tokens // 8 and not estimates:
            estimates.append(time.perf_counter() - begun + progress.seconds_left)

    ids = random_ids(tokens, SHAPES[name][0]["vocab_size"])
    if model.device.type == "cuda":
        # compiles, and takes the libraries' memory: not what is measured
        _read(model, config, ids[: min(tokens, model.crossover + 2048)], lambda _: None)
        wait(model.device)
    begun = time.perf_counter()
    _read(model, config, ids, told)
    wait(model.device)
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "ceiling": ceiling,
        "estimated_seconds_after_an_eighth": estimates[0] if estimates else None,
        "peak_bytes": peak(model.device),
    }


def _read(model: LanguageModel, config: EngineConfig, ids: array[int], told: Any) -> None:
    prefill.read(
        model, Pages(model.shape, None), setup.one_segment(ids), limit=1 << 22, chunk_tokens=config.prefill_tokens,
        chunking=config.prefill_chunking, cancel=Flag(), emit=told, need_last=False,
    )  # fmt: skip


def leave_on_host(model: LanguageModel, tokens: int) -> None:
    """Have keys and values lie in the machine's memory, on a CPU too."""
    LanguageModel.in_arena = True  # type: ignore[method-assign, assignment]
    positions = -(-tokens // PAGE_TOKENS) * PAGE_TOKENS
    model.device_memory = host_arena_bytes(model.shape, positions)[0]


def measure_decode(
    name: str, tokens: int, policy: str, device: str, steps: int, *, host: bool = False
) -> dict[str, Any]:
    """After keys and values of random numbers: what they are does not change what reading them takes."""
    model, _ = make(name, device, policy)
    rate = rates(model.device, model.shape.dtype)
    weights = (model.layer_parameters + model.model.lm_head.weight.numel()) * model.shape.dtype.itemsize
    read = weights + tokens * model.shape.token_bytes
    ceiling = {
        "weight_bytes": weights,
        "kv_bytes": tokens * model.shape.token_bytes,
        "copied_bytes_per_second": rate[1],
        "dense_tokens_per_second": rate[1] / read,
    }
    if host:
        bus, fetched = bus_rate(model.device), bus_bytes(model, tokens)
        seconds = max(fetched / bus, weights / rate[1])
        ceiling |= {"bus_bytes_a_token": fetched, "bus_bytes_per_second": bus, "bus_tokens_per_second": 1 / seconds}
    print(json.dumps({"ceiling": ceiling}), flush=True)
    arena = (HostArena if host else Arena)(model.shape, -(-(tokens + steps) // PAGE_TOKENS) * PAGE_TOKENS, BLOCK)
    cache = KVCache(model.shape, arena)
    start = 0
    while start < tokens:
        end = min(tokens, model.dual_chunk.border_after(start))
        arena.data[:, :, :, start:end].normal_()
        cache.append(arena.extent(start, end - start))
        for layer in range(model.shape.layers):
            arena.summarize(layer, start, end)
        start = end
    found: dict[str, float] = {}
    ways = {"step": None} | ({"graph": True, "eager": False} if model.decoder is not None else {})
    for way, graphs in ways.items():
        if model.decoder is not None and graphs is not None:
            model.decoder = model.make_decoder(graphs=graphs)
        elif model.decoder is not None:
            continue
        room = min(steps, model.dual_chunk.border_after(cache.end) - cache.end)
        extent = cache.allocate(cache.end, room)
        extent.length = 0
        cache.append(extent)
        begun = 0.0
        for step in range(room):
            if step == WARM:
                wait(model.device)
                begun = time.perf_counter()
            model.step(step % 500, cache)
        wait(model.device)
        found[way] = (room - WARM) / (time.perf_counter() - begun)
        cache.drop_last()
    return {
        "tokens_per_second": found.get("graph", next(iter(found.values()))),
        "rates": found,
        "ceiling": ceiling,
        "steps": steps,
        "peak_bytes": peak(model.device),
    }


def run(op: str, given: Any) -> None:
    """Rows of ``op`` ("prefill" or "decode") for every length and policy; a length that does not fit is told as such."""
    for tokens in given.tokens:
        for policy in given.policy:
            policy = "block" if policy == "default" else policy
            row = {"model": f"random {given.random}", "tokens": tokens, "policy": policy}
            row |= {"host_memory": True} if given.host_memory else {}
            try:
                host = given.host_memory
                if op == "prefill":
                    found = measure_prefill(given.random, tokens, policy, given.device, given.chunk_tokens, host=host)
                else:
                    found = measure_decode(given.random, tokens, policy, given.device, given.steps, host=host)
            except (KeysDoNotFit, MemoryError, OutOfMemory, torch.OutOfMemoryError) as error:
                print(json.dumps(row | {"error": str(error)}), flush=True)
                continue
            finally:
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            rows.record(op, row | found)


def arguments(parser: Any) -> None:
    parser.add_argument("--random", choices=tuple(SHAPES), help="random weights of this shape, no checkpoint")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="with --random")
    parser.add_argument("--chunk-tokens", type=int, default=None, help="with --random")
    parser.add_argument("--host-memory", action="store_true", help="with --random: keys and values off the card")
