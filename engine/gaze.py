"""Where the model looks: the attention mass of a few heads on every block of the prompt.

Attention over blocks of keys gives a log-sum-exp of each, hence its share of the whole. Summed over all heads that is
mostly sinks and what stands nearest; the heads that look for what is asked are few, and are found by calibration on
questions with known places (QRHead, arXiv 2506.09944; ``engine.calibrate``). A model without them takes all heads and
has what an empty question ("N/A") looks at subtracted.
"""

from __future__ import annotations

import json
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from engine.errors import GazeHeadsBad
from engine.kvcache import KVCache
from engine.protocol import BLOCK_TOKENS, PAGE_TOKENS, Gaze, Prompt
from kernels.decode_row import Watch

if TYPE_CHECKING:
    from engine.model import LanguageModel

FILE = "gaze_heads.json"
# heads that we measured for the models Lectern comes with, by the name of their folder
MEASURED = Path(__file__).parent / "sparsity" / "measured"
# a question that asks nothing
BLANK = "N/A"
# blocks told of one answered token: the rest is a thin mist over everything
HEAVIEST = 48
# one token in so many is watched, from the first on: calibrated heads add 3 to 5 % to it, all heads 5 to 11 %, and an
# answer shall not take 5 % longer for being watched
EVERY, EVERY_OF_ALL = 2, 4
# keys looked at in one product
SLICE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class GazeHeads:
    """weights: [layers, heads], float32, summing to 1; measured: they were calibrated; baseline: what an empty question
    looks at is to be subtracted."""

    weights: Tensor
    measured: bool
    baseline: bool

    @classmethod
    def all(cls, layers: int, heads: int) -> GazeHeads:
        return cls(weights=torch.full((layers, heads), 1.0 / (layers * heads)), measured=False, baseline=True)


def read_heads(folder: Path, *, layers: int, heads: int) -> GazeHeads:
    """The heads beside a checkpoint, else those we measured for it, else all. Raises GazeHeadsBad.

    The file: {"heads": [[layer, head, weight], …], "baseline": bool} and how it was measured.
    """
    path = folder / FILE
    if not path.is_file():
        path = MEASURED / f"{folder.name}.heads.json"
    if not path.is_file():
        return GazeHeads.all(layers, heads)
    try:
        found: Any = json.loads(path.read_text("utf-8"))
        weights = torch.zeros(layers, heads)
        for layer, head, weight in found["heads"]:
            if not (0 <= layer < layers and 0 <= head < heads and weight > 0):
                raise ValueError(f"the model has no head {head} in layer {layer} to be given {weight}")
            weights[layer, head] = weight
        if not weights.any():
            raise ValueError("it names no head")
        return GazeHeads(weights=weights / weights.sum(), measured=True, baseline=bool(found["baseline"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise GazeHeadsBad(str(path), str(error)) from error


def blocks_of(end: int) -> int:
    """How many blocks positions 0 .. end - 1 touch."""
    return -(-end // BLOCK_TOKENS)


class Masses:
    """Attention mass by head and block, told by ``engine.attention`` for rows that run through transformers' modules.

    wanted: [layers, heads], bool; mass: [wanted heads, blocks], float32, summed over rows, in the order of
    ``wanted.nonzero()``. Among several rows, their own keys are not counted, but have their share of
    the whole.
    """

    def __init__(self, wanted: Tensor, blocks: int) -> None:
        self.wanted = wanted
        self.mass = torch.zeros((int(wanted.sum()), blocks))
        self._rows = torch.zeros(wanted.shape, dtype=torch.long)
        self._rows[wanted] = torch.arange(len(self.mass))
        self._layers = wanted.any(1).tolist()

    def wants(self, layer: int) -> bool:
        return bool(self._layers[layer])

    def add(self, layer: int, query: Tensor, key: Tensor, lse: Tensor, start: int, scale: float) -> None:
        """query: [kv_heads, group, rows, dim], rotated for these keys; key: [kv_heads, keys, dim] from position
        ``start``; lse: [kv_heads, group, rows], of the attention to everything."""
        # an answer's rows begin within the last block of its prompt
        key = key[:, : max(0, self.mass.shape[1] * BLOCK_TOKENS - start)]
        if not key.shape[1]:
            return
        heads = self.wanted[layer].nonzero()[:, 0]
        # float32: logits may pass a thousand, where bfloat16 cannot tell one from the next
        rows, whole = query.flatten(0, 1)[heads].float(), lse.flatten(0, 1)[heads, :, None]
        mine = self.mass[self._rows[layer, heads[0]] : self._rows[layer, heads[-1]] + 1]
        for first in range(0, key.shape[1], SLICE):
            keys = key[heads // query.shape[1], first : first + SLICE].float()
            share = (rows @ keys.mT * scale - whole).exp_().sum(1).cpu()  # [heads, keys]
            places = torch.arange(start + first, start + first + share.shape[1]) // BLOCK_TOKENS
            mine.index_add_(1, places, share)


class Gazer:
    """Follows one answer. ``due`` says of each token whether it is watched; ``watch`` goes with those, ``take`` tells
    what it looked at.

    blank: [blocks], what an empty question looks at a row, None where nothing is subtracted.
    """

    def __init__(self, heads: GazeHeads, prompt: Prompt, blank: Tensor | None = None) -> None:
        self.heads = heads
        self._layout = Layout(prompt)
        self._mass = torch.zeros(self._layout.blocks)
        self._masses: Masses | None = None
        self._blank = blank
        self.every = EVERY if heads.measured else EVERY_OF_ALL
        self._tokens = 0

    def due(self) -> bool:
        self._tokens += 1
        return self._tokens % self.every == 1

    def watch(self, cache: KVCache) -> Watch:
        """For a row of ``engine.row``, already counted in the cache."""
        needed = blocks_of(cache.end)
        if needed > len(self._mass):
            self._mass = torch.zeros(needed + PAGE_TOKENS // BLOCK_TOKENS)
        self._mass.zero_()
        return Watch(self.heads.weights, [extent.start for extent in cache.extents], self._mass)

    def masses(self) -> Masses:
        """For a row of transformers' modules."""
        self._masses = Masses(self.heads.weights > 0, self._layout.blocks)
        return self._masses

    def take(self) -> Gaze:
        """What the token fed last looked at."""
        mass = self._mass[: self._layout.blocks]
        if self._masses is not None:
            mass = weighted(self._masses, self.heads)
        if self._blank is not None:
            mass = mass - self._blank
        return self._layout.gaze(mass, measured=self.heads.measured, most=HEAVIEST)


def look(model: LanguageModel, cache: KVCache, ids: array[int], start: int, wanted: Tensor) -> Masses:
    """What ``ids`` at positions from ``start`` look at in the cache, which is left as it was; [wanted heads, blocks].

    wanted: [layers, heads], bool. The tokens attend to everything.
    """
    found = Masses(wanted, blocks_of(start))
    before = len(cache.extents)
    try:
        while ids:
            now = ids[: model.dual_chunk.border_after(start) - start]
            cache.append(model.shape.allocate(start, len(now), len(now)))
            model.hidden(now, start, cache, masses=found)
            start, ids = start + len(now), ids[len(now) :]
    finally:
        del cache.extents[before:]
    return found


class Blanks:
    """What an empty question looks at, a row, after the documents of a prompt. Kept for the last few."""

    def __init__(self, model: LanguageModel, ids: array[int], most: int = 8) -> None:
        self._model, self._ids, self._most = model, ids, most
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()

    def get(self, prompt: Prompt, cache: KVCache) -> Tensor:
        """[blocks of the prompt]; ``cache`` holds at least the prompt's documents."""
        digest = blake2b(digest_size=16)
        for start, segment in zip(prompt.starts, prompt.segments[:-1], strict=False):
            digest.update(start.to_bytes(8) + len(segment.ids).to_bytes(8) + segment.ids.tobytes())
        key = digest.digest()
        if key not in self._kept:
            documents = Prompt(segments=prompt.segments[:-1], stride=prompt.stride)
            start = -(-documents.end // PAGE_TOKENS) * PAGE_TOKENS
            alone = KVCache(cache.shape, cache.arena)
            alone.extents = [extent for extent in cache.extents if extent.start < start]
            heads = self._model.gaze_heads
            masses = look(self._model, alone, self._ids, start, heads.weights > 0)
            self._kept[key] = weighted(masses, heads) / len(self._ids)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        blank = self._kept[key]
        return pad(blank, (0, blocks_of(prompt.end) - len(blank)))


def weighted(masses: Masses, heads: GazeHeads) -> Tensor:
    """One sum over the heads wanted: [blocks]."""
    return heads.weights[masses.wanted] @ masses.mass


class Layout:
    """The blocks of a prompt's segments. The opening is left out: what is looked at there is a sink."""

    def __init__(self, prompt: Prompt) -> None:
        self.blocks = blocks_of(prompt.end)
        segments = torch.full((self.blocks,), -1, dtype=torch.int32)
        inner = torch.zeros(self.blocks, dtype=torch.int32)
        for number, (position, segment) in enumerate(zip(prompt.starts, prompt.segments, strict=True)):
            first, last = position // BLOCK_TOKENS, blocks_of(position + len(segment.ids))
            if number:
                segments[first:last] = number
            inner[first:last] = torch.arange(last - first, dtype=torch.int32)
        self._segments, self._inner = segments, inner
        self._counted = segments >= 0

    def gaze(self, mass: Tensor, *, measured: bool, most: int | None = None) -> Gaze:
        """mass: [blocks], or fewer; the ``most`` heaviest above nothing, if None all, those below nothing too."""
        mass = torch.where(self._counted, pad(mass, (0, self.blocks - len(mass))), 0.0)
        places = mass.nonzero()[:, 0]
        if most is not None:
            places = mass.topk(min(most, len(mass))).indices.sort().values
            places = places[mass[places] > 0]
        return Gaze(
            segments=array("i", self._segments[places].tolist()),
            blocks=array("i", self._inner[places].tolist()),
            weights=array("f", mass[places].tolist()),
            measured=measured,
        )


def write_heads(folder: Path, heads: Sequence[tuple[int, int, float]], *, baseline: bool, **measured: Any) -> Path:
    """Write (layer, head, weight) of the heads chosen, and how they were measured; returns the file."""
    path = folder / FILE
    rows = [[layer, head, round(weight, 4)] for layer, head, weight in heads]
    path.write_text(json.dumps({"heads": rows, "baseline": baseline, **measured}, ensure_ascii=False), "utf-8")
    return path
