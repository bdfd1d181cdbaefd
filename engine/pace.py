"""How long a reading takes, told before it begins: a model's operations at this machine's speed. No torch here.

What was read with the model before tells the machine's speed; where nothing was, the kind of processor does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from engine.budgets import Budgets, read_budgets, stride
from engine.catalogue import Entry, Shape
from engine.describe import shape_of
from engine.errors import EngineError
from engine.protocol import ModelInfo

# a matrix product's speed over that of attention, on a CPU: 425 GFLOP/s over PyTorch's flash kernel's 120 to 150, and
# over the 150 to 250 of kernels.sparse_attention (two cores, bfloat16)
DENSE_SLOWNESS = 3.3
SPARSE_SLOWNESS = 2.5
# the same where attention runs on matrix tiles (tests.bench.prefill, two cores with AMX): all that goes with a linear
# layer, norms and the rest, counts as its product
DENSE_SLOWNESS_TILES = 0.85
SPARSE_SLOWNESS_TILES = 1.3
# operations a second that a core makes of whole readings: a quarter of what was measured on a core with AVX-512
# (SmolLM2, 16,384 tokens, 75 s, 2 cores; tests/bench/results/engine.jsonl), since older ones without bfloat16 products
# have no more; and what one with AMX reaches (SmolLM2 320 to 460, the default model 580 to 710)
CORE = 60e9
CORE_TILES = 480e9
# position from which keys are chosen, by whether attention runs on tiles: ``engine.sparsity.policy``
CROSSOVER, CROSSOVER_TILES = 2048, 4096
# keys that are attended to beside those chosen: sink, local ones and half of the own block
ALWAYS = 384
# looking at every key to choose, against attending to it, for a row that does (kernels/block_scores)
SCORING = 0.5
# parts that a long reading is summed up in
PARTS = 64


@lru_cache(maxsize=1)
def has_tiles() -> bool:
    """Whether attention here runs on matrix tiles, as Linux describes the processor: ``kernels.tiles`` knows surely."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8").split("flags", 1)[-1].split("\n", 1)[0].split()
    except OSError:
        return False
    return "amx_bf16" in flags and find_spec("numba") is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """linear: operations a token; pair: operations a query and key; budgets: None where all keys are attended to."""

    linear: float
    pair: float
    budgets: Budgets | None
    tiles: bool

    def work(self, first: int, last: int) -> float:
        """Operations of reading tokens [first, last), at the speed of a matrix product."""
        crossover = CROSSOVER_TILES if self.tiles else CROSSOVER
        dense, sparse = slowness(self.tiles)
        border = last if self.budgets is None else max(first, min(last, crossover))
        whole = self.linear * (last - first) + dense * self.pair * (border**2 - first**2) / 2
        if self.budgets is not None:
            step = max(2048, -(-(last - border) // PARTS))
            for begin in range(border, last, step):
                count = min(step, last - begin)
                middle = begin + count // 2
                whole += sparse * self.pair * count * (ALWAYS + self.budgets.mean(middle))
                whole += dense * self.pair * count * middle * SCORING / stride(middle)
        return whole

    def seconds(self, first: int, last: int, *, cores: int, done: int = 0, took: float = 0.0) -> float:
        """Of reading tokens [first, last). done, took: tokens and seconds of another; cores: to guess by."""
        rate = cores * (CORE_TILES if self.tiles else CORE)
        if done > 0 and took > 0:
            rate = self.work(0, done) / took
        return self.work(first, last) / rate


def slowness(tiles: bool) -> tuple[float, float]:
    """Of attention to all keys and to chosen ones."""
    return (DENSE_SLOWNESS_TILES, SPARSE_SLOWNESS_TILES) if tiles else (DENSE_SLOWNESS, SPARSE_SLOWNESS)


def pace_of(model: ModelInfo) -> Pace | None:
    """Of a checkpoint on this machine's processor; None on a GPU, or for one that does not say its numbers."""
    if model.device != "cpu":
        return None
    folder = Path(model.folder)
    try:
        return _pace(shape_of(folder), folder, model.dtype == "bfloat16" and has_tiles())
    except EngineError:
        return None


def entry_pace(entry: Entry, *, tiles: bool) -> Pace:
    """Of a model of the catalogue in bfloat16 on a processor with matrix tiles, or without."""
    return _pace(entry.shape, Path(entry.name), tiles)


@lru_cache(maxsize=32)
def _pace(shape: Shape, folder: Path, tiles: bool) -> Pace:
    budgets = read_budgets(folder, layers=shape.layers, heads=shape.heads, kv_heads=shape.kv_heads)
    tiles = tiles and shape.head_dim in (64, 128)
    return Pace(linear=shape.linear_operations, pair=shape.pair_operations, budgets=budgets, tiles=tiles)
