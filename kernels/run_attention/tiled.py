"""On AMX tiles: a piece is one query block of one key head, with every span before it.

A few rows after many keys, a question to a book, would be a piece or two a thread: their keys are cut into parts, and
the parts' results are merged by their log-sum-exp. How many does not depend on the threads, and so neither does a
result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kernels.parallel import each
from kernels.tiles import attend, instructions

if TYPE_CHECKING:
    from kernels.run_attention import Span

Table = npt.NDArray[np.int64]

QUERY_BLOCK = 128
# pieces fewer than FEW are cut into PARTS from so MANY keys on
FEW, PARTS, MANY = 8, 4, 4096


def run_attention(queries: Tensor, spans: Sequence[Span], *, scale: float) -> Tensor:
    """See ``kernels.run_attention.run_attention``."""
    queries = queries.contiguous()
    variants, heads, group, rows, dim = queries.shape
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
    # the longest first, so that no thread is left with one at the end
    firsts = range((rows - 1) // QUERY_BLOCK * QUERY_BLOCK, -1, -QUERY_BLOCK)
    keys = int(table[0, :, 2].sum())
    parts = PARTS if heads * len(firsts) < FEW and keys >= MANY else 1
    out = torch.empty((parts, heads, group, rows, dim), dtype=queries.dtype)
    lses = torch.empty((parts, heads, group, rows))

    def piece(head: int, first: int, part: int) -> None:
        end = min(rows, first + QUERY_BLOCK)
        mine = table[head].copy()
        own = (before + first) * row_bytes
        own_key, own_value = int(mine[-1, 0]) + own, int(mine[-1, 1]) + own
        mine[-1, 2] = before + first
        if parts > 1:
            total = int(mine[:, 2].sum())
            mine = cut(mine, total * part // parts, total * (part + 1) // parts, row_bytes)
            if part < parts - 1:
                own_key = own_value = 0
        mine = mine[mine[:, 2] > 0]
        attend.attend(
            instructions.CONFIGURATION.ctypes.data, at + head * head_step + first * row_bytes, variants, variant_step,
            group, member_step, end - first, dim, mine, len(mine), own_key, own_value, scale,
            out[part, head].data_ptr() + first * row_bytes, lses[part, head].data_ptr() + first * 4, rows * 4,
        )  # fmt: skip

    pieces = [(head, first, part) for first in firsts for head in range(heads) for part in range(parts)]
    each(lambda which: piece(*which), pieces)
    if parts == 1:
        return out[0]
    weights = torch.softmax(lses, 0)[..., None]
    return (out * weights).sum(0).to(queries.dtype)


def cut(table: Table, begin: int, end: int, row_bytes: int) -> Table:
    """Of spans [n, 4], see ``attend``, what lies between the keys ``begin`` and ``end``, counted over all of them."""
    firsts = table[:, 2].cumsum() - table[:, 2]
    skipped = (begin - firsts).clip(0, table[:, 2])
    found = table.copy()
    found[:, :2] += skipped[:, None] * row_bytes
    found[:, 2] = ((end - firsts).clip(0, table[:, 2]) - skipped).clip(0)
    return found
