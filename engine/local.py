"""The engine on this machine, behind ``engine.protocol.Engine``: its model in a process of its own.

No torch here: the application imports this. Tokenization and looking up kept pages happen in the caller's process.
"""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, TypeVar

from engine import checkpoint, worker
from engine.config import EngineConfig, Storage, default_device, default_dtype
from engine.errors import EngineError, WorkerDied
from engine.keptfile import Layout
from engine.protocol import ChatFrame, Done, Encoding, Event, Loading, ModelInfo, Prompt, Sampling
from engine.snapshots import Store
from engine.tokenizer import Tokenizer

CLOSE_SECONDS = 5.0
DTYPES: tuple[Literal["float32", "bfloat16", "float16"], ...] = ("float32", "bfloat16", "float16")
STORAGES: tuple[Storage, ...] = ("exact", "int8")
DEVICES: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")

T = TypeVar("T")


class LocalEngine:
    """One model of one name. ``read`` and ``generate`` may be called from any thread, and run one at a time."""

    def __init__(
        self,
        name: str,
        *,
        cache: Path,
        readings: Path | None,
        readings_limit: int | None = None,
        readings_share: float | None = None,
        storage: str = "exact",
        dtype: str = "auto",
        device: str = "auto",
        chunk_tokens: int | None = None,
        threads: int | None = None,
        policy: str | None = None,
        device_memory: int | None = None,
    ) -> None:
        self._name = name
        self._policy, self._device_memory = policy, device_memory
        self._cache = cache
        self._readings, self._readings_limit, self._readings_share = readings, readings_limit, readings_share
        self._storage = storage
        self._dtype, self._device = dtype, device
        self._chunk_tokens, self._threads = chunk_tokens, threads
        self._prepare_lock = threading.Lock()
        self._prepared: tuple[checkpoint.Checkpoint, ModelInfo, Tokenizer, Store | None] | None = None
        self._job_lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._process: Any = None
        self._connection: Connection | None = None
        self._job = 0
        self._running: int | None = None

    # -- the checkpoint --------------------------------------------------------------------------------------------

    def prepare(self, progress: Callable[[Loading], None] | None = None) -> ModelInfo:
        """Fetch and convert the checkpoint where that is still to be done. Raises EngineError."""
        with self._prepare_lock:
            if self._prepared is None:
                self._prepared = self._resolve(progress)
            return self._prepared[1]

    def _resolve(
        self, progress: Callable[[Loading], None] | None
    ) -> tuple[checkpoint.Checkpoint, ModelInfo, Tokenizer, Store | None]:
        def report(text: str, done: int, total: int) -> None:
            if progress is not None:
                progress(Loading(text=text, done=done, total=total))

        found = checkpoint.resolve(self._name, cache=self._cache, progress=report)
        device = _one_of(DEVICES, self._device) if self._device != "auto" else default_device()
        dtype = _one_of(DTYPES, self._dtype) if self._dtype != "auto" else default_dtype(device)
        info = checkpoint.describe(found, dtype=dtype, device=device, progress=report)
        store = None
        if self._readings is not None:
            store = Store(self._readings, info.identity, layout_of(info))
        return found, info, Tokenizer(Path(info.folder)), store

    @property
    def _ready(self) -> tuple[checkpoint.Checkpoint, ModelInfo, Tokenizer, Store | None]:
        self.prepare()
        assert self._prepared is not None
        return self._prepared

    @property
    def model(self) -> ModelInfo:
        return self.prepare()

    # -- text ------------------------------------------------------------------------------------------------------

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        return self._ready[2].encode(texts)

    def decode(self, ids: Sequence[int]) -> str:
        return self._ready[2].decode(ids)

    def frame(self, system: str) -> ChatFrame:
        return self._ready[2].frame(system)

    # -- reading and answering -------------------------------------------------------------------------------------

    def kept(self, prompt: Prompt) -> int:
        store = self._ready[3]
        if store is None:
            return 0
        found = store.find(prompt)[1]
        if found >= prompt.composed:
            return found
        # of a composed prompt every part counts, whatever is missing before it
        first = prompt.parts[0]
        opening = len(first.segments[0].ids)
        return sum(max(0, store.find(part)[1] - opening) for part in prompt.parts) + min(opening, store.find(first)[1])

    def kept_files(self, prompt: Prompt) -> list[Path]:
        """The files that hold what is read of the prompt, in order."""
        store = self._ready[3]
        if store is None:
            return []
        runs = [run for part in (*prompt.parts, prompt) for run in store.find(part)[0]]
        return list(dict.fromkeys(run.path for run in runs))

    def read(self, prompt: Prompt) -> Iterator[Event]:
        return self._run("read", prompt)

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Event]:
        return self._run("generate", prompt, sampling)

    def look(self, prompt: Prompt, rows: int) -> Iterator[Event]:
        return self._run("look", prompt, rows)

    def cancel(self) -> None:
        job = self._running
        if job is not None:
            self._send(("cancel", job))

    def _run(self, verb: str, *arguments: object) -> Iterator[Event]:
        with self._job_lock:
            yield from self._fetching()
            connection = self._started()
            self._job += 1
            job = self._running = self._job
            try:
                self._send((verb, job, *arguments))
                yield from self._events(connection, job)
            finally:
                self._running = None

    def _fetching(self) -> Iterator[Event]:
        """Loading events while the checkpoint is brought, which may take long the first time."""
        if self._prepared is not None:
            return
        told: list[Loading] = []
        changed = threading.Condition()
        failed: list[BaseException] = []
        ended = threading.Event()

        def progress(event: Loading) -> None:
            with changed:
                told[:] = [event]
                changed.notify()

        def fetch() -> None:
            try:
                self.prepare(progress)
            except BaseException as error:
                failed.append(error)
            with changed:
                ended.set()
                changed.notify()

        threading.Thread(target=fetch, name="fetch", daemon=True).start()
        while True:
            with changed:
                changed.wait_for(lambda: told or ended.is_set())
                events = told[:]
                told.clear()
            yield from events
            if ended.is_set() and not told:
                break
        if failed:
            raise failed[0]

    def _events(self, connection: Connection, job: int) -> Iterator[Event]:
        finished = False
        try:
            while True:
                try:
                    number, event = connection.recv()
                except (EOFError, OSError) as error:
                    finished = True
                    raise WorkerDied(self._buried()) from error
                if number != job:
                    # the end of a job whose caller went away
                    continue
                if isinstance(event, EngineError):
                    finished = True
                    raise event
                finished = isinstance(event, Done)
                yield event
                if finished:
                    return
        finally:
            if not finished:
                self._send(("cancel", job))

    def _send(self, message: tuple[object, ...]) -> None:
        with self._send_lock:
            if self._connection is None:
                return
            try:
                self._connection.send(message)
            except OSError:
                # the process is gone: whoever waits for events learns it there
                return

    # -- the process -----------------------------------------------------------------------------------------------

    def _started(self) -> Connection:
        if self._connection is not None and self._process is not None and self._process.is_alive():
            return self._connection
        self._buried()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=worker.main, args=(theirs, self._config()), name="lectern-engine", daemon=True
        )
        self._process.start()
        theirs.close()
        self._connection = ours
        return ours

    def _config(self) -> EngineConfig:
        _, info, _, _ = self._ready
        return EngineConfig(
            folder=Path(info.folder),
            readings=self._readings,
            identity=info.identity,
            chunk_size=info.chunk_size,
            local_size=info.local_size,
            limit=info.limit,
            dtype=_one_of(DTYPES, info.dtype),
            device=_one_of(DEVICES, info.device),
            chunk_tokens=self._chunk_tokens,
            threads=self._threads,
            policy=self._policy,
            temperature=info.temperature,
            readings_limit=self._readings_limit,
            readings_share=self._readings_share,
            storage=_one_of(STORAGES, self._storage),
            device_memory=self._device_memory,
        )

    def _buried(self) -> int | None:
        """Clean up after a process that ended; its exit code."""
        process, self._process = self._process, None
        with self._send_lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        process.join(CLOSE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        return None if process.exitcode is None else int(process.exitcode)

    def close(self) -> None:
        """End the process; a job in hand ends with it, and what it kept stays kept."""
        job = self._running
        if job is not None:
            self._send(("cancel", job))
        self._send(("close",))
        self._buried()


def layout_of(info: ModelInfo) -> Layout:
    """How a token's keys and values lie on disk."""
    config = json.loads((Path(info.folder) / "config.json").read_text("utf-8"))
    heads = int(config["num_attention_heads"])
    return Layout(
        layers=int(config["num_hidden_layers"]),
        kv_heads=int(config.get("num_key_value_heads") or heads),
        dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        dtype=info.dtype,
        itemsize=4 if info.dtype == "float32" else 2,
    )


def _one_of(choices: tuple[T, ...], value: str) -> T:
    for choice in choices:
        if choice == value:
            return choice
    raise ValueError(f"{value!r} is none of {', '.join(map(str, choices))}")
