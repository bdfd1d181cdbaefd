"""Keys and values as int8: how far a number moves, and what is refused."""

from __future__ import annotations

import pytest
import torch

from kernels.int8_kv import dequantize, groups, quantize


@pytest.mark.parametrize("tokens", [1, 64, 100, 257])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_number_moves_by_more_than_half_a_step(tokens: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(tokens)
    # a channel that is large, one that is always the same, and one that is far from zero
    states = torch.randn(2, 3, tokens, 8, generator=generator)
    states[..., 1] *= 300
    states[..., 2] = 7
    states[..., 3] += 1000
    states = states.to(dtype)
    codes, steps = quantize(states, 64)
    assert codes.dtype is torch.int8 and steps.shape == (2, 3, groups(tokens, 64), 2, 8)
    back = dequantize(codes, steps, 64, torch.float32)
    allowed = steps[..., 0, :].repeat_interleave(64, 2)[:, :, :tokens] * 0.501
    moved = (back - states.float()).abs()
    # float32 itself cannot tell a thousand and a half step apart
    assert (moved <= allowed + 1e-4).all()
    assert (back[..., 2] == 7).all()
    assert dequantize(codes, steps, 64, dtype).dtype is dtype


def test_steps_of_another_shape_are_refused() -> None:
    codes, steps = quantize(torch.randn(2, 130, 4), 64)
    with pytest.raises(ValueError, match="groups of 32"):
        dequantize(codes, steps, 32, torch.float32)
    with pytest.raises(ValueError, match="steps"):
        dequantize(codes.float(), steps, 64, torch.float32)
