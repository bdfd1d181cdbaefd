"""The one function registered with transformers' ``AttentionInterface``: Dual Chunk Attention over a ``KVCache``.

It is registered there only, and not as a mask function, so that transformers builds no mask. The model is called with
``position_ids = position % chunk_len`` and without a transformers cache; the step travels as the keyword ``step``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

from engine.gaze import Masses
from engine.kvcache import KVCache
from engine.positions import DualChunk, Relation, rotate, turned, turns
from engine.sparsity.policy import BLOCK, QUERY_BLOCK, Policy, View
from engine.sparsity.recall import RecallGauge
from kernels import tiles
from kernels.attention import attention
from kernels.run_attention import Span, fits, run_attention
from kernels.sparse_attention import sparse_attention

NAME = "lectern_dual_chunk"

# parts held before they are merged, and the size in elements under which they are merged in one go
MERGED_PARTS = 16
SMALL = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One forward pass: ``rows`` new tokens from ``start``, already counted in the cache's last extent.

    inv_freq: [dim / 2], the model's rotary frequencies; on_layer is called before each layer's attention with its
    index, may raise to abandon the pass; policy chooses the keys of this step, None attends to all; gauge, if given,
    is told what was chosen; masses, if given, what is looked at.
    """

    cache: KVCache
    dual_chunk: DualChunk
    inv_freq: Tensor
    start: int
    rows: int
    on_layer: Callable[[int], None] | None = None
    policy: Policy | None = None
    gauge: RecallGauge | None = None
    masses: Masses | None = None
    _turns: dict[Relation, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.dual_chunk.chunk(self.start) != self.dual_chunk.chunk(self.start + self.rows - 1):
            raise ValueError(f"tokens {self.start}..{self.start + self.rows - 1} straddle a chunk border")
        if self.policy is not None and (self.cache.arena is None or self.start % BLOCK):
            raise ValueError("choosing keys needs an arena and a start on a block border")
        if self.policy is not None and self.masses is not None:
            raise ValueError("what is looked at is told of rows that attend to everything")

    def stacked(self, grouped: Tensor, kinds: list[Relation]) -> Tensor:
        """[kv_heads, group, rows, dim] turned for each kind of chunk, the last as it is: [kinds, kv_heads, ...]."""
        found = grouped.new_empty((len(kinds), *grouped.shape))
        found[-1] = grouped
        for number, kind in enumerate(kinds[:-1]):
            if kind not in self._turns:
                # the same for every layer
                first = self.start % self.dual_chunk.chunk_len
                offsets = torch.arange(first, first + self.rows, device=grouped.device)
                self._turns[kind] = turns(self.dual_chunk.shift(kind, offsets), self.inv_freq)
            if tiles.fit(grouped):
                tiles.turn(grouped, *self._turns[kind], found[number])
            else:
                found[number] = turned(grouped, *self._turns[kind])
        return found

    def holes(self) -> tuple[list[int], dict[int, int]]:
        """See ``Arena.holes``; blocks before this step's rows."""
        assert self.cache.arena is not None
        return self.cache.arena.holes(self.cache.extents)


class Attends(Protocol):
    """A step that knows itself where keys and values are."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """[1, rows, heads, dim], as transformers wants it."""
        ...


class Merge:
    """Merges attention parts by their log-sum-exp, in float32, so many at a time."""

    def __init__(self) -> None:
        self._outs: list[Tensor] = []
        self._lses: list[Tensor] = []

    def add(self, out: Tensor, lse: Tensor) -> None:
        """out: [kv_heads, group, rows, dim]; lse: [kv_heads, group, rows]."""
        self._outs.append(out)
        self._lses.append(lse)
        if len(self._outs) == MERGED_PARTS:
            self._fold()

    def result(self) -> Tensor:
        """[kv_heads, group, rows, dim], of at least one part."""
        if len(self._outs) > 1:
            self._fold()
        return self._outs[0]

    @property
    def lse(self) -> Tensor:
        """[kv_heads, group, rows], float32, of the result."""
        return self._lses[0]

    def _fold(self) -> None:
        lses = torch.stack(self._lses)
        total = lses.logsumexp(0)
        weights = (lses - total).exp_()[..., None]  # [parts, kv_heads, group, rows, 1]
        if self._outs[0].numel() < SMALL:
            # one row: the number of calls is what costs
            merged = (torch.stack([out.float() for out in self._outs]) * weights).sum(0)
        else:
            merged = self._outs[0].float() * weights[0]
            for out, weight in zip(self._outs[1:], weights[1:], strict=True):
                merged.addcmul_(out.float(), weight)
        self._outs, self._lses = [merged], [total]


def dual_chunk_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    step: Step | Attends,
    **_: Any,
) -> tuple[Tensor, None]:
    """query: [1, heads, rows, dim]; key, value: [1, kv_heads, rows, dim], rotated to their place in their chunk.

    Writes the new keys and values into the step's cache and returns ([1, rows, heads, dim], None).
    """
    assert attention_mask is None and query.shape[0] == 1
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if not isinstance(step, Step):
        return step.attend(layer, query, key, value, scaling), None
    if step.on_layer is not None:
        step.on_layer(layer)
    step.cache.touch(layer, step.start)
    own = step.cache.write(layer, key[0], value[0])
    kv_heads, rows, dim = key.shape[1:]
    # contiguous once, so that folding the group into the rows is a view for every extent
    grouped = query[0].reshape(kv_heads, -1, rows, dim).contiguous()  # [kv_heads, group, rows, dim]
    sharpness = step.dual_chunk.sharpness(torch.arange(step.start, step.start + rows, device=query.device))
    if sharpness is not None:
        grouped = (grouped * sharpness[:, None]).to(query.dtype)
    if step.policy is not None:
        return _heads_last(_sparse(layer, grouped, scaling, step)), None
    # what is looked at is told by the other way only
    told = step.masses is not None and step.masses.wants(layer)
    if rows > 1 and not told and query.device.type == "cpu":
        whole = _over_runs(layer, grouped, scaling, step)
        if whole is not None:
            return _heads_last(whole), None
    queries = {Relation.INTRA: grouped}
    dual_chunk = step.dual_chunk
    chunk = dual_chunk.chunk(step.start)
    merge = Merge()
    for extent in step.cache.extents:
        relation = dual_chunk.relation(chunk, dual_chunk.chunk(extent.start))
        if relation not in queries:
            offset = step.start % dual_chunk.chunk_len
            offsets = torch.arange(offset, offset + rows, device=query.device)
            queries[relation] = rotate(grouped, dual_chunk.shift(relation, offsets), step.inv_freq)
        merge.add(
            *attention(
                queries[relation],
                extent.keys(layer),
                extent.values(layer),
                # a fresh extent holds just the rows of this step; a single row sees all of its extent
                causal=extent is own and rows > 1,
                scale=scaling,
            )
        )
    result = merge.result()
    if step.masses is not None and told:
        for extent in step.cache.extents:
            if extent is not own or rows == 1:
                kind = dual_chunk.relation(chunk, dual_chunk.chunk(extent.start))
                step.masses.add(layer, queries[kind], extent.keys(layer), merge.lse, extent.start, scaling)
    return _heads_last(result.to(query.dtype)), None


def _heads_last(out: Tensor) -> Tensor:
    """[kv_heads, group, rows, dim] -> [1, rows, heads, dim]"""
    return out.permute(2, 0, 1, 3).flatten(1, 2)[None]


def _over_runs(layer: int, grouped: Tensor, scaling: float, step: Step) -> Tensor | None:
    """Attention to every key of every extent in one go, None where there is no fast form of that."""
    dual_chunk = step.dual_chunk
    chunk = dual_chunk.chunk(step.start)
    relations = [dual_chunk.relation(chunk, dual_chunk.chunk(extent.start)) for extent in step.cache.extents]
    # the rows' own chunk is the last variant
    kinds = [kind for kind in (Relation.INTER, Relation.SUCCESSIVE, Relation.INTRA) if kind in relations]
    spans = [
        Span(extent.keys(layer), extent.values(layer), kinds.index(relation))
        for extent, relation in zip(step.cache.extents, relations, strict=True)
    ]
    if not fits(grouped, spans):
        return None
    return run_attention(step.stacked(grouped, kinds), spans, scale=scaling)


def _sparse(layer: int, grouped: Tensor, scaling: float, step: Step) -> Tensor:
    """Attention to the blocks that the step's policy chooses, from the cache's arena."""
    arena, dual_chunk, policy = step.cache.arena, step.dual_chunk, step.policy
    assert arena is not None and policy is not None
    chunk = dual_chunk.chunk(step.start)
    relations = [Relation.INTER, Relation.SUCCESSIVE, Relation.INTRA][max(0, 2 - chunk) :]
    borders = [0, (chunk - 1) * dual_chunk.chunk_len, chunk * dual_chunk.chunk_len][max(0, 2 - chunk) :]
    borders[0] = 0
    empty, partial = step.holes()
    view = View(
        layer=layer,
        queries=step.stacked(grouped, relations),
        key=arena.keys(layer),
        means=arena.means[layer],
        start=step.start,
        borders=borders,
        scale=scaling,
        empty=empty,
        partial=partial,
    )
    chosen = policy.choose(view)
    if step.gauge is not None:
        step.gauge.look(view, chosen)
    return sparse_attention(
        view.queries,
        view.key,
        arena.values(layer),
        chosen.blocks,
        chosen.counts,
        start=step.start,
        borders=borders,
        block=BLOCK,
        query_block=QUERY_BLOCK,
        scale=scaling,
        partial=partial,
    )


def register() -> str:
    """Make the function known to transformers and return the name to load models with."""
    AttentionInterface.register(NAME, dual_chunk_attention)
    return NAME
