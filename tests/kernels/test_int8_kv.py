"""Keys and values as int8: how far a number moves, and what is refused."""

from __future__ import annotations

import pytest
import torch

from kernels.int8_kv import dequantize, groups, quantize
from tests.kernels.interpreter import Interpreter


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


def _near(codes: torch.Tensor, steps: torch.Tensor, states: torch.Tensor, group: int) -> None:
    """As the reference, but for halves that may round either way."""
    wanted_codes, wanted_steps = quantize(states.cpu(), group, impl="reference")
    assert (codes.cpu().int() - wanted_codes.int()).abs().max() <= 1
    assert (codes.cpu() != wanted_codes).float().mean() < 1e-3
    torch.testing.assert_close(steps.cpu(), wanted_steps, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("tokens", "group", "dim"), [(1, 256, 64), (257, 64, 128), (100, 32, 40)])
def test_triton_quantizes_interpreted(
    interpreter: Interpreter, tokens: int, group: int, dim: int, dtype: torch.dtype
) -> None:
    states = torch.randn(2, 3, tokens + 2, dim, generator=torch.Generator().manual_seed(tokens)).to(dtype)[:, :, 1:-1]
    _near(*interpreter(quantize, states, group), states, group)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_cuda_quantizes(dtype: torch.dtype) -> None:
    states = torch.randn(2, 3, 1000, 128).to(dtype)
    _near(*quantize(states.cuda(), 256), states, 256)
