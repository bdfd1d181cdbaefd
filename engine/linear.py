"""The model's linear maps, multiplied in the number format that this machine multiplies fastest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernels.products import product_dtype

# rows from which converting the weights at every call is cheap beside the product
LEAST_ROWS = 64


class WideLinear(torch.nn.Linear):
    """Holds its weights as they are stored, and converts them to multiply: twice the speed, at no memory that stays."""

    def forward(self, states: Tensor) -> Tensor:
        """states: [..., rows, in] -> [..., rows, out], of the states' dtype."""
        dtype = product_dtype(states)
        if dtype is states.dtype or states.shape[-2] < LEAST_ROWS:
            return super().forward(states)
        bias = None if self.bias is None else self.bias.to(dtype)
        return torch.nn.functional.linear(states.to(dtype), self.weight.to(dtype), bias).to(states.dtype)


def widen(model: Any) -> None:
    """Make the linear maps of a model's layers ``WideLinear``, in place."""
    for module in model.model.layers.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = WideLinear
