"""On AMX tiles: a piece is one query block of one key head, whose keys are read where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from kernels.parallel import each
from kernels.sparse_attention.reference import edges
from kernels.tiles import attend, instructions


def sparse_attention(
    queries: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor,
    counts: Tensor,
    *,
    start: int,
    borders: Sequence[int],
    block: int,
    query_block: int,
    scale: float,
    partial: Mapping[int, int],
    lse: Tensor | None,
) -> Tensor:
    """See ``kernels.sparse_attention.sparse_attention``."""
    queries = queries.contiguous()
    variants, heads, group, rows, dim = queries.shape
    out = torch.empty((heads, group, rows, dim), dtype=queries.dtype)
    listed = blocks.numpy()
    cuts = edges(blocks, counts, [border // block for border in borders[1:]]).numpy()
    short = np.array(sorted(partial.items()), np.int64).reshape(-1, 2)
    configuration = instructions.CONFIGURATION.ctypes.data
    variant_step, head_step, member_step = (queries.stride(n) * 2 for n in range(3))
    at, key_at, value_at = queries.data_ptr(), key.data_ptr(), value.data_ptr()
    key_step, value_step = key.stride(0) * 2, value.stride(0) * 2

    def piece(head: int, index: int) -> None:
        first = index * query_block
        last = min(rows, first + query_block)
        attend.attend_listed(
            configuration, at + head * head_step + first * dim * 2, variants, variant_step, group, member_step,
            last - first, dim, key_at + head * key_step, value_at + head * value_step, start + first, block,
            listed[head, index], cuts[head, index], short, scale,
            out.data_ptr() + head * head_step + first * dim * 2,
            0 if lse is None else lse.data_ptr() + (head * group * rows + first) * 4, rows * 4,
        )  # fmt: skip

    # the longest first, so that no thread is left with one at the end
    used = counts.tolist()
    pieces = [(head, index) for head in range(heads) for index in range(blocks.shape[1])]
    pieces.sort(key=lambda which: -used[which[0]][which[1]])
    each(lambda which: piece(*which), pieces)
    return out
