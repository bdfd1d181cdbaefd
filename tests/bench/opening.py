"""Asking about a text that was read before: ``python -m tests.bench.opening``.

Each length is read once, then asked about by two fresh processes: "warm", with the kept files in the system's cache, and
"cold", after the system was told to let go of them. Rows: bytes a token on disk, seconds to open (find and map), seconds
from the question to the first token (opening and verifying included, loading the weights not).

``--storage int8`` makes the files smaller first. ``--corrupt MB``: afterwards files of so many megabytes, chosen at random,
have one byte in every 64 KB of them changed, and a process asks again: the row says how many files it dropped and read
again, how long that took, and whether the answer is the one that was given before. ``--folder DIR`` keeps the reading there
and goes on with what is there, so that a long one can be read in parts.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

from engine.keptfile import Damaged, read_header
from engine.protocol import Prompt, Sampling, Segment
from tests.bench import rows, setup

STEP = 1 << 16
QUESTION = "\n\nWho is this about, and where does it take place?"


def let_go(folder: Path) -> None:
    """Ask the system to drop every file below ``folder`` from its cache."""
    for path in folder.rglob("*.kv"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def corrupt(readings: Path, size: int) -> int:
    """Change one byte in every 64 KB of files of at least ``size`` bytes; returns how many files."""
    generator = random.Random(0)
    paths = sorted(readings.rglob("*.kv"))
    generator.shuffle(paths)
    changed = 0
    while size > 0 and paths:
        path = paths.pop()
        content = bytearray(path.read_bytes())
        first = read_header(path).data_offset
        for place in range(first, len(content) - STEP, STEP):
            content[place + generator.randrange(STEP)] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        size -= len(content)
        changed += 1
    return changed


def run(model: str, tokens: int, text: Path, readings: Path, how: str, storage: str) -> dict[str, Any]:
    """The figures of one process."""
    session = setup.Session(replace(setup.config(setup.describe(model), readings), storage=storage, limit=1 << 20))
    ids = setup.text_ids(session.tokenizer, text, tokens)
    language_model, pages, _ = session.load()
    if how == "read":
        session.read(setup.one_segment(ids), lambda _: None, Flag())
    # what decoding needs is made beside a reading; the others have none to hide it
    _ = language_model.row_forward
    kept = set(readings.rglob("*.kv"))
    if how == "read":
        return {"bytes": sum(path.stat().st_size for path in kept)}
    dropped: list[Path] = []
    drop = pages.drop

    def counted(damage: Damaged) -> None:
        dropped.append(damage.path)
        drop(damage)

    pages.drop = counted  # type: ignore[method-assign]
    if how == "cold":
        let_go(readings)
    figures: dict[str, Any] = {}
    open_pages = pages.open

    def timed(*arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        opened = open_pages(*arguments, **options)
        figures["open_s"] = time.perf_counter() - begun
        return opened

    pages.open = timed  # type: ignore[method-assign]
    turn = session.tokenizer.encode([QUESTION])[0].ids
    prompt = Prompt(segments=(Segment(name="text", ids=ids), Segment(name="turn", ids=turn)))
    most = 16 if how in ("answer", "mend") else 1
    done = session.generate(prompt, Sampling(temperature=0.0, max_tokens=most), lambda _: None, Flag())
    assert how == "mend" or done.reused == tokens
    for path in set(readings.rglob("*.kv")) - kept:
        # the next process finds the text alone
        path.unlink()
    figures |= {"first_token_s": done.seconds_first_token}
    if how in ("answer", "mend"):
        figures |= {"answer": list(done.ids), "dropped": len(dropped), "read_again": tokens - done.reused}
    return figures


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[4096, 8192, 16384])
    parser.set_defaults(model=["smollm2-135m"])
    parser.add_argument("--storage", choices=["exact", "int8"], default="exact")
    parser.add_argument("--corrupt", type=int, default=0, metavar="MB")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", choices=["read", "warm", "cold", "answer", "mend"], help="measure in this process")
    parser.add_argument("--readings", type=Path, help="with --one: where the pages are kept")
    given = parser.parse_args()
    if given.one is not None:
        said = run(given.model[0], given.tokens[0], given.text, given.readings, given.one, given.storage)
        print(json.dumps(said))
        return
    for model in given.model:
        for tokens in given.tokens:
            with tempfile.TemporaryDirectory() as temporary:
                folder = str(given.folder or temporary)
                command = [sys.executable, "-m", "tests.bench.opening", "--readings", folder]
                command += ["--storage", given.storage]
                command += ["--model", model, "--tokens", str(tokens), "--text", str(given.text), "--one"]

                def measured(how: str, command: list[str] = command) -> dict[str, Any]:
                    ran = subprocess.run([*command, how], check=True, stdout=subprocess.PIPE, text=True)
                    return json.loads(ran.stdout.splitlines()[-1])  # type: ignore[no-any-return]

                figures: dict[str, Any] = measured("read")
                for how in ("warm", "cold"):
                    figures |= {f"{name}_{how}": value for name, value in measured(how).items()}
                if given.corrupt:
                    right = measured("answer")
                    corrupted = corrupt(Path(folder), given.corrupt * 10**6)
                    mended = measured("mend")
                    figures["corrupted"] = {
                        "MB": given.corrupt, "files": corrupted, "dropped": mended["dropped"],
                        "read_again": mended["read_again"], "first_token_s": mended["first_token_s"],
                        "right": mended["answer"] == right["answer"],
                    }  # fmt: skip
            figures["bytes_a_token"] = figures["bytes"] / tokens
            row = {"model": model, "tokens": tokens, "text": given.text.name, "storage": given.storage, **figures}
            rows.record("opening", row)


if __name__ == "__main__":
    main()
