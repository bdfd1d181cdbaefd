"""Keys and values in the machine's memory give what an arena on the device gives, bit for bit.

A CPU runs the same code: its lanes copy at once, those of ``tests.engine.late`` as late as a GPU may.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import torch

from engine import device, placing, prefill
from engine.config import EngineConfig
from engine.copies import Lane, Mark
from engine.hostarena import HostArena
from engine.keptfile import read_header
from engine.kvcache import Arena, Extent, KVShape
from engine.model import LanguageModel
from engine.pages import Pages
from engine.placing import host_arena_bytes
from engine.prefill import read
from engine.protocol import Done, Event, Gaze, Progress, Prompt, Sampling, Segment
from engine.session import Session
from tests.engine.late import Late
from tests.engine.reference import random_ids
from tests.engine.test_device import by_modules, decoded, decoder_of, language_model
from tests.engine.test_device import interpreter as interpreter

OPENING, A, B, TURN = (random_ids(size, seed=size) for size in (20, 2500, 3500, 30))
CHUNK_LEN = 3072
GREEDY = Sampling(temperature=0.0, repetition_penalty=1.0, max_tokens=6)


@pytest.fixture(autouse=True)
def in_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LanguageModel, "in_arena", True)
    monkeypatch.setattr(prefill, "BAR", 0.0)


@pytest.fixture(params=[Lane, Late])
def lane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("hostarena", "upload", "kvcache"):
        monkeypatch.setattr(f"engine.{module}.Lane", request.param)


def prefilled(model: LanguageModel, *texts: array[int], host: bool) -> prefill.Reading:
    prompt = Prompt(segments=tuple(Segment(name=str(number), ids=ids) for number, ids in enumerate(texts)))
    positions = -(-(prompt.end + 300) // 1024) * 1024
    # just what the workspace and the mean keys take
    model.device_memory = host_arena_bytes(model.shape, positions)[0] if host else None
    reading = read(
        model, Pages(model.shape, None), prompt, limit=1 << 20, chunk_tokens=1024, cancel=Flag(), emit=lambda _: None,
        need_last=True, room=300,
    )  # fmt: skip
    arena = reading.cache.arena
    assert arena is not None and arena.on_device is not host
    return reading


@pytest.mark.usefixtures("lane")
@pytest.mark.parametrize(("layers", "policy"), [(3, "dense"), (4, "vertical_slash"), (5, "block")])
def test_reading_and_decoding_are_those_of_an_arena_on_the_device(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, layers: int, policy: str
) -> None:
    """Two documents with a gap between them, over borders of Dual Chunk Attention, by every way of decoding."""
    monkeypatch.setattr(device, "CROSSOVER", 0)
    model = language_model(tiny_checkpoint("qwen2", num_hidden_layers=layers), policy=policy)
    model.crossover = 1024
    texts, tokens = (random_ids(1500, seed=1), random_ids(1015, seed=2)), random_ids(20, seed=3)
    here, there = (prefilled(model, *texts, host=host) for host in (False, True))
    assert here.hidden is not None and there.hidden is not None and torch.equal(here.hidden, there.hidden)
    first, second = here.cache.arena, there.cache.arena
    assert first is not None and second is not None
    second.settle()
    assert torch.equal(first.data, second.data) and torch.equal(first.means, second.means)
    budgets = None if model.policy is None else model.policy.budgets
    for way in (decoder_of(model, budgets), by_modules(model), decoder_of(model), by_modules(model)):
        found = [decoded(model, reading.cache, tokens[:5], way) for reading in (there, here)]
        assert torch.equal(*found)


def test_the_next_layer_comes_while_one_is_attended_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is queued before it is asked for, behind what may still attend to what lies in its place."""
    said: list[str] = []

    class Told(Lane):
        def follow(self) -> None:
            said.append("follow")

        def run(self, function: Callable[[], object]) -> None:
            if said[-1] != "copy":
                said.append("copy")
            function()

        def mark(self) -> Mark:
            said.append("mark")
            return Mark(None)

    monkeypatch.setattr("engine.hostarena.Lane", Told)
    shape = KVShape(layers=4, kv_heads=1, dim=4, dtype=torch.float32, device=torch.device("cpu"))
    arena = HostArena(shape, 64, 16)
    arena.data.normal_()
    loaded = ["follow", "copy", "mark"]
    arena.ready(0, [(0, 16), (16, 30)])
    assert said == loaded * 2 and arena._held == [0, 1]
    assert torch.equal(arena.keys(0)[:, :30], arena.data[0, 0, :, :30]) and not arena.keys(0)[:, 30:].any()
    for layer in (1, 2, 3):
        said.clear()
        row = torch.full((1, 1, 4), float(layer))
        arena.ready(layer, [(0, 30)])
        assert said == (loaded if layer < 3 else []) and layer in arena._held
        arena.write(layer, 30, row, row)
        assert said[-2:] == ["follow", "copy"] and torch.equal(arena.data[layer, 1, :, 30:31], row)
    with pytest.raises(RuntimeError, match="layer 0 is not in the workspace"):
        arena.keys(0)


def through_triton(folder: Path, texts: list[array[int]], tokens: array[int], *, impl: Any) -> list[torch.Tensor]:
    from engine.budgets import Budgets

    LanguageModel.in_arena = True  # type: ignore[method-assign, assignment]
    device.CROSSOVER, device.PROGRAMS = 0, 1
    model = language_model(folder)
    found = []
    for host in (False, True):
        cache = prefilled(model, *texts, host=host).cache
        found.append(decoded(model, cache, tokens, decoder_of(model, Budgets(((64, 128),) * 3), impl=impl)))
    return found


def test_decoding_by_triton_reads_the_machines_memory(interpreter: Any, tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint("qwen2", head_dim=64, num_hidden_layers=3)
    assert torch.equal(*interpreter(through_triton, folder, [random_ids(1229, seed=6)], random_ids(1, seed=7)))


def states(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.kv")}


@pytest.mark.usefixtures("lane")
def test_kept_stopped_composed_and_answered_alike(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session over a home: what is kept, what goes on, books opened together, answers, what is looked at."""
    # as on a GPU: decoding from the arena
    monkeypatch.setattr(LanguageModel, "decodes_by_row", False)
    monkeypatch.setattr(device, "CROSSOVER", 0)
    books = [Prompt(segments=(Segment(name="opening", ids=OPENING), Segment(name="book", ids=book))) for book in (A, B)]
    parts = [Segment(name="book", ids=book, alone=True) for book in (A, B)]
    both = Prompt(
        segments=(Segment(name="opening", ids=OPENING), *parts, Segment(name="turn", ids=TURN)), stride=CHUNK_LEN
    )
    exact = Prompt(segments=(*books[0].segments, Segment(name="turn", ids=TURN)))
    found = []
    for host in (False, True):
        home = tmp_path / str(host)
        if host:
            monkeypatch.setattr(placing, "arena_bytes", lambda *_: 1 << 60)

        def session(home: Path = home, host: bool = host) -> Session:
            config = EngineConfig(
                folder=tiny_checkpoint("qwen2", num_hidden_layers=3), readings=home, identity="tiny", chunk_size=4096,
                local_size=1024, limit=32768, dtype="float32", device="cpu", chunk_tokens=1024, policy="block",
                # a watched token attends to everything, and on the host none is watched
                gaze=False,
            )  # fmt: skip
            made = Session(config)
            model, _, _ = made.load()
            model.crossover, model.decoder, model.device_memory = 1024, model.make_decoder(), 1 << 50
            return made

        looked: list[Event] = []
        done: list[Done] = []
        for book in books:
            cancel = Flag()

            def stop(event: Event, cancel: Flag = cancel) -> None:
                if isinstance(event, Progress) and event.done >= 1044:
                    cancel.set()

            assert session().read(book, stop, cancel).finish == "stopped"
            done.append(session().read(book, lambda _: None, Flag()))
            assert done[-1].reused >= 1044
        asked = session()
        for prompt in (both, exact, both):
            done.append(asked.generate(prompt, GREEDY, lambda _: None, Flag()))
        assert done[-1].reused == both.tokens - 1
        decoder = asked.load()[0].decoder
        # it decoded, from there
        assert decoder is not None and decoder._arena is not None and decoder._arena.on_device is not host
        asked.look(exact, len(TURN), looked.append, Flag())
        gazes = [event for event in looked if isinstance(event, Gaze)]
        found.append(([(one.ids, one.reused, one.prefilled) for one in done], gazes, states(home)))
    assert len(found[0][1]) == 1 and len(found[0][2]) > 5
    assert found[0] == found[1]


@pytest.mark.parametrize("host", [False, True])
def test_the_next_question_brings_only_what_is_not_there(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: bool
) -> None:
    """One session says what a new one for every question says, whatever the last one left in the arena."""
    monkeypatch.setattr(LanguageModel, "decodes_by_row", False)
    monkeypatch.setattr(device, "CROSSOVER", 0)
    if host:
        monkeypatch.setattr(placing, "arena_bytes", lambda *_: 1 << 60)
    brought = 0
    bring = Arena.bring

    def counted(arena: Arena, layer: int, extent: Extent, *rest: Any) -> None:
        nonlocal brought
        brought += extent.length if layer == 0 else 0
        bring(arena, layer, extent, *rest)

    monkeypatch.setattr(Arena, "bring", counted)

    def session(home: str) -> Session:
        config = EngineConfig(
            folder=tiny_checkpoint("qwen2", num_hidden_layers=3), readings=tmp_path / home, identity="tiny",
            chunk_size=4096, local_size=1024, limit=32768, dtype="float32", device="cpu", chunk_tokens=1024,
            policy="block", gaze=False,
        )  # fmt: skip
        made = Session(config)
        model, _, _ = made.load()
        model.crossover, model.decoder, model.device_memory = 1024, model.make_decoder(), 1 << 50
        return made

    def asked(*parts: array[int]) -> Prompt:
        return Prompt(segments=tuple(Segment(name=str(number), ids=ids) for number, ids in enumerate(parts)))

    long, short = random_ids(77, seed=8), random_ids(9, seed=9)
    # the last is shorter than what lies there, one goes on with a conversation, one begins with another book
    questions = [
        (A, long),
        (A, short),
        (A, long),
        (A, long + short),
        (A[:1500], TURN),
        (B, TURN),
        (B, short),
        (A, long),
    ]
    found: list[list[Any]] = []
    counts: list[list[int]] = []
    for one in (True, False):
        made, dones = session(str(one)), []
        counts.append([])
        for book, turn in questions:
            brought = 0
            made = made if one else session(str(one))
            done = made.generate(asked(OPENING, book, turn), GREEDY, lambda _: None, Flag())
            dones.append((done.ids, done.reused, done.prefilled))
            counts[-1].append(brought)
        found.append([dones, states(tmp_path / str(one))])
    assert found[0] == found[1]
    # every new session brings what is kept; one brings a book when it was read before it could know its file
    assert counts[1] == [reused for _, reused, _ in found[1][0]]
    assert counts[0][1] == 2520 and max(counts[0][2], counts[0][3]) < 100 and counts[0][6] <= 3520


@pytest.mark.parametrize("host", [False, True])
def test_what_proves_bad_on_its_way_is_read_again(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: bool
) -> None:
    """The last layer of a kept chunk, found when the others were attended to already."""
    if host:
        monkeypatch.setattr(placing, "arena_bytes", lambda *_: 1 << 60)
    config = EngineConfig(
        folder=tiny_checkpoint("qwen2", num_hidden_layers=3), readings=tmp_path, identity="tiny", chunk_size=4096,
        local_size=1024, limit=32768, dtype="float32", device="cpu", chunk_tokens=1024, policy="dense", gaze=False,
    )  # fmt: skip

    def answered() -> Done:
        session = Session(config)
        session.load()[0].device_memory = 1 << 50
        prompt = Prompt(segments=(Segment(name="book", ids=A), Segment(name="turn", ids=TURN)))
        return session.generate(prompt, GREEDY, lambda _: None, Flag())

    first = answered()
    path = max(tmp_path.rglob("*.kv"), key=lambda path: path.stat().st_size)
    header = read_header(path)
    content = bytearray(path.read_bytes())
    layout = header.layout
    rows = 2 * layout.layers * layout.kv_heads * header.tokens
    content[header.data_offset + rows * layout.dim * layout.itemsize - 5] ^= 1
    path.write_bytes(content)
    again = answered()
    assert 1024 <= again.prefilled <= 1024 + len(TURN) and again.ids == first.ids
    assert answered().prefilled == 1


@pytest.mark.gpu
def test_a_gpu_reads_and_decodes_from_pinned_memory(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Graphs and kernels over the machine's memory give what they give over the device's."""
    monkeypatch.setattr(device, "CROSSOVER", 0)
    folder = tiny_checkpoint("qwen2", head_dim=64, num_hidden_layers=5)
    model = language_model(folder, device="cuda", policy="block", dtype="bfloat16")
    model.crossover = 1024
    texts, tokens = (random_ids(1500, seed=1), random_ids(1015, seed=2)), random_ids(20, seed=3)
    here, there = (prefilled(model, *texts, host=host) for host in (False, True))
    assert here.hidden is not None and there.hidden is not None and torch.equal(here.hidden, there.hidden)
    assert model.policy is not None
    for graphs in (True, False):
        found = [
            decoded(model, reading.cache, tokens[:9], decoder_of(model, model.policy.budgets, graphs=graphs))
            for reading in (there, here)
        ]
        assert torch.equal(*found)
