"""On AMX tiles: a piece is a few times 16 sampled rows of one key head. Products of bfloat16 are exact in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import local as of_thread

import numpy as np
import torch
from torch import Tensor

from kernels.parallel import each

# tiles of queries that meet a key while it is in the first cache: with three a core waits for keys half of its time
STRIPS = 12
# a thread's memory to work in: at a million tokens 60 MB a piece, which the system would have to clear each time
_rooms = of_thread()


def fits(borders: Sequence[int], block: int, query_block: int, stride: int, local: int) -> bool:
    """Whether whole query blocks fill a tile's lanes, and Dual Chunk Attention's borders fall between tiles of means.

    The last of those may reach past what is scored, but not past the local keys.
    """
    even = all(border % (16 * block) == 0 for border in borders)
    whole = query_block % stride == 0 and 16 * stride % query_block == 0
    return even and whole and block % 16 == 0 and local >= 16 * block


def block_scores(
    queries: Tensor,
    key: Tensor,
    means: Tensor,
    *,
    start: int,
    borders: Sequence[int],
    block: int,
    query_block: int,
    scale: float,
    sink: int,
    local: int,
    stride: int,
    empty: Sequence[int],
    partial: Mapping[int, int],
    exact: bool,
) -> Tensor:
    """See ``kernels.block_scores.block_scores``."""
    # not before they are needed: Numba takes a second to load, and need not be there
    from kernels.tiles import instructions, share

    queries = queries.contiguous()
    variants, heads, group, rows, dim = queries.shape
    query_blocks = -(-rows // query_block)
    scores = torch.full((heads, query_blocks, -(-(start + rows) // block)), float("-inf"))
    found = scores.numpy()
    nothing = np.array(sorted(empty), np.int64)
    edges = np.array(borders, np.int64)
    short = np.array(sorted(partial.items()), np.int64).reshape(-1, 2)
    variant_step, head_step, member_step = (queries.stride(n) * 2 for n in range(3))

    tile = 16 * stride  # rows of one
    # and pieces enough for every thread
    most = -(-rows // tile) * heads // (2 * torch.get_num_threads())
    together = tile * (max(1, min(-(-STRIPS // group), most)) if exact else 1)

    def piece(head: int, first: int) -> None:
        number, end = first // query_block, min(rows, first + together)
        space = getattr(_rooms, "space", np.empty(0, np.uint8))
        while missing := share.shares(
            instructions.CONFIGURATION.ctypes.data, queries.data_ptr() + head * head_step + first * dim * 2, variants,
            variant_step, group, member_step, end - first, dim, stride, query_block,
            key.data_ptr() + head * key.stride(0) * 2, means.data_ptr() + head * means.stride(0) * 2, start + first,
            edges, block, sink, local, nothing, short, exact, scale,
            found[head, number : number + together // query_block], space,
        ):  # fmt: skip
            space = _rooms.space = np.empty(missing, np.uint8)

    each(lambda which: piece(*which), [(head, first) for first in range(0, rows, together) for head in range(heads)])
    if len(nothing):
        scores[:, :, torch.from_numpy(nothing[nothing < scores.shape[2]])] = float("-inf")
    return scores
