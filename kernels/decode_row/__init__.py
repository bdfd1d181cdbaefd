"""One token through all layers of a Llama-family model on a CPU, after the keys and values of what came before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from kernels.decode_row import reference

__all__ = ["Choice", "Run", "Watch", "Weights", "available", "decode_row", "prepare", "quantize"]

Impl = Literal["compiled", "plain", "reference"]
STORED = (torch.bfloat16, torch.float32)


class Weights(NamedTuple):
    """A model's matrices, stacked over layers. int8 with a step a row, or float32 with steps of one.

    The norms before qkv, gate_up and head are folded into them. qkv: [layers, (heads + 2 kv_heads) * dim, hidden];
    out: [layers, hidden, heads * dim]; gate_up: [layers, 2 * inner, hidden]; down: [layers, hidden, inner]; head:
    [vocabulary, hidden]. Steps and biases: [layers, rows], biases [layers, 0] where there is none; norms of each head
    of q and k: [layers, dim] or [layers, 0]. Steps, biases and norms are float32.
    """

    qkv: Tensor
    qkv_steps: Tensor
    qkv_bias: Tensor
    out: Tensor
    out_steps: Tensor
    out_bias: Tensor
    gate_up: Tensor
    gate_up_steps: Tensor
    gate_up_bias: Tensor
    down: Tensor
    down_steps: Tensor
    down_bias: Tensor
    head: Tensor
    head_steps: Tensor
    query_norm: Tensor
    key_norm: Tensor


@dataclass(frozen=True, slots=True)
class Run:
    """Keys and values of ``length`` tokens: data [layers, 2, kv_heads, capacity, dim], bfloat16, float32 or int8.

    kind: which rotation of the query meets them; means: [layers, kv_heads, blocks, dim], the mean key of every block
    of tokens, the last as far as it is full, or None where all keys are always attended to. Of int8 data, steps:
    [layers, 2, kv_heads, groups, 2, dim] and group, as ``kernels.int8_kv`` has them.
    """

    data: Tensor
    length: int
    kind: int
    means: Tensor | None = None
    steps: Tensor | None = None
    group: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Keys to choose in runs with means: ``keys[layer, kv_head]``, int64, in blocks of ``block`` tokens.

    The first ``sink`` and the last ``local`` tokens of these runs are attended to anyway.
    """

    keys: Tensor
    block: int
    sink: int
    local: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Where heads look: their attention mass, added up by place.

    heads: [layers, heads], float32, what each head counts (0 is not looked at); starts: the position of each run's
    first token; mass: [blocks], float32, added to: block b are the ``BLOCK`` positions from ``b * BLOCK`` on (exact
    for runs that start on such a border, at most a block late for others). Each head's mass sums to what it counts.
    """

    BLOCK: ClassVar[int] = 16

    heads: Tensor
    starts: Sequence[int]
    mass: Tensor


def available() -> bool:
    """Whether the compiled form can be had here."""
    return find_spec("numba") is not None


def quantize(weight: Tensor, norm: Tensor | None, out: Tensor, steps: Tensor, *, impl: Impl | None = None) -> None:
    """Write weight * norm as int8 rows with a step each: out * steps.

    weight: [rows, columns], bfloat16 or float32; norm: [columns]; out: [rows, columns], int8; steps: [rows], float32.
    Raises ValueError.
    """
    if out.shape != weight.shape or steps.shape != weight.shape[:1] or weight.dtype not in STORED:
        raise ValueError(f"weight {tuple(weight.shape)} {weight.dtype} does not go into {tuple(out.shape)}")
    if impl is None:
        impl = "compiled" if available() else "reference"
    if impl == "reference":
        reference.quantize(weight, norm, out, steps)
        return
    from kernels.decode_row import call

    call.quantize(weight, norm, out, steps)


def prepare(dtype: torch.dtype) -> None:
    """Compile for keys and values of this dtype, unless that was done on this machine before."""
    matrix = torch.int8 if dtype is torch.bfloat16 else torch.float32
    none = torch.empty((1, 0))

    def linear(rows: int, columns: int) -> tuple[Tensor, Tensor]:
        return torch.zeros((1, rows, columns), dtype=matrix), torch.ones((1, rows))

    head, steps = linear(2, 2)
    weights = Weights(
        *linear(6, 2), none, *linear(2, 2), none, *linear(4, 2), none, *linear(2, 2), none,
        head[0], steps[0], none, none,
    )  # fmt: skip
    # int8 runs are read by the same code
    run = Run(torch.zeros((1, 2, 1, 16, 2), dtype=dtype), 16, 0, torch.zeros((1, 1, 1, 2), dtype=dtype))
    turn, choice = torch.ones((1, 1)), Choice(torch.zeros((1, 1), dtype=torch.int64), 16, 0, 0)
    watch = Watch(torch.ones((1, 1)), [0], torch.zeros(1))
    quantize(torch.zeros((2, 2), dtype=dtype), None, torch.empty((2, 2), dtype=torch.int8), torch.empty(2))
    decode_row(weights, torch.ones(2), [run], turn, turn, heads=1, eps=1e-6, scale=1.0, choice=choice, watch=watch)


def decode_row(
    weights: Weights,
    state: Tensor,
    runs: Sequence[Run],
    cos: Tensor,
    sin: Tensor,
    *,
    heads: int,
    eps: float,
    scale: float,
    choice: Choice | None = None,
    watch: Watch | None = None,
    impl: Impl | None = None,
) -> Tensor:
    """Logits [vocabulary] (float32) of the token whose embedding is ``state`` ([hidden], float32).

    The token is already counted in the last run's length: its key and value are written there. cos, sin: [kinds,
    dim / 2], float32, the rotation of the newest key and of queries of kind 0, then of the other kinds; scale: of the
    attention's logits; watch: to be told where heads look; impl: "plain" is "compiled" without the instructions for
    bytes and tiles that not every processor has. Raises ValueError for what does not fit.
    """
    dim = cos.shape[1] * 2
    if not runs or not 0 < runs[-1].length <= runs[-1].data.shape[3]:
        raise ValueError("the last run must have room for the token and count it")
    dtype = runs[-1].data.dtype
    for run in runs:
        data = run.data
        coded = data.dtype is torch.int8 and run.steps is not None and run is not runs[-1]
        if (data.dtype not in STORED and not coded) or data.stride()[-2:] != (dim, 1) or data.device.type != "cpu":
            raise ValueError(f"a run of {tuple(data.shape)} {data.dtype} cannot be read in place")
        if (not coded and data.dtype != dtype) or run.kind >= len(cos):
            raise ValueError(f"a run of {data.dtype}, kind {run.kind} does not go with the others")
        if run.steps is not None and (run.steps.dtype != torch.float32 or run.steps.stride()[-3:] != (2 * dim, dim, 1)):
            raise ValueError(f"steps of {tuple(run.steps.shape)} {run.steps.dtype} cannot be read in place")
        if coded and (run.group % 64 or run.group < 64):
            raise ValueError(f"steps are shared by a multiple of 64 tokens, not by {run.group}")
        if run.means is not None and (run.means.dtype != dtype or run.means.stride()[-2:] != (dim, 1)):
            raise ValueError("mean keys must lie as the keys do")
    if choice is not None and choice.keys.shape != (len(weights.qkv), runs[0].data.shape[2]):
        raise ValueError(f"keys to choose {tuple(choice.keys.shape)} are not [layers, kv_heads]")
    if watch is not None:
        last = max((start + run.length - 1) // Watch.BLOCK for start, run in zip(watch.starts, runs, strict=True))
        if watch.heads.shape != (len(weights.qkv), heads) or last >= len(watch.mass):
            raise ValueError(f"watching {tuple(watch.heads.shape)} heads into {len(watch.mass)} blocks does not fit")
    if impl is None:
        impl = "compiled" if available() else "reference"
    if impl == "reference":
        return reference.decode_row(weights, state, runs, cos, sin, heads, eps, scale, choice, watch)
    from kernels.decode_row import call

    return call.decode_row(weights, state, runs, cos, sin, heads, eps, scale, choice, watch, plain=impl == "plain")
