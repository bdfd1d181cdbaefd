"""Block-sparse attention from plain matrix products: on a CPU faster than PyTorch's flash kernel at the same keys.

A piece is one query block of one key head: its keys and values are gathered once, the scores of all variants are
written side by side into one matrix, and one softmax goes over the whole row, so that nothing has to be merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kernels.parallel import each

# scores held at a time, in elements: what the processor's caches can take
_SCORES = 1 << 22


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
) -> Tensor:
    """See ``kernels.sparse_attention.sparse_attention``."""
    variants, heads, group, rows, dim = queries.shape
    scaled = (queries.float() * scale).to(queries.dtype)
    out = torch.empty((heads, group, rows, dim), dtype=queries.dtype, device=queries.device)
    future = torch.full((query_block, query_block), float("-inf"), dtype=queries.dtype, device=queries.device).triu(1)
    border_blocks = torch.tensor([border // block for border in borders[1:]], dtype=torch.int32)

    def piece(head: int, index: int) -> None:
        first = index * query_block
        last = min(rows, first + query_block)
        own = slice(start + first, start + last)
        listed = blocks[head, index, : int(counts[head, index])].cpu()
        keys, values = _gather(key[head], listed, block), _gather(value[head], listed, block)
        cuts = [0, *(torch.searchsorted(listed, border_blocks) * block).tolist(), len(listed) * block]
        spare = _spare(listed, block, partial)
        values = torch.cat((values, value[head, own]))
        step = max(32, _SCORES // (len(values) * group))
        for row in range(first, last, step):
            end = min(last, row + step)
            scores = torch.empty((group * (end - row), len(values)), dtype=queries.dtype, device=queries.device)
            for variant in range(variants):
                here = slice(cuts[variant], cuts[variant + 1])
                if here.start < here.stop:
                    turned = scaled[variant, head, :, row:end].reshape(-1, dim)
                    torch.mm(turned, keys[here].T, out=scores[:, here])
            # a query block lies within one chunk: the last variant is its own
            torch.mm(scaled[-1, head, :, row:end].reshape(-1, dim), key[head, own].T, out=scores[:, cuts[-1] :])
            scores[:, cuts[-1] :].view(group, end - row, -1).add_(future[row - first : end - first, : last - first])
            for hole in spare:
                scores[:, hole] = float("-inf")
            out[head, :, row:end] = (scores.softmax(-1) @ values).view(group, end - row, dim)

    pieces = [(head, index) for index in range(blocks.shape[1]) for head in range(heads)]
    each(lambda which: piece(*which), pieces)
    return out


def _gather(states: Tensor, listed: Tensor, block: int) -> Tensor:
    """Rows of the listed blocks of [capacity, dim]: a view where they lie side by side."""
    if len(listed) == 0:
        return states[:0]
    first, last = int(listed[0]), int(listed[-1])
    if last - first + 1 == len(listed):
        return states[first * block : (last + 1) * block]
    whole = states[: states.shape[0] // block * block].view(-1, block * states.shape[1])
    return whole.index_select(0, listed.to(states.device)).view(-1, states.shape[1])


def _spare(listed: Tensor, block: int, partial: Mapping[int, int]) -> list[slice]:
    """The columns of the gathered keys that hold no key."""
    holes = []
    for number, length in partial.items():
        place = int(torch.searchsorted(listed, number))
        if place < len(listed) and int(listed[place]) == number:
            holes.append(slice(place * block + length, (place + 1) * block))
    return holes
