"""The compiled row against the plain definition, at odd sizes, over several runs and kinds of query."""

from __future__ import annotations

import pytest
import torch

from kernels.decode_row import Choice, Run, Watch, Weights, decode_row, prepare, quantize
from kernels.int8_kv import quantize as quantize_kv
from tests import tolerances

pytest.importorskip("numba")

LAYERS, HIDDEN, INNER, VOCABULARY, BLOCK = 2, 72, 100, 301, 16


def weights(
    heads: int,
    kv_heads: int,
    dim: int,
    *,
    int8: bool,
    bias: bool,
    head_norm: bool,
    hidden: int = HIDDEN,
    inner: int = INNER,
) -> Weights:
    generator = torch.Generator().manual_seed(heads * dim)

    def matrix(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
        exact = torch.randn(*shape, generator=generator) / shape[-1] ** 0.5
        if not int8:
            return exact, torch.ones(shape[:-1])
        steps = exact.abs().amax(-1) / 127
        return (exact / steps[..., None]).round().to(torch.int8), steps

    def vector(rows: int, wanted: bool) -> torch.Tensor:
        return torch.randn(LAYERS, rows, generator=generator) if wanted else torch.empty(LAYERS, 0)

    joined = (heads + 2 * kv_heads) * dim
    return Weights(
        *matrix(LAYERS, joined, hidden), vector(joined, bias),
        *matrix(LAYERS, hidden, heads * dim), vector(hidden, bias),
        *matrix(LAYERS, 2 * inner, hidden), vector(2 * inner, bias),
        *matrix(LAYERS, hidden, inner), vector(hidden, bias),
        *matrix(VOCABULARY, hidden),
        vector(dim, head_norm), vector(dim, head_norm),
    )  # fmt: skip


def run(tokens: int, kind: int, kv_heads: int, dim: int, dtype: torch.dtype, *, means: bool) -> Run:
    """``tokens`` keys in a wider buffer of NaN, as pages are slices of a file."""
    generator = torch.Generator().manual_seed(tokens)
    wide = torch.full((LAYERS, 2, kv_heads, tokens + 9, dim), float("nan"), dtype=dtype)
    data = wide[:, :, :, 2 : tokens + 7]
    data[:, :, :, :tokens] = torch.randn(LAYERS, 2, kv_heads, tokens, dim, generator=generator).to(dtype)
    found = None
    if means:
        keys = data[:, 0, :, :tokens].float()
        found = torch.stack([part.mean(2) for part in keys.split(BLOCK, 2)], 2).to(dtype)
    return Run(data, tokens, kind, found)


def smaller(wide: Run, group: int) -> Run:
    """The same as int8, the codes in a wider buffer too."""
    codes, steps = quantize_kv(wide.data[:, :, :, : wide.length], group)
    data = torch.full(wide.data.shape, 99, dtype=torch.int8)
    data[:, :, :, : wide.length] = codes
    return Run(data, wide.length, wide.kind, wide.means, steps, group)


def both(
    choice: Choice | None,
    *,
    heads: int,
    kv_heads: int,
    dim: int,
    dtype: torch.dtype,
    group: int = 0,
    watched: torch.Tensor | None = None,
    impl: str = "compiled",
    hidden: int = HIDDEN,
    inner: int = INNER,
    **kinds: bool,
) -> float:
    """Largest difference between the two forms, of the logits, of the newest key and value and of what is watched."""
    runs = [run(300, 2, kv_heads, dim, dtype, means=True), run(257, 1, kv_heads, dim, dtype, means=True)]
    if group:
        # beside runs as they were, as a conversation's are behind a book
        runs[0] = smaller(runs[0], group)
        runs.insert(1, smaller(run(150, 2, kv_heads, dim, dtype, means=False), group))
    runs += [run(130, 0, kv_heads, dim, dtype, means=False), run(3, 0, kv_heads, dim, dtype, means=False)]
    generator = torch.Generator().manual_seed(1)
    angle = torch.rand(3, dim // 2, generator=generator) * 6
    state = torch.randn(hidden, generator=generator)
    given = weights(heads, kv_heads, dim, hidden=hidden, inner=inner, **kinds)
    found, seen = [], []
    # between the runs lie positions that do not exist, as between the segments of a prompt
    starts = [0, 320, 592, 736]
    for which in (impl, "reference"):
        mass = torch.zeros(736 // Watch.BLOCK + 1)
        watch = None if watched is None else Watch(watched, starts, mass)
        runs[-1].data[:, :, :, 2] = float("nan")
        logits = decode_row(
            given, state, runs, angle.cos(), angle.sin(), heads=heads, eps=1e-6, scale=dim**-0.5, choice=choice,
            watch=watch, impl=which,  # type: ignore[arg-type]
        )  # fmt: skip
        seen.append(mass)
        found.append((logits, runs[-1].data[:, :, :, 2].float()))
    (ours, kept), (wanted, expected) = found
    assert ours.shape == (VOCABULARY,) and torch.isfinite(wanted).all() and wanted.std() > 0.1
    assert (kept - expected).abs().max() <= (0.0 if dtype is torch.float32 else 2**-6) + tolerances.FLOAT32_LOGITS
    if watched is not None:
        # every head's mass is all of its attention
        assert abs(float(seen[0].sum() - watched.sum())) < 1e-3 * float(watched.sum())
        # block 19 lies between two runs
        assert not seen[0][19] and seen[0][-1] > 0
        assert (seen[0] - seen[1]).abs().max() < (1e-4 if dtype is torch.float32 else 1e-2)
    return float((ours - wanted).abs().max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(4, 4, 16), (14, 2, 64), (9, 3, 24)])
@pytest.mark.parametrize("extras", [False, True])
def test_agrees_with_the_definition(heads: int, kv_heads: int, dim: int, dtype: torch.dtype, extras: bool) -> None:
    bfloat16 = dtype is torch.bfloat16
    error = both(
        None, heads=heads, kv_heads=kv_heads, dim=dim, dtype=dtype, int8=bfloat16, bias=extras, head_norm=extras
    )
    # a key that rounds the other way in bfloat16 moves every later layer
    assert error < (tolerances.BFLOAT16_ATTENTION if bfloat16 else tolerances.FLOAT32_LOGITS)


@pytest.mark.parametrize("impl", ["compiled", "plain"])
@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(14, 2, 64), (9, 3, 64), (5, 5, 128), (16, 2, 64), (18, 2, 64)])
@pytest.mark.parametrize("keys", [None, 64, 200])
def test_special_instructions_compute_the_same(
    impl: str, heads: int, kv_heads: int, dim: int, keys: int | None
) -> None:
    """At sizes that products of bytes and tiles are for, where the processor has them; a group of 9 is too many."""
    choice = None if keys is None else Choice(torch.full((LAYERS, kv_heads), keys), BLOCK, 32, 48)
    error = both(
        choice, heads=heads, kv_heads=kv_heads, dim=dim, dtype=torch.bfloat16, impl=impl, hidden=192, inner=320,
        int8=True, bias=True, head_norm=False,
    )  # fmt: skip
    assert error < tolerances.BFLOAT16_ATTENTION


@pytest.mark.parametrize("keys", [0, 16, 64, 400, 1 << 20])
def test_chooses_the_same_keys_as_the_definition(keys: int) -> None:
    table = torch.full((LAYERS, 3), keys)
    table[1, 2] = 1 << 20  # a head that attends to everything beside others that do not
    choice = Choice(table, BLOCK, 32, 48)
    error = both(choice, heads=9, kv_heads=3, dim=16, dtype=torch.float32, int8=False, bias=True, head_norm=False)
    assert error < tolerances.FLOAT32_LOGITS


@pytest.mark.parametrize("blocks", [1, 512, 1300])
def test_a_softmax_in_parts_is_one_of_the_whole(blocks: int) -> None:
    from kernels.decode_row.choosing import shares, soften

    logits = torch.randn(3, blocks, generator=torch.Generator().manual_seed(blocks)) * 9
    logits[1] -= 2000
    wanted = logits.double().softmax(-1).sum(0)
    scores, parts = logits.numpy(), -(-blocks // 512)
    tops, sums = torch.empty(parts, 3).numpy(), torch.empty(parts, 3).numpy()
    for part in range(parts):
        soften(scores, part * 512, min(blocks, (part + 1) * 512), tops[part], sums[part])
    found = torch.from_numpy(shares(scores, tops, sums, 512))
    assert torch.allclose(found.double(), wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_the_largest_is_the_one_of_a_sorted_list(count: int) -> None:
    from kernels.decode_row.choosing import largest

    generator = torch.Generator().manual_seed(count)
    numbers = torch.rand(count, generator=generator) ** 20
    numbers[::3] = 0
    numbers[-1] = 1e30
    descending = numbers.sort(descending=True).values
    for keep in {1, 2, count // 3, count // 2, count} - {0}:
        if keep <= count:
            bar, larger = largest(numbers.numpy(), keep)
            assert bar == descending[keep - 1].item() and larger == (descending > bar).sum()
    assert largest(torch.full((count,), 0.25).numpy(), count) == (0.25, 0)


@pytest.mark.parametrize("group", [64, 128])
@pytest.mark.parametrize("keys", [None, 64, 200])
@pytest.mark.parametrize(("dtype", "dim"), [(torch.float32, 16), (torch.bfloat16, 64)])
def test_int8_keys_and_values_are_read_in_place(keys: int | None, group: int, dtype: torch.dtype, dim: int) -> None:
    choice = None if keys is None else Choice(torch.full((LAYERS, 3), keys), BLOCK, 32, 48)
    bfloat16 = dtype is torch.bfloat16
    error = both(
        choice, heads=9, kv_heads=3, dim=dim, dtype=dtype, group=group, int8=bfloat16, bias=True, head_norm=False
    )
    assert error < (tolerances.BFLOAT16_ATTENTION if bfloat16 else tolerances.FLOAT32_LOGITS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("keys", [None, 64])
@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("dim", [24, 64])
def test_watches_where_heads_look(dtype: torch.dtype, keys: int | None, few: bool, dim: int) -> None:
    """All heads, or two of them, with all keys or chosen ones: as much as the definition says, where it says so."""
    watched = torch.zeros(LAYERS, 9) if few else torch.ones(LAYERS, 9)
    if few:
        watched[1, 2], watched[1, 7] = 0.25, 0.75
    choice = None if keys is None else Choice(torch.full((LAYERS, 3), keys), BLOCK, 32, 48)
    bfloat16 = dtype is torch.bfloat16
    error = both(
        choice, heads=9, kv_heads=3, dim=dim, dtype=dtype, watched=watched, int8=bfloat16, bias=False, head_norm=False
    )
    assert error < (tolerances.BFLOAT16_ATTENTION if bfloat16 else tolerances.FLOAT32_LOGITS)


@pytest.mark.parametrize("impl", ["compiled", "reference"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("normed", [False, True])
def test_a_matrix_as_int8_is_within_half_a_step(impl: str, dtype: torch.dtype, normed: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(65, 131, generator=generator).to(dtype)
    weight[5] = 0
    norm = torch.rand(131, generator=generator) + 0.5 if normed else None
    out, steps = torch.full((65, 131), 77, dtype=torch.int8), torch.full((65,), float("nan"))
    quantize(weight, norm, out, steps, impl=impl)  # type: ignore[arg-type]
    exact = weight.float() * (1.0 if norm is None else norm)
    assert ((out * steps[:, None] - exact).abs() <= steps[:, None] * 0.501).all()
    assert (out.abs().amax(1)[torch.arange(65) != 5] == 127).all() and not out[5].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_prepares_what_is_called_later(dtype: torch.dtype) -> None:
    from kernels.decode_row import compiled

    prepare(dtype)
    before = len(compiled.row.signatures)
    both(None, heads=4, kv_heads=2, dim=16, dtype=dtype, int8=dtype is torch.bfloat16, bias=True, head_norm=True)
    assert len(compiled.row.signatures) == before, "another signature was compiled for a real model"


def test_refuses_what_does_not_fit() -> None:
    given = weights(4, 2, 16, int8=False, bias=False, head_norm=False)
    turn, state = torch.zeros(1, 8), torch.zeros(HIDDEN)
    good = run(20, 0, 2, 16, torch.float32, means=True)
    for runs, choice, message in (
        ([], None, "room"),
        ([Run(good.data, 30, 0)], None, "room"),
        ([Run(good.data, 20, 1)], None, "kind 1"),
        ([Run(good.data.half(), 20, 0)], None, "float16"),
        ([Run(good.data.transpose(3, 4), 16, 0)], None, "in place"),
        ([Run(good.data.to(torch.int8), 20, 0), good], None, "in place"),
        ([smaller(good, 32), good], None, "multiple of 64"),
        ([smaller(good, 64)], None, "in place"),
        ([good], Choice(torch.zeros(1, 2, dtype=torch.int64), BLOCK, 0, 0), "layers"),
    ):
        with pytest.raises(ValueError, match=message):
            decode_row(given, state, runs, turn, turn, heads=4, eps=1e-6, scale=0.25, choice=choice)
    for watch in (Watch(torch.ones(1, 4), [0], torch.zeros(2)), Watch(torch.ones(LAYERS, 4), [0], torch.zeros(1))):
        with pytest.raises(ValueError, match="watching"):
            decode_row(given, state, [good], turn, turn, heads=4, eps=1e-6, scale=0.25, watch=watch)
