"""The command line as its users meet it: processes over a home, with the real engine and a tiny random model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.commands.common import local_engines
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.runner import Runner
from app.settings import Settings
from app.terminal import one_line
from tests.engine.conftest import make_checkpoint

ROOT = Path(__file__).resolve().parents[2]
# a first answer waits for Numba to compile: half a minute of a quiet machine
SECONDS = 240
# tokens: more than the first chunk that the engine keeps
CHUNK = 2500
TALE = "The keeper of the lamp at Orrin was called Tamsin Vole.\n\nHer dog was called Button.\n\n"


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line on stdout."""
        assert "Traceback" not in self.err
        return json.loads(self.out.splitlines()[-1])


class Lectern:
    """``lectern(...)`` runs a command over one home."""

    def __init__(self, home: Path, model: Path) -> None:
        self.home, self.model = home, model
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("LECTERN_")}
        self.environ |= {"LECTERN_CACHE": str(home.with_name("cache")), "PYTHONIOENCODING": "utf-8"}

    def command(self, *arguments: object) -> list[str]:
        options = ["--home", str(self.home), "--model", str(self.model)]
        return [sys.executable, str(ROOT / "app.py"), *options, *map(str, arguments)]

    def __call__(self, *arguments: object) -> Ran:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environ,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def row(self, query: str) -> Any:
        """The first value that the library gives to a question of the test, None before there is any."""
        path = self.home / "library.db"
        if not path.exists():
            return None
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            try:
                found = database.execute(query).fetchone()
            except sqlite3.OperationalError:
                return None
            return None if found is None else found[0]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny", "llama", max_position_embeddings=8192)


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Still random, but it reads for some seconds."""
    folder = tmp_path_factory.mktemp("slow") / "slow"
    return make_checkpoint(folder, "llama", max_position_embeddings=8192, num_hidden_layers=4, hidden_size=128)


@pytest.fixture
def lectern(tmp_path: Path, tiny: Path) -> Lectern:
    return Lectern(tmp_path / "home", tiny)


@pytest.fixture
def tale(tmp_path: Path) -> Path:
    path = tmp_path / "tale.txt"
    path.write_text(TALE * 20, encoding="utf-8")
    return path


@pytest.fixture
def long(tmp_path: Path) -> Path:
    path = tmp_path / "long.txt"
    path.write_text("".join(f"Chapter {n} of the keeper. {TALE}" for n in range(150)), encoding="utf-8")
    return path


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_add_list_read_ask_and_ask_again(lectern: Lectern, tale: Path, tmp_path: Path) -> None:
    damaged, missing = tmp_path / "empty.txt", tmp_path / "missing.txt"
    damaged.touch()
    added = lectern("add", damaged, tale, missing, tale, "--json")
    assert added.status == 1
    assert [(row["id"], row["already"]) for row in added.json] == [(None, False), (1, False), (None, False), (1, True)]
    assert "empty.txt" in added.err
    assert "missing.txt" in added.err
    assert "klingon" in lectern("add", "--encoding", "klingon", tale).err

    (item,) = lectern("list", "--json").json
    expected = {"id", "title", "author", "filename", "format", "sha256", "characters", "tokens", "chapters", "state"}
    assert expected | {"error"} <= set(item)
    assert (item["id"], item["filename"], item["format"], item["state"], item["error"]) == (
        1,
        "tale.txt",
        "txt",
        "waiting",
        None,
    )
    assert item["characters"] > 1000
    assert (item["words"], item["language"], item["year"], item["identifiers"]) == (16 * 20, "en", None, [])
    assert isinstance(item["tokens"], int)
    assert isinstance(item["chapters"], int)
    listed = lectern("list")
    assert "waiting" in listed.out
    assert "empty.txt" in listed.out

    done = lectern("read", "--json")
    assert (done.status, len(done.out.splitlines())) == (0, 1)
    (row,) = done.json
    assert (row["id"], row["state"], row["error"], row["progress"]) == (1, "read", None, 1.0)
    assert row["tokens"]["prefilled"] > item["tokens"]
    assert row["tokens_per_second"] > 0
    nothing = lectern("read", "--json")
    assert (nothing.status, nothing.json) == (0, [])

    options = ["--max-tokens", "6", "--temperature", "0", "--json"]
    asked = lectern("ask", "--doc", "1", "Who keeps the lamp?", *options)
    assert (asked.status, len(asked.out.splitlines())) == (0, 1)
    answer = asked.json
    assert set(answer) >= {"answer", "finish", "documents", "tokens", "seconds", "quotes"}
    assert answer["documents"] == [1]
    assert answer["finish"] in ("stop", "length")
    assert set(answer["tokens"]) == {"context", "reused", "prefilled", "answered"}
    assert set(answer["seconds"]) == {"load", "prefill", "first_token", "decode"}
    # what `read` read in another process is not read again
    assert answer["tokens"]["reused"] >= row["tokens"]["context"] - 1
    assert answer["tokens"]["prefilled"] < 200
    assert 0 < answer["tokens"]["answered"] <= 6

    # the conversation goes on in a third process, and streams without --json
    streamed = lectern("ask", "--thread", answer["thread"], "And her dog?", "--max-tokens", "6", "--seed", "1")
    assert streamed.status == 0
    assert "conversation 1" in streamed.err
    (thread,) = lectern("threads", "--json").json
    assert (thread["id"], thread["title"], thread["documents"]) == (1, "Who keeps the lamp?", [1])
    shown = lectern("threads", "1", "--json").json
    assert [turn["question"] for turn in shown["turns"]] == ["Who keeps the lamp?", "And her dog?"]
    assert shown["turns"][0]["answer"] == answer["answer"]
    assert one_line(shown["turns"][1]["answer"]) == one_line(streamed.out)

    logs = "".join(path.read_text("utf-8") for path in (lectern.home / "logs").iterdir())
    assert "job 1" in logs
    for secret in ("lamp", "dog", "Tamsin"):
        assert secret not in logs
    if os.name == "posix":
        assert (lectern.home.stat().st_mode | (lectern.home / "logs").stat().st_mode) & 0o077 == 0


def test_a_reading_that_was_killed_goes_on(lectern: Lectern, slow: Path, long: Path) -> None:
    lectern.model = slow
    assert lectern("add", long).status == 0
    process = lectern.start("read", "1")
    with process:
        until(lambda: (lectern.row("SELECT done FROM readings") or 0) > CHUNK, "no part was read")
        process.kill()
    done, total = (lectern.row(f"SELECT {column} FROM readings") for column in ("done", "total"))
    assert 0 < done < total
    assert lectern.row("SELECT state FROM jobs") == "running"
    with Library(lectern.home) as library:
        assert library.check() == []
    finished = lectern("read", "1", "--json")
    (row,) = finished.json
    assert (finished.status, row["state"]) == (0, "read")
    assert row["tokens"]["reused"] > 0
    assert row["tokens"]["reused"] + row["tokens"]["prefilled"] == total


def test_ctrl_c_stops_and_keeps_what_was_read(lectern: Lectern, slow: Path, long: Path) -> None:
    lectern.model = slow
    lectern("add", long)
    process = lectern.start("read", "--json")
    with process:
        until(lambda: (lectern.row("SELECT done FROM readings") or 0) > CHUNK, "no part was read")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in err
    (row,) = json.loads(out)
    assert row["state"] == "stopped"
    assert 0 < row["progress"] < 1
    (item,) = lectern("list", "--json").json
    assert (item["state"], item["progress"]) == ("stopped", row["progress"])


@pytest.fixture
def server(lectern: Lectern, tmp_path: Path) -> Iterator[Desk]:
    """This process works the queue of the home, as a server would."""
    settings = Settings.load({"home": lectern.home, "cache": tmp_path / "cache", "model": str(lectern.model)}, {})
    with Library(settings.home) as library:
        desk = Desk(settings, library, local_engines(settings))
        with Runner(desk) as runner:
            runner.start()
            until(lambda: runner.works, "the lock")
            yield desk


def test_the_command_line_follows_the_process_that_works_the_queue(lectern: Lectern, server: Desk, tale: Path) -> None:
    assert lectern("add", tale).status == 0
    asked = lectern("ask", "Who?", "--doc", "1", "--max-tokens", "4", "--json")
    assert asked.status == 0
    assert asked.json["tokens"]["answered"] > 0
    assert "another Lectern" in asked.err
    # the answer was written here
    (thread,) = server.threads("local")
    assert server.thread("local", thread.id)[1][0].answer == asked.json["answer"]


def test_model_says_what_answers_and_what_fits(lectern: Lectern, tiny: Path) -> None:
    said = lectern("model", "--json").json
    assert (said["name"], said["window"], said["limit"]) == ("tiny", 8192, 4 * 8192)
    assert set(said) >= {"title", "source", "parameters", "kv_bytes", "licence", "machine", "models"}
    assert said["machine"]["cores"] >= 1
    for offer in said["models"]:
        assert isinstance(offer["fits"], bool)
        assert offer["why"]
    assert "qwen2.5-coder-0.5b" in lectern("model").out
    # looking is no reason to fetch
    lectern.model = Path("qwen2.5-7b-1m")
    said = lectern("model", "--json").json
    assert (said["name"], said["fetched"], said["window"]) == ("qwen2.5-7b-1m", False, 262_144)


def test_refine_writes_budgets_beside_the_model(lectern: Lectern, tiny: Path, long: Path, tmp_path: Path) -> None:
    lectern.model = Path(shutil.copytree(tiny, tmp_path / "refined"))
    said = lectern("refine", "--text", long, "--tokens", 3100, "--average", 300, "--json").json
    assert said["keys_a_head"] <= 300 and Path(said["file"]).parent == lectern.model and Path(said["file"]).is_file()
    assert "fewer --tokens" in lectern("refine", "--text", long, "--tokens", 10**7).err


def test_what_does_not_exist_is_refused_with_a_reason(lectern: Lectern, tale: Path) -> None:
    for arguments in (["read", 7], ["ask", "--doc", 7, "Who?"]):
        ran = lectern(*arguments)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err.endswith("There is no document 7. `lectern list` shows the shelf with its numbers.\n")
    ran = lectern("threads", 3)
    assert (ran.status, "no conversation 3" in ran.err) == (1, True)
    lectern.model = lectern.home / "nowhere"
    ran = lectern("add", tale, "--json")
    # the shelf does not need the model
    assert (ran.status, ran.json[0]["id"]) == (1, 1)
    assert "was not found" in ran.err
    assert "Traceback" not in ran.err
    (item,) = lectern("list", "--json").json
    assert (item["tokens"], item["state"]) == (None, "waiting")


def test_what_does_not_fit_is_refused_before_it_is_read(lectern: Lectern, tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    path.write_text(TALE * 1000, encoding="utf-8")
    assert lectern("add", path).status == 0
    ran = lectern("ask", "Who?", "--doc", "1", "--mode", "whole")
    assert ran.status == 1
    assert "this model can hold 32,768. Choose a model with a longer window" in ran.err
    assert lectern("threads", "--json").json == []


# the options, without a process


@pytest.mark.parametrize(
    ("arguments", "documents", "question"),
    [
        (["--doc", "1", "2", "Who?"], [1, 2], "Who?"),
        (["Who?", "--doc", "1", "2"], [1, 2], "Who?"),
        (["--doc", "1", "--doc", "2", "Who?"], [1, 2], "Who?"),
        (["--doc=1", "2", "Who?"], [1, 2], "Who?"),
        (["--doc", "1", "--json", "Who?"], [1], "Who?"),
        (["--doc", "1", "2", "--", "1984"], [1, 2], "1984"),
        (["--doc", "1", "--", "-v?"], [1], "-v?"),
        (["2001: what is HAL?", "--doc", "1"], [1], "2001: what is HAL?"),
    ],
)
def test_documents_of_a_question(arguments: list[str], documents: list[int], question: str) -> None:
    options = cli.parse(["ask", *arguments])
    assert (options.documents, options.question) == (documents, question)


@pytest.mark.parametrize(
    "arguments",
    [["--json", "--home", "h", "--model", "m", "list"], ["list", "--json", "--home", "h", "--model", "m"]],
)
def test_common_options_stand_before_or_after_the_command(arguments: list[str]) -> None:
    options = cli.parse(arguments)
    assert (options.command, options.json, options.home, options.model) == ("list", True, "h", "m")


def test_sampling_options() -> None:
    floats = ["--temperature", "0", "--top-p", ".5", "--min-p", ".1", "--repetition-penalty", "1.2"]
    numbers = ["--top-k", "3", "--max-tokens", "9", "--seed", "4"]
    options = cli.parse(["ask", "q", "--doc", "1", *floats, *numbers, "--stop", "END", "--stop", "FIN"])
    sampling = cli.sampling(options)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0, 0.5, 3, 0.1)
    assert (sampling.repetition_penalty, sampling.max_tokens, sampling.seed) == (1.2, 9, 4)
    assert sampling.stop == ("END", "FIN")


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["add"],
        ["ask"],
        ["ask", "--doc", "1"],
        ["ask", "Who?"],
        ["ask", "--doc", "Who?"],
        ["ask", "--doc", "0", "Who?"],
        ["ask", "--doc", "1", "--thread", "1", "Who?"],
        ["ask", "--doc", "1", "Who?", "--temperature", "hot"],
        ["ask", "--doc", "1", "Who?", "--temperature", "9"],
        ["ask", "--doc", "1", "Who?", "--top-p", "nan"],
        ["read", "alice"],
        ["read", "-1"],
        ["list", "--colour"],
        ["readings", "--repair"],
        ["readings", "drop"],
        ["serve", "--port", "99999"],
    ],
)
def test_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTERN_HOME", str(tmp_path / "home"))
    with pytest.raises(SystemExit) as exited:
        cli.main(arguments)
    assert exited.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "error:" in said.err


def test_importing_the_command_line_is_light() -> None:
    heavy = ("torch", "transformers", "gradio", "pymupdf", "fitz", "sqlite_utils", "tokenizers", "numpy")
    code = f"import sys, app.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# what is shown
