"""One token on a GPU: transformers' modules over an arena, the whole step as one CUDA graph.

Everything that changes from token to token, its position with it, is read on the device, so that the step that was
captured once is replayed for each. Without graphs the same function runs eagerly, on any device.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from engine.budgets import Budgets
from engine.kvcache import Arena, KVCache, KVShape
from engine.positions import DualChunk
from engine.protocol import PAGE_TOKENS
from engine.row import CROSSOVER, STEP
from engine.sparsity.policy import BLOCK, LOCAL, SINK
from kernels.append_row import append_row
from kernels.paged_decode import paged_decode

# parts of the keys that a GPU attends to at the same time, over all key heads: two programs a multiprocessor of a card
PROGRAMS = 264
# behind the blocks of a shorter list: past every block there is
NO_BLOCK = 1 << 24
ALWAYS = (SINK + LOCAL) // BLOCK


class DeviceDecoder:
    """Runs one token after a cache whose keys and values all lie in its arena. Not thread-safe.

    model: a Llama, Qwen2 or Qwen3 ``ForCausalLM`` of transformers, loaded with our attention; budgets: how many keys
    each head chooses in a long context, None for all; graphs: None for CUDA graphs on a GPU; impl: of the kernels, None
    for the device's own.
    """

    def __init__(
        self,
        model: Any,
        shape: KVShape,
        heads: int,
        dual_chunk: DualChunk,
        inv_freq: Tensor,
        *,
        budgets: Budgets | None = None,
        graphs: bool | None = None,
        impl: Literal["triton", "reference"] | None = None,
    ) -> None:
        self._model, self._shape, self._heads = model, shape, heads
        self._dual_chunk, self._inv_freq, self._budgets = dual_chunk, inv_freq.double(), budgets
        self._graphs = shape.device.type == "cuda" if graphs is None else graphs
        self._append, self._decode = partial(append_row, impl=impl), partial(paged_decode, impl=impl)
        self._splits = max(1, PROGRAMS // shape.kv_heads)
        self._arena: Arena | None = None
        self._lengths = self._table = torch.empty(0, dtype=torch.int32)
        self._end = -1
        self._chosen: tuple[tuple[int, ...], ...] | None = None
        self._captured: tuple[object, Any, Tensor] | None = None

    def fits(self, cache: KVCache) -> bool:
        """Whether this cache can be decoded from here."""
        arena = cache.arena
        return (
            arena is not None
            and arena.capacity % PAGE_TOKENS == 0
            and arena.block == BLOCK
            and self._dual_chunk.chunk_len % PAGE_TOKENS == 0
            and all(arena.holds(extent) for extent in cache.extents)
        )

    @torch.inference_mode()
    def __call__(self, token: int, cache: KVCache) -> Tensor:
        """Logits [vocabulary] (float32) after ``token``, already counted in the cache's last extent."""
        position = cache.end - 1
        if cache.arena is not self._arena or position != self._end:
            self._bind(cache)
        self._end = position + 1
        self._token.fill_(token)
        self._position.fill_(position)
        self._choose_by(cache.tokens)
        if not self._graphs:
            return self._forward()
        if self._captured is None or self._captured[0] != self._chosen:
            self._captured = (self._chosen, *self._capture())
        _, graph, logits = self._captured
        graph.replay()
        return logits

    def _bind(self, cache: KVCache) -> None:
        """Take up a cache, or another place in it."""
        arena, device = cache.arena, self._shape.device
        assert arena is not None
        # kernels read keys and values where they lie, in the machine's memory too: what was written must have got there
        arena.settle()
        pages = arena.capacity // PAGE_TOKENS
        lengths = [0] * pages
        for extent in cache.extents:
            for page in range(extent.start // PAGE_TOKENS, -(-extent.end // PAGE_TOKENS)):
                lengths[page] = min(PAGE_TOKENS, extent.end - page * PAGE_TOKENS)
        told = torch.tensor(lengths, dtype=torch.int32)
        if arena is self._arena:
            # a graph that was captured reads from where they lie
            self._lengths.copy_(told)
            return
        self._arena, self._captured = arena, None
        self._lengths = told.to(device)
        # the arena is a pool whose pages lie in the order of positions
        self._table = torch.arange(pages, dtype=torch.int32, device=device)
        self._token = torch.zeros((1, 1), dtype=torch.int64, device=device)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)

    def leave(self) -> None:
        """Another prompt comes into the arena."""
        self._end = -1

    def release(self) -> None:
        """Let go of the arena's memory, and of the graph that reads it."""
        self._arena, self._captured, self._end = None, None, -1

    def _choose_by(self, context: int) -> None:
        """How many blocks each head chooses after ``context`` tokens: none where a layer reads all of them anyway."""
        if self._budgets is None or context < CROSSOVER:
            self._chosen = None
            return
        step = context // STEP * STEP
        chosen = []
        for layer in range(self._shape.layers):
            keys = [self._budgets.keys(layer, head, step) for head in range(self._shape.kv_heads)]
            # a list as long as the text costs more than reading it
            everything = max(keys) // BLOCK + ALWAYS >= context // BLOCK // 2
            chosen.append(() if everything else tuple(number // BLOCK + ALWAYS for number in keys))
        if tuple(chosen) != self._chosen:
            self._chosen = tuple(chosen)
            self._counts = [
                torch.tensor(counts, dtype=torch.int32, device=self._shape.device) if counts else None
                for counts in chosen
            ]

    def _capture(self) -> tuple[Any, Tensor]:
        # kernels are compiled, and libraries take their memory, before anything is captured; what it writes to the
        # cache is each time the same
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self._forward()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self._forward()
        return graph, logits

    def _forward(self) -> Tensor:
        """The step itself. Nothing in it waits for the device."""
        position, dual_chunk = self._position, self._dual_chunk
        chunk_len, size = dual_chunk.chunk_len, dual_chunk.chunk_size
        page, offset = position // PAGE_TOKENS, position % chunk_len
        self._lengths.scatter_(0, page, (position % PAGE_TOKENS + 1).int())
        self._mean_lengths = (self._lengths + (BLOCK - 1)) // BLOCK
        own = position // chunk_len * (chunk_len // PAGE_TOKENS)
        before = (own - chunk_len // PAGE_TOKENS).clamp(min=0)
        self._borders = torch.cat([torch.zeros_like(own), before, own, page + 1]).int()
        # as ``DualChunk.shift`` of INTER and SUCCESSIVE
        shift = torch.cat([size - offset, (offset + chunk_len).clamp(max=size) - offset]).double()
        angle = shift[:, None] * self._inv_freq
        self._cos, self._sin = angle.cos().float()[:, None, None], angle.sin().float()[:, None, None]
        self._sharp: Tensor | None = None
        if dual_chunk.yarn:
            self._sharp = (0.1 * (position.double() / size).clamp(min=1.0).log() + 1.0).square().float()
        output = self._model.model(input_ids=self._token, position_ids=offset[None], use_cache=False, step=self)
        return self._model.lm_head(output.last_hidden_state[0])[0].float()  # type: ignore[no-any-return]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Called by ``engine.attention``. query: [1, heads, 1, dim]; key, value: [1, kv_heads, 1, dim].

        Returns [1, 1, heads, dim].
        """
        arena = self._arena
        assert arena is not None
        keys, values = _paged(arena.data[layer, 0], PAGE_TOKENS), _paged(arena.data[layer, 1], PAGE_TOKENS)
        means = _paged(arena.means[layer], PAGE_TOKENS // BLOCK)
        self._append(key[0, :, 0], value[0, :, 0], keys, values, means, self._table, self._position)
        kv_heads, dim = key.shape[1], key.shape[3]
        grouped = query[0, :, 0].reshape(kv_heads, -1, dim)
        if self._sharp is not None:
            grouped = (grouped * self._sharp).to(query.dtype)
        first, second = grouped.float().chunk(2, -1)
        cos, sin = self._cos, self._sin
        further = torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(query.dtype)
        queries = torch.cat([further, grouped[None]])  # inter, successive, intra
        rest = (self._table, self._lengths, self._borders)
        blocks = counts = None
        if self._chosen is not None and self._chosen[layer]:
            blocks, counts = self._choose(layer, queries, means, scaling)
        out, _ = self._decode(
            queries, keys, values, *rest, scale=scaling, block=BLOCK, blocks=blocks, counts=counts, splits=self._splits
        )  # fmt: skip
        return out.reshape(1, 1, -1, dim)

    def _choose(self, layer: int, queries: Tensor, means: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
        """Blocks and counts that each key head attends to, as ``kernels.decode_row`` chooses them.

        By the shares that their mean keys get, added up over the group; the first and the last ones always.
        """
        counts = self._counts[layer]
        assert counts is not None and self._chosen is not None
        blocks = len(self._table) * PAGE_TOKENS // BLOCK
        masses = queries.new_empty((*queries.shape[1:3], blocks), dtype=torch.float32)
        self._decode(
            queries, means, None, self._table, self._mean_lengths, self._borders,
            scale=scaling, block=1, block_lse=masses, splits=self._splits,
        )  # fmt: skip
        share = masses.softmax(-1).sum(1)
        number = torch.arange(blocks, device=share.device)
        near = (number < SINK // BLOCK) | (number > self._position // BLOCK - LOCAL // BLOCK)
        share = share.masked_fill(near & (masses[:, 0] > float("-inf")), float("inf"))
        best = share.topk(max(self._chosen[layer])).indices
        kept = torch.arange(best.shape[1], device=best.device) < counts[:, None]
        listed = best.masked_fill(~kept, NO_BLOCK).sort(-1).values.int()
        return listed, counts


def _paged(states: Tensor, page: int) -> Tensor:
    """[kv_heads, capacity, dim] -> [pages, kv_heads, page, dim], in place."""
    heads, capacity, dim = states.shape
    return states.view(heads, capacity // page, page, dim).transpose(0, 1)
