"""Attention on the matrix tiles of Intel processors (AMX), compiled by Numba: what other kernels build upon."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

# numbers below which a rotation is done before another thread has woken up
ALONE = 1 << 17

__all__ = ["available", "fit", "gate", "norm", "prepare", "turn", "turn_heads"]


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether this machine has the tiles, the system lets this process use them, and Numba is there to compile."""
    has = getattr(torch.cpu, "_is_amx_tile_supported", None)
    ask = getattr(torch.cpu, "_init_amx", None)
    if has is None or ask is None or find_spec("numba") is None:
        return False
    return bool(has()) and bool(ask())


def fit(*tensors: Tensor) -> bool:
    """Whether these queries, keys and values ([..., dim]) can be read in place: bfloat16, whole rows of 64 or 128."""
    return available() and all(
        tensor.device.type == "cpu"
        and tensor.dtype is torch.bfloat16
        and tensor.shape[-1] in (64, 128)
        and tensor.stride()[-2:] == (tensor.shape[-1], 1)
        for tensor in tensors
    )


def turn(states: Tensor, cos: Tensor, sin: Tensor, out: Tensor) -> None:
    """Rotate states [..., rows, dim], which ``fit``, by angles [rows, dim / 2], in the half-split convention.

    out: as states, contiguous as they are.
    """
    from kernels.parallel import each
    from kernels.tiles import rows

    flat, turned = (rows.bits(tensor.view(-1, *tensor.shape[-2:])) for tensor in (states, out))
    cosines, sines = cos.contiguous().numpy(), sin.contiguous().numpy()
    if states.numel() < ALONE:
        for number in range(len(flat)):
            rows.turn(flat[number], cosines, sines, turned[number])
        return
    each(lambda number: rows.turn(flat[number], cosines, sines, turned[number]), range(len(flat)))


def turn_heads(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate bfloat16 states [rows, heads, dim] by angles [rows, dim / 2] (float32) as ``turn``: [heads, rows, dim]."""
    from kernels.tiles import rows

    states = states.contiguous()
    out = states.new_empty((states.shape[1], states.shape[0], states.shape[2]))
    flat, turned, cosines, sines = rows.bits(states), rows.bits(out), cos.contiguous().numpy(), sin.contiguous().numpy()
    _shared(len(flat), lambda part: rows.turn_heads(flat, cosines, sines, part.start, part.stop, turned))
    return out


def norm(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root mean square norm of bfloat16 states [..., hidden]."""
    from kernels.tiles import rows

    states = states.contiguous()
    out = torch.empty_like(states)
    flat, normed = (rows.bits(tensor).reshape(-1, states.shape[-1]) for tensor in (states, out))
    scale, small = rows.bits(weight), np.float32(eps)
    _shared(len(flat), lambda part: rows.normed(flat[part], scale, small, normed[part]))
    return out


def gate(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up of bfloat16 tensors of one shape, written over ``up``: fresh memory would be read first."""
    from kernels.tiles import rows

    out = up.contiguous()
    every = [rows.bits(tensor.contiguous()).reshape(-1) for tensor in (gate, out)]
    _shared(len(every[0]), lambda part: rows.gated(*(array[part] for array in every)))
    return out


def _shared(count: int, work: Callable[[slice], None]) -> None:
    """Parts of a range, one a thread."""
    from kernels.parallel import each

    threads = torch.get_num_threads()
    ends = [count * number // threads for number in range(threads + 1)]
    each(lambda number: work(slice(ends[number], ends[number + 1])), range(threads))


def prepare() -> None:
    """Compile what there is, unless that was done on this machine before; it takes half a minute."""
    if not available():
        return
    from kernels.block_scores import block_scores
    from kernels.run_attention import Span, run_attention
    from kernels.sparse_attention import sparse_attention

    queries = torch.zeros((1, 1, 1, 16, 64), dtype=torch.bfloat16)
    states = torch.zeros((1, 512, 64), dtype=torch.bfloat16)
    gate(queries, norm(queries, states[0, 0], 1e-6))
    turn(queries, torch.ones((16, 32)), torch.ones((16, 32)), torch.empty_like(queries))
    turn_heads(queries[0, 0].transpose(0, 1), torch.ones((16, 32)), torch.ones((16, 32)))
    run_attention(queries, [Span(states[:, :16], states[:, :16], 0)], scale=1.0, impl="tiles")
    blocks, counts = torch.zeros((1, 1, 1), dtype=torch.int32), torch.ones((1, 1), dtype=torch.int32)
    sparse_attention(
        queries, states, states, blocks, counts,
        start=256, borders=[0], block=16, query_block=128, scale=1.0, impl="tiles",
    )  # fmt: skip
    block_scores(
        queries, states, states[:, :32],
        start=256, borders=[0], block=16, query_block=128, scale=1.0, sink=64, local=256, stride=8, impl="tiles",
    )  # fmt: skip
