"""Blocks of keys by estimated attention mass, so many a head."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.budgets import Budgets, stride
from engine.sparsity.policy import BLOCK, LOCAL, QUERY_BLOCK, SINK, Chosen, View
from kernels.block_scores import block_scores

# rows of a chunk from which few of them speak for a query block: in a question, what it is about may stand in any row,
# and it has not many
FAR_ROWS = 1024


class BlockPolicy:
    """The blocks with the most estimated mass for each query block, up to the head's budget, and sink and local ones.

    Mass is estimated on sampled rows by the largest logit of each block, against the exact mass of what is attended to
    anyway. Mean keys hide a single key that matters: with 4,096 keys of 32,768 for the heads that copy, the default
    model then copies at a loss of 9.8 nats, not 0.7. Budgets differ by head (``engine.budgets``): equal ones need
    several times the keys for the same loss.
    """

    name = "block"

    def __init__(self, budgets: Budgets, *, by_means: bool = False) -> None:
        """by_means: score as decoding does, which must not look at every key."""
        self.budgets, self.by_means = budgets, by_means

    def keys(self, context: int) -> float:
        return SINK + LOCAL + QUERY_BLOCK / 2 + self.budgets.mean(context)

    def choose(self, view: View) -> Chosen:
        scores = block_scores(
            view.queries,
            view.key,
            view.means,
            start=view.start,
            borders=view.borders,
            block=BLOCK,
            query_block=QUERY_BLOCK,
            scale=view.scale,
            sink=SINK,
            local=LOCAL,
            stride=stride(view.start if view.rows >= FAR_ROWS else 0),
            empty=view.empty,
            partial=view.partial,
            exact=not self.by_means,
        )
        return top_blocks(
            scores, [self.budgets.keys(view.layer, head, view.start) for head in range(len(scores))], view
        )


def top_blocks(scores: Tensor, keys: list[int], view: View) -> Chosen:
    """The best blocks for ``keys[head]`` keys, with the sink and local ones.

    scores: [kv_heads, query blocks, blocks], -inf for those that are attended to anyway or cannot be.
    """
    kept = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    for head, budget in enumerate(keys):
        most = min(budget // BLOCK, scores.shape[2])
        if most:
            best = _largest(scores[head], most)
            kept[head].scatter_(1, best, scores[head].gather(1, best) > float("-inf"))
    return listed(kept, view)


def _largest(scores: Tensor, most: int) -> Tensor:
    """Where the ``most`` largest of each row are, in any order. NumPy's takes a fifth of the time of PyTorch's."""
    if scores.device.type != "cpu":
        return scores.topk(most, -1, sorted=False).indices
    return torch.from_numpy(np.argpartition(scores.numpy(), -most, -1)[:, -most:])


def listed(kept: Tensor, view: View) -> Chosen:
    """``kept`` with the sink and local blocks. kept: [kv_heads, query blocks, blocks], changed in place."""
    for number in range(view.query_blocks):
        own = (view.start + number * QUERY_BLOCK) // BLOCK
        kept[:, number, : min(SINK // BLOCK, own)] = True
        kept[:, number, max(0, own - LOCAL // BLOCK) : own] = True
        kept[:, number, own:] = False
    if len(view.empty):
        kept[:, :, torch.tensor(list(view.empty), device=kept.device)] = False
    counts = kept.sum(-1, dtype=torch.int32)
    blocks = torch.zeros((*counts.shape, int(counts.max())), dtype=torch.int32, device=kept.device)
    # both row by row
    blocks[torch.arange(blocks.shape[-1], device=kept.device) < counts[..., None]] = kept.nonzero()[:, -1].int()
    return Chosen(blocks, counts)
