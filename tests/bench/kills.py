"""A reading under SIGKILL: ``python -m tests.bench.kills --books FOLDER``.

Cuts of so many tokens from the books of a folder are read in one go, by one process after another, each killed at a
random instant; then once more without a kill, into another folder. The row says whether what is kept is the same bit for
bit, how many tokens were kept at each kill, and how many had been read but not kept, which are read again. Exits with 1
if anything differs, or if a chunk a kill is read again. The whole run of the issue is ``--cuts 10 --tokens 20000
--kills 20``.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import IO

from engine.config import CPU_CHUNK
from engine.keptfile import read_header
from engine.protocol import Event, Progress
from tests.bench import rows, setup


def read(model: str, books: Path, cuts: int, tokens: int, readings: Path) -> None:
    """Read all cuts in this process. Books that are too short or no UTF-8 are passed over; long ones give several."""
    session = setup.Session(setup.config(setup.describe(model), readings))
    session.load()
    made = 0
    for path in sorted(books.glob("*.txt")):
        try:
            ids = session.tokenizer.encode([path.read_bytes().decode("utf-8-sig")])[0].ids
        except UnicodeDecodeError:
            continue
        for first in range(0, len(ids) - tokens + 1, tokens):
            if made == cuts:
                return
            before = made * tokens

            def told(event: Event, before: int = before) -> None:
                if isinstance(event, Progress):
                    print(before + event.done, flush=True)

            session.read(setup.one_segment(ids[first : first + tokens]), told, Flag())
            made += 1
    sys.exit(f"{books} gives {made} cuts, {cuts} are asked for" if made < cuts else 0)


class Follower(Thread):
    """Hears how many tokens a process has read, until it ends."""

    def __init__(self, lines: IO[str]) -> None:
        super().__init__(daemon=True)
        self.done = 0
        self._lines = lines

    def run(self) -> None:
        for line in self._lines:
            self.done = max(self.done, int(line))


def kept(readings: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in readings.rglob("*.kv")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--books", type=Path, default=setup.DEFAULT_TEXT.parent)
    parser.add_argument("--cuts", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--within", type=float, default=20.0, help="seconds from the first chunk to the kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=Path, help="read in this process, keeping pages in this folder")
    given = parser.parse_args()
    if given.one is not None:
        read(given.model, given.books, given.cuts, given.tokens, given.one)
        return
    generator = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        interrupted, whole = Path(folder, "interrupted"), Path(folder, "whole")
        command = [sys.executable, "-m", "tests.bench.kills", "--model", given.model, "--books", str(given.books)]
        command += ["--cuts", str(given.cuts), "--tokens", str(given.tokens), "--one"]
        at_kills, again, killed = [], [], 0
        for _ in range(given.kills):
            process = subprocess.Popen([*command, str(interrupted)], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            # starting takes as long as many chunks
            process.stdout.readline()
            follower = Follower(process.stdout)
            follower.start()
            time.sleep(generator.random() * given.within)
            killed += process.poll() is None
            process.kill()
            process.wait()
            follower.join()
            process.stdout.close()
            at_kills.append(sum(read_header(path).tokens for path in interrupted.rglob("*.kv")))
            again.append(max(0, follower.done - at_kills[-1]))
        for readings in (interrupted, whole):
            subprocess.run([*command, str(readings)], check=True, stdout=subprocess.DEVNULL)
        same = kept(interrupted) == kept(whole) and not list(interrupted.rglob("*.part"))
        figures = {name: getattr(given, name) for name in ("model", "cuts", "tokens", "within", "seed")}
        figures |= {"killed": killed, "kept_at_kills": at_kills, "read_again": sum(again), "most_again": max(again)}
        figures |= {"chunk": CPU_CHUNK, "files": len(kept(whole)), "same": same}
    rows.record("kills", figures)
    sys.exit(not same or max(again) >= CPU_CHUNK)


if __name__ == "__main__":
    main()
