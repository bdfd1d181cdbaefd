"""Attention on the matrix tiles of Intel processors (AMX), compiled by Numba: what other kernels build upon."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

__all__ = ["available", "fit", "prepare"]


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


def prepare() -> None:
    """Compile what there is, unless that was done on this machine before; it takes half a minute."""
    if not available():
        return
    from kernels.block_scores import block_scores
    from kernels.run_attention import Span, run_attention
    from kernels.sparse_attention import sparse_attention

    queries = torch.zeros((1, 1, 1, 16, 64), dtype=torch.bfloat16)
    states = torch.zeros((1, 512, 64), dtype=torch.bfloat16)
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
