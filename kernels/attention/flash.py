"""PyTorch's own flash kernels, called where they return the log-sum-exp."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.products import product_dtype


def supports(query: Tensor) -> bool:
    """Whether a flash kernel exists for this tensor's device and dtype."""
    if query.device.type == "cpu":
        return query.dtype in (torch.float32, torch.bfloat16, torch.float16)
    return query.device.type == "cuda" and query.dtype in (torch.bfloat16, torch.float16)


def attention(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    """See ``kernels.attention.attention``.

    Key/value heads travel as the batch. A causal part views one key head for its whole group (stride 0: nothing is
    repeated in memory); any other part folds the group into the rows, so that keys are read once a group.
    """
    heads, group, rows, dim = query.shape
    if causal:
        shape = (heads, group, key.shape[1], dim)
        return _flash(query, key[:, None].expand(shape), value[:, None].expand(shape), causal=True, scale=scale)
    folded = query.reshape(heads, 1, group * rows, dim)
    out, lse = _flash(folded, key[:, None], value[:, None], causal=False, scale=scale)
    return out.reshape(heads, group, rows, dim), lse.reshape(heads, group, rows)


def _flash(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    if query.device.type == "cpu":
        dtype = product_dtype(query)
        # a head is a view repeated over its group: converted once, and viewed again
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query.to(dtype), _as(key, dtype), _as(value, dtype), 0.0, causal, attn_mask=None, scale=scale
        )
        out = out.to(query.dtype)
    else:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, causal, False, scale=scale
        )
    return out, lse[..., : query.shape[2]]


def _as(states: Tensor, dtype: torch.dtype) -> Tensor:
    """states: [kv_heads, 1 or group, rows, dim], of stride 0 along the group."""
    return states if states.dtype is dtype else states[:, :1].to(dtype).expand(states.shape)
