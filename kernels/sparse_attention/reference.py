"""Block-sparse attention from plain matrix products: on a CPU faster than PyTorch's flash kernel at the same keys.

A piece is one query block of one key head: its keys and values are gathered once, the scores of all variants are
written side by side into one matrix, and one softmax goes over the whole row, so that nothing has to be merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kernels.parallel import each
from kernels.products import product_dtype

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
    lse: Tensor | None,
) -> Tensor:
    """See ``kernels.sparse_attention.sparse_attention``."""
    variants, heads, group, rows, dim = queries.shape
    dtype = product_dtype(queries)
    scaled = (queries.float() * scale).to(dtype)
    out = torch.empty((heads, group, rows, dim), dtype=queries.dtype, device=queries.device)
    future = torch.full((query_block, query_block), float("-inf"), dtype=dtype, device=queries.device).triu(1)
    # whatever all pieces need is worked out for all at once: small operations cost a piece more than its products
    used = counts.tolist()
    cuts = edges(blocks, counts, [border // block for border in borders[1:]]).tolist()
    whole = key.shape[1] // block
    by_block = (heads, whole, block * dim)
    keys_by_block = key[:, : whole * block].view(by_block)
    values_by_block = value[:, : whole * block].view(by_block)

    def piece(head: int, index: int) -> None:
        first = index * query_block
        last = min(rows, first + query_block)
        own = slice(start + first, start + last)
        count = used[head][index]
        listed = blocks[head, index, :count]
        sides = [edge * block for edge in cuts[head][index]]
        keys = keys_by_block[head].index_select(0, listed).view(-1, dim).to(dtype)
        mine = key[head, own].to(dtype)
        values = value.new_empty((count * block + last - first, dim))
        if count:
            torch.index_select(values_by_block[head], 0, listed, out=values[: count * block].view(count, -1))
        values[count * block :] = value[head, own]
        values = values.to(dtype)
        step = max(32, _SCORES // (len(values) * group))
        for row in range(first, last, step):
            end = min(last, row + step)
            scores = scaled.new_empty((group * (end - row), len(values)))
            for variant in range(variants):
                here = slice(sides[variant], sides[variant + 1])
                if here.start < here.stop:
                    turned = scaled[variant, head, :, row:end].reshape(-1, dim)
                    torch.mm(turned, keys[here].T, out=scores[:, here])
            # a query block lies within one chunk: the last variant is its own
            torch.mm(scaled[-1, head, :, row:end].reshape(-1, dim), mine.T, out=scores[:, sides[-1] :])
            scores[:, sides[-1] :].view(group, end - row, -1).add_(future[row - first : end - first, : last - first])
            for hole in _spare(listed, block, partial) if partial else ():
                scores[:, hole] = float("-inf")
            if lse is not None:
                lse[head, :, row:end] = scores.float().logsumexp(-1).view(group, end - row)
            out[head, :, row:end] = (scores.softmax(-1) @ values).view(group, end - row, dim)

    # the longest first, so that no thread is left with one at the end
    pieces = [(head, index) for head in range(heads) for index in range(blocks.shape[1])]
    pieces.sort(key=lambda which: -used[which[0]][which[1]])
    each(lambda which: piece(*which), pieces)
    return out


def edges(blocks: Tensor, counts: Tensor, borders: Sequence[int]) -> Tensor:
    """For every query block, where in its list each variant begins, and the list's end.

    borders: the first blocks of the second variant and of those after it. [kv_heads, query blocks, variants + 1].
    """
    used = torch.arange(blocks.shape[2], device=blocks.device) < counts[..., None]
    places = [torch.zeros_like(counts), *((used & (blocks < border)).sum(-1) for border in borders), counts]
    return torch.stack(places, -1)


def _spare(listed: Tensor, block: int, partial: Mapping[int, int]) -> list[slice]:
    """The columns of the gathered keys that hold no key."""
    holes = []
    for number, length in partial.items():
        place = int(torch.searchsorted(listed, number))
        if place < len(listed) and int(listed[place]) == number:
            holes.append(slice(place * block + length, (place + 1) * block))
    return holes
