"""The engine in its own process: jobs, stopping, dying, being left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.errors import CheckpointNotFound, ContextTooLong, WorkerDied
from engine.local import LocalEngine
from engine.protocol import Delta, Done, Progress, Prompt, Sampling, Segment
from tests.engine.reference import random_ids

ROOT = Path(__file__).resolve().parents[2]
BOOK = random_ids(6000, seed=2)
GREEDY = Sampling(temperature=0.0, max_tokens=8)


def prompt(*parts: array[int]) -> Prompt:
    return Prompt(segments=tuple(Segment(name=str(index), ids=part) for index, part in enumerate(parts)))


@pytest.fixture
def engine(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Iterator[LocalEngine]:
    made = LocalEngine(
        str(tiny_checkpoint("qwen2")), cache=tmp_path / "cache", readings=tmp_path / "readings", chunk_tokens=1024
    )
    yield made
    made.close()


def test_text_needs_no_process(engine: LocalEngine) -> None:
    encoding = engine.encode(["Alice <|im_end|> 誰解其中味"])[0]
    assert engine.decode(encoding.ids) == "Alice <|im_end|> 誰解其中味"
    assert engine.model.family == "qwen2" and engine.kept(prompt(BOOK)) == 0
    assert not worker_processes()


def test_reads_answers_and_finds_again_after_a_restart(engine: LocalEngine) -> None:
    events = list(engine.read(prompt(BOOK)))
    assert isinstance(events[-1], Done) and any(isinstance(event, Progress) for event in events)
    assert engine.kept(prompt(BOOK)) == 6000
    first = list(engine.generate(prompt(BOOK, random_ids(9)), GREEDY))
    engine.close()
    again = list(engine.generate(prompt(BOOK, random_ids(9)), GREEDY))
    assert isinstance(first[-1], Done) and isinstance(again[-1], Done)
    assert first[-1].ids == again[-1].ids and again[-1].reused >= 6000
    assert sum(len(event.ids) for event in again if isinstance(event, Delta)) == again[-1].answered


def test_cancelling_ends_the_job_as_stopped_and_the_next_one_runs(engine: LocalEngine) -> None:
    last = None
    for event in engine.read(prompt(BOOK)):
        if isinstance(event, Progress) and event.done >= 1024:
            engine.cancel()
        last = event
    assert isinstance(last, Done) and last.finish == "stopped" and 1024 <= last.prefilled < 6000
    *_, done = engine.read(prompt(BOOK))
    assert isinstance(done, Done) and done.finish == "stop" and done.reused == last.prefilled


def test_an_iterator_left_behind_does_not_disturb_the_next_job(engine: LocalEngine) -> None:
    abandoned = engine.read(prompt(BOOK))
    next(abandoned)
    abandoned.close()  # type: ignore[attr-defined]
    *_, done = engine.generate(prompt(random_ids(20)), GREEDY)
    assert isinstance(done, Done) and done.context == 20


def test_an_error_arrives_with_its_numbers_and_the_process_lives_on(engine: LocalEngine) -> None:
    long = prompt(random_ids(engine.model.limit + 1))
    with pytest.raises(ContextTooLong) as caught:
        list(engine.read(long))
    assert caught.value.limit == engine.model.limit
    *_, done = engine.read(prompt(BOOK[:50]))
    assert isinstance(done, Done)


def test_a_process_that_is_killed_is_said_and_started_again(engine: LocalEngine) -> None:
    with pytest.raises(WorkerDied) as caught:
        for event in engine.read(prompt(BOOK)):
            if isinstance(event, Progress) and event.done >= 1024:
                (child,) = worker_processes()
                os.kill(child.pid, signal.SIGKILL)
    assert caught.value.exit_code == -signal.SIGKILL
    *_, done = engine.read(prompt(BOOK))
    assert isinstance(done, Done) and done.finish == "stop" and done.reused >= 1024


# children that other modules' fixtures started
_elsewhere: set[int] = set()


@pytest.fixture(autouse=True)
def elsewhere() -> None:
    _elsewhere.clear()
    _elsewhere.update(child.pid for child in psutil.Process().children())


def worker_processes() -> list[psutil.Process]:
    """Children that run the engine: the spawn method also starts a resource tracker on some systems."""
    children = [child for child in psutil.Process().children() if child.pid not in _elsewhere]
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_two_threads_take_turns(engine: LocalEngine) -> None:
    results: list[Done] = []

    def work(seed: int) -> None:
        *_, done = engine.generate(prompt(random_ids(40, seed=seed)), GREEDY)
        assert isinstance(done, Done)
        results.append(done)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.context for result in results] == [40, 40, 40]


def test_an_unknown_model_says_what_was_tried(tmp_path: Path) -> None:
    engine = LocalEngine("no-such-model", cache=tmp_path, readings=None)
    with pytest.raises(CheckpointNotFound):
        list(engine.read(prompt(BOOK)))


def test_the_process_goes_when_its_parent_is_killed(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        f"""
import sys
from array import array
from pathlib import Path
from engine.local import LocalEngine
from engine.protocol import Progress, Prompt, Segment

if __name__ == "__main__":
    engine = LocalEngine({str(tiny_checkpoint("qwen2"))!r}, cache=Path({str(tmp_path)!r}), readings=None)
    for event in engine.read(Prompt(segments=(Segment(name="book", ids=array("i", [5]) * 16000),))):
        if isinstance(event, Progress):
            print(engine._process.pid, flush=True)
""",
        "utf-8",
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_importing_the_engine_does_not_import_torch() -> None:
    code = "import sys, engine.local; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'gradio')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_closing_twice_and_unused_is_fine(tmp_path: Path) -> None:
    engine = LocalEngine("no-such-model", cache=tmp_path, readings=None)
    begun = time.monotonic()
    engine.close()
    engine.close()
    assert time.monotonic() - begun < 5
