"""The README's table of documents and of the library, from the recorded rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.bench import rows

Latest = Callable[..., list[dict[str, Any]]]


def library_tables(latest: Latest) -> list[str]:
    lines: list[str] = []
    if found := [row for row in latest("parsing", "file") if "error" not in row]:
        lines += [
            "Documents (`python -m tests.bench.parsing`; chapters of the body found, of how many there are; seconds of one "
            "core):",
            "",
            "| file | title | chapters | characters | seconds |",
            "|---|---|---:|---:|---:|",
        ]
        lines += [
            f"| {row['file']} | {row['title']} | {row['chapters']} of {row['chapters_true']} | {row['characters']:,} "
            f"| {row['seconds']:.2f} |"
            for row in found
        ]
        lines.append("")
    taken = [row for row in rows.rows("library") if "import" in row]
    books = [row for row in rows.rows("library") if row.get("shelf") == "books"]
    if taken and books:
        row, counted = taken[-1], books[-1]
        slowest, worst = (max(one[which] for one in row["search_ms"].values()) for which in ("median", "worst"))
        exact = all(one["count"] == one["str_count"] for one in counted["search"].values())
        of_books = max(one["ms"]["median"] for one in counted["search"].values())
        lines += [
            "The library (`python -m tests.bench.library`):",
            "",
            f"- {row['documents']:,} documents: taken in at {row['import']['per_second']:.0f} a second by "
            f"{row['import']['workers']} workers, each in a process of its own "
            f"({row['import_python_a_file']['per_second']:.0f} a second with a Python each); the shelf opens in "
            f"{row['shelf_ms']['median']:.0f} ms, a search takes {slowest:.0f} ms at most "
            f"in the median, {worst:.0f} ms in the worst single case.",
            f"- {len(counted['search'])} searches over all {counted['documents']} books ({counted['characters']:,} "
            f"characters): {of_books:.0f} ms at most in the median, {'every' if exact else 'not every'} count that of `str.count`.",
            "",
        ]
    return lines
