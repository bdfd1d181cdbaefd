"""The README's lines on what is made of books: artefacts by every template, and continuations of a draft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Latest = Callable[..., list[dict[str, Any]]]


def artefacts_table(latest: Latest) -> list[str]:
    found = latest("artefacts", "model")
    if not found:
        return []
    lines = [
        "Artefacts of the first part of eight books and papers, by every template (`python -m tests.bench.artefacts`; an "
        "answer has 256 tokens at most; seconds a run, median):",
        "",
        "| model | runs | templates | valid | every item at its place | items | reading kept | read first |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        seconds = row["seconds_a_run"]
        kept, first = (seconds[name].get("median", 0.0) for name in ("reading_kept", "read_first"))
        lines.append(
            f"| {row['model']} | {row['runs']} | {row['templates']} | {row['valid']} | {row['resolved']} | {row['items']} "
            f"| {kept:.1f} s | {first:.1f} s |"
        )
    return [*lines, ""]


def writing_table(latest: Latest) -> list[str]:
    found = latest("writing", "model", "words")
    if not found:
        return []
    lines = [
        "Seconds until a continuation of a draft begins, whose reading is kept (`python -m tests.bench.writing`):",
        "",
        "| model | words of the draft | first | again | 60 words later |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in found:
        seconds = row["seconds_to_first_word"]
        lines.append(
            f"| {row['model']} | {row['words']:,} | {seconds['first']:.1f} | {seconds['again']:.1f} "
            f"| {seconds['60_words_later']:.1f} |"
        )
    return [*lines, ""]


def making_tables(latest: Latest) -> list[str]:
    return [*artefacts_table(latest), *writing_table(latest)]
