"""Makes kept files smaller: int8 instead of what the model computes in. After a reading, never during it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from engine.keptfile import Mapped, prelude, steps_padding
from engine.protocol import PAGE_TOKENS
from engine.snapshots import commit
from kernels.int8_kv import GROUP, groups, quantize

# less is not worth a file of its own kind
LEAST_TOKENS = PAGE_TOKENS


def compact_file(path: Path) -> int:
    """Write a kept file anew as int8, in its place; returns the bytes that this saves, 0 where nothing is to be done.

    Whoever has it mapped keeps what it was. Everything is verified first. Raises Damaged, OSError, StorageFull.
    """
    mapped = Mapped(path)
    header = mapped.header
    layout, tokens = header.layout, header.tokens
    if header.group or tokens < LEAST_TOKENS:
        return 0
    dtype: torch.dtype = getattr(torch, layout.dtype)
    shape = (layout.layers, 2, layout.kv_heads, tokens, layout.dim)
    count = layout.token_bytes // layout.itemsize * tokens
    data = torch.frombuffer(mapped.buffer, dtype=dtype, offset=header.data_offset, count=count).view(shape)
    codes = torch.empty(shape, dtype=torch.int8)
    steps = torch.empty((*shape[:3], groups(tokens, GROUP), 2, layout.dim))
    for layer in range(layout.layers):
        mapped.verify(layer, 0, tokens)
        codes[layer], steps[layer] = quantize(data[layer], GROUP)
    mapped.verify_means()
    means = memoryview(mapped.buffer)[header.means_offset : header.end]
    raw_codes, raw_steps = _bytes(codes), _bytes(steps)
    provenance = header.provenance | {"kept_as": "int8"}
    before = prelude(
        header.parent, header.start, tokens, header.pieces, layout, raw_codes, means, provenance,
        group=GROUP, steps=raw_steps,
    )  # fmt: skip
    was = path.stat()
    padding = bytes(steps_padding(raw_codes.nbytes + means.nbytes))
    commit(path, before, raw_codes, means, padding, raw_steps)
    # when it was last used
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    return was.st_size - path.stat().st_size


def _bytes(tensor: torch.Tensor) -> memoryview:
    return memoryview(tensor.view(torch.uint8).numpy().data).cast("B")
