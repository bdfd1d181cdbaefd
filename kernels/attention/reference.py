"""The plain definition, in float32: what every other implementation is held to."""

from __future__ import annotations

import torch
from torch import Tensor

# bounds the score matrix: rows x keys of one step
_ROWS = 1024


def attention(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    """See ``kernels.attention.attention``."""
    keys = key.shape[1]
    outs, lses = [], []
    for first in range(0, query.shape[2], _ROWS):
        rows = query[:, :, first : first + _ROWS].float()
        scores = torch.einsum("hgqd,hkd->hgqk", rows, key.float()) * scale
        if causal:
            column = torch.arange(keys, device=query.device)
            row = torch.arange(first, first + rows.shape[2], device=query.device)
            scores = scores.masked_fill(column[None, :] > row[:, None], float("-inf"))
        lse = scores.logsumexp(-1)
        outs.append(torch.einsum("hgqk,hkd->hgqd", (scores - lse[..., None]).exp(), value.float()))
        lses.append(lse)
    return torch.cat(outs, 2).to(query.dtype), torch.cat(lses, 2)
