"""What is kept on disk of all that was read: listing and checking the files of kept pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.library.records import DocumentRecord
from engine.keptfile import SUFFIX, Damaged, Header, check_file, read_header


def kept_files(readings: Path) -> list[Path]:
    """All files of kept pages, of every model."""
    return sorted(readings.glob(f"*/*{SUFFIX}"))


def listed(readings: Path, documents: dict[Path, list[DocumentRecord]]) -> list[dict[str, Any]]:
    """A row for each model and each set of documents that its files belong to, the largest first.

    documents: of the files that the caller knows; the others belong to conversations, to removed documents or to other
    models, and are summed up under no document. Files that cannot be read are left to ``checked``.
    """
    groups: dict[tuple[str, tuple[int, ...]], list[tuple[Path, Header]]] = defaultdict(list)
    titles: dict[int, str] = {}
    for path in kept_files(readings):
        try:
            header = read_header(path)
        except (Damaged, OSError):
            continue
        found = sorted(documents.get(path, ()), key=lambda one: one.id)
        titles |= {one.id: one.title or one.filename for one in found}
        groups[path.parent.name, tuple(one.id for one in found)].append((path, header))
    rows = [
        {
            "model": folder,
            "documents": [{"id": id, "title": titles[id]} for id in ids],
            "tokens": sum(header.tokens for _, header in files),
            "bytes": sum(path.stat().st_size for path, _ in files),
            "files": len(files),
            "policies": sorted({_policy(header) for _, header in files}),
            "recall": _recall(header for _, header in files),
        }
        for (folder, ids), files in groups.items()
    ]
    return sorted(rows, key=lambda row: -row["bytes"])


def _policy(header: Header) -> str:
    # an answer's pages were written while it was said
    return header.provenance.get("policy") or header.provenance.get("written_by", "unknown")


def _recall(headers: Iterator[Header]) -> float | None:
    """The mean over the tokens whose reading was gauged."""
    gauged = [
        (header.tokens, float(header.provenance["recall"])) for header in headers if "recall" in header.provenance
    ]
    return sum(tokens * recall for tokens, recall in gauged) / sum(tokens for tokens, _ in gauged) if gauged else None


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
