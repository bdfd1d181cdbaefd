"""The plain definition, in float32: what every other implementation is held to."""

from __future__ import annotations

import torch
from torch import Tensor


def paged_decode(
    queries: Tensor,
    key: Tensor,
    value: Tensor | None,
    table: Tensor,
    lengths: Tensor,
    borders: Tensor,
    *,
    scale: float,
    block: int,
    blocks: Tensor | None,
    counts: Tensor | None,
    key_steps: Tensor | None,
    value_steps: Tensor | None,
    block_lse: Tensor | None,
    splits: int,
) -> tuple[Tensor, Tensor]:
    """See ``kernels.paged_decode.paged_decode``."""
    _, heads, group, _ = queries.shape
    page, slots = key.shape[2], int(borders[-1])
    device = queries.device
    kinds = (torch.arange(len(table), device=device)[:, None] >= borders[1:-1]).sum(-1)
    outs, lses = [], []
    if block_lse is not None:
        block_lse.fill_(float("-inf"))
    for head in range(heads):
        if blocks is None or counts is None:
            numbers = torch.arange(slots * page // block, device=device)
        else:
            numbers = blocks[head, : int(counts[head])].long()
        positions = (numbers[:, None] * block + torch.arange(block, device=device)).flatten()
        slot, inner = positions // page, positions % page
        held = inner < lengths[slot]
        physical = table[slot].long()
        keys = _numbers(key, key_steps, head, physical, inner)
        scores = torch.stack(
            [(query.float() @ keys.T) * scale for query in queries[:, head]]
        )  # [variants, group, keys]
        mine = scores.gather(0, kinds[slot][None, None].expand(1, *scores.shape[1:]))[0]
        mine = mine.masked_fill(~held, float("-inf"))
        if block_lse is not None:
            block_lse[head, :, : len(numbers)] = mine.view(group, -1, block).logsumexp(-1)
        lse = mine.logsumexp(-1)
        lses.append(lse)
        if value is not None:
            values = _numbers(value, value_steps, head, physical, inner).masked_fill(~held[:, None], 0.0)
            weights = (mine - lse[:, None]).exp().nan_to_num(0.0)
            outs.append(weights @ values)
    out = torch.stack(outs).to(queries.dtype) if outs else queries.new_empty((heads, group, 0))
    return out, torch.stack(lses)


def _numbers(states: Tensor, steps: Tensor | None, head: int, physical: Tensor, inner: Tensor) -> Tensor:
    """[keys, dim] in float32."""
    found = states[physical, head, inner].float()
    if steps is None:
        return found
    mine = steps[physical, head, inner // (states.shape[2] // steps.shape[2])]  # [keys, 2, dim]
    return found * mine[:, 0] + mine[:, 1]
