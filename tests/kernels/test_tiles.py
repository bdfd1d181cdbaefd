"""Attention on AMX tiles against the definitions, in bfloat16 at odd lengths. Skipped where there are none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernels import tiles
from kernels.block_scores import block_scores
from kernels.run_attention import Span, run_attention
from kernels.sparse_attention import sparse_attention
from tests import tolerances

SCALE = 0.17
need_tiles = pytest.mark.skipif(not tiles.available(), reason="this processor has no AMX tiles")


def made(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale).bfloat16()


def spans(lengths: list[int], kinds: list[int], heads: int, dim: int, scale: float = 1.0) -> list[Span]:
    """Each in memory that goes on behind it with what must never be seen."""
    found = []
    for number, (length, kind) in enumerate(zip(lengths, kinds, strict=True)):
        key, value = (made(number * 2 + which, heads, length + 40, dim, scale=scale) for which in range(2))
        key[:, length:], value[:, length:] = 100.0, float("nan")
        found.append(Span(key[:, :length], value[:, :length], kind))
    return found


@need_tiles
@pytest.mark.parametrize(
    ("lengths", "kinds", "rows"),
    [
        ([1], [0], 1),
        ([16], [0], 16),
        ([257], [0], 257),
        ([300], [0], 33),
        ([1, 17, 130], [0, 0, 1], 100),
        ([511, 40, 300, 7, 145], [0, 0, 1, 2, 2], 129),
        # few rows after many keys, which are cut into parts
        ([3000, 40, 1300, 7, 145], [0, 0, 1, 2, 2], 5),
        ([6000], [0], 130),
    ],
)
@pytest.mark.parametrize(("heads", "group", "dim"), [(1, 1, 64), (2, 3, 64), (1, 2, 128)])
def test_runs_are_attended_to_wherever_they_lie(
    lengths: list[int], kinds: list[int], rows: int, heads: int, group: int, dim: int
) -> None:
    queries = made(9, kinds[-1] + 1, heads, group, rows, dim)
    found = run_attention(queries, spans(lengths, kinds, heads, dim), scale=SCALE, impl="tiles")
    wanted = run_attention(queries.float(), widened(spans(lengths, kinds, heads, dim)), scale=SCALE)
    assert found.dtype is torch.bfloat16 and torch.isfinite(found).all()
    assert (found.float() - wanted).abs().max() < tolerances.BFLOAT16_ATTENTION


def widened(given: list[Span]) -> list[Span]:
    return [Span(span.key.float(), span.value.float(), span.variant) for span in given]


@need_tiles
def test_logits_of_a_thousand_keep_their_differences() -> None:
    queries, given = made(1, 1, 1, 2, 64, 64, scale=20.0), spans([640], [0], 1, 64, scale=20.0)
    logits = torch.einsum("vhgrd,hkd->vhgrk", queries.float(), given[0].key.float())
    assert logits.abs().max() * SCALE > 1000
    found = run_attention(queries, given, scale=SCALE, impl="tiles")
    wanted = run_attention(queries.float(), widened(given), scale=SCALE)
    assert (found.float() - wanted).norm() < 0.01 * wanted.norm()


@need_tiles
@pytest.mark.parametrize("reverse", [False, True])
def test_what_a_thread_multiplies_next_finds_its_tiles(reverse: bool) -> None:
    left, right = made(1, 256, 256), made(2, 256, 256)
    wanted = left @ right
    run_attention(made(3, 1, 1, 1, 40, 64), spans([40], [0], 1, 64), scale=SCALE, impl="tiles")
    assert torch.equal(left @ right if not reverse else (left.T.contiguous().T @ right), wanted)


@need_tiles
def test_tiles_are_refused_for_what_they_cannot_hold() -> None:
    with pytest.raises(ValueError, match="bfloat16"):
        run_attention(torch.zeros(1, 1, 1, 4, 64), [Span(*torch.zeros(2, 1, 4, 64), 0)], scale=1.0, impl="tiles")
    with pytest.raises(ValueError, match="last variant"):
        run_attention(torch.zeros(2, 1, 1, 4, 64), [Span(*torch.zeros(2, 1, 4, 64), 0)], scale=1.0)
    with pytest.raises(ValueError, match="4 rows"):
        run_attention(torch.zeros(1, 1, 1, 4, 64), [Span(*torch.zeros(2, 1, 3, 64), 0)], scale=1.0)


@need_tiles
@pytest.mark.parametrize(
    ("start", "rows", "borders", "group", "share"),
    [(0, 31, [0], 3, 0.0), (320, 200, [0], 1, 1.0), (640, 257, [0, 256, 512], 3, 0.4), (640, 129, [0, 512], 7, 0.4)],
)
def test_listed_blocks_are_attended_to(start: int, rows: int, borders: list[int], group: int, share: float) -> None:
    queries, key, value = (
        made(n, *shape)
        for n, shape in enumerate(
            [(len(borders), 2, group, rows, 64), (2, start + rows + 7, 64), (2, start + rows + 7, 64)]
        )
    )
    generator = torch.Generator().manual_seed(start)
    query_blocks, whole = -(-rows // 128), start // 16 + 8 * (-(-rows // 128))
    blocks = torch.full((2, query_blocks, whole), 1 << 20, dtype=torch.int32)
    counts = torch.zeros((2, query_blocks), dtype=torch.int32)
    for head in range(2):
        for number in range(query_blocks):
            listed = (torch.rand((start + number * 128) // 16, generator=generator) < share).nonzero()[:, 0]
            blocks[head, number, : len(listed)] = listed.int()
            counts[head, number] = len(listed)
    given = {"start": start, "borders": borders, "block": 16, "query_block": 128, "scale": SCALE, "partial": {3: 5}}
    lse, expected = (torch.full((2, group, rows), float("nan")) for _ in range(2))
    found = sparse_attention(queries, key, value, blocks, counts, **given, lse=lse, impl="tiles")  # type: ignore[arg-type]
    wanted = sparse_attention(
        queries.float(), key.float(), value.float(), blocks, counts, **given, lse=expected  # type: ignore[arg-type]
    )  # fmt: skip
    assert (found.float() - wanted).abs().max() < tolerances.BFLOAT16_ATTENTION
    assert (lse - expected).abs().max() < tolerances.BFLOAT16_LSE


@need_tiles
@pytest.mark.parametrize(
    ("start", "rows", "borders", "group", "empty"),
    [
        (0, 128, [0], 3, []),
        (384, 31, [0], 3, []),
        (256, 300, [0], 3, []),
        (2048, 300, [0], 7, [20, 21, 40]),
        (1536, 517, [0, 512, 1280], 3, [5, 33]),
        (5120, 128, [0, 1024], 1, []),
    ],
)
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_shares_of_attention_are_the_reference_s(
    start: int, rows: int, borders: list[int], group: int, empty: list[int], dim: int, exact: bool, stride: int
) -> None:
    queries, key = made(1, len(borders), 2, group, rows, dim, scale=0.5), made(2, 2, start + rows + 9, dim)
    blocks = -(-(start + rows + 9) // 16)
    means = torch.nn.functional.pad(key, (0, 0, 0, blocks * 16 - key.shape[1])).view(2, blocks, 16, dim)
    means = means.float().mean(2).bfloat16()
    given = {
        "start": start, "borders": borders, "block": 16, "query_block": 128, "scale": SCALE, "sink": 64, "local": 256,
        "stride": stride, "empty": empty, "exact": exact, "partial": {19: 5, 34: 1} if empty else {},
    }  # fmt: skip
    found = block_scores(queries, key, means, **given, impl="tiles")  # type: ignore[arg-type]
    wanted = block_scores(queries, key, means, **given, impl="reference")  # type: ignore[arg-type]
    assert torch.equal(found.isfinite(), wanted.isfinite())
    scored = wanted.isfinite()
    assert (found[scored] - wanted[scored]).abs().max() < 1e-3 if scored.any() else True
    assert (found[scored] / wanted[scored] - 1).abs().max() < tolerances.TILE_SHARES if scored.any() else True


@need_tiles
@pytest.mark.parametrize("stride", [8, 16])
def test_shares_are_the_same_however_rows_are_put_together(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from kernels.block_scores import tiled

    queries, key = made(1, 3, 2, 3, 900, 64), made(2, 2, 3000, 64)
    found = []
    for strips in (1, 6, 100):
        monkeypatch.setattr(tiled, "STRIPS", strips)
        given = {"block": 16, "query_block": 128, "scale": SCALE, "sink": 64, "local": 256, "stride": stride}
        scores = block_scores(queries, key, key[:, ::16], start=2048, borders=[0, 512, 1280], **given, exact=True)  # type: ignore[arg-type]
        found.append(scores)
    assert found[0].isfinite().any() and all(torch.equal(found[0], other) for other in found[1:])


@need_tiles
def test_what_stands_between_products_is_what_transformers_computes() -> None:
    states, up, weight = made(1, 1, 77, 96, scale=3.0), made(2, 1, 77, 96), made(3, 96)
    wide = states.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5)
    wanted = weight * wide.bfloat16()
    found = tiles.norm(states, weight, 1e-5)
    # another order of the sum may round a number here and there the other way
    assert (found != wanted).float().mean() < 0.01 and torch.allclose(found.float(), wanted.float(), rtol=2**-7)
    gated, wanted = tiles.gate(states, up.clone()), torch.nn.functional.silu(states) * up
    assert (gated != wanted).float().mean() < 0.01 and torch.allclose(gated.float(), wanted.float(), rtol=2**-6)
    heads, angle = made(4, 2, 3, 77, 64), torch.randn(77, 32)
    turned = torch.empty_like(heads)
    tiles.turn(heads, angle.cos(), angle.sin(), turned)
    first, second = heads.float().chunk(2, -1)
    cos, sin = angle.cos(), angle.sin()
    wanted = torch.cat((first * cos - second * sin, second * cos + first * sin), -1).bfloat16()
    assert torch.allclose(turned.float(), wanted.float(), rtol=2**-7, atol=1e-6)
    assert torch.equal(tiles.turn_heads(heads[1].transpose(0, 1), cos, sin), turned[1])
