"""One token through the model: what decoding runs on a CPU instead of transformers' modules.

A row is bound by reading the weights and by the number of calls, so here the projections of a layer are joined, the
norms' weights are folded into them, and matrices may be held as int8 with a scale a row. transformers' modules remain
the reference that this is tested against, and what prefill runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.attention import Merge
from engine.kvcache import KVCache, KVShape
from engine.positions import DualChunk, Relation
from kernels.attention import attention


class Matrix:
    """A linear map of one row. weight: [out, in]; scale: [in], folded into the weight; bias: [out]."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, int8: bool, scale: Tensor | None = None) -> None:
        exact = weight.float() if scale is None else weight.float() * scale.float()
        self._bias = bias
        self._int8 = int8
        if int8:
            # a scale that the row's dtype holds exactly adds no error of its own
            steps = (exact.abs().amax(1) / 127).clamp(min=1e-12).to(weight.dtype)
            steps = torch.where(steps.float() * 127.5 < exact.abs().amax(1), steps * 1.01, steps)
            self._weight = (exact / steps.float()[:, None]).round_().clamp_(-127, 127).to(torch.int8)
            self._steps = steps
        else:
            self._weight = exact.to(weight.dtype)

    def __call__(self, row: Tensor) -> Tensor:
        """[1, in] -> [1, out]"""
        if not self._int8:
            return torch.nn.functional.linear(row, self._weight, self._bias)
        out: Tensor = torch.ops.aten._weight_int8pack_mm(row, self._weight, self._steps)
        return out if self._bias is None else out.add_(self._bias)


class Layer:
    """The weights of one layer, joined and folded."""

    def __init__(self, module: Any, *, int8: bool) -> None:
        mixer, mlp = module.self_attn, module.mlp
        projections = (mixer.q_proj, mixer.k_proj, mixer.v_proj)
        biases = [projection.bias for projection in projections]
        first, second = module.input_layernorm, module.post_attention_layernorm
        self.eps = float(first.variance_epsilon)
        self.qkv = Matrix(
            torch.cat([projection.weight for projection in projections]),
            None if biases[0] is None else torch.cat(biases),
            int8=int8,
            scale=first.weight,
        )
        self.out = Matrix(mixer.o_proj.weight, mixer.o_proj.bias, int8=int8)
        joined = torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight))
        bias = None if mlp.gate_proj.bias is None else torch.cat((mlp.gate_proj.bias, mlp.up_proj.bias))
        self.gate_up = Matrix(joined, bias, int8=int8, scale=second.weight)
        self.down = Matrix(mlp.down_proj.weight, mlp.down_proj.bias, int8=int8)
        self.scaling = float(mixer.scaling)
        # Qwen3 norms each head of q and k
        self.head_norms = (mixer.q_norm, mixer.k_norm) if hasattr(mixer, "q_norm") else None


class RowForward:
    """Runs one token after a cache. Not thread-safe.

    model: a Llama, Qwen2 or Qwen3 ``ForCausalLM`` of transformers; int8: hold the matrices as int8, at half the size
    again of what the model itself takes.
    """

    def __init__(self, model: Any, shape: KVShape, heads: int, dual_chunk: DualChunk, *, int8: bool) -> None:
        self._embedding: Tensor = model.get_input_embeddings().weight
        self._layers = [Layer(module, int8=int8) for module in model.model.layers]
        norm = model.model.norm
        self._eps = float(norm.variance_epsilon)
        self._head = Matrix(model.lm_head.weight, None, int8=int8, scale=norm.weight)
        rotary = model.model.rotary_emb
        self._inv_freq: Tensor = rotary.inv_freq.detach().double()
        self._attention_scaling = float(getattr(rotary, "attention_scaling", 1.0))
        self._shape, self._heads, self._dual_chunk = shape, heads, dual_chunk

    @torch.inference_mode()
    def __call__(self, token: int, cache: KVCache) -> Tensor:
        """Logits [vocabulary] (float32) after ``token``, already counted in the cache's last extent."""
        shape, dim = self._shape, self._shape.dim
        own = cache.extents[-1]
        position = own.end - 1
        chunk = self._dual_chunk.chunk(position)
        kinds = [self._dual_chunk.relation(chunk, self._dual_chunk.chunk(extent.start)) for extent in cache.extents]
        # the newest key is rotated as an intra query is: first in the table
        wanted = [Relation.INTRA, *(kind for kind in (Relation.SUCCESSIVE, Relation.INTER) if kind in kinds)]
        cos, sin = self._rotations(position, wanted)
        row = self._embedding[token].float()[None]  # the residual stream, [1, hidden]
        for index, layer in enumerate(self._layers):
            mixed = layer.qkv(self._normed(row, layer.eps))[0].view(-1, dim)  # [heads + 2 kv_heads, dim]
            turning = mixed[: self._heads + shape.kv_heads]
            if layer.head_norms is not None:
                query_norm, key_norm = layer.head_norms
                turning = torch.cat((query_norm(turning[: self._heads]), key_norm(turning[self._heads :])))
            states = turning.float()
            turned = torch.addcmul(states * cos, states.roll(dim // 2, -1), sin).to(shape.dtype)
            value = mixed[self._heads + shape.kv_heads :]
            cache.write(index, turned[0, self._heads :][:, None], value[:, None])
            queries = turned[:, : self._heads].reshape(len(wanted), shape.kv_heads, -1, 1, dim)
            merge = Merge()
            for extent, kind in zip(cache.extents, kinds, strict=True):
                query = queries[wanted.index(kind)]
                part = attention(query, extent.keys(index), extent.values(index), causal=False, scale=layer.scaling)
                merge.add(*part)
            row = row + layer.out(merge.result().to(shape.dtype).view(1, -1)).float()
            gate, up = layer.gate_up(self._normed(row, layer.eps)).chunk(2, -1)
            row = row + layer.down(torch.nn.functional.silu(gate).mul_(up)).float()
        return self._head(self._normed(row, self._eps))[0].float()

    def _normed(self, row: Tensor, eps: float) -> Tensor:
        flat = row[0]
        mean = float(torch.dot(flat, flat)) / len(flat)
        factor: float = (mean + eps) ** -0.5
        return (row * factor).to(self._shape.dtype)

    def _rotations(self, position: int, kinds: list[Relation]) -> tuple[Tensor, Tensor]:
        """cos and signed sin of each kind of query: [kinds, 1, dim], float32."""
        offset = torch.tensor([position % self._dual_chunk.chunk_len])
        places = torch.cat([offset + self._dual_chunk.shift(kind, offset) for kind in kinds])
        angle = places.double()[:, None] * self._inv_freq
        cos, sin = angle.cos().float(), angle.sin().float()
        scale = self._attention_scaling
        return torch.cat((cos, cos), -1)[:, None] * scale, torch.cat((-sin, sin), -1)[:, None] * scale
