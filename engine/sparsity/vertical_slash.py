"""Vertical-slash selection (MInference, arXiv 2407.02490; over Dual Chunk Attention: Qwen2.5-1M, arXiv 2501.15383)."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.budgets import Budgets
from engine.sparsity.block import listed
from engine.sparsity.policy import BLOCK, LOCAL, QUERY_BLOCK, SINK, Chosen, View

# the last so many rows of a chunk stand for it
LAST = 64


class VerticalSlashPolicy:
    """The columns and the diagonals that the chunk's last rows attend to most, for every query block of the chunk.

    A head's budget is cut in halves, for verticals and slashes; both are rounded out to blocks of keys. A key head's
    group shares what it chooses. Scores use the queries as they attend; the papers' critical queries, rotated further
    for the choice alone, are not tried here.
    """

    name = "vertical_slash"

    def __init__(self, budgets: Budgets) -> None:
        self.budgets = budgets

    def keys(self, context: int) -> float:
        return SINK + LOCAL + QUERY_BLOCK / 2 + self.budgets.mean(context)

    def choose(self, view: View) -> Chosen:
        heads = view.queries.shape[1]
        total = -(-(view.start + view.rows) // BLOCK)
        kept = torch.zeros((heads, view.query_blocks, total), dtype=torch.bool, device=view.key.device)
        for head in range(heads):
            share = _shares(view, head)  # [rows, keys]
            half = max(1, self.budgets.keys(view.layer, head, view.start) // BLOCK // 2)
            self._verticals(kept[head], share, half)
            self._slashes(kept[head], share, half, view)
        return listed(kept, view)

    @staticmethod
    def _verticals(kept: Tensor, share: Tensor, most: int) -> None:
        columns = _by_block(share.sum(0), kept.shape[1])
        kept[:, columns.topk(min(most, len(columns))).indices] = True

    @staticmethod
    def _slashes(kept: Tensor, share: Tensor, most: int, view: View) -> None:
        rows, keys = share.shape
        # diagonal d holds the pairs of a row and the key d before it; rows are the last ones
        back = torch.arange(keys - rows, keys, device=share.device)[:, None] - torch.arange(keys, device=share.device)
        sums = torch.zeros(keys, device=share.device)
        seen = back >= 0
        sums.index_add_(0, back[seen], share[seen])
        distances = _by_block(sums, -(-keys // BLOCK)).topk(min(most, -(-keys // BLOCK))).indices
        for number in range(kept.shape[0]):
            own = (view.start + number * QUERY_BLOCK) // BLOCK
            # a diagonal a block wide crosses a query block's rows from its first to its last key
            for step in range(-1, QUERY_BLOCK // BLOCK):
                blocks = own + step - distances
                kept[number, blocks[(blocks >= 0) & (blocks < own)]] = True


def _by_block(values: Tensor, blocks: int) -> Tensor:
    """Sums of BLOCK values each: [blocks]."""
    return torch.nn.functional.pad(values, (0, blocks * BLOCK - len(values))).view(blocks, BLOCK).sum(1)


def _shares(view: View, head: int) -> Tensor:
    """Softmax of the last rows of a key head's group over all keys, summed over the group: [rows, keys], float32."""
    rows = min(LAST, view.rows)
    end = view.start + view.rows
    dim = view.queries.shape[-1]
    queries = view.queries[:, head, :, view.rows - rows :]
    group = queries.shape[1]
    parts = []
    starts = [*view.borders, end]
    for variant in range(len(view.borders)):
        here = view.key[head, starts[variant] : starts[variant + 1]]
        parts.append((queries[variant].reshape(-1, dim) @ here.T).float())
    logits = torch.cat(parts, 1).view(group, rows, end) * view.scale
    row = torch.arange(end - rows, end, device=logits.device)[:, None]
    logits.masked_fill_(torch.arange(end, device=logits.device)[None, :] > row, float("-inf"))
    for number in view.empty:
        logits[:, :, number * BLOCK : (number + 1) * BLOCK] = float("-inf")
    for number, length in view.partial.items():
        logits[:, :, number * BLOCK + length : (number + 1) * BLOCK] = float("-inf")
    return logits.softmax(-1).sum(0)
