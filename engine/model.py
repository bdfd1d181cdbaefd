"""The weights, run through transformers' own modules with our attention."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from typing import Any

# transformers asks the hub about optional files unless told; a checkpoint is a local folder here
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from engine import attention
from engine.config import EngineConfig
from engine.errors import CheckpointDamaged, CheckpointUnsupported, NumericalFailure
from engine.kvcache import Extent, KVCache, KVShape
from engine.positions import DualChunk

FAMILIES = ("llama", "qwen2", "qwen3")


class LanguageModel:
    """A Llama, Qwen2 or Qwen3 model on one device. Not thread-safe."""

    def __init__(self, config: EngineConfig) -> None:
        self.dual_chunk = DualChunk(chunk_size=config.chunk_size, local_size=config.local_size)
        self.device = torch.device(config.device)
        dtype: torch.dtype = getattr(torch, config.dtype)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        transformers_logging.disable_progress_bar()
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                config.folder, dtype=dtype, attn_implementation=attention.register(), local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointDamaged(str(config.folder), str(error)) from error
        family = str(loaded.config.model_type)
        if family not in FAMILIES:
            raise CheckpointUnsupported(str(config.folder), f"its family is {family}")
        self.model = loaded.to(self.device).eval().requires_grad_(False)
        text: Any = loaded.config
        heads = int(text.num_attention_heads)
        self.heads = heads
        self.shape = KVShape(
            layers=int(text.num_hidden_layers),
            kv_heads=int(text.num_key_value_heads),
            dim=int(getattr(text, "head_dim", None) or text.hidden_size // heads),
            dtype=dtype,
            device=self.device,
        )
        self.inv_freq: Tensor = self.model.model.rotary_emb.inv_freq.detach().float()
        embedding = self.model.get_input_embeddings().weight.numel()
        self.layer_parameters = int(sum(p.numel() for p in self.model.model.parameters()) - embedding)

    def work(self, before: int, tokens: int) -> float:
        """Floating-point operations of a dense prefill of ``tokens`` after ``before``."""
        pairs = before * tokens + tokens * tokens / 2
        return 2.0 * self.layer_parameters * tokens + 4.0 * self.heads * self.shape.dim * self.shape.layers * pairs

    @torch.inference_mode()
    def hidden(
        self, ids: array[int], start: int, cache: KVCache, on_layer: Callable[[int], None] | None = None
    ) -> Tensor:
        """Run ``ids`` at positions from ``start``, already counted in the cache's last extent: [rows, hidden]."""
        step = attention.Step(
            cache=cache,
            dual_chunk=self.dual_chunk,
            inv_freq=self.inv_freq,
            start=start,
            rows=len(ids),
            on_layer=on_layer,
        )
        first = start % self.dual_chunk.chunk_len
        tokens = torch.tensor(ids, dtype=torch.long, device=self.device)[None]
        positions = torch.arange(first, first + len(ids), device=self.device)[None]
        output = self.model.model(input_ids=tokens, position_ids=positions, use_cache=False, step=step)
        return output.last_hidden_state[0]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] -> [rows, vocabulary] in float32."""
        return self.model.lm_head(hidden).float()  # type: ignore[no-any-return]

    @torch.inference_mode()
    def prefill(
        self, ids: array[int], start: int, cache: KVCache, on_layer: Callable[[int], None] | None = None
    ) -> tuple[Extent, Tensor]:
        """Read one chunk into a new extent of the cache: the extent, and the last row's hidden state [hidden].

        Whatever fails, the cache is left as it was. Raises NumericalFailure before anything wrong can be kept.
        """
        extent = self.shape.allocate(start, len(ids), len(ids))
        cache.append(extent)
        try:
            hidden = self.hidden(ids, start, cache, on_layer)
            check_finite(extent, hidden)
        except BaseException:
            cache.drop_last()
            raise
        return extent, hidden[-1]

    @torch.inference_mode()
    def step(self, token: int, cache: KVCache) -> Tensor:
        """Append one token to the cache's last extent, which has room for it: logits [vocabulary]."""
        extent = cache.extents[-1]
        extent.length += 1
        try:
            hidden = self.hidden(array("i", [token]), extent.end - 1, cache)
        except BaseException:
            extent.length -= 1
            raise
        return self.logits(hidden)[0]


def check_finite(extent: Extent, hidden: Tensor) -> None:
    """Raise NumericalFailure naming the first layer whose keys or values are not finite."""
    for layer in range(extent.data.shape[0]):
        if not torch.isfinite(extent.data[layer]).all():
            raise NumericalFailure(layer, extent.start)
    if not torch.isfinite(hidden[-1]).all():
        raise NumericalFailure(None, extent.end - 1)
