"""On AMX tiles: a piece is one query block of one key head, with every span before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kernels.parallel import each
from kernels.tiles import attend, instructions

if TYPE_CHECKING:
    from kernels.run_attention import Span

QUERY_BLOCK = 128


def run_attention(queries: Tensor, spans: Sequence[Span], *, scale: float) -> Tensor:
    """See ``kernels.run_attention.run_attention``."""
    queries = queries.contiguous()
    variants, heads, group, rows, dim = queries.shape
    out = torch.empty((heads, group, rows, dim), dtype=queries.dtype)
    variant_step, head_step, member_step = (queries.stride(n) * 2 for n in range(3))
    at, row_bytes = queries.data_ptr(), dim * 2
    last = spans[-1]
    before = last.key.shape[1] - rows  # keys of the last span ahead of the rows' own
    table = np.array(
        [
            [
                (
                    span.key.data_ptr() + head * span.key.stride(0) * 2,
                    span.value.data_ptr() + head * span.value.stride(0) * 2,
                    span.key.shape[1],
                    span.variant,
                )
                for span in spans
            ]
            for head in range(heads)
        ],
        np.int64,
    )

    def piece(head: int, first: int) -> None:
        end = min(rows, first + QUERY_BLOCK)
        mine = table[head].copy()
        mine[-1, 2] = before + first
        own = (before + first) * row_bytes
        attend.attend(
            instructions.CONFIGURATION.ctypes.data, at + head * head_step + first * row_bytes, variants, variant_step,
            group, member_step, end - first, dim, mine, len(mine) if mine[-1, 2] else len(mine) - 1,
            int(mine[-1, 0]) + own, int(mine[-1, 1]) + own, scale,
            out.data_ptr() + head * head_step + first * row_bytes, 0, 0,
        )  # fmt: skip

    # the longest first, so that no thread is left with one at the end
    firsts = range((rows - 1) // QUERY_BLOCK * QUERY_BLOCK, -1, -QUERY_BLOCK)
    each(lambda which: piece(*which), [(head, first) for first in firsts for head in range(heads)])
    return out
