"""Linear maps multiplied in another format than they are stored in."""

from __future__ import annotations

import pytest
import torch

from engine.linear import LEAST_ROWS, WideLinear
from kernels import products


@pytest.mark.parametrize("rows", [1, LEAST_ROWS - 1, LEAST_ROWS, 129])
@pytest.mark.parametrize("bias", [False, True])
def test_only_the_products_are_wide(monkeypatch: pytest.MonkeyPatch, rows: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    linear = WideLinear(48, 31, bias=bias, dtype=torch.bfloat16).requires_grad_(False)
    for parameter in linear.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    states = torch.randn((1, rows, 48), generator=generator).bfloat16()
    exact = torch.nn.functional.linear(states.double(), linear.weight.double(), linear.bias.double() if bias else None)
    monkeypatch.setattr(products, "_slow_bfloat16", lambda: True)
    out = linear(states)
    assert out.dtype is torch.bfloat16 and linear.weight.dtype is torch.bfloat16
    # one rounding, of the result, where it is wide
    assert ((out.double() - exact).abs() <= exact.abs() * 2**-8 + 1e-5).all() or rows < LEAST_ROWS
    monkeypatch.setattr(products, "_slow_bfloat16", lambda: False)
    assert torch.equal(linear(states), torch.nn.functional.linear(states, linear.weight, linear.bias))
