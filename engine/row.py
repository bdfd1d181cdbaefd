"""One token through the model: what decoding runs on a CPU instead of transformers' modules.

A row is bound by reading the weights and the keys, so the projections of a layer are joined, the norms' weights are
folded into them, matrices are held as int8 with a step a row, and one compiled call does it all
(``kernels.decode_row``). transformers' modules remain the reference that this is tested against.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.budgets import Budgets
from engine.kvcache import KVCache, KVShape
from engine.positions import DualChunk, Relation
from engine.sparsity.policy import BLOCK, LOCAL, SINK
from kernels import decode_row
from kernels.decode_row import Choice, Run, Watch, Weights

# tokens of context from which choosing keys pays (tests.bench.decode)
CROSSOVER = 8192
# the context that budgets are worked out for, in steps of so many tokens
STEP = 1024


class RowForward:
    """Runs one token after a cache. Not thread-safe.

    model: a Llama, Qwen2 or Qwen3 ``ForCausalLM`` of transformers; int8: hold the matrices as int8, at half the size
    again of what the model itself takes; budgets: how many keys each head chooses in a long context, None for all.
    """

    def __init__(
        self,
        model: Any,
        shape: KVShape,
        heads: int,
        dual_chunk: DualChunk,
        *,
        int8: bool,
        budgets: Budgets | None = None,
    ) -> None:
        body = model.model
        self.int8 = int8
        self._embedding: Tensor = model.get_input_embeddings().weight
        self._weights = _weights(model, int8=int8)
        self._eps = float(body.norm.variance_epsilon)
        self._scaling = float(body.layers[0].self_attn.scaling)
        self._inv_freq: Tensor = body.rotary_emb.inv_freq.detach().double()
        self._attention_scaling = float(getattr(body.rotary_emb, "attention_scaling", 1.0))
        self._shape, self._heads, self._dual_chunk = shape, heads, dual_chunk
        self._budgets = budgets
        self._choice: tuple[int, Choice] | None = None

    @torch.inference_mode()
    def __call__(self, token: int, cache: KVCache, watch: Watch | None = None) -> Tensor:
        """Logits [vocabulary] (float32) after ``token``, already counted in the cache's last extent."""
        position = cache.end - 1
        chunk = self._dual_chunk.chunk(position)
        kinds = [self._dual_chunk.relation(chunk, self._dual_chunk.chunk(extent.start)) for extent in cache.extents]
        # the newest key is rotated as an intra query is: first in the table
        wanted = [Relation.INTRA, *(kind for kind in (Relation.SUCCESSIVE, Relation.INTER) if kind in kinds)]
        choice = self._choose(cache.tokens)
        runs = [
            Run(
                extent.data,
                extent.length,
                wanted.index(kind),
                None if choice is None else extent.means,
                *(() if extent.coded is None else (extent.coded.steps, extent.coded.group)),
            )
            for extent, kind in zip(cache.extents, kinds, strict=True)
        ]
        cos, sin = self._rotations(position, wanted)
        sharpness = self._dual_chunk.sharpness(torch.tensor([position]))
        return decode_row.decode_row(
            self._weights,
            self._embedding[token].float(),
            runs,
            cos,
            sin,
            heads=self._heads,
            eps=self._eps,
            scale=self._scaling if sharpness is None else self._scaling * float(sharpness),
            choice=choice,
            watch=watch,
        )

    def _choose(self, context: int) -> Choice | None:
        if self._budgets is None or context < CROSSOVER:
            return None
        step = context // STEP
        if self._choice is None or self._choice[0] != step:
            keys = [
                [self._budgets.keys(layer, head, context) for head in range(self._shape.kv_heads)]
                for layer in range(self._shape.layers)
            ]
            self._choice = step, Choice(torch.tensor(keys), BLOCK, SINK, LOCAL)
        return self._choice[1]

    def _rotations(self, position: int, kinds: list[Relation]) -> tuple[Tensor, Tensor]:
        """cos and sin of each kind of query: [kinds, dim / 2], float32."""
        offset = torch.tensor([position % self._dual_chunk.chunk_len])
        places = torch.cat([offset + self._dual_chunk.shift(kind, offset) for kind in kinds])
        angle = places.double()[:, None] * self._inv_freq
        return angle.cos().float() * self._attention_scaling, angle.sin().float() * self._attention_scaling


def _weights(model: Any, *, int8: bool) -> Weights:
    """The model's matrices as ``kernels.decode_row`` wants them."""
    layers = model.model.layers
    found: dict[str, Tensor] = {}

    def put(weight: Tensor, norm: Tensor | None, matrix: Tensor, steps: Tensor) -> None:
        if int8:
            decode_row.quantize(weight, norm, matrix, steps)
        else:
            matrix.copy_(weight.float() if norm is None else weight.float() * norm.float())
            steps.fill_(1.0)

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.int8 if int8 else torch.float32)

    def stack(name: str, linears: list[list[Any]], norms: list[Tensor] | None) -> None:
        """One matrix a layer, of these linear maps joined, after these norms."""
        rows, columns = sum(linear.out_features for linear in linears[0]), linears[0][0].in_features
        matrix, steps = empty(len(linears), rows, columns), torch.empty((len(linears), rows))
        for number, joined in enumerate(linears):
            first = 0
            for linear in joined:
                part = slice(first, first + linear.out_features)
                put(linear.weight, None if norms is None else norms[number], matrix[number, part], steps[number, part])
                first = part.stop
        biases = [[linear.bias for linear in joined if linear.bias is not None] for joined in linears]
        found[name], found[name + "_steps"] = matrix, steps
        found[name + "_bias"] = torch.stack(
            [torch.cat(bias).float() if bias else torch.empty(0, dtype=torch.float32) for bias in biases]
        )

    mixers = [layer.self_attn for layer in layers]
    before = [layer.input_layernorm.weight for layer in layers]
    between = [layer.post_attention_layernorm.weight for layer in layers]
    stack("qkv", [[mixer.q_proj, mixer.k_proj, mixer.v_proj] for mixer in mixers], before)
    stack("out", [[mixer.o_proj] for mixer in mixers], None)
    stack("gate_up", [[layer.mlp.gate_proj, layer.mlp.up_proj] for layer in layers], between)
    stack("down", [[layer.mlp.down_proj] for layer in layers], None)
    head, head_steps = empty(*model.lm_head.weight.shape), torch.empty(len(model.lm_head.weight))
    put(model.lm_head.weight, model.model.norm.weight, head, head_steps)

    def head_norm(name: str) -> Tensor:
        """Qwen3 norms each head of q and k."""
        norms = [getattr(mixer, name).weight.float() for mixer in mixers if hasattr(mixer, name)]
        return torch.stack(norms) if norms else torch.empty((len(layers), 0))

    return Weights(
        **found, head=head, head_steps=head_steps, query_norm=head_norm("q_norm"), key_norm=head_norm("k_norm")
    )
