"""Writes the README's table from the recorded rows: ``python -m tests.bench.table``."""

from __future__ import annotations

import re
from typing import Any

from tests.bench import rows

BEGIN, END = "<!-- table: python -m tests.bench.table -->", "<!-- end of table -->"


def latest(op: str, *keys: str) -> list[dict[str, Any]]:
    """The newest row for every value of ``keys``, in order of those."""
    newest = {tuple(row[key] for key in keys): row for row in rows.rows(op)}
    return [newest[key] for key in sorted(newest)]


def engine_table() -> list[str]:
    found = latest("engine", "model", "tokens")
    if not found:
        return []
    machine = found[-1]["machine"]
    lines = [
        f"Dense attention, {machine['processor']}, {machine['cores']} cores, bfloat16 (`make bench`, "
        f"{found[-1]['when'][:10]}, one run each). "
        "The ceiling is the same operations at the rate of one large matrix product.",
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
    names = {"dca": "Dual Chunk Attention", "rope": "plain RoPE"}
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


def passkey_table() -> list[str]:
    found = latest("passkey", "model", "tokens")
    if not found:
        return []
    lines = [
        "Pass key found, of the depths tried (transformers' own attention is asked where Lectern missed, or everywhere):",
        "",
        "| model | tokens | Lectern | transformers' sdpa |",
        "|---|---:|---:|---:|",
    ]
    for row in found:
        cells = row["cells"]
        peer = [cell["peer_found"] for cell in cells if "peer_found" in cell]
        theirs = f"{sum(peer)} of the {len(peer)} asked" if peer else "not asked"
        ours = sum(cell["found"] for cell in cells)
        lines.append(f"| {row['model']} | {row['tokens']:,} | {ours} of {len(cells)} | {theirs} |")
    return [*lines, ""]


def main() -> None:
    path = rows.ROOT / "README.md"
    text = path.read_text("utf-8")
    table = "\n".join(["", *engine_table(), *loss_table(), *passkey_table()])
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    path.write_text(re.sub(pattern, lambda _: f"{BEGIN}\n{table}{END}", text, flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    main()
