"""What is kept, as readings: the files of one segment of a prompt behind what it was read after. No torch here.

The folder tells it all: a file names its parent, its pieces and its segment, and its time of change is when it was last
used. A reading depends on the one it was read behind, which is used whenever it is: evicting what was not used for the
longest, and never anything that another still depends on, therefore takes the leaves first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.keptfile import SUFFIX, Damaged, Header, read_header

# a use is noted this many seconds after the last one at the earliest
USE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """bytes: on disk; used: seconds since the epoch."""

    path: Path
    header: Header
    bytes: int
    used: float

    @property
    def end(self) -> int:
        return self.header.start + self.header.tokens


@dataclass(slots=True, kw_only=True)
class Reading:
    """The files of one segment, in order, read behind ``parent``. segment: its name in the prompt, None in files of
    older versions; identity: the folder, which stands for a model."""

    identity: str
    segment: str | None
    files: list[KeptFile]
    parent: Reading | None = None
    children: list[Reading] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def tokens(self) -> int:
        return sum(file.header.tokens for file in self.files)

    @property
    def used(self) -> float:
        return max(file.used for file in self.files)

    def behind(self) -> list[Reading]:
        """What it was read behind, the first first."""
        found, one = [], self.parent
        while one is not None:
            found.append(one)
            one = one.parent
        return found[::-1]


class Survey:
    """Looks at the folders of all models. Headers are read once a file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._headers: dict[Path, tuple[tuple[int, int], Header]] = {}

    def files(self) -> list[KeptFile]:
        """Every sound file's header; what is not sound is left to ``lectern readings check``."""
        found: list[KeptFile] = []
        known, self._headers = self._headers, {}
        for path in sorted(self.root.glob(f"*/*{SUFFIX}")):
            try:
                facts = path.stat()
                mark = (facts.st_ino, facts.st_size)
                header = known[path][1] if path in known and known[path][0] == mark else read_header(path)
            except (Damaged, OSError):
                continue
            self._headers[path] = (mark, header)
            found.append(KeptFile(path=path, header=header, bytes=facts.st_size, used=facts.st_mtime))
        return found

    def readings(self) -> list[Reading]:
        """All that is kept, parents before what was read behind them."""
        files = sorted(self.files(), key=lambda file: (file.path.parent.name, file.header.start, file.path.name))
        holders: dict[tuple[str, bytes], KeptFile] = {}
        for file in files:
            for key, _ in file.header.pieces:
                holders.setdefault((file.path.parent.name, key), file)
        made: dict[Path, Reading] = {}
        found: list[Reading] = []
        for file in files:
            identity, header = file.path.parent.name, file.header
            segment = header.provenance.get("segment")
            before = holders.get((identity, header.parent))
            parent = None if before is None else made.get(before.path)
            if parent is not None and before is not None and _goes_on(file, before, parent):
                parent.files.append(file)
                made[file.path] = parent
                continue
            reading = Reading(identity=identity, segment=segment, files=[file], parent=parent)
            if parent is not None:
                parent.children.append(reading)
            made[file.path] = reading
            found.append(reading)
        return found


def _goes_on(file: KeptFile, before: KeptFile, reading: Reading) -> bool:
    """Whether a file continues the reading of the one before it."""
    inside = any(key == file.header.parent for key, _ in before.header.pieces[:-1])
    return reading.segment == file.header.provenance.get("segment") and (inside or file.header.start == before.end)


def victims(
    readings: Sequence[Reading], needed: int, protected: Callable[[Reading], bool]
) -> tuple[list[Reading], int]:
    """Which readings to give up for ``needed`` bytes, the longest unused first, and the bytes that this frees.

    Nothing is given up that is protected, or that something kept was read behind. Fewer bytes than needed are freed
    where there are no more.
    """
    left = {id(one): len(one.children) for one in readings}
    leaves = [one for one in readings if not one.children and not protected(one)]
    chosen: list[Reading] = []
    freed = 0
    while freed < needed and leaves:
        oldest = min(leaves, key=lambda one: one.used)
        leaves.remove(oldest)
        chosen.append(oldest)
        freed += oldest.bytes
        parent = oldest.parent
        if parent is not None:
            left[id(parent)] -= 1
            if not left[id(parent)] and not protected(parent):
                leaves.append(parent)
    return chosen, freed


def evict(readings: Iterable[Reading]) -> int:
    """Remove their files, the last of each first, so that what a crash leaves is still found; returns the bytes.

    Only for the holder of the engine's lock.
    """
    freed = 0
    for reading in readings:
        for file in reversed(reading.files):
            file.path.unlink(missing_ok=True)
            freed += file.bytes
    return freed


def note_use(paths: Iterable[Path], now: float) -> None:
    """Note that files are used ``now``, durably and at the price of a look at each."""
    for path in paths:
        try:
            if now - path.stat().st_mtime >= USE_SECONDS:
                os.utime(path, (now, now))
        except OSError:
            continue
