"""A session end to end on tiny random checkpoints: reading, keeping, going on, answering, stopping."""

from __future__ import annotations

import logging
import multiprocessing
import random
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import torch

from engine import keptfile
from engine.config import EngineConfig
from engine.errors import ContextTooLong, NumericalFailure, ReadingsFull
from engine.keptfile import read_header
from engine.pages import layout_of
from engine.protocol import Delta, Done, Event, Loading, Progress, Prompt, Sampling, Segment
from engine.session import Session
from engine.snapshots import Store, taken_bytes
from tests.engine.reference import random_ids

GREEDY = Sampling(temperature=0.0, repetition_penalty=1.0, max_tokens=12)
OPENING, BOOK, TURN = random_ids(20, seed=1), random_ids(5000, seed=2), random_ids(30, seed=3)


def prompt(*parts: array[int]) -> Prompt:
    return Prompt(segments=tuple(Segment(name=str(index), ids=part) for index, part in enumerate(parts)))


def states(readings: Path) -> dict[str, bytes]:
    """All that is kept, by name."""
    return {path.name: path.read_bytes() for path in readings.rglob("*.kv")}


@pytest.fixture
def make(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[..., Session]:
    def session(**changes: Any) -> Session:
        values: dict[str, Any] = {
            "folder": tiny_checkpoint("qwen2"),
            "readings": tmp_path / "readings",
            "identity": "tiny",
            "chunk_size": 4096,
            "local_size": 1024,
            "limit": 16384,
            "dtype": "float32",
            "device": "cpu",
            "chunk_tokens": 1024,
        }
        return Session(EngineConfig(**(values | changes)))

    return session


def generate(session: Session, given: Prompt, sampling: Sampling = GREEDY, cancel: Flag | None = None) -> Any:
    events: list[Event] = []
    done = session.generate(given, sampling, events.append, cancel or Flag())
    return done, events


def test_a_book_is_read_once_over_restarts(make: Callable[..., Session]) -> None:
    events: list[Event] = []
    done = make().read(prompt(OPENING, BOOK), events.append, Flag())
    assert (done.finish, done.context, done.reused, done.prefilled) == ("stop", 5020, 0, 5020)
    assert isinstance(events[0], Loading)
    counts = [event.done for event in events if isinstance(event, Progress)]
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == 5020

    again = make().read(prompt(OPENING, BOOK), lambda _: None, Flag())
    assert (again.reused, again.prefilled) == (5020, 0)
    answered, _ = generate(make(), prompt(OPENING, BOOK, TURN))
    assert (answered.context, answered.reused, answered.prefilled) == (5050, 5020, 30)


def test_the_answer_does_not_depend_on_what_was_kept(make: Callable[..., Session], tmp_path: Path) -> None:
    question = prompt(OPENING, BOOK, TURN)
    fresh, _ = generate(make(readings=None), question)
    assert fresh.reused == 0 and len(fresh.ids) == 12
    read = make()
    read.read(prompt(OPENING, BOOK), lambda _: None, Flag())
    kept, _ = generate(read, question)
    restarted, _ = generate(make(), question)
    assert fresh.ids == kept.ids == restarted.ids


def test_a_conversation_goes_on_from_its_own_kept_answers(make: Callable[..., Session]) -> None:
    first, _ = generate(make(), prompt(OPENING, BOOK, TURN))
    turns = TURN + array("i", first.ids)
    second, _ = generate(make(), prompt(OPENING, BOOK, turns + TURN))
    # the last token of an answer cut by its length was never fed back
    assert second.reused == 5050 + len(first.ids) - 1
    fresh, _ = generate(make(readings=None), prompt(OPENING, BOOK, turns + TURN))
    assert second.ids == fresh.ids


def test_asking_the_same_again_reads_one_token(make: Callable[..., Session]) -> None:
    session = make()
    first, _ = generate(session, prompt(OPENING, BOOK, TURN))
    second, _ = generate(session, prompt(OPENING, BOOK, TURN))
    assert second.prefilled == 1 and second.ids == first.ids


def test_a_second_book_reuses_the_first(make: Callable[..., Session]) -> None:
    other = random_ids(1500, seed=9)
    make().read(prompt(OPENING, BOOK), lambda _: None, Flag())
    done = make().read(prompt(OPENING, BOOK, other), lambda _: None, Flag())
    assert (done.reused, done.prefilled) == (5020, 1500)


def test_a_stopped_reading_goes_on_with_at_most_a_chunk_again(make: Callable[..., Session]) -> None:
    cancel = Flag()

    def stop_late(event: Event) -> None:
        if isinstance(event, Progress) and event.done >= 3000:
            cancel.set()

    stopped = make().read(prompt(OPENING, BOOK), stop_late, cancel)
    assert stopped.finish == "stopped" and 3000 <= stopped.prefilled < 5020
    resumed = make().read(prompt(OPENING, BOOK), lambda _: None, Flag())
    assert resumed.reused == stopped.prefilled and resumed.reused + resumed.prefilled == 5020


def test_a_question_stopped_while_reading_answers_nothing_and_keeps_what_was_read(
    make: Callable[..., Session],
) -> None:
    cancel = Flag()

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.done >= 2000:
            cancel.set()

    done = make().generate(prompt(OPENING, BOOK, TURN), GREEDY, stop, cancel)
    assert done.finish == "stopped" and done.answered == 0 and done.ids == ()
    assert make().read(prompt(OPENING, BOOK), lambda _: None, Flag()).reused == done.prefilled


def test_an_answer_is_stopped_and_what_was_said_is_returned(make: Callable[..., Session]) -> None:
    cancel = Flag()
    said: list[str] = []

    def stop(event: Event) -> None:
        if isinstance(event, Delta):
            said.extend(str(token) for token in event.ids)
            if len(said) == 3:
                cancel.set()

    done = make().generate(prompt(OPENING, TURN), GREEDY, stop, cancel)
    assert done.finish == "stopped" and [str(token) for token in done.ids] == said and len(said) == 3


def damage(path: Path, place: str) -> None:
    header = read_header(path)
    row = header.layout.token_bytes // (header.layout.layers * header.planes)
    offset = {
        "header": 30,
        "first layer": header.data_offset + 100,
        "last layer": header.means_offset - 1,
        "values": header.data_offset + header.layout.kv_heads * header.tokens * row + 7,
        "means": header.means_offset + 1,
    }[place]
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("policy", [None, "block"])
@pytest.mark.parametrize("place", ["header", "first layer", "last layer", "values", "means"])
def test_a_damaged_page_is_read_again_and_the_answer_is_right(
    make: Callable[..., Session],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    place: str,
    policy: str | None,
) -> None:
    # long enough to choose keys, where the policy does
    question = prompt(OPENING, BOOK, random_ids(200, seed=3))
    expected, _ = generate(make(readings=None, policy=policy), question)
    make(policy=policy).read(prompt(OPENING, BOOK), lambda _: None, Flag())
    kept = {path: path.read_bytes() for path in (tmp_path / "readings").rglob("*.kv")}
    (middle,) = [path for path in kept if read_header(path).start == 3072]
    damage(middle, place)
    with caplog.at_level(logging.WARNING):
        done, events = generate(make(policy=policy), question)
    # nothing but the bad file was read again, to the same bytes, and nothing was said before
    assert done.ids == expected.ids
    assert (done.reused, done.prefilled) == (5020 - 1024, 1024 + 200)
    assert {path: path.read_bytes() for path in kept} == kept
    assert middle.name in caplog.text
    assert [event.done for event in events if isinstance(event, Progress)][-1] == 5220
    assert {event.total for event in events if isinstance(event, Progress)} == {5220}
    assert "".join(event.text for event in events if isinstance(event, Delta)) == make().tokenizer.decode(done.ids)


def test_damage_in_two_files_and_in_a_reading_is_mended(make: Callable[..., Session], tmp_path: Path) -> None:
    make().read(prompt(OPENING, BOOK), lambda _: None, Flag())
    kept = {path: path.read_bytes() for path in (tmp_path / "readings").rglob("*.kv")}
    bad = [path for path in kept if read_header(path).start in (1024, 3072)]
    damage(bad[0], "last layer")
    damage(bad[1], "first layer")
    more = random_ids(1500, seed=8)
    done = make().read(prompt(OPENING, BOOK, more), lambda _: None, Flag())
    assert (done.reused, done.prefilled) == (5020 - 2048, 2048 + 1500)
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_file_that_vanished_is_read_again_alone(make: Callable[..., Session], tmp_path: Path) -> None:
    session = make()
    session.read(prompt(OPENING, BOOK), lambda _: None, Flag())
    for path in (tmp_path / "readings").rglob("*.kv"):
        if read_header(path).start == 2048:
            path.unlink()
    done = session.read(prompt(OPENING, BOOK), lambda _: None, Flag())
    assert (done.reused, done.prefilled) == (5020 - 1024, 1024)


def test_opening_verifies_nothing_and_attention_everything_once(
    make: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    make().read(prompt(OPENING, BOOK), lambda _: None, Flag())
    looked: list[int] = []
    digest = keptfile._CHECKSUMS[keptfile.CHECKSUM]

    def counted(part: memoryview) -> int:
        looked.append(len(part))
        return digest(part)

    monkeypatch.setitem(keptfile._CHECKSUMS, keptfile.CHECKSUM, counted)
    monkeypatch.setattr("engine.pages._verify_ahead", lambda *_: None)
    session = make()
    _, pages, _ = session.load()
    cache, found, _ = pages.open(prompt(OPENING, BOOK), leave=0)
    assert found == 5020 and not looked
    cache.touch(1)
    assert sum(looked) == 5020 * pages.shape.token_bytes // 2 + sum(
        extent.means.nbytes for extent in cache.extents if extent.means is not None
    )
    looked.clear()
    cache.touch()
    assert sum(looked) == 5020 * pages.shape.token_bytes // 2
    looked.clear()
    again, _, _ = pages.open(prompt(OPENING, BOOK), leave=0)
    again.touch()
    assert not looked


def test_a_reading_stops_where_the_store_is_full_and_goes_on_with_room(
    make: Callable[..., Session], tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    make(readings=whole).read(prompt(OPENING, BOOK), lambda _: None, Flag())
    limit = taken_bytes(whole) * 3 // 5
    full = make(readings_limit=limit)
    with pytest.raises(ReadingsFull) as caught:
        full.read(prompt(OPENING, BOOK), lambda _: None, Flag())
    assert caught.value.limit == limit >= taken_bytes(tmp_path / "readings") == caught.value.taken
    assert not list((tmp_path / "readings").rglob("*.part"))
    resumed = make().read(prompt(OPENING, BOOK), lambda _: None, Flag())
    assert 2048 <= resumed.reused < 5020 and resumed.reused + resumed.prefilled == 5020
    assert states(tmp_path / "readings") == states(whole)


def test_an_answer_without_room_for_its_pages_is_an_answer(make: Callable[..., Session], tmp_path: Path) -> None:
    question = prompt(OPENING, TURN)
    expected, _ = generate(make(readings=None), question)
    make().read(question, lambda _: None, Flag())
    before = taken_bytes(tmp_path / "readings")
    # room for the last token, which is run again, but not for the answer
    limit = before + 6000
    done, _ = generate(make(readings_limit=limit), question)
    assert done.ids == expected.ids and done.finish == "length"
    assert before < taken_bytes(tmp_path / "readings") <= limit


def test_too_long_a_context_is_refused_before_any_work(make: Callable[..., Session]) -> None:
    with pytest.raises(ContextTooLong) as caught:
        make(limit=4096).read(prompt(OPENING, BOOK), lambda _: None, Flag())
    assert caught.value.limit == 4096 and caught.value.needed == 1024 + 5000


def test_answering_ends_at_the_limit_of_positions(make: Callable[..., Session]) -> None:
    done, _ = generate(make(limit=55), prompt(TURN + OPENING), Sampling(temperature=0.0, max_tokens=50))
    assert done.finish == "length" and done.answered == 6


def test_numbers_that_are_not_finite_stop_the_reading_and_nothing_wrong_is_kept(
    make: Callable[..., Session], tmp_path: Path
) -> None:
    session = make()
    model, _, _ = session.load()
    model.model.model.layers[1].self_attn.v_proj.weight[3, 5] = float("nan")
    with pytest.raises(NumericalFailure) as caught:
        session.read(prompt(OPENING, BOOK), lambda _: None, Flag())
    assert caught.value.layer == 1
    assert not list((tmp_path / "readings").rglob("*.kv"))


def test_running_out_of_memory_reads_smaller_chunks(
    make: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An allocation that fails, as a real one would, in the model's own forward."""
    session = make(chunk_tokens=4096)
    model, _, _ = session.load()
    hidden = model.hidden

    def short_of_memory(ids: array[int], *arguments: Any, **given: Any) -> torch.Tensor:
        if len(ids) > 1024:
            raise torch.OutOfMemoryError("test")
        return hidden(ids, *arguments, **given)

    monkeypatch.setattr(model, "hidden", short_of_memory)
    done = session.read(prompt(OPENING, BOOK), lambda _: None, Flag())
    assert done.finish == "stop" and done.prefilled == 5020


def test_a_seed_makes_an_answer_again(make: Callable[..., Session]) -> None:
    session = make()
    answers = [
        generate(session, prompt(OPENING, TURN), Sampling(temperature=1.5, seed=seed, max_tokens=20))[0].ids
        for seed in (7, 7, 8)
    ]
    assert answers[0] == answers[1] != answers[2]


def test_done_adds_up(make: Callable[..., Session]) -> None:
    done, events = generate(make(), prompt(OPENING, TURN))
    assert isinstance(done, Done) and done.reused + done.prefilled == done.context == 50
    told = [token for event in events if isinstance(event, Delta) for token in event.ids]
    assert tuple(told) == done.ids and done.answered == len(done.ids)
    assert 0 < done.seconds_prefill <= done.seconds_first_token and done.seconds_decode > 0 < done.seconds_load


def read_in_child(config: EngineConfig, whole: Prompt) -> None:
    torch.set_num_threads(1)
    Session(config).read(whole, lambda _: None, Flag())


def test_a_reading_killed_at_any_instant_loses_at_most_a_chunk(make: Callable[..., Session], tmp_path: Path) -> None:
    """Real SIGKILLs at random instants; what is kept in the end is what an uninterrupted reading keeps."""
    whole = prompt(OPENING, random_ids(8000, seed=4))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.engine.test_session"])

    def child(readings: Path) -> Any:
        # one thread: how products are cut among threads decides their last bits
        process = context.Process(target=read_in_child, args=(make(readings=readings, threads=1).config, whole))
        process.start()
        return process

    process = child(tmp_path / "uninterrupted")
    process.join(60)
    assert process.exitcode == 0
    expected, readings = states(tmp_path / "uninterrupted"), tmp_path / "readings"
    store = Store(readings, "tiny", layout_of(make().load()[0].shape))
    generator, found = random.Random(5), 0
    for _ in range(4):
        process = child(readings)
        # once it has kept something new, at any instant
        end = time.monotonic() + 30
        while store.find(whole)[1] == found and process.is_alive() and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(generator.random() * 0.1)
        process.kill()
        process.join(60)
        kept = store.find(whole)[1]
        # nothing of what was kept is lost, and nothing is kept that is not right
        assert kept > found
        assert states(readings).items() <= expected.items()
        found = kept
    process = child(readings)
    process.join(60)
    assert process.exitcode == 0
    assert states(readings) == expected and not list(readings.rglob("*.part"))
