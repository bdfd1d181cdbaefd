"""Plain matrix products, a few query blocks of one key head at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kernels.parallel import each

# query blocks scored at a time: enough rows for the matrix product, few enough to spread over threads
_TOGETHER = 4


def block_scores(
    queries: Tensor,
    key: Tensor,
    means: Tensor,
    *,
    start: int,
    borders: Sequence[int],
    block: int,
    query_block: int,
    scale: float,
    sink: int,
    local: int,
    stride: int,
    empty: Sequence[int],
    partial: Mapping[int, int],
    exact: bool,
) -> Tensor:
    """See ``kernels.block_scores.block_scores``."""
    variants, heads, group, rows, dim = queries.shape
    query_blocks = -(-rows // query_block)
    total = -(-(start + rows) // block)
    # float32 throughout: with large biases on its keys (Qwen2.5) a model's logits reach a thousand and more, where
    # bfloat16 cannot tell one block from another
    sampled = queries[:, :, :, stride // 2 :: stride].float() * scale
    a_block = -(-query_block // stride)  # sampled rows of a query block
    scores = torch.full((heads, query_blocks, total), float("-inf"), device=queries.device)
    nothing = torch.tensor(list(empty), dtype=torch.long, device=queries.device)
    starts = [*borders, 1 << 62]

    def pairs(head: int, first: int, last: int, keys: Tensor, begin: int, size: int) -> Tensor:
        """Logits of sampled rows first..last with keys (or means) of ``size`` tokens each from position ``begin``."""
        end = begin + len(keys) * size
        out = sampled.new_empty((group * (last - first), len(keys)))
        keys = keys.float()
        for variant in range(variants):
            here = slice((max(begin, starts[variant]) - begin) // size, (min(end, starts[variant + 1]) - begin) // size)
            if here.start < here.stop:
                turned = sampled[variant, head, :, first:last].reshape(-1, dim)
                torch.mm(turned, keys[here].T, out=out[:, here])
        return out.view(group, last - first, len(keys))

    def piece(head: int, index: int) -> None:
        ends = range(index, min(query_blocks, index + _TOGETHER))
        # candidates of the latest of these query blocks; those too near for the others are masked below
        nearest = (start + ends[-1] * query_block - local) // block
        lead = sink // block
        if nearest <= lead:
            return
        first = index * a_block
        last = min(sampled.shape[3], (ends[-1] + 1) * a_block)
        if first >= last:
            return
        if exact:
            every = pairs(head, first, last, key[head, lead * block : nearest * block], lead * block, 1)
            for number, length in partial.items():
                if lead <= number < nearest:
                    every[:, :, (number - lead) * block + length : (number - lead + 1) * block] = float("-inf")
            far = every.view(*every.shape[:2], -1, block).amax(-1)
        else:
            far = pairs(head, first, last, means[head, lead:nearest], lead * block, block) + math.log(block)
        if len(nothing):
            gone = nothing[(nothing >= lead) & (nothing < nearest)] - lead
            far[:, :, gone] = float("-inf")
        for number in ends:
            mine = slice((number - index) * a_block, min((number + 1 - index) * a_block, last - first))
            candidates = (start + number * query_block - local) // block - lead
            if mine.start >= mine.stop or candidates <= 0:
                continue
            near = _near(head, number, first + mine.start, first + mine.stop)
            logits = far[:, mine, :candidates]
            whole = torch.logaddexp(logits.logsumexp(-1), near)
            share = (logits - whole[..., None]).exp_().mean((0, 1))
            scores[head, number, lead : lead + candidates] = share

    def _near(head: int, number: int, first: int, last: int) -> Tensor:
        """Log-sum-exp over the sink, the local keys and the query block itself: [group, rows]."""
        own = start + number * query_block
        end = min(start + rows, own + query_block)
        begin = (own - local) // block * block
        parts = pairs(head, first, last, key[head, begin:end], begin, 1)
        row = torch.arange(first, last, device=queries.device) * stride + stride // 2 + start
        later = torch.arange(begin, end, device=queries.device)[None, :] > row[:, None]
        lse = parts.masked_fill_(later, float("-inf")).logsumexp(-1)
        if sink:
            lse = torch.logaddexp(lse, pairs(head, first, last, key[head, :sink], 0, 1).logsumexp(-1))
        return lse

    each(lambda which: piece(*which), [(h, i) for i in range(0, query_blocks, _TOGETHER) for h in range(heads)])
    if len(nothing):
        scores[:, :, nothing[nothing < total]] = float("-inf")
    return scores
