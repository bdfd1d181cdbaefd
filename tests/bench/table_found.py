"""The README's tables of re-reading, from the rows of ``tests.bench.finders`` and ``tests.bench.answers``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FINDERS = {"text": "words", "attention": "attention", "fusion": "both fused", "attention, all heads": "all heads"}


def found_tables(latest: Callable[..., list[dict[str, Any]]]) -> list[str]:
    lines: list[str] = []
    if found := latest("finders", "model", "questions"):
        lines += [
            "Questions whose passage is among the first 1, 5 and 10 of the hundred or so of its book, by finder: full-text search, attention "
            "through query-focused heads chosen without the question's book, both, and attention of all heads "
            "(`python -m tests.bench.finders`):",
            "",
            f"| model | questions | {' | '.join(FINDERS.values())} |",
            f"|---|---:|{'---:|' * len(FINDERS)}",
        ]
        for row in found:
            cells = [
                ", ".join(str(hits[most]) for most in ("1", "5", "10")) if (hits := row["hits"].get(name)) else "–"
                for name in FINDERS
            ]
            lines.append(f"| {row['model']} | {row['questions']} | {' | '.join(cells)} |")
        lines.append("")
    if told := latest("answers", "model", "upto"):
        lines += [
            "Answers that bring out what was asked for, from the whole beginning of a book and from passages found in it, "
            "greedily (`python -m tests.bench.answers`):",
            "",
            "| model | tokens a book | questions | whole | passages | found by | English: whole, passages | Chinese |",
            "|---|---:|---:|---:|---:|---|---:|---:|",
        ]
        for row in told:
            whole, passages = row["modes"]["whole"], row["modes"]["reread"]
            least, most = min(row["tokens"].values()), max(row["tokens"].values())
            lines.append(
                f"| {row['model']} | {f'{least:,}' if least == most else f'{least:,} to {most:,}'} | {sum(row['questions'].values())} "
                f"| {whole['right']} | {passages['right']} | {FINDERS[row['finder']]} "
                + "".join(
                    f"| {whole.get(language, 0)}, {passages.get(language, 0)} of {row['questions'].get(language, 0)} "
                    for language in ("en", "zh")
                )
                + "|"
            )
        lines.append("")
    return lines
