"""Linear maps multiplied in another format than they are stored in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AttentionInterface, LlamaConfig, Qwen2Config, Qwen3Config
from transformers.models.llama.modeling_llama import LlamaAttention
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention

from engine.linear import LEAST_ROWS, WideLinear, widen
from kernels import products, tiles


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


@pytest.mark.skipif(not tiles.available(), reason="this processor has no AMX tiles")
@pytest.mark.parametrize(
    ("config_type", "mixer_type"),
    [(LlamaConfig, LlamaAttention), (Qwen2Config, Qwen2Attention), (Qwen3Config, Qwen3Attention)],
)
@pytest.mark.parametrize("rows", [LEAST_ROWS - 1, LEAST_ROWS, 77])
@torch.inference_mode()
def test_a_mixer_lays_heads_out_as_transformers_does(config_type: Any, mixer_type: Any, rows: int) -> None:
    """Queries, keys and values as attention is given them, and what comes back, within bfloat16's rounding."""
    told: list[Tensor] = []

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **given: Any
    ) -> tuple[Tensor, Tensor | None]:
        told.extend((query, key, value))
        assert given["step"] == 5 and given["scaling"] == module.scaling
        return query.transpose(1, 2), None

    AttentionInterface.register("told", attend)
    config = config_type(
        hidden_size=96, num_attention_heads=4, num_key_value_heads=2, head_dim=64, attn_implementation="told"
    )
    mixer = mixer_type(config, 0).to(torch.bfloat16)
    states = torch.randn((1, rows, 96), generator=torch.Generator().manual_seed(rows)).bfloat16()
    angle = torch.arange(rows)[:, None] * 0.3 ** torch.arange(32)[None]
    turns = tuple(torch.cat((half, half), -1)[None].bfloat16() for half in (angle.cos(), angle.sin()))
    wanted, _ = mixer(states, position_embeddings=turns, attention_mask=None, step=5)
    model = SimpleNamespace(config=SimpleNamespace(hidden_act="silu"), model=torch.nn.ModuleList([mixer]))
    widen(model)
    found, _ = mixer(states, position_embeddings=turns, attention_mask=None, step=5)
    for given, expected in zip([*told[3:], found], [*told[:3], wanted], strict=True):
        assert given.shape == expected.shape
        assert (given.float() - expected.float()).abs().max() <= 2**-6 * float(expected.float().abs().max())
