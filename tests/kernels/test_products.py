"""Which format matrices are multiplied in, and that results are the same either way."""

from __future__ import annotations

import pytest
import torch

from kernels import products
from kernels.attention import attention
from kernels.products import product_dtype, slow_bfloat16
from kernels.sparse_attention import sparse_attention

INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu avx512f avx512_bf16\n"


@pytest.mark.parametrize(
    ("cpuinfo", "slow"),
    [
        (INTEL, True),
        (INTEL.replace("avx512_bf16", "avx512_bf16 amx_bf16"), False),
        (INTEL.replace("GenuineIntel", "AuthenticAMD"), False),
        (INTEL.replace("GenuineIntel", "AuthenticAMD").replace(" avx512_bf16", ""), True),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", False),
        ("", False),
    ],
)
def test_tells_processors_apart(cpuinfo: str, slow: bool) -> None:
    assert slow_bfloat16(cpuinfo) is slow


def test_only_bfloat16_on_a_cpu_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_slow_bfloat16", lambda: True)
    assert product_dtype(torch.empty(1, dtype=torch.bfloat16)) is torch.float32
    assert product_dtype(torch.empty(1, dtype=torch.float16)) is torch.float16
    assert product_dtype(torch.empty(1, dtype=torch.bfloat16, device="meta")) is torch.bfloat16


@pytest.mark.parametrize("causal", [False, True])
def test_flash_attention_in_either_format(monkeypatch: pytest.MonkeyPatch, causal: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    query, key, value = (
        torch.randn(shape, generator=generator).bfloat16() for shape in ((2, 3, 65, 32), (2, 65, 32), (2, 65, 32))
    )
    exact, exact_lse = attention(
        query.double(), key.double(), value.double(), causal=causal, scale=0.2, impl="reference"
    )
    for slow in (False, True):
        monkeypatch.setattr(products, "_slow_bfloat16", lambda slow=slow: slow)
        out, lse = attention(query, key, value, causal=causal, scale=0.2, impl="flash")
        assert out.dtype is torch.bfloat16 and lse.dtype is torch.float32
        # in float32 the result's own rounding is all that is left
        allowed = exact.abs() * 2**-8 + 1e-5 if slow else 0.02
        assert ((out.double() - exact).abs() <= allowed).all()
        assert float((lse.double() - exact_lse).abs().max()) < (1e-4 if slow else 0.02)


def test_sparse_attention_in_either_format(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    queries = torch.randn((1, 2, 3, 128, 32), generator=generator).bfloat16()
    key, value = (torch.randn((2, 640, 32), generator=generator).bfloat16() for _ in range(2))
    blocks = torch.arange(0, 32, 2, dtype=torch.int32).expand(2, 1, 16).contiguous()
    counts = torch.full((2, 1), 16, dtype=torch.int32)

    def run(*states: torch.Tensor) -> torch.Tensor:
        return sparse_attention(
            *states, blocks, counts, start=512, borders=[0], block=16, query_block=128, scale=0.2
        )  # fmt: skip

    exact = run(queries.float(), key.float(), value.float())
    for slow in (False, True):
        monkeypatch.setattr(products, "_slow_bfloat16", lambda slow=slow: slow)
        found = run(queries, key, value).float()
        # the scaled queries are rounded no more
        allowed = exact.abs() * 2**-8 + 1e-5 if slow else 0.02
        assert ((found - exact).abs() <= allowed).all()
