"""Asking about a text that was read before: ``python -m tests.bench.opening``.

Each length is read once, then asked about by two fresh processes: "warm", with the kept files in the system's cache, and
"cold", after the system was told to let go of them. Rows: bytes a token on disk, seconds to open (find and map), seconds
from the question to the first token (opening and verifying included, loading the weights not).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event as Flag
from typing import Any

from engine.protocol import Prompt, Sampling, Segment
from tests.bench import rows, setup

QUESTION = "\n\nWho is this about, and where does it take place?"


def let_go(folder: Path) -> None:
    """Ask the system to drop every file below ``folder`` from its cache."""
    for path in folder.rglob("*.kv"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(model: str, tokens: int, text: Path, readings: Path, how: str) -> dict[str, float]:
    """The figures of one process."""
    session = setup.Session(setup.config(setup.describe(model), readings))
    ids = setup.text_ids(session.tokenizer, text, tokens)
    language_model, pages, _ = session.load()
    if how == "read":
        session.read(setup.one_segment(ids), lambda _: None, Flag())
    # what decoding needs is made beside a reading; the others have none to hide it
    _ = language_model.row_forward
    kept = set(readings.rglob("*.kv"))
    if how == "read":
        return {"bytes": sum(path.stat().st_size for path in kept)}
    if how == "cold":
        let_go(readings)
    figures: dict[str, float] = {}
    open_pages = pages.open

    def timed(*arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        opened = open_pages(*arguments, **options)
        figures["open_s"] = time.perf_counter() - begun
        return opened

    pages.open = timed  # type: ignore[method-assign]
    turn = session.tokenizer.encode([QUESTION])[0].ids
    prompt = Prompt(segments=(Segment(name="text", ids=ids), Segment(name="turn", ids=turn)))
    done = session.generate(prompt, Sampling(temperature=0.0, max_tokens=1), lambda _: None, Flag())
    assert done.reused == tokens
    for path in set(readings.rglob("*.kv")) - kept:
        # the next process finds the text alone
        path.unlink()
    return figures | {"first_token_s": done.seconds_first_token}


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[4096, 8192, 16384])
    parser.set_defaults(model=["smollm2-135m"])
    parser.add_argument("--one", choices=["read", "warm", "cold"], help="measure in this process")
    parser.add_argument("--readings", type=Path, help="with --one: where the pages are kept")
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(run(given.model[0], given.tokens[0], given.text, given.readings, given.one)))
        return
    for model in given.model:
        for tokens in given.tokens:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "tests.bench.opening", "--readings", folder]
                command += ["--model", model, "--tokens", str(tokens), "--text", str(given.text), "--one"]
                figures: dict[str, float] = {}
                for how in ("read", "warm", "cold"):
                    ran = subprocess.run([*command, how], check=True, capture_output=True, text=True)
                    said = json.loads(ran.stdout.splitlines()[-1])
                    suffix = "" if how == "read" else f"_{how}"
                    figures |= {f"{name}{suffix}": value for name, value in said.items()}
            figures["bytes_a_token"] = figures["bytes"] / tokens
            rows.record("opening", {"model": model, "tokens": tokens, "text": given.text.name, **figures})


if __name__ == "__main__":
    main()
