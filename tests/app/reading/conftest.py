"""A desk with a real library and an engine of this process, small enough to be led step by step.

``PlainEngine`` implements engine.protocol.Engine over characters: it tokenizes, keeps what it read (a dictionary that
outlives it, as the disk does) and answers, in the caller's thread. What is tested with it is the queue and the desk.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.documents.parse import parse_file
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.runner import Runner
from app.settings import Settings
from engine.errors import CheckpointNotFound, EngineError
from engine.passages import Passages
from engine.protocol import (
    PAGE_TOKENS,
    ChatFrame,
    Delta,
    Done,
    Encoding,
    Event,
    Finish,
    Gaze,
    Loading,
    ModelInfo,
    Progress,
    Prompt,
    Sampling,
)

OWNER = "local"


@dataclass
class Machine:
    """What the engines of a test share and obey. kept: pages, by model; steps: chunks and words that may still be
    done before the engine waits, None for any number."""

    kept: dict[str, set[bytes]] = field(default_factory=dict)
    steps: int | None = None
    chunks: list[tuple[str, int]] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    words: list[str] = field(default_factory=lambda: ["A ", "plain ", "answer."])
    prompts: list[Prompt] = field(default_factory=list)
    limit: int = 200_000
    unknown: set[str] = field(default_factory=set)
    # what an answer held to a schema says: (its schema, what was asked) -> the value
    structured: Callable[[dict[str, Any], str], Any] = field(default=lambda asked, prompt: value_of(asked))
    eyes: tuple[int, int] = (1, 5)

    def step(self) -> bool:
        """Take one of the steps allowed, if there is one. Called by one thread."""
        if self.steps is None:
            return True
        if self.steps == 0:
            return False
        self.steps -= 1
        return True


class PlainEngine:
    def __init__(self, name: str, machine: Machine) -> None:
        if name in machine.unknown:
            raise CheckpointNotFound(name, ["this test"])
        self.name, self.machine = name, machine
        self._cancelled: threading.Event | None = None

    @property
    def model(self) -> ModelInfo:
        return ModelInfo(
            name=self.name,
            title=self.name.title(),
            source="a test",
            folder="/nowhere",
            family="llama",
            parameters=1000,
            licence="none",
            window=8192,
            limit=self.machine.limit,
            chunk_size=8192,
            local_size=1024,
            kv_bytes=1,
            dtype="float32",
            device="cpu",
            identity=f"identity of {self.name}",
            tokenizer=f"characters of {self.name}",
            small=True,
        )

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        return [Encoding(ids=array("i", map(ord, text)), offsets=array("q", range(len(text) + 1))) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def frame(self, system: str) -> ChatFrame:
        opening, to_answer, to_turn = self.encode([f"<s>{system}<u>", "</u><a>", "</a><u>"])
        return ChatFrame(opening=opening.ids, to_answer=to_answer.ids, to_turn=to_turn.ids)

    def _pages(self, prompt: Prompt) -> list[tuple[bytes, int]]:
        key, pages = hashlib.sha256(self.name.encode()), []
        opening, composed = None, False
        for segment in prompt.segments:
            if segment.alone and opening is not None:
                # as it was read alone: what stands before it does not count
                key, composed = opening.copy(), True
            elif composed:
                key.update(b"composed")
            for start in range(0, len(segment.ids), PAGE_TOKENS):
                page = segment.ids[start : start + PAGE_TOKENS]
                key.update(page.tobytes())
                pages.append((key.digest(), len(page)))
            opening = opening or key.copy()
        return pages

    def kept(self, prompt: Prompt) -> int:
        tokens, kept = 0, self.machine.kept.setdefault(self.name, set())
        for page, length in self._pages(prompt):
            if page not in kept:
                break
            tokens += length
        return tokens

    def read(self, prompt: Prompt) -> Iterator[Event]:
        return self._work("read", prompt, None)

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Event]:
        return self._work("generate", prompt, sampling)

    def look(self, prompt: Prompt, rows: int) -> Iterator[Event]:
        """It looks at what ``machine.eyes`` names: a block of a segment."""
        assert 0 < rows <= len(prompt.segments[-1].ids)
        for event in self._work("look", prompt, None):
            if isinstance(event, Done) and event.finish == "stop":
                yield self._gaze()
            yield event

    def _gaze(self) -> Gaze:
        segment, block = self.machine.eyes
        places = array("i", [segment, segment]), array("i", [block, block + 1])
        return Gaze(segments=places[0], blocks=places[1], weights=array("f", [0.75, 0.25]), measured=True)

    def cancel(self) -> None:
        if self._cancelled is not None:
            self._cancelled.set()

    def close(self) -> None:
        self.machine.closed.append(self.name)

    def _work(self, verb: str, prompt: Prompt, sampling: Sampling | None) -> Iterator[Event]:
        self._cancelled = cancelled = threading.Event()
        self.machine.jobs.append(verb)
        self.machine.prompts.append(prompt)
        yield Loading(text="loading")
        if self.machine.failures:
            raise self.machine.failures.pop(0)
        kept = self.machine.kept.setdefault(self.name, set())
        reused = done = self.kept(prompt)
        written: list[str] = []

        def end(finish: Finish) -> Done:
            return Done(
                finish=finish,
                context=prompt.tokens,
                reused=reused,
                prefilled=done - reused,
                answered=len(written),
                ids=tuple(ord(one) for one in "".join(written)),
                seconds_prefill=0.25,
                provenance={"policy": "plain"},
            )

        for page, length in self._pages(prompt):
            if page in kept and done <= reused:
                continue
            yield Progress(done=done, total=prompt.tokens, reused=reused, tokens_per_second=100.0, seconds_left=1.0)
            if not self._may_go_on(cancelled):
                yield end("stopped")
                return
            kept.add(page)
            done += length
            self.machine.chunks.append((prompt.segments[1].name, done))
        yield Progress(done=done, total=prompt.tokens, reused=reused, tokens_per_second=100.0, seconds_left=0.0)
        words = self.machine.words[: sampling.max_tokens] if sampling is not None else []
        if sampling is not None and sampling.schema is not None:
            said = self.machine.structured(json.loads(sampling.schema), self.decode(prompt.segments[-1].ids))
            text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
            words = [text[start : start + 40] for start in range(0, len(text), 40)]
        for word in words:
            if not self._may_go_on(cancelled):
                yield end("stopped")
                return
            written.append(word)
            gaze = self._gaze() if len(written) > 1 else None
            yield Delta(text=word, ids=tuple(map(ord, word)), gaze=gaze)
        yield end("stop")

    def _may_go_on(self, cancelled: threading.Event) -> bool:
        while not cancelled.is_set():
            if self.machine.step():
                return True
            time.sleep(0.002)
        return False


def value_of(asked: dict[str, Any], path: str = "", passages: Passages | None = None) -> Any:
    """The plainest value of a schema: of a list the fewest items, each saying where it stands."""
    if "passages" in asked:
        passages = Passages(asked["passages"])
    if "enum" in asked:
        return asked["enum"][0]
    kind = asked["type"]
    if kind == "object":
        return {name: value_of(one, f"{path} {name}", passages) for name, one in asked["properties"].items()}
    if kind == "array":
        return [value_of(asked["items"], f"{path} {n}", passages) for n in range(asked.get("minItems", 0))]
    if kind == "integer":
        return asked["maximum"]
    if asked.get("quoted"):
        assert passages is not None
        most = asked["maxLength"]
        least = min(asked["minLength"], passages.longest(most))
        names = [word for word in passages.chunks if len(word) > 3 and word[0].isupper()]
        if least > 2 or not names:
            return passages.ending(b"", least, most).decode()
        # names of different properties differ
        return names[sum(map(ord, path)) % len(names)]
    return path.strip()[-asked["maxLength"] :] or "x"


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load({"home": tmp_path / "home", "cache": tmp_path / "cache", "model": "plain"}, {})


@pytest.fixture
def library(settings: Settings) -> Iterator[Library]:
    with Library(settings.home, parse=parse_file) as library:
        yield library


@pytest.fixture
def desk(settings: Settings, library: Library, machine: Machine) -> Desk:
    """With its model at hand; nobody works its queue."""
    desk = Desk(settings, library, lambda name: PlainEngine(name, machine))
    desk.engines.get("plain")
    return desk


@pytest.fixture
def runner(desk: Desk, machine: Machine) -> Iterator[Runner]:
    """Works the desk's queue once it is started."""
    runner = Runner(desk)
    yield runner
    machine.steps = None
    runner.close()


@pytest.fixture
def book(desk: Desk, tmp_path: Path) -> Callable[..., int]:
    """``book(name, tokens)`` puts a book of about so many tokens on the shelf; its id."""

    def add(name: str = "alice", tokens: int = 3000) -> int:
        path = tmp_path / f"{name}.txt"
        line = f" {name} went on and on."
        path.write_text("\n\n".join([line.strip() + line * 3] * (tokens // len(line * 4) + 1)), encoding="utf-8")
        return desk.add(OWNER, path, path.name).document.id

    return add


def until(true: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.005)


class Failure(EngineError):
    """An engine that fails for a reason of its own."""
