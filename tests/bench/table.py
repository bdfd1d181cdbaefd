"""Writes the README's table from the recorded rows: ``python -m tests.bench.table``."""

from __future__ import annotations

import re
from typing import Any

from tests.bench import rows
from tests.bench.table_found import found_tables
from tests.bench.table_kept import kept_tables
from tests.bench.table_library import library_tables
from tests.bench.table_making import making_tables
from tests.bench.table_peers import peers_table

BEGIN, END = "<!-- table: python -m tests.bench.table -->", "<!-- end of table -->"


def latest(op: str, *keys: str, missing: str = "") -> list[dict[str, Any]]:
    """The newest row for every value of ``keys``, in order of those; ``missing`` stands for one that a row lacks."""
    newest = {tuple(_sorted(row.get(key, missing)) for key in keys): row for row in rows.rows(op)}
    return [dict.fromkeys(keys, missing) | newest[key] for key in sorted(newest)]


def _sorted(value: Any) -> str:
    return f"{value:012}" if isinstance(value, int) else str(value)


def engine_table() -> list[str]:
    found = [row for row in latest("engine", "model", "tokens", "policy") if row["policy"] == "default"]
    if not found:
        return []
    machine = found[-1]["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, bfloat16 (`make bench`, {found[-1]['when'][:10]}, one run "
        f"each, commit {found[-1]['commit']}). The ceiling is the linear layers alone, at the rate of one large matrix product.",
        "",
        "| model | tokens | prefill, tokens/s | ceiling | peak memory | decode, tokens/s "
        "| first token of a second question | after a restart |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        lines.append(
            f"| {row['model']} | {row['tokens']:,} | {row['prefill_tokens_per_s']:.0f} "
            f"| {row['ceiling_prefill_tokens_per_s']:.0f} | {row['peak_bytes'] / 2**30:.1f} GiB "
            f"| {row['decode_tokens_per_s']:.1f} | {row['first_token_second_question_s']:.2f} s "
            f"| {row['first_token_after_restart_s']:.2f} s |"
        )
    return [*lines, ""]


def loss_table() -> list[str]:
    found = latest("longloss", "model", "tokens", "attention")
    if not found:
        return []
    names = {"dca": "Dual Chunk Attention", "rope": "plain RoPE", "yarn": "Dual Chunk Attention, YaRN temperature"}
    lines = [
        "Loss (nats) of the last 2,048 tokens, beyond the trained window:",
        "",
        "| model | tokens | attention | loss |",
        "|---|---:|---|---:|",
    ]
    lines += [
        f"| {row['model']} | {row['tokens']:,} | {names[row['attention']]} | {row['loss']:.2f} |" for row in found
    ]
    return [*lines, ""]


def prefill_table() -> list[str]:
    found = latest("prefill", "model", "tokens", "policy")
    if not found:
        return []
    lines = [
        "Reading alone (`python -m tests.bench.prefill`):",
        "",
        "| model | tokens | policy | seconds | tokens/s | anonymous memory |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for row in found:
        lines.append(
            f"| {row['model']} | {row['tokens']:,} | {row['policy']} | {row['seconds']:.0f} "
            f"| {row['tokens_per_second']:.0f} | {(row['anonymous_bytes_at_the_end'] or 0) / 2**30:.1f} GiB |"
        )
    return [*lines, ""]


def decode_table() -> list[str]:
    found = latest("decode", "model", "tokens")
    if not found:
        return []
    lines = [
        "Answering behind a text, its next 512 tokens given (`python -m tests.bench.decode`; tokens/s, and their loss in "
        "nats):",
        "",
        "| model | tokens | chosen keys | all keys | loss, chosen keys | all keys |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        rates = [f"{row['rates'][name]:.1f}" for name in ("policy", "exact")]
        losses = [f"{row['loss'][name]:.3f}" for name in ("policy", "exact")]
        lines.append(f"| {row['model']} | {row['tokens']:,} | {' | '.join(rates + losses)} |")
    return [*lines, ""]


def fidelity_table() -> list[str]:
    found = latest("fidelity", "model", "tokens", "policy")
    if not found:
        return []
    lines = [
        "What choosing keys costs, dense attention against the policy (`python -m tests.bench.fidelity`; nats; copying is "
        "the loss of repeating 48 of 64 random tokens seen before):",
        "",
        "| model | tokens | policy | second half | last 2,048 | copying | recall outside sink and local keys |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for row in found:
        pair = [f"{row[name]['dense']:.3f} → {row[name]['policy']:.3f}" for name in ("loss", "last")]
        copies = row["copying"]["dense"] and "{:.2f} → {:.2f} ± {:.2f}".format(
            row["copying"]["dense"]["loss"], row["copying"]["policy"]["loss"], row["copying"]["policy"]["error"]
        )
        recall = row["recall"] and f"{row['recall']['mean']:.2f}"
        lines.append(
            f"| {row['model']} | {row['tokens']:,} | {row['policy']} | {pair[0]} | {pair[1]} | {copies or ''} "
            f"| {recall or ''} |"
        )
    return [*lines, ""]


def passkey_table() -> list[str]:
    found = latest("passkey", "model", "tokens", "policy", "together", "books")
    if not found:
        return []
    lines = [
        "Pass key found, of the depths tried (transformers' own attention is asked where Lectern missed, or everywhere):",
        "",
        "| model | tokens | policy | keys | Lectern | transformers' sdpa |",
        "|---|---:|---|---|---:|---:|",
    ]
    for row in found:
        cells = row["cells"]
        peer = [cell["peer_found"] for cell in cells if "peer_found" in cell]
        theirs = f"{sum(peer)} of the {len(peer)} asked" if peer else "not asked"
        ours = sum(cell["found"] for cell in cells)
        where = " of books" if row["books"] else ""
        how = f"{len(cells)} in one text{where}" if row["together"] else "one a text"
        which = f"{row['model']} | {row['tokens']:,} | {row['policy'] or 'default'}"
        lines.append(f"| {which} | {how} | {ours} of {len(cells)} | {theirs} |")
    return [*lines, ""]


def page_table() -> list[str]:
    found = {row["what"]: row for row in rows.rows("page")}
    lines = ["The page, in Chromium (`python -m tests.bench.page`):", ""]
    if opened := found.get("opening"):
        lines.append(
            f"- {opened['books']:,} books: first paint {opened['first_paint_ms'] / 1000:.1f} s, interactive "
            f"{opened['interactive_ms'] / 1000:.1f} s; a frame of scrolling {opened['scroll_frame_ms']['median']:.0f} ms, "
            f"the worst {opened['scroll_frame_ms']['worst']:.0f} ms."
        )
    if streamed := found.get("streaming"):
        first, last = streamed["windows"][0], streamed["windows"][-1]
        lines.append(
            f"- An answer growing below {streamed['turns']} long turns: {first['updates_per_second']:.0f} updates a second "
            f"in the first ten seconds, {last['updates_per_second']:.0f} in the last; the page's thread busy "
            f"{first['page_cpu']:.0%}, then {last['page_cpu']:.0%}, the server {first['server_cpu']:.0%}, then {last['server_cpu']:.0%}."
        )
    if crowd := found.get("crowd"):
        waited = crowd["waited_seconds"]
        lines.append(
            f"- {crowd['readers']} readers at once for {crowd['minutes']:g} minutes ({crowd['model']}): {waited['read']['count']} books read, "
            f"{waited['answer']['count']} questions answered, {len(crowd['errors'])} errors; the first word in "
            f"{waited['first_word']['median']:.0f} s (worst {waited['first_word']['worst']:.0f} s), a book read after "
            f"{waited['read']['median']:.0f} s (worst {waited['read']['worst']:.0f} s)."
        )
    if turned := latest("pageturn", "book"):
        lines.append(
            f"- Turning a page of the reader, over {len(turned)} books (`python -m tests.bench.pageturn`): "
            f"{max(row['turn_ms'] for row in turned):.0f} ms at most in the median, "
            f"{max(row['turn_p95_ms'] for row in turned):.0f} ms in the 95th percentile; a jump anywhere "
            f"{max(row['jump_ms'] for row in turned):.0f} ms."
        )
    looked = latest("gaze", "model", "tokens")
    for row in [one for one in looked if one["tokens"] == max(each["tokens"] for each in looked)]:
        lines.append(
            f"- Telling where {row['model']} looks, behind {row['tokens']:,} tokens, adds {row['added']['shipped heads']:.1%} "
            f"to a decoded token of {row['ms']['without']:.0f} ms (`python -m tests.bench.gaze`)."
        )
    if checked := rows.rows("quotes"):
        row = checked[-1]
        lines.append(
            f"- Looking a quotation up in {row['characters']:,} characters: {row['exact']['median_ms']:.1f} ms where it is "
            f"exact, {row['near']['median_ms']:.0f} ms where it is not (`python -m tests.bench.quotes`)."
        )
    return [*lines, ""] if len(lines) > 2 else []


def main() -> None:
    path = rows.ROOT / "README.md"
    text = path.read_text("utf-8")
    table = "\n".join(
        [
            "",
            *engine_table(),
            *prefill_table(),
            *decode_table(),
            *fidelity_table(),
            *loss_table(),
            *passkey_table(),
            *page_table(),
        ]
    )
    table = "\n".join(
        [
            table,
            *found_tables(latest),
            *peers_table(latest),
            *kept_tables(latest),
            *library_tables(latest),
            *making_tables(latest),
        ]
    )
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    path.write_text(re.sub(pattern, lambda _: f"{BEGIN}\n{table}{END}", text, flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    main()
