"""What the tests run in processes of their own: ``worker.py COMMAND HOME …``, one line of JSON an answer on stdout.

claim: wait for a line on stdin, then claim and finish jobs until there are none; answers the ids.
add FILE…: wait for a line, then add the files; answers the id after each.
die_adding STEP FILE, die_opening STEP: fork a child for every STEPth dangerous call in adding a file to a copy of HOME,
or in making a new home, and let it SIGKILL itself just before that call; answers each home so left, and the call.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from app.documents.parse import parse_file
from app.library.jobs import Jobs
from app.library.store import Library

# what changes a file or a database; a kill anywhere between two of them is a kill before the second
DANGEROUS = {
    "chmod",
    "commit",
    "execute",
    "executemany",
    "fsync",
    "mkdir",
    "open",
    "replace",
    "rollback",
    "unlink",
    "write",
}


def claim(home: Path) -> None:
    with Library(home, parse=parse_file) as library:
        jobs, ids = Jobs(library), []
        _wait()
        while (job := jobs.claim()) is not None:
            jobs.emit(job.id, "delta", {"by": os.getpid()})
            jobs.finish(job.id, "done")
            ids.append(job.id)
        _answer(ids)


def add(home: Path, *paths: str) -> None:
    with Library(home, parse=parse_file) as library:
        owner = library.owner()
        _wait()
        for path in paths:
            _answer(library.add_document(owner, Path(path), Path(path).name).document.id)


def die_adding(home: Path, step: str, path: str) -> None:
    def work(copy: Path, armed: Callable[[], None]) -> None:
        shutil.copytree(home, copy)
        with Library(copy, parse=parse_file) as library:
            owner = library.owner()
            armed()
            library.add_document(owner, Path(path), Path(path).name)

    _die_everywhere(home, int(step), work)


def die_opening(home: Path, step: str) -> None:
    def work(copy: Path, armed: Callable[[], None]) -> None:
        armed()
        Library(copy).close()

    _die_everywhere(home, int(step), work)


def _die_everywhere(home: Path, step: int, work: Callable[[Path, Callable[[], None]], None]) -> None:
    point = 0
    while True:
        copy = home.with_name(f"{home.name}-{point}")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(copy, partial(_arm, point, writing))
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        _, status = os.waitpid(child, 0)
        with open(reading) as pipe:
            call = pipe.read()
        if os.WIFEXITED(status):
            # the work ended before this many calls: every point has had its turn
            _answer({"exit": os.WEXITSTATUS(status), "points": point})
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        _answer({"home": str(copy), "call": call})
        point += step


def _arm(point: int, writing: int) -> None:
    left = [point]

    def watch(frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ in DANGEROUS:
            if left[0] == 0:
                sys.setprofile(None)
                line = f"{frame.f_code.co_name}:{frame.f_lineno} {function.__name__}"
                os.write(writing, line.encode())
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    sys.setprofile(watch)


def _wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def _answer(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {
        "claim": claim,
        "add": add,
        "die_adding": die_adding,
        "die_opening": die_opening,
    }
    commands[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
