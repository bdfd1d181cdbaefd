"""The README's tables of kept readings: opening, int8, composed, kills, a full disk."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean
from typing import Any

from tests.bench import rows

Latest = Callable[..., list[dict[str, Any]]]


def opening_table(latest: Latest) -> list[str]:
    # rows of before there was a choice say nothing of it
    found = latest("opening", "model", "tokens", "storage", missing="exact")
    if not found:
        return []
    lines = [
        "A new question on a text that was read, in a new process, loading the model excluded (`python -m "
        "tests.bench.opening`):",
        "",
        "| model | tokens | kept as | bytes a token | opening | first token, warm | first token, cold |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for row in found:
        lines.append(
            f"| {row['model']} | {row['tokens']:,} | {row['storage']} | {row['bytes_a_token']:,.0f} "
            f"| {1e3 * row['open_s_warm']:.1f} ms | {row['first_token_s_warm']:.2f} s | {row['first_token_s_cold']:.2f} s |"
        )
    # not every run corrupts what it opened
    corrupted = {row["model"]: row for row in rows.rows("opening") if "corrupted" in row}
    for row in corrupted.values():
        bad = row["corrupted"]
        lines += [
            "",
            f"{bad['MB']} MB of it corrupted ({bad['files']} files of {row['model']}, {row['tokens']:,} tokens): "
            f"{bad['dropped']} found and dropped, {bad['read_again']:,} tokens read again, the answer "
            f"{'the same' if bad['right'] else 'ANOTHER'}, first token after {bad['first_token_s']:.0f} s.",
        ]
    return [*lines, ""]


def smaller_table(latest: Latest) -> list[str]:
    found = latest("smaller", "model", "tokens")
    if not found:
        return []
    lines = [
        "What keeping a reading as int8 costs, 1,024 tokens told behind it (`python -m tests.bench.smaller`; nats):",
        "",
        "| model | tokens | bytes a token | loss of prose | loss of copying | divergence | decoding, ms a token |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        size, prose, copies, decode = (row[name] for name in ("bytes_a_token", "prose", "copying", "decode_ms"))
        lines.append(
            f"| {row['model']} | {row['tokens']:,} | {size['exact']:,.0f} → {size['int8']:,.0f} "
            f"| {prose['exact']:.3f} → {prose['int8']:.3f} | {copies['exact']:.3f} → {copies['int8']:.3f} "
            f"| {prose['divergence']:.4f}, {copies['divergence']:.4f} | {decode['exact']:.1f} → {decode['int8']:.1f} |"
        )
    return [*lines, ""]


def composed_table(latest: Latest) -> list[str]:
    found = latest("composed", "model", "tokens", "books")
    if not found:
        return []
    lines = [
        "Books opened together as they were read alone (`ask --quick`), against reading each behind the others (`python -m "
        "tests.bench.composed`; nats, means over the books; answers: names found of 4 a book; seam: so many tokens at the "
        "beginning of each book read again):",
        "",
        "| model | books | how | loss of what follows | copying | answers | first token |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for row in found:
        count = len(row["books"])
        for how in [name for name in row if name in ("alone", "exact", "composed") or name.startswith("seam_")]:
            said = row[how]
            first = f"{said['first_token_s']:.2f} s" if "first_token_s" in said else ""
            if "read_s" in said:
                first += f", after {said['read_s']:.0f} s of reading"
            lines.append(
                f"| {row['model']} | {count} of {row['tokens']:,} | {how.replace('_', ' ')} | {mean(said['loss']):.3f} "
                f"| {mean(said['copying']):.2f} | {sum(said['answers'])} of {4 * count} | {first} |"
            )
    return [*lines, ""]


def safety_table(latest: Latest) -> list[str]:
    lines: list[str] = []
    for row in latest("kills", "model", "cuts", "tokens"):
        again = f", {row['read_again']:,} tokens read again" if "read_again" in row else ""
        lines += [
            f"Killed {row['killed']} times at random instants while it read {row['cuts']} cuts of {row['tokens']:,} tokens "
            f"({row['model']}): the end {'is' if row['same'] else 'IS NOT'} that of an undisturbed reading bit for bit{again}.",
            "",
        ]
    for row in latest("full", "model", "tokens", "how"):
        lines += [
            f"A disk that was full in the middle ({row['how']}, {row['model']}, {row['tokens']:,} tokens): "
            f"{row['kept_at_stop']} of {row['files']} files kept, {row['half_written']} half-written; went on from there to "
            f"{'the same' if row['same'] else 'ANOTHER'} end.",
            "",
        ]
    return lines


def kept_tables(latest: Latest) -> list[str]:
    return [*opening_table(latest), *smaller_table(latest), *composed_table(latest), *safety_table(latest)]
