"""The model's linear maps, multiplied in the number format that this machine multiplies fastest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from kernels import tiles
from kernels.products import product_dtype

# rows from which converting the weights at every call is cheap beside the product
LEAST_ROWS = 64
# whose attention is that of ``_Mixer``
MIXERS = ("LlamaAttention", "Qwen2Attention", "Qwen3Attention")


class WideLinear(torch.nn.Linear):
    """Holds its weights as they are stored, and converts them to multiply: twice the speed, at no memory that stays."""

    def forward(self, states: Tensor) -> Tensor:
        """states: [..., rows, in] -> [..., rows, out], of the states' dtype."""
        dtype = product_dtype(states)
        if dtype is states.dtype or states.shape[-2] < LEAST_ROWS:
            return super().forward(states)
        bias = None if self.bias is None else self.bias.to(dtype)
        return torch.nn.functional.linear(states.to(dtype), self.weight.to(dtype), bias).to(states.dtype)


class _OnePass:
    """A module of transformers whose ``forward`` is one pass over memory where there is a compiled one."""

    def fast(self, states: Tensor) -> bool:
        """Whether it is worth it: [..., rows, hidden]."""
        few = states.shape[-2] < LEAST_ROWS
        return not few and states.dtype is torch.bfloat16 and states.device.type == "cpu" and tiles.available()


class _Norm(_OnePass):
    weight: Tensor
    variance_epsilon: float

    def forward(self, hidden_states: Tensor) -> Tensor:
        if not self.fast(hidden_states):
            return super().forward(hidden_states)  # type: ignore[misc,no-any-return]
        return tiles.norm(hidden_states, self.weight, self.variance_epsilon)


class _Mlp(_OnePass):
    gate_proj: torch.nn.Module
    up_proj: torch.nn.Module
    down_proj: torch.nn.Module

    def forward(self, x: Tensor) -> Tensor:
        if not self.fast(x):
            return super().forward(x)  # type: ignore[misc,no-any-return]
        return self.down_proj(tiles.gate(self.gate_proj(x), self.up_proj(x)))  # type: ignore[no-any-return]


class _Mixer(_OnePass):
    """Attention of the Llama family: its queries and keys are rotated and laid out by heads in one pass."""

    q_proj: torch.nn.Module
    k_proj: torch.nn.Module
    v_proj: torch.nn.Module
    o_proj: torch.nn.Module
    head_dim: int
    scaling: float
    config: Any

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **given: Any,
    ) -> tuple[Tensor, Tensor | None]:
        plain = past_key_values is not None or position_embeddings is None or self.head_dim not in (64, 128)
        if plain or hidden_states.shape[0] != 1 or not self.fast(hidden_states):
            return super().forward(  # type: ignore[misc,no-any-return]
                hidden_states,
                position_embeddings=position_embeddings,
                attention_mask=attention_mask,
                past_key_values=past_key_values,
                **given,
            )
        rows = hidden_states.shape[1]
        query, key, value = (
            project(hidden_states).view(rows, -1, self.head_dim) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if hasattr(self, "q_norm"):
            query, key = self.q_norm(query), self.k_norm(key)  # type: ignore[attr-defined]
        assert position_embeddings is not None
        cos, sin = (half[0, :, : self.head_dim // 2].float() for half in position_embeddings)
        attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        mixed, shares = attend(
            self,
            tiles.turn_heads(query, cos, sin)[None],
            tiles.turn_heads(key, cos, sin)[None],
            value.transpose(0, 1)[None],
            attention_mask,
            scaling=self.scaling,
            **given,
        )
        return self.o_proj(mixed.reshape(1, rows, -1)), shares


def widen(model: Any) -> None:
    """Make a model's linear maps ``WideLinear`` and join what stands between them, in place."""
    silu = model.config.hidden_act == "silu"
    for module in model.model.modules():
        kind = type(module)
        if kind is torch.nn.Linear:
            module.__class__ = WideLinear
        elif kind.__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.__class__ = type(kind.__name__, (_Norm, kind), {})
        elif silu and kind.__name__.endswith("MLP") and hasattr(module, "gate_proj"):
            module.__class__ = type(kind.__name__, (_Mlp, kind), {})
        elif kind.__name__ in MIXERS:
            module.__class__ = type(kind.__name__, (_Mixer, kind), {})
