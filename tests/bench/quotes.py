"""Checking quotations against a whole library: ``python -m tests.bench.quotes``.

Passages of 20 to 300 characters are taken from all the shared books: word for word, with a tenth of the characters
edited, and with their words in another order, which stands nowhere. Records milliseconds a quotation, searched for in
all the books.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from contextlib import suppress
from pathlib import Path

from app.documents.parse import parse_file
from app.errors import DocumentTypeUnknown
from app.reading.matching import match
from app.reading.passages import TextIndex
from tests.bench import rows


def passage(text: str, choice: random.Random) -> str:
    size, start = choice.randint(20, 300), choice.randrange(len(text) - 400)
    words = text[start : start + size + 40].split(" ")
    # whole words where there are spaces
    return " ".join(words[1:-1])[:400] if len(words) > 4 else text[start : start + min(size, 60)]


def edited(quotation: str, choice: random.Random) -> str:
    return "".join(choice.choice(["", "q", one + "e"]) if choice.random() < 0.1 else one for one in quotation)


def shuffled(quotation: str, choice: random.Random) -> str:
    pieces = quotation.split(" ") if quotation.count(" ") > 3 else list(quotation)
    choice.shuffle(pieces)
    return (" " if quotation.count(" ") > 3 else "").join(pieces)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=Path, default=rows.ROOT.parent / "shared" / "books")
    parser.add_argument("--quotations", type=int, default=200)
    given = parser.parse_args()
    texts = []
    for path in sorted(given.books.iterdir()):
        with suppress(DocumentTypeUnknown):
            texts.append(parse_file(path, path.name).text)
    begun = time.perf_counter()
    indexes = [TextIndex(text) for text in texts]
    making = time.perf_counter() - begun
    choice = random.Random(1)
    originals = [passage(choice.choice(texts), choice) for _ in range(given.quotations)]
    row: dict[str, object] = {
        "books": len(texts),
        "characters": sum(map(len, texts)),
        "utf8_bytes": sum(len(text.encode()) for text in texts),
        "index_bytes": sum(index.size for index in indexes),
        "index_seconds": round(making, 3),
        "quotations": given.quotations,
    }
    for kind, make in (("exact", lambda one, _: one), ("near", edited), ("not_found", shuffled)):
        seconds, found = [], {"exact": 0, "near": 0, "not_found": 0}
        for original in originals:
            quotation = make(original, choice)
            begun = time.perf_counter()
            told = match(quotation, indexes)
            seconds.append(time.perf_counter() - begun)
            found["not_found" if told is None else "exact" if told.exact else "near"] += 1
        ordered = sorted(1000 * one for one in seconds)
        row[kind] = {
            "median_ms": round(statistics.median(ordered), 2),
            "p95_ms": round(ordered[int(0.95 * len(ordered))], 2),
            "worst_ms": round(ordered[-1], 2),
            "told": found,
        }
    rows.record("quotes", row)


if __name__ == "__main__":
    main()
