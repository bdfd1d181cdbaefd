"""What the parsers make of real books and papers: ``python -m tests.bench.parsing [--folder ../shared]``.

Prints a table and appends a row of JSON for each file: title, authors, chapters of the body against the true number
where one is known, characters, seconds (the median of three parses in this process).
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from app.documents import PARSER_VERSION, SUFFIXES, parse_file
from app.errors import DocumentError
from tests.bench import rows

# entries of the body as printed editions, and the contents of the files themselves, count them
TRUE = {
    "alice.txt": 12,
    "alice.pdf": 12,
    "pride-and-prejudice.txt": 61,
    "pride-and-prejudice.pdf": 61,
    "sherlock-holmes.html": 12,
    # with etymology, extracts and epilogue
    "moby-dick.txt": 138,
    # 365 chapters in 15 books and two epilogues
    "war-and-peace.txt": 382,
    "hong-lou-meng.txt": 120,
    "san-guo-yan-yi.gb18030.txt": 120,
    # of its 141 entries a title page, a transcriber's note and a copyright page are no chapters
    "moby-dick-excerpt.epub": 138,
    "childrens-literature.epub": 22,
    "kusamakura-preview.epub": 1,
    # 12 sections and the references
    "bitcoin.pdf": 13,
    # abstract, 7 sections with 24 below them, acknowledgements, references
    "dynamo.pdf": 34,
    # abstract, 8 sections with 24 below them, acknowledgements, references, an appendix
    "mapreduce.pdf": 36,
    # 8 sections with 17 below them, an appendix: its outline names neither abstract nor references
    "spanner.pdf": 26,
}
REPEATS = 3


def measure(path: Path) -> dict[str, object]:
    """One row: what was found in the file, or why it was refused."""
    row: dict[str, object] = {"file": path.name, "bytes": path.stat().st_size, "parser_version": PARSER_VERSION}
    seconds = []
    try:
        for _ in range(REPEATS):
            began = time.perf_counter()
            document = parse_file(path, path.name)
            seconds.append(time.perf_counter() - began)
    except DocumentError as error:
        return row | {"error": str(error)}
    kinds = [chapter.kind for chapter in document.chapters]
    return row | {
        "title": document.title,
        "authors": list(document.authors),
        "language": document.language,
        "chapters": kinds.count("body"),
        "chapters_true": TRUE.get(path.name),
        "front": kinds.count("front"),
        "back": kinds.count("back"),
        "characters": len(document.text),
        "seconds": round(statistics.median(seconds), 3),
    }


def line(row: dict[str, object]) -> str:
    if "error" in row:
        return f"{row['file']:<30} {row['error']}"
    true = row["chapters_true"]
    count = f"{row['chapters']}/{true if true is not None else '?'}"
    return (
        f"{row['file']:<30} {str(row['title'])[:44]:<44} {count:>9} {row['front']:>3}+{row['back']:<3}"
        f"{row['characters']:>10,} {row['seconds']:>7.3f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=rows.ROOT.parent / "shared")
    folder = parser.parse_args().folder
    files = [p for name in ("books", "papers") for p in sorted((folder / name).iterdir()) if p.suffix in SUFFIXES]
    table = [line(rows.record("parsing", measure(path))) for path in files]
    print("\n".join(table))


if __name__ == "__main__":
    main()
