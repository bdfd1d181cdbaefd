"""The plain definition, a group at a time."""

from __future__ import annotations

import torch
from torch import Tensor


def quantize(states: Tensor, group: int, *, largest: int) -> tuple[Tensor, Tensor]:
    """See ``kernels.int8_kv.quantize``."""
    tokens, dim = states.shape[-2:]
    codes = torch.empty(states.shape, dtype=torch.int8, device=states.device)
    steps = torch.empty((*states.shape[:-2], -(-tokens // group), 2, dim), device=states.device)
    for number, first in enumerate(range(0, tokens, group)):
        part = states[..., first : first + group, :].float()
        low, high = part.aminmax(dim=-2, keepdim=True)
        step = ((high - low) / (2 * largest)).clamp_(min=1e-12)
        centre = (high + low) / 2
        codes[..., first : first + group, :] = ((part - centre) / step).round_().clamp_(-largest, largest)
        steps[..., number, 0, :], steps[..., number, 1, :] = step[..., 0, :], centre[..., 0, :]
    return codes, steps
