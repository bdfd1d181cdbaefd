"""A program a group of tokens and a part of the channels: once over it for the range, once for the codes."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TOKENS = 32


@triton.jit(do_not_specialize=["tokens", "groups"])
def _quantize(
    states,
    codes,
    steps,
    tokens,
    groups,
    s_line,
    s_token,
    GROUP: tl.constexpr,
    DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    TOKENS: tl.constexpr,
    LARGEST: tl.constexpr,
):
    number, line = tl.program_id(0) % groups, (tl.program_id(0) // groups).to(tl.int64)
    width, lane = tl.arange(0, WIDTH), tl.arange(0, TOKENS)
    wide = width < DIM
    first = number * GROUP
    last = tl.minimum(tokens, first + GROUP)
    states += line * s_line + width[None, :]
    low = tl.full((WIDTH,), float("inf"), tl.float32)
    high = tl.full((WIDTH,), float("-inf"), tl.float32)
    for at in range(first, last, TOKENS):
        held = (at + lane < last)[:, None] & wide[None, :]
        part = tl.load(states + (at + lane).to(tl.int64)[:, None] * s_token, mask=held, other=0.0).to(tl.float32)
        low = tl.minimum(low, tl.min(tl.where(held, part, float("inf")), 0))
        high = tl.maximum(high, tl.max(tl.where(held, part, float("-inf")), 0))
    step = tl.maximum((high - low) / (2 * LARGEST), 1e-12)
    centre = (high + low) / 2
    target = steps + (line * groups + number) * 2 * DIM + width
    tl.store(target, step, mask=wide)
    tl.store(target + DIM, centre, mask=wide)
    for at in range(first, last, TOKENS):
        held = (at + lane < last)[:, None] & wide[None, :]
        part = tl.load(states + (at + lane).to(tl.int64)[:, None] * s_token, mask=held, other=0.0).to(tl.float32)
        code = (part - centre[None, :]) / step[None, :]
        code = tl.minimum(tl.maximum(tl.floor(code + 0.5), -LARGEST), LARGEST)
        place = codes + (line * tokens + (at + lane).to(tl.int64)[:, None]) * DIM + width[None, :]
        tl.store(place, code.to(tl.int8), mask=held)


def quantize(states: Tensor, group: int, *, largest: int) -> tuple[Tensor, Tensor]:
    """See ``kernels.int8_kv.quantize``; exact halves may round to the other side."""
    *outer, tokens, dim = states.shape
    lines = states.reshape(-1, tokens, dim)
    if lines.stride(-1) != 1:
        raise ValueError(f"no Triton kernel for strides {states.stride()}")
    groups = -(-tokens // group)
    codes = torch.empty((*outer, tokens, dim), dtype=torch.int8, device=states.device)
    steps = torch.empty((*outer, groups, 2, dim), device=states.device)
    _quantize[(len(lines) * groups,)](
        lines,
        codes,
        steps,
        tokens,
        groups,
        *lines.stride()[:2],
        GROUP=group,
        DIM=dim,
        WIDTH=triton.next_power_of_2(dim),
        TOKENS=TOKENS,
        LARGEST=largest,
        num_warps=4,
    )
    return codes, steps
