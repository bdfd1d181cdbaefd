"""Where an arena lies, and what is said before any work where it finds no room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine import placing
from engine.errors import KeysDoNotFit, OutOfMemory
from engine.hostarena import HostArena
from engine.kvcache import Arena
from engine.model import LanguageModel
from engine.placing import arena_bytes, host_arena_bytes, place, working_bytes
from tests.engine.test_device import language_model


@pytest.fixture
def model(tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    monkeypatch.setattr(LanguageModel, "in_arena", True)
    return language_model(tiny_checkpoint("llama", num_hidden_layers=6))


def test_figures_are_those_of_the_tensors(model: LanguageModel) -> None:
    for positions in (1024, 9 * 1024):
        arena, host = Arena(model.shape, positions, 16), HostArena(model.shape, positions, 16)
        assert arena_bytes(model.shape, positions) == arena.data.nbytes + arena.means.nbytes
        assert host_arena_bytes(model.shape, positions) == (host.workspace_bytes, host.data.nbytes)
    assert working_bytes(model, 2048, 9 * 1024) > working_bytes(model, 1024, 9 * 1024) > placing.LIBRARIES


def test_what_fits_lies_on_the_device_and_what_does_not_in_the_machines_memory(model: LanguageModel) -> None:
    whole = arena_bytes(model.shape, 4096)
    least, _ = host_arena_bytes(model.shape, 4096)
    for room, on_device in ((None, True), (whole, True), (whole - 1, False), (least, False)):
        model.device_memory = room
        assert place(model, 4096, 1024).on_device is on_device
    model.device_memory = least - 1
    with pytest.raises(KeysDoNotFit, match=r"4,096 tokens take 0\.0 GB") as caught:
        place(model, 4096, 1024)
    assert (caught.value.needed, caught.value.device, caught.value.least) == (whole, least - 1, least)


def test_nor_in_the_machines_memory(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model.device_memory, host = host_arena_bytes(model.shape, 4096)
    monkeypatch.setattr(placing, "available_memory", lambda: host + placing.SPARE - 1)
    with pytest.raises(KeysDoNotFit, match=r"the machine's memory for 0\.0 GB,"):
        place(model, 4096, 1024)
    monkeypatch.setattr(placing, "available_memory", lambda: host + placing.SPARE)
    assert not place(model, 4096, 1024).on_device


def test_where_the_device_refuses_after_all_the_machine_is_asked(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> Arena:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(placing, "Arena", refuses)
    model.device_memory = 1 << 40
    assert not place(model, 4096, 1024).on_device
    monkeypatch.setattr(placing, "HostArena", refuses)
    with pytest.raises(OutOfMemory, match="were asked for"):
        place(model, 4096, 1024)


def test_a_cpu_knows_no_device_memory(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LanguageModel, "in_arena", False)
    model.device_memory = 0
    assert place(model, 4096, 1024).on_device
