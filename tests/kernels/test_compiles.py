"""Every Triton kernel at every entry of its launch table, compiled for cards that are not there.

``python -m tests.kernels.test_compiles`` prints the tables that stand in the README of each kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from tests.kernels.ahead import SHARED, Compiled, ahead

pytest.importorskip("triton", reason="Triton is not installed on this platform")

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
DTYPES = {2: torch.bfloat16, 4: torch.float32}


def sparse_attention(dim: int, dtype: torch.dtype) -> None:
    from kernels.sparse_attention import sparse_attention

    key = torch.empty(2, 2048, dim, dtype=dtype)
    sparse_attention(
        torch.empty(3, 2, 7, 256, dim, dtype=dtype), key, key,
        torch.zeros(2, 2, 40, dtype=torch.int32), torch.zeros(2, 2, dtype=torch.int32),
        start=1024, borders=[0, 256, 512], block=16, query_block=128, scale=0.1, partial={3: 4},
        lse=torch.empty(2, 7, 256), impl="triton",
    )  # fmt: skip


def block_scores(dim: int, dtype: torch.dtype) -> None:
    from kernels.block_scores import block_scores

    key = torch.empty(2, 2048, dim, dtype=dtype)
    for exact in (False, True):
        block_scores(
            torch.empty(3, 2, 7, 256, dim, dtype=dtype), key, key[:, ::16],
            start=1024, borders=[0, 256, 512], block=16, query_block=128, scale=0.1,
            sink=64, local=256, stride=8, empty=[7], exact=exact, impl="triton",
        )  # fmt: skip


def paged_decode(dim: int, dtype: torch.dtype) -> None:
    """All keys with each block's mass, listed blocks, listed int8, and the scores of mean keys."""
    from kernels.paged_decode import paged_decode

    queries = torch.empty(3, 4, 7, dim, dtype=dtype)
    pool = torch.empty(8, 4, 1024, dim, dtype=dtype)
    codes, steps = torch.empty(8, 4, 1024, dim, dtype=torch.int8), torch.empty(8, 4, 4, 2, dim)
    slots, masses = torch.zeros(8, dtype=torch.int32), torch.empty(4, 7, 512)
    rest = (slots, slots, torch.zeros(4, dtype=torch.int32))
    listed = {"blocks": torch.zeros(4, 40, dtype=torch.int32), "counts": torch.ones(4, dtype=torch.int32)}
    paged_decode(queries, pool, pool, *rest, scale=0.1, block=16, block_lse=masses, impl="triton")
    paged_decode(queries, pool, pool, *rest, scale=0.1, block=16, **listed, impl="triton")
    paged_decode(
        queries, codes, codes, *rest, scale=0.1, block=16, **listed, key_steps=steps, value_steps=steps, impl="triton"
    )
    paged_decode(queries, pool[:, :, :64], None, *rest, scale=0.1, block=1, block_lse=masses, impl="triton")


def append_row(dim: int, dtype: torch.dtype) -> None:
    from kernels.append_row import append_row

    row, pool = torch.empty(4, dim, dtype=dtype), torch.empty(8, 4, 1024, dim, dtype=dtype)
    table, position = torch.zeros(8, dtype=torch.int32), torch.zeros(1, dtype=torch.int64)
    append_row(row, row, pool, pool, pool[:, :, :64], table, position, impl="triton")


def int8_kv(dim: int, dtype: torch.dtype) -> None:
    from kernels.int8_kv import quantize

    quantize(torch.empty(4, 2048, dim, dtype=dtype), 256, impl="triton")


CALLS: dict[str, Callable[[int, torch.dtype], None]] = {
    "sparse_attention": sparse_attention,
    "block_scores": block_scores,
    "paged_decode": paged_decode,
    "append_row": append_row,
    "int8_kv": int8_kv,
}
# decoding is compiled for what a GPU decodes in: its float32 is for the interpreter
DECODING = ("paged_decode", "append_row", "int8_kv")
CASES = [
    (op, arch, dim, dtype)
    for op in CALLS
    for arch in SHARED
    for dtype in DTYPES.values()
    for dim in (64, 128)
    if op not in DECODING or dtype is torch.bfloat16
]


@cache
def compiled(op: str, arch: int, dim: int, dtype: torch.dtype) -> list[Compiled]:
    with ahead(arch) as found:
        CALLS[op](dim, dtype)
    return found


def line(kernel: Compiled, dim: int, dtype: torch.dtype) -> str:
    """A row of the README's table."""
    what = f"| `{kernel.name}` | {dim} | {str(dtype).removeprefix('torch.')} | sm_{kernel.arch} | {kernel.warps} "
    return what + f"| {kernel.shared / 1024:.1f} | {kernel.registers} | {kernel.stack} |"


@pytest.mark.parametrize(("op", "arch", "dim", "dtype"), CASES)
def test_fits_the_card(op: str, arch: int, dim: int, dtype: torch.dtype) -> None:
    readme = (KERNELS / op / "README.md").read_text("utf-8")
    found = compiled(op, arch, dim, dtype)
    assert found
    for kernel in found:
        assert kernel.shared <= SHARED[arch], f"{kernel.name} does not fit sm_{arch}"
        assert kernel.stack == 0, f"{kernel.name} spills registers on sm_{arch}"
        assert line(kernel, dim, dtype) in readme, f"not in the README: {line(kernel, dim, dtype)}"


def test_tensor_cores_and_asynchronous_copies_are_used() -> None:
    for arch, product in ((80, "mma.sync"), (90, "wgmma")):
        ptx = compiled("sparse_attention", arch, 128, torch.bfloat16)[0].ptx
        assert product in ptx and "cp.async" in ptx


if __name__ == "__main__":
    for op in CALLS:
        print(f"\n{op}\n\n| kernel | dim | dtype | card | warps | shared KiB | registers | spilled bytes |")
        print("|---|---|---|---|---|---|---|---|")
        for _, arch, dim, dtype in (case for case in CASES if case[0] == op):
            for kernel in compiled(op, arch, dim, dtype):
                print(line(kernel, dim, dtype))
