from __future__ import annotations

import math

import pytest
import torch

from kernels.attention import attention
from tests import tolerances


def tensors(heads: int, group: int, rows: int, keys: int, dim: int, dtype: torch.dtype = torch.float32) -> tuple:
    generator = torch.Generator().manual_seed(rows * 1000 + keys)
    query = torch.randn(heads, group, rows, dim, generator=generator).to(dtype)
    key, value = (torch.randn(heads, keys, dim, generator=generator).to(dtype) for _ in range(2))
    return query, key, value


def definition(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool, scale: float) -> tuple:
    """Row by row, in float64."""
    out = torch.full(query.shape, math.nan, dtype=torch.float64)
    lse = torch.full(query.shape[:3], math.nan, dtype=torch.float64)
    for head in range(query.shape[0]):
        for member in range(query.shape[1]):
            for row in range(query.shape[2]):
                last = row + 1 if causal else key.shape[1]
                scores = key[head, :last].double() @ query[head, member, row].double() * scale
                lse[head, member, row] = scores.logsumexp(0)
                out[head, member, row] = scores.softmax(0) @ value[head, :last].double()
    return out, lse


@pytest.mark.parametrize("impl", ["flash", "reference"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("rows", "keys"), [(1, 1), (1, 257), (7, 7), (33, 130), (257, 257)])
def test_agrees_with_the_definition(impl: str, causal: bool, rows: int, keys: int) -> None:
    if causal:
        keys = rows
    query, key, value = tensors(2, 3, rows, keys, 16)
    out, lse = attention(query, key, value, causal=causal, scale=0.25, impl=impl)  # type: ignore[arg-type]
    expected_out, expected_lse = definition(query, key, value, causal, 0.25)
    assert out.shape == query.shape and lse.shape == query.shape[:3] and lse.dtype == torch.float32
    torch.testing.assert_close(out.double(), expected_out, atol=tolerances.FLOAT32_ATTENTION, rtol=0)
    torch.testing.assert_close(lse.double(), expected_lse, atol=tolerances.FLOAT32_ATTENTION, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
def test_bfloat16_agrees_with_the_reference(causal: bool) -> None:
    query, key, value = tensors(3, 3, 129, 129, 64, torch.bfloat16)
    out, lse = attention(query, key, value, causal=causal, scale=0.125)
    expected_out, expected_lse = attention(query, key, value, causal=causal, scale=0.125, impl="reference")
    torch.testing.assert_close(out, expected_out, atol=tolerances.BFLOAT16_ATTENTION, rtol=0)
    torch.testing.assert_close(lse, expected_lse, atol=tolerances.BFLOAT16_LSE, rtol=0)


def test_takes_views_of_a_larger_buffer() -> None:
    """Keys lie in pages with room behind them, and mapped pages are sliced: strides must be honoured."""
    query, key, value = tensors(2, 2, 5, 40, 16)
    wide = torch.full((2, 2, 64, 16), math.nan)
    wide[0, :, 3:43], wide[1, :, 3:43] = key, value
    out, lse = attention(query, wide[0, :, 3:43], wide[1, :, 3:43], causal=False, scale=1.0)
    expected = attention(query, key, value, causal=False, scale=1.0)
    assert torch.equal(out, expected[0]) and torch.equal(lse, expected[1])


@pytest.mark.parametrize(
    ("rows", "keys", "causal", "message"),
    [(4, 0, False, "no keys"), (4, 5, True, "as many keys as rows")],
)
def test_refuses_what_has_no_result(rows: int, keys: int, causal: bool, message: str) -> None:
    query, key, value = tensors(1, 1, rows, keys, 8)
    with pytest.raises(ValueError, match=message):
        attention(query, key, value, causal=causal, scale=1.0)


def test_refuses_shapes_that_do_not_fit() -> None:
    query, key, value = tensors(2, 1, 4, 4, 8)
    with pytest.raises(ValueError, match="do not fit"):
        attention(query, key[:1], value[:1], causal=False, scale=1.0)


@pytest.mark.gpu
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("rows", "keys"), [(1, 4096), (129, 129), (2048, 2048)])
def test_cuda_agrees_with_the_reference(causal: bool, rows: int, keys: int) -> None:
    if causal:
        keys = rows
    query, key, value = (x.cuda() for x in tensors(2, 7, rows, keys, 128, torch.bfloat16))
    out, lse = attention(query, key, value, causal=causal, scale=0.09)
    expected_out, expected_lse = attention(query, key, value, causal=causal, scale=0.09, impl="reference")
    torch.testing.assert_close(out, expected_out, atol=tolerances.BFLOAT16_ATTENTION, rtol=0)
    torch.testing.assert_close(lse, expected_lse, atol=tolerances.BFLOAT16_LSE, rtol=0)
