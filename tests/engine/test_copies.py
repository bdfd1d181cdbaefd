"""Copies through pinned memory, as early and as late as they may happen."""

from __future__ import annotations

import gc

import pytest
import torch

from engine.copies import SYSTEM_PAGE, Lane, Staging, pinned_zeros
from engine.pages import fetched
from tests.engine.late import Late

CPU = torch.device("cpu")


@pytest.mark.parametrize("lane", [Lane, Late])
@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 100])
def test_what_goes_through_two_pieces_arrives_whole(lane: type[Lane], rows: int) -> None:
    queue = lane(CPU)
    staging = Staging(queue, CPU, piece_bytes=8 * 5 * 2)
    sources = [torch.randn(rows, 5).half() for _ in range(3)]
    targets = [torch.full_like(source, torch.nan) for source in sources]
    for target, source in zip(targets, sources, strict=True):
        lent = source.clone()
        staging.send(target, lent)
        # it was taken: whoever lent it may use it again
        lent.fill_(-1)
    queue.wait()
    assert all(map(torch.equal, targets, sources))
    fetched = torch.full_like(sources[0], torch.nan)
    staging.fetch(fetched, sources[0])
    assert torch.equal(fetched, sources[0])


@pytest.mark.parametrize("lane", [Lane, Late])
def test_what_is_kept_comes_down_whole(lane: type[Lane], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.pages.Lane", lane)
    arena = torch.randn(3, 2, 2, 100, 8)
    data = arena[:, :, :, 17:60]
    assert not data.is_contiguous() and torch.equal(fetched(data), data) and fetched(data).is_contiguous()


def test_a_late_lane_is_late() -> None:
    """What the tests of this folder take for the worst that a GPU may do does nothing on its own."""
    lane, target = Late(CPU), torch.zeros(3)
    lane.copy(target, torch.ones(3))
    mark = lane.mark()
    lane.copy(target, torch.full((3,), 2.0))
    assert target.tolist() == [0, 0, 0]
    mark.hold()
    assert target.tolist() == [1, 1, 1]
    lane.wait()
    assert target.tolist() == [2, 2, 2]


def test_memory_to_be_pinned_begins_with_a_page_and_shares_none() -> None:
    found = [pinned_zeros((3, 5, 64), dtype, CPU, CPU) for dtype in (torch.float32, torch.bfloat16) for _ in range(3)]
    for memory in found:
        assert memory.shape == (3, 5, 64) and memory.is_contiguous() and not memory.any()
        assert memory.data_ptr() % SYSTEM_PAGE == 0
    pages = [memory.data_ptr() // SYSTEM_PAGE for memory in found]
    assert len(set(pages)) == len(pages)
    assert pinned_zeros((0, 4), torch.float32, CPU, CPU).shape == (0, 4)


@pytest.mark.gpu
def test_pinned_memory_is_read_by_its_address_and_given_back() -> None:
    class Owner:
        pass

    device, owner = torch.device("cuda"), Owner()
    memory = pinned_zeros((3, 1 << 20), torch.bfloat16, device, owner)
    assert memory.is_pinned() and not memory.any()
    lane, target = Lane(device), torch.empty(1 << 20, dtype=torch.bfloat16, device=device)
    memory[1] = 7
    lane.copy(target, memory[1])
    lane.mark().hold()
    assert (target == 7).all()
    del owner
    gc.collect()
    assert not memory.is_pinned()
