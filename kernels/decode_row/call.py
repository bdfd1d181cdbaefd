"""From tensors to the compiled loops: addresses instead of tensors, since a run lies wherever it was mapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kernels import tiles
from kernels.decode_row import bytes as coded_bytes
from kernels.decode_row import choosing, compiled
from kernels.decode_row.table import LOOK, UNIT
from kernels.parallel import each, together

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
    *,
    plain: bool = False,
) -> Tensor:
    """See ``kernels.decode_row.decode_row``. plain: as on a processor that has nothing but numbers."""
    # the last is our own memory: others may lie as int8
    data = runs[-1].data
    layers, kv_heads, dim = data.shape[0], data.shape[2], data.shape[4]
    table = np.zeros((len(runs), compiled.COLUMNS), np.int64)
    blocks = np.zeros(len(runs), np.int64)
    for number, run in enumerate(runs):
        lies = run.data.stride()
        row = table[number]
        row[:6] = run.data.data_ptr(), lies[0], lies[1], lies[2], run.length, run.kind
        if choice is not None and run.means is not None:
            blocks[number] = -(-run.length // choice.block)
            row[6:10] = run.means.data_ptr(), run.means.stride(0), run.means.stride(1), blocks[number]
        if run.steps is not None:
            row[10:] = run.steps.data_ptr(), run.steps.stride(0), run.steps.stride(1), run.steps.stride(2), run.group
    blocks_of = np.empty((int(blocks.sum()), 2), np.int64)
    blocks_of[:, 0] = np.repeat(np.arange(len(runs)), blocks)
    blocks_of[:, 1] = np.arange(len(blocks_of)) - np.repeat(blocks.cumsum() - blocks, blocks)
    keys, block, sink, local = np.empty((0, kv_heads), np.int64), 1, 0, 0
    choosing_here = choice is not None and len(blocks_of) > 0
    if choice is not None and choosing_here:
        keys, block = choice.keys.numpy(), choice.block
        sink, local = choice.sink // block, choice.local // block
    packed = compiled.Packed(*(tensor.numpy() for tensor in weights))
    assert len(packed.qkv) == layers
    like = _array(data.new_empty(0))
    watched, starts, gaze = np.empty((0, heads), np.float32), np.empty(0, np.int64), np.empty(0, np.float32)
    if watch is not None:
        watched, starts, gaze = watch.heads.numpy(), np.asarray(watch.starts, np.int64), watch.mass.numpy()
    threads = torch.get_num_threads()
    context = compiled.Keys(table, like, blocks_of, keys, block, sink, local, watched, starts, gaze)
    logits = torch.empty(len(weights.head))

    group, kinds = heads // kv_heads, len(cos)
    most = 1 + sum(run.length // min(UNIT, block) + 1 for run in runs)
    lists = kv_heads + 1 if choosing_here else 1
    units, counts = np.empty((lists, most, 3), np.int32), np.zeros(lists, np.int64)
    counts[-1] = choosing.whole_units(table, units[-1])
    pieces = max(1, min(PIECES * threads, int(counts[-1]) // 2))
    seen = most if watch is not None else 0
    parts = -(-len(blocks_of) // compiled.SCORED) if choosing_here else 0

    def floats(*shape: int) -> Any:
        return np.empty(shape, np.float32)

    shared = compiled.Shared(
        state=state.numpy().copy(),
        queries=floats(kinds, kv_heads, group, dim),
        mixed=floats((heads + 2 * kv_heads) * dim),
        inner=floats(packed.down.shape[2]),
        units=units,
        counts=counts,
        lists=np.full(kv_heads, lists - 1),
        scores=floats(kv_heads, group, len(blocks_of) if choosing_here else 0),
        far_top=floats(kv_heads, parts, group),
        far_sum=floats(kv_heads, parts, group),
        top=floats(pieces, kv_heads, group),
        mass=floats(pieces, kv_heads, group),
        acc=floats(pieces, kv_heads, group, dim),
        peaks=floats(heads, seen),
        sums=floats(heads, seen, UNIT // LOOK),
        logits=logits.numpy(),
    )
    configuration = 0
    # what lies as int8 is decoded tile by tile
    lying = [run.data for run in runs if run.steps is None] + [run.means for run in runs if run.means is not None]
    if not plain and group <= compiled.MOST and tiles.fit(*lying):
        from kernels.tiles.instructions import CONFIGURATION

        configuration = CONFIGURATION.ctypes.data
    coding = (
        not plain
        and coded_bytes.available()
        and weights.qkv.dtype is torch.int8
        and all(
            columns % coded_bytes.BLOCK == 0
            for columns in (packed.qkv.shape[2], packed.out.shape[2], packed.down.shape[2])
        )
    )
    tally = np.zeros(compiled.counters(layers * (compiled.PHASES + kv_heads) + 1, threads), np.int64)
    small, factor = np.float32(eps), np.float32(scale)
    cosines, sines = cos.numpy(), sin.numpy()

    def work(me: int) -> None:
        compiled.row(
            tally, threads, me, configuration, coding, packed, small, factor, cosines, sines, heads, context, shared
        )

    together(work, threads)
    return logits


def quantize(weight: Tensor, norm: Tensor | None, out: Tensor, steps: Tensor) -> None:
    """See ``kernels.decode_row.quantize``."""
    ones = torch.ones(weight.shape[1]) if norm is None else norm.float()
    source, factors, codes, found = _array(weight.contiguous()), ones.numpy(), out.numpy(), steps.numpy()
    threads = torch.get_num_threads()
    ends = [len(weight) * number // threads for number in range(threads + 1)]
    each(lambda n: compiled.quantize(source, factors, codes, found, ends[n], ends[n + 1]), range(threads))


def _array(tensor: Tensor) -> Any:
    """In place; bfloat16 as its bits."""
    return (tensor.view(torch.uint16) if tensor.dtype is torch.bfloat16 else tensor).numpy()
