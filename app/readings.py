"""The files of all that is kept on disk: checking them, and making them smaller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import StorageFull
from engine.keptfile import SUFFIX, Damaged, check_file


def kept_files(readings: Path) -> list[Path]:
    """All files of kept pages, of every model."""
    return sorted(readings.glob(f"*/*{SUFFIX}"))


def checked(readings: Path, *, repair: bool, tell: Callable[[int, int], None]) -> dict[str, Any]:
    """Read and verify every file; with ``repair`` remove the bad ones, whose tokens are then read again when wanted.

    tell(done, total) counts files. Nothing is queued, and a sound file is never touched.
    """
    paths = kept_files(readings)
    size, bad = 0, []
    for number, path in enumerate(paths):
        tell(number, len(paths))
        try:
            check_file(path)
            size += path.stat().st_size
        except FileNotFoundError:
            # removed meanwhile
            continue
        except (Damaged, OSError) as error:
            reason = error.reason if isinstance(error, Damaged) else error.strerror or type(error).__name__
            if repair:
                path.unlink(missing_ok=True)
            bad.append({"model": path.parent.name, "file": path.name, "reason": reason, "removed": repair})
    return {"files": len(paths), "bytes": size, "bad": bad}


def compacted(readings: Path, *, tell: Callable[[int, int], None]) -> dict[str, Any]:
    """Make every file int8 that is not: files, saved (bytes) and failed. Only for the holder of the engine's lock.

    A bad file stays for ``checked``; a full disk passes over the rest. tell(done, total) counts files.
    """
    # it computes
    from engine.compact import compact_file

    paths = kept_files(readings)
    done = saved = failed = 0
    for number, path in enumerate(paths):
        tell(number, len(paths))
        try:
            by = compact_file(path)
        except FileNotFoundError:
            continue
        except (Damaged, OSError, StorageFull):
            failed += 1
            continue
        done, saved = done + bool(by), saved + by
    return {"files": done, "saved": saved, "failed": failed}
