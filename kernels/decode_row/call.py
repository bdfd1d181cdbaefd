"""From tensors to the compiled loops: addresses instead of tensors, since a run lies wherever it was mapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kernels.decode_row import compiled

if TYPE_CHECKING:
    from kernels.decode_row import Choice, Run, Watch, Weights

# parts that each head's keys are cut into, for every thread
PIECES = 4


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
    # the last is our own memory: others may lie as int8
    data = runs[-1].data
    layers, kv_heads = data.shape[0], data.shape[2]
    table = np.zeros((len(runs), compiled.COLUMNS), np.int64)
    places = []
    for number, run in enumerate(runs):
        lies = run.data.stride()
        row = table[number]
        row[:6] = run.data.data_ptr(), lies[0], lies[1], lies[2], run.length, run.kind
        if choice is not None and run.means is not None:
            blocks = -(-run.length // choice.block)
            row[6:10] = run.means.data_ptr(), run.means.stride(0), run.means.stride(1), blocks
            places.append(np.stack((np.full(blocks, number), np.arange(blocks)), 1))
        if run.steps is not None:
            row[10:] = run.steps.data_ptr(), run.steps.stride(0), run.steps.stride(1), run.steps.stride(2), run.group
    blocks_of = np.concatenate(places) if places else np.empty((0, 2), np.int64)
    keys, block, sink, local = np.empty((0, kv_heads), np.int64), 1, 0, 0
    if choice is not None and len(blocks_of):
        keys, block = choice.keys.numpy(), choice.block
        sink, local = choice.sink // block, choice.local // block
    packed = compiled.Packed(*(tensor.numpy() for tensor in weights))
    assert len(packed.qkv) == layers
    like = _array(data.new_empty(0))
    watched, starts, gaze = np.empty((0, heads), np.float32), np.empty(0, np.int64), np.empty(0, np.float32)
    if watch is not None:
        watched, starts, gaze = watch.heads.numpy(), np.asarray(watch.starts, np.int64), watch.mass.numpy()
    threads = compiled.set_threads(torch.get_num_threads())
    logits = torch.empty(len(weights.head))
    compiled.row(
        packed,
        state.numpy().copy(),
        np.float32(eps),
        np.float32(scale),
        cos.numpy(),
        sin.numpy(),
        heads,
        kv_heads,
        table,
        like,
        blocks_of,
        keys,
        block,
        sink,
        local,
        PIECES * threads,
        watched,
        starts,
        gaze,
        logits.numpy(),
    )
    return logits


def quantize(weight: Tensor, norm: Tensor | None, out: Tensor, steps: Tensor) -> None:
    """See ``kernels.decode_row.quantize``."""
    compiled.set_threads(torch.get_num_threads())
    ones = torch.ones(weight.shape[1]) if norm is None else norm.float()
    compiled.quantize(_array(weight.contiguous()), ones.numpy(), out.numpy(), steps.numpy())


def _array(tensor: Tensor) -> Any:
    """In place; bfloat16 as its bits."""
    return (tensor.view(torch.uint16) if tensor.dtype is torch.bfloat16 else tensor).numpy()
