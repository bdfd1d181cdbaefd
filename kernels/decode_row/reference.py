"""The plain definition, in float32, an operation at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kernels.int8_kv import dequantize

if TYPE_CHECKING:
    from kernels.decode_row import Choice, Run, Watch, Weights


def decode_row(
    weights: Weights,
    state: Tensor,
    runs: Sequence[Run],
    cos: Tensor,
    sin: Tensor,
    heads: int,
    eps: float,
    scale: float,
    choice: Choice | None,
    watch: Watch | None,
) -> Tensor:
    """See ``kernels.decode_row.decode_row``."""
    kv_heads, dim = runs[0].data.shape[2], runs[0].data.shape[4]
    for layer in range(len(weights.qkv)):

        def product(name: str, x: Tensor, layer: int = layer) -> Tensor:
            matrix, steps, bias = (getattr(weights, name + kind)[layer] for kind in ("", "_steps", "_bias"))
            out: Tensor = matrix.float() @ x * steps
            return out + bias if len(bias) else out

        mixed = product("qkv", _normed(state, eps)).view(-1, dim)
        query, key, value = mixed[:heads], mixed[heads:-kv_heads], mixed[-kv_heads:]
        if weights.query_norm.shape[1]:
            query = _normed(query, eps) * weights.query_norm[layer]
            key = _normed(key, eps) * weights.key_norm[layer]
        newest = runs[-1].data[layer, :, :, runs[-1].length - 1]
        newest[0], newest[1] = _turned(key, cos[0], sin[0]), value
        queries = [_turned(query, *turn).view(kv_heads, -1, dim) for turn in zip(cos, sin, strict=True)]
        mixture = torch.cat([_head(layer, head, queries, runs, scale, choice, watch) for head in range(kv_heads)])
        state = state + product("out", mixture.flatten())
        gate, up = product("gate_up", _normed(state, eps)).chunk(2)
        state = state + product("down", torch.nn.functional.silu(gate) * up)
    return weights.head.float() @ _normed(state, eps) * weights.head_steps


def quantize(weight: Tensor, norm: Tensor | None, out: Tensor, steps: Tensor) -> None:
    """See ``kernels.decode_row.quantize``."""
    exact = weight.float() if norm is None else weight.float() * norm.float()
    steps.copy_((exact.abs().amax(1) / 127).clamp(min=1e-12))
    out.copy_((exact / steps[:, None]).round_())


def _normed(x: Tensor, eps: float) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt()


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def _head(
    layer: int,
    head: int,
    queries: list[Tensor],
    runs: Sequence[Run],
    scale: float,
    choice: Choice | None,
    watch: Watch | None,
) -> Tensor:
    """Attention of one key head's group: [group, dim]."""
    logits = [queries[run.kind][head] @ _states(run, layer, 0, head).T * scale for run in runs]  # each [group, keys]
    if choice is not None:
        chosen = _chosen(layer, head, queries, runs, scale, choice)
        for number, kept in chosen.items():
            logits[number][:, ~kept] = float("-inf")
    values = torch.cat([_states(run, layer, 1, head) for run in runs])
    share = torch.cat(logits, 1).softmax(-1)
    if watch is not None:
        group = len(share)
        seen = watch.heads[layer, head * group : (head + 1) * group] @ share
        places = [start + torch.arange(run.length) for start, run in zip(watch.starts, runs, strict=True)]
        watch.mass.index_add_(0, torch.cat(places) // watch.BLOCK, seen)
    return share @ values


def _states(run: Run, layer: int, half: int, head: int) -> Tensor:
    """[length, dim], float32."""
    states = run.data[layer, half, head, : run.length]
    if run.steps is None:
        return states.float()
    return dequantize(states, run.steps[layer, half, head], run.group, torch.float32)


def _chosen(
    layer: int, head: int, queries: list[Tensor], runs: Sequence[Run], scale: float, choice: Choice
) -> dict[int, Tensor]:
    """Which keys of each run with means are attended to: {run: bool [keys]}."""
    counts = {n: -(-run.length // choice.block) for n, run in enumerate(runs) if run.means is not None}
    means = {n: run.means[layer, head, : counts[n]].float() for n, run in enumerate(runs) if run.means is not None}
    if not means:
        return {}
    scores = torch.cat([queries[runs[n].kind][head] @ mean.T * scale for n, mean in means.items()], 1)
    share = scores.softmax(-1).sum(0)
    sink, local = choice.sink // choice.block, choice.local // choice.block
    share[:sink] = float("inf")
    share[len(share) - min(local, len(share)) :] = float("inf")
    keep = min(len(share), int(choice.keys[layer, head]) // choice.block + sink + local)
    kept = torch.zeros(len(share), dtype=torch.bool)
    kept[share.topk(keep).indices] = True
    found, first = {}, 0
    for n, count in counts.items():
        found[n] = kept[first : first + count].repeat_interleave(choice.block)[: runs[n].length]
        first += count
    return found
