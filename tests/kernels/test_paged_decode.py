"""One row over keys in pages: all of them, listed blocks, int8 of both; and the row that is appended."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kernels.append_row import append_row
from kernels.int8_kv import dequantize, quantize
from kernels.paged_decode import paged_decode
from tests import tolerances
from tests.kernels.interpreter import Interpreter

HEADS, PAGE, BLOCK, SCALE = 2, 64, 16, 0.13
LIMIT = {
    torch.float32: tolerances.FLOAT32_ATTENTION,
    torch.float16: tolerances.FLOAT16_ATTENTION,
    torch.bfloat16: tolerances.BFLOAT16_ATTENTION,
}


class Case:
    """A pool in disorder; pages that hold less than they could; memory that nobody wrote is NaN."""

    def __init__(self, lengths: list[int], borders: list[int], group: int, dim: int, dtype: torch.dtype, **pool: Any):
        generator = torch.Generator().manual_seed(sum(lengths) + group)
        slots = len(lengths)
        page = pool.get("page", PAGE)
        self.table = torch.randperm(slots + 2, generator=generator)[:slots].to(torch.int32)
        self.lengths = torch.tensor(lengths, dtype=torch.int32)
        self.borders = torch.tensor(borders, dtype=torch.int32)
        self.queries = torch.randn(len(borders) - 1, HEADS, group, dim, generator=generator).to(dtype)
        shape = (slots + 2, HEADS, page, dim)
        self.key, self.value = (torch.full(shape, float("nan"), dtype=dtype) for _ in range(2))
        for place, length in zip(self.table.tolist(), lengths, strict=True):
            for states in (self.key, self.value):
                states[place, :, :length] = torch.randn(HEADS, length, dim, generator=generator).to(dtype)
        self.given: dict[str, Any] = {"scale": SCALE, "block": BLOCK}

    @property
    def entries(self) -> int:
        blocks = self.given.get("blocks")
        return len(self.table) * self.key.shape[2] // self.given["block"] if blocks is None else blocks.shape[1]

    def listed(self, share: float) -> Case:
        """Some of the blocks that hold anything, and rubbish behind the counts."""
        generator = torch.Generator().manual_seed(3)
        each = PAGE // BLOCK
        there = [
            slot * each + number
            for slot in range(int(self.borders[-1]))
            for number in range(-(-int(self.lengths[slot]) // BLOCK))
        ]
        blocks = torch.full((HEADS, len(there) + 1), 1 << 20, dtype=torch.int32)
        counts = torch.zeros(HEADS, dtype=torch.int32)
        for head in range(HEADS):
            mine = [block for block in there if float(torch.rand(1, generator=generator)) < share]
            blocks[head, : len(mine)] = torch.tensor(mine, dtype=torch.int32)
            counts[head] = len(mine)
        self.given |= {"blocks": blocks, "counts": counts}
        return self

    def smaller(self, group: int) -> Case:
        """Keys and values as int8."""
        for name in ("key", "value"):
            codes, steps = quantize(getattr(self, name).nan_to_num(0.5), group)
            setattr(self, name, codes)
            self.given[f"{name}_steps"] = steps
        return self

    def to(self, device: str) -> Case:
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        self.given = {
            name: value.to(device) if isinstance(value, Tensor) else value for name, value in self.given.items()
        }
        return self

    @property
    def args(self) -> tuple[Tensor, ...]:
        return self.queries, self.key, self.value, self.table, self.lengths, self.borders


def with_masses(queries: Tensor, *rest: Any, entries: int, **given: Any) -> tuple[Tensor, Tensor, Tensor]:
    masses = torch.empty((*queries.shape[1:3], entries), device=queries.device)
    return *paged_decode(queries, *rest, block_lse=masses, **given), masses


def definition(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Token by token, in float64: out, lse, and each entry's log-sum-exp."""
    key, value = case.key.double(), case.value.double()
    if "key_steps" in case.given:
        group = case.key.shape[2] // case.given["key_steps"].shape[2]
        key = dequantize(case.key, case.given["key_steps"], group, torch.float64)
        value = dequantize(case.value, case.given["value_steps"], group, torch.float64)
    heads, members = case.queries.shape[1:3]
    page, block = case.key.shape[2], case.given["block"]
    out = torch.zeros(heads, members, case.queries.shape[3], dtype=torch.float64)
    lse = torch.full((heads, members), float("-inf"), dtype=torch.float64)
    masses = torch.full((heads, members, case.entries), float("-inf"), dtype=torch.float64)
    for head in range(heads):
        if "blocks" in case.given:
            numbers = case.given["blocks"][head, : int(case.given["counts"][head])].tolist()
        else:
            numbers = list(range(int(case.borders[-1]) * page // block))
        for member in range(members):
            logits, values = [], []
            for entry, number in enumerate(numbers):
                slot, inner = divmod(number * block, page)
                count = max(0, min(block, int(case.lengths[slot]) - inner))
                if count == 0:
                    continue
                variant = sum(slot >= int(border) for border in case.borders[1:-1])
                place = int(case.table[slot])
                mine = key[place, head, inner : inner + count] @ case.queries[variant, head, member].double() * SCALE
                masses[head, member, entry] = mine.logsumexp(0)
                logits.append(mine)
                values.append(value[place, head, inner : inner + count])
            if logits:
                every = torch.cat(logits)
                lse[head, member] = every.logsumexp(0)
                out[head, member] = every.softmax(0) @ torch.cat(values)
    return out, lse, masses


def agrees(found: tuple[Tensor, Tensor, Tensor], wanted: tuple[Tensor, Tensor, Tensor], limit: float) -> None:
    assert torch.isfinite(found[0]).all()
    assert (found[0].double() - wanted[0]).abs().max() < limit
    for one, other in zip(found[1:], wanted[1:], strict=True):
        assert torch.equal(torch.isinf(one), torch.isinf(other)) and not torch.isnan(one).any()
        assert (one.double() - other).nan_to_num(0.0).abs().max() < limit


CASES = [
    ([257 % PAGE], [0, 1], 1, 64),
    ([64, 50, 64, 13], [0, 1, 2, 4], 7, 64),
    ([64, 64, 1, 0, 64, 33, 9], [0, 2, 3, 6], 3, 128),  # a page that holds nothing, a slot that is not in use
    ([64, 31], [0, 0, 0, 2], 17, 64),
]


@pytest.mark.parametrize(("lengths", "borders", "group", "dim"), CASES)
@pytest.mark.parametrize("way", ["all", "listed", "int8", "listed int8"])
def test_the_reference_is_the_definition(
    way: str, lengths: list[int], borders: list[int], group: int, dim: int
) -> None:
    case = made(way, lengths, borders, group, dim, torch.float32)
    agrees(with_masses(*case.args, entries=case.entries, **case.given), definition(case), tolerances.FLOAT32_ATTENTION)


def made(way: str, lengths: list[int], borders: list[int], group: int, dim: int, dtype: torch.dtype) -> Case:
    case = Case(lengths, borders, group, dim, dtype)
    if "listed" in way:
        case.listed(0.6)
    return case.smaller(32) if "int8" in way else case


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("lengths", "borders", "group", "dim"), CASES)
@pytest.mark.parametrize("way", ["all", "listed", "int8", "listed int8"])
def test_triton_agrees_interpreted(
    interpreter: Interpreter, way: str, lengths: list[int], borders: list[int], group: int, dim: int, dtype: torch.dtype
) -> None:
    case = made(way, lengths, borders, group, dim, dtype)
    found = interpreter(with_masses, *case.args, entries=case.entries, splits=5, **case.given)
    wanted = with_masses(*case.args, entries=case.entries, **case.given, impl="reference")
    agrees(found, tuple(x.double() for x in wanted), LIMIT[dtype])  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_scores_of_mean_keys_interpreted(interpreter: Interpreter, dtype: torch.dtype) -> None:
    """Without values, a token an entry: the logits of every mean key."""
    case = Case([4, 3, 4, 1], [0, 1, 3, 4], 3, 64, dtype, page=32)
    case.given["block"] = 1
    args = (case.queries, case.key, None, case.table, case.lengths, case.borders)
    found = interpreter(with_masses, *args, entries=case.entries, **case.given)
    wanted = definition(case)
    assert found[0].shape == (HEADS, 3, 0)
    for one, other in zip(found[1:], wanted[1:], strict=True):
        assert torch.equal(torch.isinf(one), torch.isinf(other))
        assert (one.double() - other).nan_to_num(0.0).abs().max() < tolerances.FLOAT32_ATTENTION


def test_no_keys_at_all_give_nothing() -> None:
    case = Case([0, 0], [0, 2], 2, 64, torch.float32)
    out, lse = paged_decode(*case.args, **case.given)
    assert not out.any() and torch.isinf(lse).all()


@pytest.mark.parametrize(
    "change",
    [{"block": 48}, {"splits": 0}, {"counts": torch.zeros(2, dtype=torch.int32)}, {"key_steps": torch.zeros(1)},
     {"block_lse": torch.zeros(2, 3, 1)}],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    case = Case([64, 20], [0, 2], 3, 64, torch.float32)
    with pytest.raises(ValueError):
        paged_decode(*case.args, **(case.given | change))


def appended(
    row: Tensor, key: Tensor, value: Tensor, means: Tensor, table: Tensor, position: Tensor, **given: Any
) -> tuple[Tensor, Tensor, Tensor]:
    append_row(row, row * 2, key, value, means, table, position, **given)
    return key, value, means


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("position", [0, PAGE + 21, 2 * PAGE + 15, 2 * PAGE + 16])
def test_a_row_is_appended_and_its_mean_renewed(interpreter: Interpreter, position: int, dtype: torch.dtype) -> None:
    slot, inner = divmod(position, PAGE)
    case = Case([64 if number < slot else inner for number in range(3)], [0, 3], 1, 64, dtype)
    row = torch.arange(HEADS * 64, dtype=dtype).view(HEADS, 64) / 7
    place = int(case.table[slot])
    means = case.key[:, :, ::BLOCK].clone()
    wanted = case.key.clone(), case.value.clone(), means.clone()
    wanted[0][place, :, inner], wanted[1][place, :, inner] = row, row * 2
    first = inner // BLOCK * BLOCK
    wanted[2][place, :, inner // BLOCK] = wanted[0][place, :, first : inner + 1].float().mean(1).to(dtype)
    args = (row, case.key, case.value, means, case.table, torch.tensor([position]))
    for found in (appended(*(x.clone() for x in args)), interpreter(appended, *args)):
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(
                one, other, rtol=1e-3 if dtype is torch.float16 else 1e-6, atol=0, equal_nan=True
            )


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("way", ["all", "listed", "int8", "listed int8"])
def test_cuda_agrees_with_the_reference(way: str, dim: int, dtype: torch.dtype) -> None:
    lengths = [64] * 20 + [50] + [64] * 30 + [17, 0]
    case = made(way, lengths, [0, 10, 21, 52], 7, dim, dtype).to("cuda")
    found = with_masses(*case.args, entries=case.entries, **case.given)
    wanted = with_masses(*case.args, entries=case.entries, **case.given, impl="reference")
    agrees(found, tuple(x.double() for x in wanted), LIMIT[dtype])  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_cuda_appends_a_row(dtype: torch.dtype) -> None:
    case = Case([64, 21], [0, 2], 1, 128, dtype)
    row = torch.randn(HEADS, 128).to(dtype)
    args = (row, case.key, case.value, case.key[:, :, ::BLOCK].clone(), case.table, torch.tensor([PAGE + 21]))
    wanted = appended(*(x.clone() for x in args))
    for one, other in zip(appended(*(x.clone().cuda() for x in args)), wanted, strict=True):
        torch.testing.assert_close(
            one.cpu(), other, rtol=1e-2 if dtype is torch.bfloat16 else 1e-6, atol=0, equal_nan=True
        )
