"""The cache of models on this disk: finished folders with their manifests, locks, and hashes of files elsewhere.

models/<name>/     config.json, tokenizer files, *.safetensors and manifest.json; it appears by one rename
stage/<name>/      what is under way; only the holder of the lock touches it
locks/<name>.lock  one process at a time fetches a model
hashes.json        SHA-256 of files outside the cache, by path, size and time of change
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import fetch
from engine.catalogue import Entry
from engine.describe import combine, weight_files
from engine.fetch import Progress
from engine.gguf import CONVERTER

_MANIFEST = 1
# smaller files are hashed without a word
_WORTH_TELLING = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model on this disk. folder: config.json, tokenizer.json, *.safetensors; source: where it came from, for people.

    weights: hash of the safetensors files, None where it is not known without reading them (``describe`` does, once).
    """

    folder: Path
    name: str
    title: str
    source: str
    licence: str
    cache: Path
    entry: Entry | None = None
    weights: str | None = None


def ready(folder: Path, cache: Path, entry: Entry | None, name: str) -> Checkpoint | None:
    """The finished model in ``folder``, if its manifest is of this version and its files have the right sizes."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        if manifest["format"] != _MANIFEST or manifest["converter"] not in (None, CONVERTER):
            return None
        if any((folder / file).stat().st_size != facts["size"] for file, facts in manifest["files"].items()):
            return None
        weights = combine({file: facts["sha256"] for file, facts in manifest["files"].items()})
        return Checkpoint(
            folder=folder,
            name=entry.name if entry else name,
            title=entry.title if entry else str(manifest["title"]),
            source=str(manifest["source"]),
            licence=entry.licence if entry else str(manifest["licence"]),
            cache=cache,
            entry=entry,
            weights=weights,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def damaged(checkpoint: Checkpoint, report: Progress) -> bool:
    """Whether a file of a cached model differs from its manifest. Reads everything."""
    manifest = json.loads((checkpoint.folder / "manifest.json").read_text("utf-8"))
    return any(hashed(checkpoint.folder / file, report) != facts["sha256"] for file, facts in manifest["files"].items())


def finish(output: Path, folder: Path, facts: dict[str, Any], hashes: dict[str, str], report: Progress) -> None:
    """Write the manifest of the folder ``output`` and move it to ``folder`` in one step.

    facts: "title", "source", "licence", "converter" and what else is worth keeping; hashes: those known already.
    """
    files = {}
    for path in sorted(output.iterdir()):
        if path.is_file() and path.name != "manifest.json":
            files[path.name] = {"size": path.stat().st_size, "sha256": hashes.get(path.name) or hashed(path, report)}
    manifest = {"format": _MANIFEST, **facts, "files": files}
    (output / "manifest.json").write_text(json.dumps(manifest, indent=2), "utf-8")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():  # of another version, or damaged
        old = output.parent / "old"
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    output.rename(folder)


@contextmanager
def locked(cache: Path, key: str, report: Progress) -> Iterator[None]:
    """Hold the lock of the model ``key``; waits for another process without end, and says so."""
    import filelock

    folder = cache / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / f"{key}.lock")
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except filelock.Timeout:
            report("waiting for another Lectern that is at work on this model", 0, 0)
    try:
        yield
    finally:
        lock.release()


def hashed(path: Path, report: Progress) -> str:
    """The SHA-256 of a file, read in full."""
    total = path.stat().st_size
    if total < _WORTH_TELLING:
        return fetch.sha256(path)
    return fetch.sha256(path, lambda done: report(f"checking {path.name}", done, total))


def hashed_once(path: Path, cache: Path, report: Progress) -> str:
    """The SHA-256 of a file outside the cache, read in full once and again when its size or time changes.

    Not a sample of it: that would miss a few tuned rows, and pages read with other weights would be taken for its own.
    """
    facts = path.stat()
    stamp = [facts.st_size, facts.st_mtime_ns]
    with locked(cache, "hashes", report):
        known = _known_hashes(cache).get(str(path))
    if isinstance(known, list) and known[:2] == stamp:
        return str(known[2])
    digest = hashed(path, report)
    # others may have added theirs meanwhile: read again, under the lock
    with locked(cache, "hashes", report):
        beside = cache / "hashes.json.tmp"
        beside.write_text(json.dumps(_known_hashes(cache) | {str(path): [*stamp, digest]}), "utf-8")
        beside.replace(cache / "hashes.json")
    return digest


def _known_hashes(cache: Path) -> dict[str, Any]:
    try:
        known = json.loads((cache / "hashes.json").read_text("utf-8"))
    except (OSError, ValueError):  # none yet, or damaged: they are computed again
        return {}
    return known if isinstance(known, dict) else {}


def weights_outside(checkpoint: Checkpoint, report: Progress) -> str:
    """The hash of the weights of a checkpoint outside the cache: the same as if they were in it."""
    files = weight_files(checkpoint.folder)
    return combine({file.name: hashed_once(file, checkpoint.cache, report) for file in files})
