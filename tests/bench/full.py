"""A disk that is full in the middle of a reading: ``python -m tests.bench.full`` (Linux, as root).

A file system of its own in memory, too small for the reading, is mounted; the reading runs until it is told that the disk
is full. Then the file system is made larger and the reading goes on. "reserve": the store stops before the last megabytes;
"enospc": it is led to believe that there is room, so that the system itself refuses in the middle of a file. The row says
how much was kept at the stop, that nothing half-written was left, that what was kept was sound, that the reading went on
from there, and that the end is what an undisturbed reading keeps, bit for bit. Exits with 1 if any of it fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event as Flag
from typing import Any
from unittest import mock

from engine import snapshots
from engine.errors import StorageFull
from engine.keptfile import check_file
from tests.bench import rows, setup


def mount(folder: Path, size: int, *, again: bool = False) -> None:
    options = f"{'remount,' if again else ''}size={size},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.kv")}


def run(model: str, tokens: int, text: Path, how: str) -> dict[str, Any]:
    described = setup.describe(model)
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as small:
        session = setup.Session(setup.config(described, Path(whole)))
        prompt = setup.one_segment(setup.text_ids(session.tokenizer, text, tokens))
        session.read(prompt, lambda _: None, Flag())
        expected = contents(Path(whole))
        size = sum(map(len, expected.values()))
        reserve = snapshots.RESERVE_BYTES if how == "reserve" else 0
        mount(Path(small), size * 3 // 5 + reserve)
        try:
            said = ""
            usage = shutil.disk_usage
            lie = mock.patch.object(shutil, "disk_usage", lambda path: usage(path)._replace(free=1 << 50))
            disturbed = setup.Session(setup.config(described, Path(small)))
            try:
                if how == "enospc":
                    with lie:
                        disturbed.read(prompt, lambda _: None, Flag())
                else:
                    disturbed.read(prompt, lambda _: None, Flag())
            except StorageFull as error:
                said = str(error)
            kept = contents(Path(small))
            sound = all(check_file(path) for path in Path(small).rglob("*.kv"))
            left = len(list(Path(small).rglob("*.part")))
            mount(Path(small), 2 * size + snapshots.RESERVE_BYTES, again=True)
            done = setup.Session(setup.config(described, Path(small))).read(prompt, lambda _: None, Flag())
            same = contents(Path(small)) == expected
        finally:
            subprocess.run(["umount", "-l", str(small)], check=True)
    return {
        "model": model, "tokens": tokens, "how": how, "said": said, "files": len(expected), "kept_at_stop": len(kept),
        "sound": sound, "half_written": left, "reused": done.reused, "read_on": done.prefilled, "same": same,
    }  # fmt: skip


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[12288])
    parser.set_defaults(model=["smollm2-135m"])
    given = parser.parse_args()
    good = True
    for model in given.model:
        for how in ("reserve", "enospc"):
            row = run(model, given.tokens[0], given.text, how)
            good &= bool(row["said"] and row["sound"] and not row["half_written"] and row["reused"] and row["same"])
            rows.record("full", row)
    sys.exit(not good)


if __name__ == "__main__":
    main()
