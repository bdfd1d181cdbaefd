"""engine/machine.py: what a machine has, and which models it could run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.catalogue import CATALOGUE, Entry, find
from engine.machine import Gpu, Machine, fits, look, parse_nvidia_smi, recommend

GB = 1 << 30


def machine(*, cores: int = 8, memory: int = 32, disk: int = 500, gpu: int = 0) -> Machine:
    """Sizes in GiB."""
    gpus = (Gpu(name="G", memory_total=gpu * GB, memory_free=gpu * GB),) if gpu else ()
    return Machine(cores=cores, memory_total=memory * GB, memory_available=memory * GB, disk_free=disk * GB, gpus=gpus)


def entry(name: str) -> Entry:
    found = find(name)
    assert found is not None
    return found


def test_a_look_at_this_machine(tmp_path: Path) -> None:
    found = look(tmp_path / "not" / "there yet")
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert 256 << 20 < found.memory_available <= found.memory_total
    assert found.disk_free > 0


def test_the_driver_is_asked_for_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771, 143000'\necho 'No devices were found'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert look(tmp_path).gpus == (Gpu(name="NVIDIA H200", memory_total=143771 << 20, memory_free=143000 << 20),)
    program.write_text("#!/bin/sh\nexit 9\n")
    assert look(tmp_path).gpus == ()


def test_a_card_with_a_comma_in_its_name_is_read() -> None:
    assert parse_nvidia_smi("Some, Card, 100, 50\nX, [N/A], 3\n") == (
        Gpu(name="Some, Card", memory_total=100 << 20, memory_free=50 << 20),
    )


def test_a_gpu_is_used_when_the_context_fits_it() -> None:
    fit = fits(entry("qwen2.5-7b-1m"), machine(gpu=80), 500_000)
    assert fit.fits and fit.device == "cuda" and fit.bound == "range" and fit.most == 1_010_000
    assert fit.seconds is None


def test_what_is_too_large_for_the_gpu_may_fit_the_cpu() -> None:
    fit = fits(entry("qwen2.5-7b-1m"), machine(gpu=16, memory=128), 500_000)
    assert fit.fits and fit.device == "cpu" and fit.seconds is not None and fit.seconds > 3600


def test_keys_that_do_not_fit_the_card_lie_in_the_machines_memory() -> None:
    seven = entry("qwen2.5-7b-1m")
    fit = fits(seven, machine(gpu=20, memory=64), 300_000)
    assert fit.fits and fit.device == "cuda" and fit.on_card is not None and fit.on_card < 300_000 < fit.most
    # two layers of 28 and the means lie on the card
    more = seven.weight_bytes + (fit.most + 100) * seven.kv_bytes * (2 / 28 + 1 / 32)
    assert fit.bound == "gpu memory" and more > fit.available == 16 * GB
    # what fits the card is told of both
    short = fits(seven, machine(gpu=20, memory=64), 1000)
    assert short.fits and (short.on_card, short.most) == (fit.on_card, fit.most)
    assert fits(seven, machine(gpu=24, memory=64), 1_010_000).fits
    # little memory beside: it binds, and where it holds less than the card it is not asked
    fit = fits(seven, machine(gpu=20, memory=16), 300_000)
    assert (fit.fits, fit.bound, fit.device) == (False, "memory", "cpu")
    assert (
        fits(seven, machine(gpu=80, memory=16), 1_010_000).on_card == (76 * GB - seven.weight_bytes) // seven.kv_bytes
    )


@pytest.mark.parametrize(
    ("name", "tokens", "bound", "ok"),
    [
        ("smollm2-135m", 32_768, "range", True),
        ("smollm2-135m", 32_769, "range", False),
        ("qwen3-4b-2507", 130_000, "disk", False),
        ("qwen2.5-14b-1m", 1, "disk", False),
        ("qwen2.5-1.5b", 131_072, "range", True),
    ],
)
def test_the_limit_that_binds_is_named(name: str, tokens: int, bound: str, ok: bool) -> None:
    fit = fits(entry(name), machine(disk=25), tokens)
    assert (fit.bound, fit.fits) == (bound, ok)
    assert fit.fits == (fit.needed <= fit.available) == (tokens <= fit.most)


def test_numbers_of_a_fit_add_up() -> None:
    seven = entry("qwen2.5-7b-1m")
    fit = fits(seven, machine(memory=40), 100_000)
    assert fit.needed == seven.weight_bytes + 100_000 * seven.kv_bytes
    assert fits(seven, machine(memory=40), fit.most).fits and not fits(seven, machine(memory=40), fit.most + 1).fits


def test_memory_binds_where_the_disk_is_large() -> None:
    fit = fits(entry("qwen3-4b-2507"), machine(), 200_000)
    assert (fit.bound, fit.fits) == ("memory", False) and fit.needed > fit.available > 0


def test_a_large_gpu_gets_the_largest_first() -> None:
    names = recommend(machine(gpu=141))
    assert names[:3] == ("qwen2.5-14b-1m", "qwen2.5-7b-1m", "qwen3-4b-2507")
    assert recommend(machine(gpu=141), tokens=1_000_000)[0] == "qwen2.5-7b-1m"


def test_a_small_cpu_gets_only_what_reads_a_book_in_bearable_time() -> None:
    assert recommend(machine(cores=2, memory=24)) == ("qwen2.5-coder-0.5b",)
    assert recommend(machine(cores=2, memory=24), tokens=20_000) == ("qwen2.5-coder-0.5b", "smollm2-135m")
    assert "qwen2.5-1.5b" in recommend(machine(cores=8))


def test_nothing_is_recommended_where_nothing_fits() -> None:
    assert recommend(machine(memory=1)) == ()
    assert all(fits(model, machine(memory=1), 1).most == 0 for model in CATALOGUE if model.parameters > 10**9)
