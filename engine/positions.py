"""Dual Chunk Attention positions (Qwen2.5-1M, arXiv 2501.15383; DCA, arXiv 2402.17463).

A position is cut into chunks of ``chunk_len``. Keys are rotated once by their place in their own chunk and never again;
queries are rotated further, by what kind of chunk they look at, so that no relative distance leaves the trained window.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from engine.protocol import PAGE_TOKENS


class Relation(Enum):
    """What the chunk of some keys is to the chunk of a query."""

    INTRA = "intra"
    SUCCESSIVE = "successive"
    INTER = "inter"


@dataclass(frozen=True, slots=True, kw_only=True)
class DualChunk:
    """chunk_size: the trained window; local_size: how far the chunk before is seen at true distances. In tokens.

    yarn: sharpen the attention of queries beyond the trained window.
    """

    chunk_size: int
    local_size: int
    yarn: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.local_size < self.chunk_size:
            raise ValueError(f"local_size must lie between 0 and chunk_size {self.chunk_size}, not {self.local_size}")

    @property
    def chunk_len(self) -> int:
        return self.chunk_size - self.local_size

    def check_pages(self) -> None:
        """Raise ValueError unless pages fall evenly into chunks."""
        if self.chunk_len % PAGE_TOKENS:
            raise ValueError(f"chunk_len must be a multiple of {PAGE_TOKENS}, not {self.chunk_len}")

    def chunk(self, position: int) -> int:
        return position // self.chunk_len

    def border_after(self, position: int) -> int:
        """The first position of the chunk after the one that holds ``position``."""
        return (position // self.chunk_len + 1) * self.chunk_len

    def relation(self, query_chunk: int, key_chunk: int) -> Relation:
        """Raises ValueError for keys after the query."""
        if key_chunk > query_chunk:
            raise ValueError(f"keys of chunk {key_chunk} are in the future of chunk {query_chunk}")
        if key_chunk == query_chunk:
            return Relation.INTRA
        return Relation.SUCCESSIVE if key_chunk == query_chunk - 1 else Relation.INTER

    def shift(self, relation: Relation, offsets: Tensor) -> Tensor:
        """How much further to rotate queries at ``offsets`` (position modulo chunk_len): int64, same shape."""
        if relation is Relation.INTRA:
            return torch.zeros_like(offsets)
        if relation is Relation.SUCCESSIVE:
            return (offsets + self.chunk_len).clamp(max=self.chunk_size) - offsets
        return self.chunk_size - offsets

    def sharpness(self, positions: Tensor) -> Tensor | None:
        """What to multiply queries at ``positions`` by, float32 of the same shape, None where it is 1 for all.

        YaRN's temperature (arXiv 2309.00071), (0.1 ln(s) + 1) ** 2 as queries alone carry it, with s taken from the
        query's own position, position / chunk_size: keys stay what they are however long the context grows.
        """
        if not self.yarn or int(positions.max()) < self.chunk_size:
            return None
        return (0.1 * (positions.double() / self.chunk_size).clamp(min=1.0).log() + 1.0).square().float()


def rotate(states: Tensor, shift: Tensor, inv_freq: Tensor) -> Tensor:
    """Rotate by ``shift`` more positions, in float32, in the half-split convention of transformers.

    states: [..., rows, dim]; shift: [rows]; inv_freq: [dim / 2]. Returns states' shape and dtype.
    """
    return turned(states, *turns(shift, inv_freq))


def turns(shift: Tensor, inv_freq: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of the angles of ``shift`` positions: [rows, dim / 2] each, float32, worked out in float64."""
    angle = shift.to(torch.float64)[:, None] * inv_freq.to(torch.float64)
    return angle.cos().float(), angle.sin().float()


def turned(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``rotate`` by angles that are known."""
    first, second = states.float().chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(states.dtype)
