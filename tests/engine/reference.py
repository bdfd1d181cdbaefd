"""An explicit relative-position Dual Chunk Attention for whole models, to hold the engine to.

The model is run with all position ids zero, which makes transformers' rotary embedding the identity, so that queries
and keys arrive unrotated; every pair is then scored at the relative position that the paper's table gives it, the
whole matrix at once. Shares nothing with engine/.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def turned(states: Tensor, positions: Tensor, inv_freq: Tensor) -> Tensor:
    """states: [heads, tokens, dim], each token rotated to its position; float64."""
    angle = positions.double()[:, None] * inv_freq.double()
    half = states.shape[-1] // 2
    first, second = states[..., :half].double(), states[..., half:].double()
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], dim=-1)


def scores(query: Tensor, key: Tensor, positions: Tensor, chunk_size: int, local_size: int, inv_freq: Tensor) -> Tensor:
    """query, key: [heads, tokens, dim], unrotated: [heads, tokens, tokens] before scale and mask."""
    chunk_len = chunk_size - local_size
    inside, chunk = positions % chunk_len, positions // chunk_len
    keys = turned(key, inside, inv_freq).transpose(1, 2)
    intra = turned(query, inside, inv_freq) @ keys
    successive = turned(query, torch.minimum(inside + chunk_len, torch.tensor(chunk_size)), inv_freq) @ keys
    inter = turned(query, torch.full_like(inside, chunk_size), inv_freq) @ keys
    distance = chunk[:, None] - chunk[None, :]
    return torch.where(distance == 0, intra, torch.where(distance == 1, successive, inter))


def reference_logits(
    folder: Path,
    ids: Sequence[int],
    positions: Sequence[int],
    *,
    chunk_size: int,
    local_size: int,
    yarn: bool = False,
) -> Tensor:
    """[tokens, vocabulary] in float32, for every token of the prompt at its position."""
    from transformers import AttentionInterface, AutoModelForCausalLM

    place = torch.tensor(list(positions))

    def explicit(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *, scaling: float, **_: Any
    ) -> tuple[Tensor, None]:
        assert attention_mask is None
        group = query.shape[1] // key.shape[1]
        keys, values = key[0].repeat_interleave(group, 0), value[0].repeat_interleave(group, 0)
        pairs = scores(query[0], keys, place, chunk_size, local_size, model.model.rotary_emb.inv_freq) * scaling
        if yarn:
            stretch = torch.clamp(place.double() / chunk_size, min=1.0)
            pairs = pairs * (0.1 * torch.log(stretch) + 1)[None, :, None] ** 2
        future = torch.ones(len(place), len(place), dtype=torch.bool).triu(1)
        weights = pairs.masked_fill(future, float("-inf")).softmax(-1)
        return (weights @ values.double()).float().transpose(0, 1)[None], None

    AttentionInterface.register("lectern_test_explicit", explicit)
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="lectern_test_explicit"
    )
    with torch.inference_mode():
        tokens = torch.tensor(list(ids))[None]
        output = model(input_ids=tokens, position_ids=torch.zeros_like(tokens), use_cache=False)
    return output.logits[0]


def random_ids(count: int, vocabulary: int = 384, seed: int = 1) -> array[int]:
    generator = torch.Generator().manual_seed(seed)
    return array("i", torch.randint(3, vocabulary, (count,), generator=generator).tolist())
