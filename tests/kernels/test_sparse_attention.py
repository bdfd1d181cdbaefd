"""Attention to listed blocks, and the scores that blocks are listed by, against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kernels.block_scores import block_scores
from kernels.parallel import each
from kernels.sparse_attention import sparse_attention
from tests import tolerances
from tests.kernels.interpreter import Interpreter

BLOCK, QUERY_BLOCK = 16, 32
SCALE = 0.17


def made(
    variants: int, heads: int, group: int, rows: int, capacity: int, dim: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows * 1000 + capacity)
    shapes = ((variants, heads, group, rows, dim), (heads, capacity, dim), (heads, capacity, dim))
    queries, key, value = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    return queries, key, value


def lists(
    heads: int, rows: int, start: int, share: float, query_block: int = QUERY_BLOCK
) -> tuple[Tensor, Tensor, Tensor]:
    """(blocks, counts, mask [heads, rows, start + rows]): a random share of the blocks before each query block."""
    generator = torch.Generator().manual_seed(start + rows)
    query_blocks = -(-rows // query_block)
    most = (start + rows) // BLOCK + 1
    # what lies behind the counts must never be looked at
    blocks = torch.full((heads, query_blocks, most), 1 << 20, dtype=torch.int32)
    counts = torch.zeros((heads, query_blocks), dtype=torch.int32)
    mask = torch.zeros((heads, rows, start + rows), dtype=torch.bool)
    for head in range(heads):
        for number in range(query_blocks):
            own = start + number * query_block
            chosen = (torch.rand(own // BLOCK, generator=generator) < share).nonzero()[:, 0]
            blocks[head, number, : len(chosen)] = chosen.to(torch.int32)
            counts[head, number] = len(chosen)
            for row in range(number * query_block, min(rows, (number + 1) * query_block)):
                for block in chosen.tolist():
                    mask[head, row, block * BLOCK : (block + 1) * BLOCK] = True
                mask[head, row, own : start + row + 1] = True
    return blocks, counts, mask


def scores(queries: Tensor, key: Tensor, borders: list[int]) -> Tensor:
    """[kv_heads, group, rows, keys], each key met by its variant."""
    variant = torch.zeros(key.shape[1], dtype=torch.long)
    for number, border in enumerate(borders):
        variant[border:] = number
    every = torch.einsum("vhgrd,hkd->vhgrk", queries.double(), key.double()) * SCALE
    return every.gather(0, variant.expand(1, *every.shape[1:]))[0]


@pytest.mark.parametrize(
    ("start", "rows", "borders"),
    [
        (0, 31, [0]),
        (0, 257, [0]),
        (64, 33, [0]),
        (160, 96, [0, 96]),
        (320, 65, [0, 96, 192]),
        (320, 200, [0, 160, 320]),
    ],
)
@pytest.mark.parametrize(("heads", "group", "dim"), [(1, 1, 16), (2, 3, 64), (3, 4, 40)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_sparse_attention_attends_to_what_is_listed(
    start: int, rows: int, borders: list[int], heads: int, group: int, dim: int, share: float
) -> None:
    queries, key, value = made(len(borders), heads, group, rows, start + rows + 7, dim)
    blocks, counts, mask = lists(heads, rows, start, share)
    found = sparse_attention(
        queries, key, value, blocks, counts,
        start=start, borders=borders, block=BLOCK, query_block=QUERY_BLOCK, scale=SCALE,
    )  # fmt: skip
    logits = scores(queries, key[:, : start + rows], borders).masked_fill(~mask[:, None], float("-inf"))
    wanted = torch.einsum("hgrk,hkd->hgrd", logits.softmax(-1), value[:, : start + rows].double())
    assert (found.double() - wanted).abs().max() < tolerances.FLOAT32_ATTENTION


def test_partial_blocks_show_only_the_keys_they_hold() -> None:
    queries, key, value = made(1, 2, 2, 40, 136, 16)
    key[:, 37:48] = 1e3  # a hole may hold anything finite: its weight must be exactly nothing
    value[:, 37:48] = 1e30
    blocks, counts, mask = lists(2, 40, 96, 1.0)
    mask[:, :, 37:48] = False
    found = sparse_attention(
        queries, key, value, blocks, counts,
        start=96, borders=[0], block=BLOCK, query_block=QUERY_BLOCK, scale=SCALE, partial={2: 5},
    )  # fmt: skip
    logits = scores(queries, key, [0]).masked_fill(~mask[:, None], float("-inf"))
    wanted = torch.einsum("hgrk,hkd->hgrd", logits.softmax(-1), value.double())
    assert (found.double() - wanted).abs().max() < tolerances.FLOAT32_ATTENTION


def test_fills_in_the_log_sum_exp() -> None:
    queries, key, value = made(2, 2, 3, 65, 231, 16)
    blocks, counts, mask = lists(2, 65, 160, 0.4)
    lse = torch.full((2, 3, 65), math.nan)
    sparse_attention(
        queries, key, value, blocks, counts,
        start=160, borders=[0, 96], block=BLOCK, query_block=QUERY_BLOCK, scale=SCALE, lse=lse,
    )  # fmt: skip
    wanted = scores(queries, key[:, :225], [0, 96]).masked_fill(~mask[:, None], float("-inf")).logsumexp(-1)
    assert (lse.double() - wanted).abs().max() < tolerances.FLOAT32_ATTENTION


def agrees(
    found: Tensor, lse: Tensor, queries: Tensor, key: Tensor, value: Tensor, *rest: Tensor, **given: object
) -> None:
    """With the reference in float32: the numbers given are exact there."""
    expected = torch.empty_like(lse)
    exact = (queries.float(), key.float(), value.float(), *rest)
    wanted = sparse_attention(*exact, **given, lse=expected, impl="reference")  # type: ignore[arg-type]
    limit = {
        torch.float32: tolerances.FLOAT32_ATTENTION,
        torch.float16: tolerances.FLOAT16_ATTENTION,
        torch.bfloat16: tolerances.BFLOAT16_ATTENTION,
    }
    assert found.dtype == queries.dtype and torch.isfinite(found).all()
    assert (found.float() - wanted).abs().max() < limit[found.dtype]
    assert (lse - expected).abs().max() < tolerances.FLOAT32_ATTENTION * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    ("start", "rows", "borders", "group", "dim", "share"),
    [
        (0, 31, [0], 1, 64, 0.0),
        (64, 131, [0], 3, 64, 0.0),
        (160, 65, [0, 96], 7, 64, 0.4),
        (192, 33, [0, 96, 192], 3, 128, 1.0),
        (320, 70, [0, 96, 192], 1, 128, 0.4),
    ],
)
def test_triton_agrees_interpreted(
    interpreter: Interpreter,
    start: int,
    rows: int,
    borders: list[int],
    group: int,
    dim: int,
    share: float,
    dtype: torch.dtype,
) -> None:
    queries, key, value = made(len(borders), 2, group, rows, start + rows + 7, dim, dtype)
    blocks, counts, _ = lists(2, rows, start, share)
    key[:, start + rows :] = math.nan  # nothing was written there yet
    given = {"start": start, "borders": borders, "block": BLOCK, "query_block": QUERY_BLOCK, "scale": SCALE}
    if share == 1.0:
        key[:, 37:48] = value[:, 37:48] = math.nan
        given["partial"] = {2: 5}
    found, lse = interpreter(filled, queries, key, value, blocks, counts, **given)
    if share == 1.0:
        key[:, 37:48] = value[:, 37:48] = 0
    agrees(found, lse, queries, key, value, blocks, counts, **given)


def filled(queries: Tensor, *rest: Tensor, **given: object) -> tuple[Tensor, Tensor]:
    lse = torch.empty(queries.shape[1:4], device=queries.device)
    return sparse_attention(queries, *rest, **given, lse=lse), lse  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize(("start", "borders"), [(0, [0]), (2048, [0, 1024, 2048]), (2304, [0, 1024, 2048])])
def test_cuda_agrees_with_the_reference(start: int, borders: list[int], dim: int, dtype: torch.dtype) -> None:
    queries, key, value = made(len(borders), 2, 7, 333, start + 340, dim, dtype)
    blocks, counts, _ = lists(2, 333, start, 0.3, 128)
    partial = {block: 5 for block in range(0, start // BLOCK, 7)}
    tensors = [tensor.cuda() for tensor in (queries, key, value, blocks, counts)]
    given = {"start": start, "borders": borders, "block": BLOCK, "query_block": 128, "scale": SCALE, "partial": partial}
    found, lse = filled(*tensors, **given)
    agrees(found, lse, *tensors, **given)


def test_long_rows_are_cut_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    from kernels.sparse_attention import reference

    queries, key, value = made(1, 1, 2, 64, 192, 16)
    blocks, counts, _ = lists(1, 64, 128, 1.0)

    def run() -> Tensor:
        return sparse_attention(
            queries, key, value, blocks, counts,
            start=128, borders=[0], block=BLOCK, query_block=QUERY_BLOCK * 2, scale=SCALE,
        )  # fmt: skip

    blocks, counts = blocks[:, :1], counts[:, :1]
    whole = run()
    monkeypatch.setattr(reference, "_SCORES", 1)
    assert (run() - whole).abs().max() < tolerances.FLOAT32_ATTENTION


@pytest.mark.parametrize(
    "change",
    [
        {"borders": [0, 8]},
        {"borders": [16]},
        {"start": 5},
        {"start": 1000},
        {"query_block": 24},
    ],
)
def test_shapes_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    queries, key, value = made(1, 1, 1, 32, 64, 16)
    blocks, counts = torch.zeros((1, 1, 1), dtype=torch.int32), torch.ones((1, 1), dtype=torch.int32)
    given: dict[str, object] = {"start": 16, "borders": [0], "block": BLOCK, "query_block": QUERY_BLOCK, "scale": 1.0}
    with pytest.raises(ValueError):
        sparse_attention(queries, key, value, blocks, counts, **(given | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "rows", "borders"), [(320, 65, [0]), (320, 200, [0, 160, 320]), (256, 129, [0, 128])]
)
@pytest.mark.parametrize("stride", [1, 8])
def test_scores_are_the_shares_of_blocks_of_like_keys(start: int, rows: int, borders: list[int], stride: int) -> None:
    """Where all keys of a block are the same its mean says all, so that the estimate is exact."""
    sink, local = 32, 64
    queries, key, _ = made(len(borders), 2, 3, rows, -(-(start + rows) // BLOCK) * BLOCK, 16)
    key = key.view(2, -1, BLOCK, 16)[:, :, :1].expand(-1, -1, BLOCK, -1).reshape(key.shape).contiguous()
    found = block_scores(
        queries, key, key.view(2, -1, BLOCK, 16).mean(2),
        start=start, borders=borders, block=BLOCK, query_block=QUERY_BLOCK, scale=SCALE,
        sink=sink, local=local, stride=stride, empty=[3],
    )  # fmt: skip
    logits = scores(queries, key[:, : start + rows], borders)
    later = torch.arange(start + rows)[None, :] > torch.arange(start, start + rows)[:, None]
    logits = logits.masked_fill(later, float("-inf"))
    logits[..., 3 * BLOCK : 4 * BLOCK] = float("-inf")
    for number in range(-(-rows // QUERY_BLOCK)):
        own = start + number * QUERY_BLOCK
        mine = slice(number * QUERY_BLOCK, min(rows, (number + 1) * QUERY_BLOCK))
        sampled = logits[:, :, mine][:, :, stride // 2 :: stride]
        if sampled.shape[2] == 0:
            continue
        # what lies between the local keys and the query block counts too
        share = sampled.softmax(-1).mean((1, 2))
        candidates = range(sink // BLOCK, (own - local) // BLOCK)
        for block in range(found.shape[2]):
            if block in candidates and block != 3:
                wanted = share[:, block * BLOCK : (block + 1) * BLOCK].sum(-1)
                assert (found[:, number, block].double() - wanted).abs().max() < 1e-5
            else:
                assert (found[:, number, block] == float("-inf")).all()


@pytest.mark.parametrize(
    ("start", "rows", "borders"), [(320, 65, [0]), (320, 200, [0, 160, 320]), (256, 129, [0, 128])]
)
def test_scores_can_be_by_the_largest_logit(start: int, rows: int, borders: list[int]) -> None:
    sink, local, stride, short = 32, 64, 8, 3
    queries, key, _ = made(len(borders), 2, 3, rows, -(-(start + rows) // BLOCK) * BLOCK, 16)
    # what lies where a short block has no keys is not looked at
    key[:, 5 * BLOCK + short : 6 * BLOCK] = 1e3
    found = block_scores(
        queries, key, key.view(2, -1, BLOCK, 16).mean(2),
        start=start, borders=borders, block=BLOCK, query_block=QUERY_BLOCK, scale=SCALE,
        sink=sink, local=local, stride=stride, empty=[3], partial={5: short}, exact=True,
    )  # fmt: skip
    logits = scores(queries, key[:, : start + rows], borders)
    logits = logits.masked_fill(
        torch.arange(start + rows)[None, :] > torch.arange(start, start + rows)[:, None], float("-inf")
    )
    logits[..., 3 * BLOCK : 4 * BLOCK] = logits[..., 5 * BLOCK + short : 6 * BLOCK] = float("-inf")
    for number in range(-(-rows // QUERY_BLOCK)):
        own = start + number * QUERY_BLOCK
        sampled = logits[:, :, own - start : own - start + QUERY_BLOCK][:, :, stride // 2 :: stride]
        first, last = sink // BLOCK, (own - local) // BLOCK
        if sampled.shape[2] == 0:
            continue
        largest = sampled[..., first * BLOCK : last * BLOCK].unflatten(-1, (-1, BLOCK)).amax(-1)
        near = torch.cat((sampled[..., : first * BLOCK], sampled[..., last * BLOCK :]), -1)
        share = torch.cat((largest, near), -1).softmax(-1).mean((1, 2))[:, : last - first]
        scored = [block for block in range(first, last) if block != 3]
        assert (found[:, number, scored].double() - share[:, [block - first for block in scored]]).abs().max() < 1e-5
        assert found[:, number].isfinite().sum() == 2 * len(scored)


CASES = [
    # start, rows, borders, group, dim, stride, empty
    (320, 65, [0], 1, 64, 8, []),
    (320, 33, [0, 160], 3, 64, 4, [2, 3, 4, 9]),
    (352, 96, [0, 96, 192], 7, 128, 8, [11]),
    (64, 100, [0, 64], 7, 64, 1, []),
    (448, 31, [0, 208, 448], 1, 128, 8, [4, 5, 8]),
]


def in_small_spans(*args: Tensor, **given: object) -> Tensor:
    """Several programs for each query block, as in long contexts."""
    from kernels.block_scores import triton

    triton.SPAN = 8
    return block_scores(*args, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("start", "rows", "borders", "group", "dim", "stride", "empty"), CASES)
def test_triton_scores_agree_interpreted(
    interpreter: Interpreter, start: int, rows: int, borders: list[int], group: int, dim: int, stride: int,
    empty: list[int], exact: bool, dtype: torch.dtype,
) -> None:  # fmt: skip
    queries, key, _ = made(len(borders), 2, group, rows, start + rows + 16, dim, dtype)
    means = key[:, : (start + rows + 15) // BLOCK * BLOCK].reshape(2, -1, BLOCK, dim).mean(2)
    given = {"start": start, "borders": borders, "block": BLOCK, "query_block": QUERY_BLOCK, "scale": SCALE}
    given |= {"sink": 32, "local": 64, "stride": stride, "empty": empty, "exact": exact}
    given["partial"] = {6: 3, 7: 1} if empty else {}
    wanted = block_scores(queries, key, means, **given, impl="reference")  # type: ignore[arg-type]
    key[:, start + rows :] = math.nan  # nothing was written there yet
    means[:, empty] = math.nan
    for number in empty if exact else ():
        key[:, number * BLOCK : (number + 1) * BLOCK] = math.nan
    close(interpreter(in_small_spans, queries, key, means, **given), wanted)


def close(found: Tensor, wanted: Tensor) -> None:
    assert torch.isfinite(wanted).any() and found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=tolerances.SHARES, atol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("start", "borders"), [(2048, [0]), (20480, [0, 8192, 16384])])
def test_cuda_scores_agree_with_the_reference(
    start: int, borders: list[int], exact: bool, dim: int, dtype: torch.dtype
) -> None:
    queries, key, _ = made(len(borders), 2, 7, 333, start + 336, dim, dtype)
    queries, key = queries.cuda(), key.cuda()
    means = key[:, : (start + 336)].reshape(2, -1, BLOCK, dim).mean(2)
    given = {"start": start, "borders": borders, "block": BLOCK, "query_block": 128, "scale": SCALE}
    given |= {"sink": 64, "local": 256, "stride": 8, "empty": [7, 8, 9, 70], "partial": {30: 5}, "exact": exact}
    wanted = block_scores(queries, key, means, **given, impl="reference")  # type: ignore[arg-type]
    close(block_scores(queries, key, means, **given), wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"sink": 10}, {"local": 24}, {"stride": 5}])
def test_scores_need_whole_blocks(change: dict[str, int]) -> None:
    queries, key, _ = made(1, 1, 1, 32, 64, 16)
    given: dict[str, object] = {"start": 0, "borders": [0], "block": 16, "query_block": 32, "scale": 1.0}
    with pytest.raises(ValueError, match=r"multiples|whole"):
        block_scores(queries, key, key[:, ::16], **(given | {"sink": 16, "local": 16, "stride": 8} | change))  # type: ignore[arg-type]


def test_each_runs_every_piece_and_raises_what_failed() -> None:
    threads = torch.get_num_threads()
    seen: list[int] = []
    each(seen.append, range(50))
    assert sorted(seen) == list(range(50))

    def fails(piece: int) -> None:
        if piece == 3:
            raise MemoryError(piece)

    with pytest.raises(MemoryError):
        each(fails, range(50))
    assert torch.get_num_threads() == threads
    assert math.isfinite(torch.randn(64, 64).mm(torch.randn(64, 64)).sum().item())
