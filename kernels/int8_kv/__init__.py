"""Keys and values as int8: a step and a centre for every channel of every ``group`` tokens of a head.

A key is ``codes * step + centre``. Keys have channels of very different size (Qwen2.5's biases reach hundreds), so a
step a channel loses far less than a step a token; the centre takes out what a channel has in common, and both can be
folded into the query: q . k = (q * step) . codes + q . centre.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kernels.int8_kv import reference

Impl = Literal["triton", "reference"]

LARGEST = 127
# tokens that share a step: steps and centres then take 3 % of what the codes take (ARCHITECTURE.md has what was tried)
GROUP = 256


def groups(tokens: int, group: int) -> int:
    return -(-tokens // group)


def quantize(states: Tensor, group: int, *, impl: Impl | None = None) -> tuple[Tensor, Tensor]:
    """states: [..., tokens, dim], any float -> codes: the same shape, int8; steps: [..., groups, 2, dim], float32.

    ``steps[..., 0, :]`` are the steps, ``steps[..., 1, :]`` the centres. No value moves by more than half a step, half
    of a 254th of its channel's range in its group. impl: None takes Triton for tensors on a GPU.
    """
    if impl is None:
        impl = "triton" if states.is_cuda else "reference"
    if impl == "reference":
        return reference.quantize(states, group, largest=LARGEST)
    from kernels.int8_kv import triton

    return triton.quantize(states, group, largest=LARGEST)


def dequantize(codes: Tensor, steps: Tensor, group: int, dtype: torch.dtype) -> Tensor:
    """codes: [..., tokens, dim], from the beginning of a group on; steps: [..., groups, 2, dim]. Raises ValueError."""
    tokens, dim = codes.shape[-2:]
    if steps.shape != (*codes.shape[:-2], groups(tokens, group), 2, dim) or codes.dtype is not torch.int8:
        raise ValueError(f"steps {tuple(steps.shape)} are not those of {tuple(codes.shape)} in groups of {group}")
    out = torch.empty(codes.shape, dtype=dtype, device=codes.device)
    # all whole groups at once, and the last one
    whole = tokens // group
    for first, last in ((0, whole), (whole, groups(tokens, group))):
        if first < last:
            part = slice(first * group, last * group)
            size = min(group, tokens - first * group)
            step, centre = steps[..., first:last, :1, :], steps[..., first:last, 1:, :]
            codes_of = torch.unflatten(codes[..., part, :], -2, (last - first, size)).float()
            out[..., part, :] = codes_of.mul_(step).add_(centre).flatten(-3, -2)
    return out
