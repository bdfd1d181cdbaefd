"""Kept pages brought into an arena beside what is computed."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from threading import Event
from weakref import ref

import pytest
import torch

from engine.copies import Lane
from engine.hostarena import HostArena
from engine.keptfile import Damaged
from engine.kvcache import Arena, Extent, KVCache, KVShape
from engine.upload import Upload
from tests.engine.late import Late

CPU = torch.device("cpu")
SHAPE = KVShape(layers=4, kv_heads=2, dim=8, dtype=torch.float32, device=CPU)


@dataclass
class Doors:
    """A seal whose layers open one by one; ``bad`` is damaged."""

    bad: int | None = None
    open: list[Event] = field(default_factory=lambda: [Event() for _ in range(SHAPE.layers)])
    seen: list[int] = field(default_factory=list)

    def verify(self, layer: int | None = None) -> None:
        assert layer is not None
        self.open[layer].wait(10)
        self.seen.append(layer)
        if layer == self.bad:
            raise Damaged(__file__, "test")  # type: ignore[arg-type]


def extents(seal: Doors) -> list[Extent]:
    made = []
    for start, length in ((0, 100), (1024, 513)):
        data = torch.randn(SHAPE.layers, 2, SHAPE.kv_heads, length, SHAPE.dim)
        made.append(Extent(start, length, data, seal=seal))
    return made


@pytest.mark.parametrize("kind", [Arena, HostArena])
@pytest.mark.parametrize("lane", [Lane, Late])
def test_a_layer_is_there_when_it_was_waited_for(
    kind: type[Arena], lane: type[Lane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.upload.Lane", lane)
    doors = Doors()
    sources, arena, wanted = extents(doors), kind(SHAPE, 2048, 16), Arena(SHAPE, 2048, 16)
    for source in sources:
        wanted.put(source)
    upload = Upload(arena, sources, CPU, staged=kind is Arena)
    # nobody asked yet
    assert not doors.seen and not arena.data.any()
    for layer in range(SHAPE.layers):
        assert not upload.here(layer)
        doors.open[layer].set()
        upload.wait(layer)
        assert upload.here(layer) and doors.seen == [one for one in range(layer + 1) for _ in sources]
        assert torch.equal(arena.data[layer], wanted.data[layer])
        assert torch.equal(arena.means[layer], wanted.means[layer])
    upload.wait()


def test_a_bad_layer_is_told_to_whoever_waits_for_it_or_a_later_one() -> None:
    doors = Doors(bad=2)
    for door in doors.open:
        door.set()
    arena = Arena(SHAPE, 2048, 16)
    upload = Upload(arena, extents(doors), CPU)
    upload.wait(0)
    upload.wait(1)
    for layer in (2, 3, None):
        with pytest.raises(Damaged):
            upload.wait(layer)
    assert not upload.here(2)
    with pytest.raises(ReferenceError):
        Upload(Arena(SHAPE, 2048, 16), extents(doors), CPU).wait(0)


def test_what_nobody_waits_for_any_more_stops() -> None:
    doors = Doors()
    arena = Arena(SHAPE, 2048, 16)
    upload = Upload(arena, extents(doors), CPU)
    doors.open[0].set()
    upload.wait(0)
    upload.stop()
    for door in doors.open:
        door.set()
    with pytest.raises(InterruptedError):
        upload.wait()
    assert not arena.data[2:].any()


@pytest.mark.parametrize("kind", [Arena, HostArena])
@pytest.mark.parametrize("bad", [None, 2])
def test_an_arena_goes_when_it_is_let_go_of(kind: type[Arena], bad: int | None) -> None:
    """Not when the garbage collector comes: the next one would not find room beside it."""
    doors = Doors(bad=bad)
    for door in doors.open:
        door.set()
    gc.collect()
    gc.disable()
    try:
        arena = kind(SHAPE, 2048, 16)
        cache = KVCache(SHAPE, arena)
        cache.append(arena.extent(0, 100))
        arena.upload = Upload(arena, extents(doors), CPU)
        gone = ref(arena)
        try:
            cache.touch()
        except Damaged:
            assert bad is not None
        thread = arena.upload._thread
        assert thread is not None
        thread.join()
        del arena, cache
        assert gone() is None
    finally:
        gc.enable()
