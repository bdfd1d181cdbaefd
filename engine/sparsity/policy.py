"""What a policy is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from engine.budgets import Budgets
from engine.protocol import BLOCK_TOKENS

# tokens of a key block and of a query block; pages and Dual Chunk Attention borders are multiples of both
BLOCK = BLOCK_TOKENS
QUERY_BLOCK = 128
# keys before and at the query block that every policy attends to
SINK = 64
LOCAL = 256
# position from which, and rows from which, choosing pays (tests.bench.prefill measures it)
CROSSOVER = 2048
# the same where attention runs on matrix tiles (kernels.tiles): attending to all keys is cheap up to here. SmolLM2 on
# 16,384 tokens: 20.9 s from 16,384 on, 15.4 s from 8,192, 13.5 s from here, beside other work
CROSSOVER_TILES = 4096
LEAST_ROWS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One layer of one chunk, after its keys and values were written.

    queries: [variants, kv_heads, group, rows, dim], see ``kernels.sparse_attention``; key: [kv_heads, capacity, dim];
    means: [kv_heads, blocks, dim], mean keys; empty: blocks before ``start`` that hold no key; partial: blocks that
    hold fewer than BLOCK, and how many.
    """

    layer: int
    queries: Tensor
    key: Tensor
    means: Tensor
    start: int
    borders: Sequence[int]
    scale: float
    empty: Sequence[int] = ()
    partial: Mapping[int, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.queries.shape[3]

    @property
    def query_blocks(self) -> int:
        return -(-self.rows // QUERY_BLOCK)


@dataclass(frozen=True, slots=True)
class Chosen:
    """blocks: [kv_heads, query blocks, most], of which the first ``counts``, ascending, are attended to. int32."""

    blocks: Tensor
    counts: Tensor


class Policy(Protocol):
    """Chooses key blocks. Stateless between calls; the same view gives the same choice."""

    name: str
    budgets: Budgets

    def choose(self, view: View) -> Chosen: ...

    def keys(self, context: int) -> float:
        """About how many keys a query attends to after ``context`` tokens, averaged over heads: for the time left."""
        ...
