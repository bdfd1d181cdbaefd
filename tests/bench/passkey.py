"""A pass key hidden in repeated filler, ours beside transformers' own attention: ``python -m tests.bench.passkey``.

The deepest place comes first: the filler before a key is the same at every depth, so each reading after the first goes
on from the pages that the one before it kept, as a person's would. ``--chart FILE`` draws the recorded rows as SVG.

Found means that every token of the key has the highest logit when the ones before it are given, which is what greedy
decoding does; so one forward pass a depth is enough. Each depth hides another key. With ``--peer``, what ours misses
is tried with transformers' own attention too; with ``--peer-all``, everything.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from array import array
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Flag
from typing import Any

import torch

from engine import prefill
from engine.protocol import ModelInfo
from engine.tokenizer import Tokenizer
from tests.bench import rows, setup

FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
TASK = "There is important information hidden in a lot of irrelevant text. Find it and memorize it."
NEEDLE = "\nThe pass key is {key}. Remember it. {key} is the pass key.\n"
QUESTION = "\nWhat is the pass key? The pass key is "


def passkey_ids(tokenizer: Tokenizer, tokens: int, depth: float, key: int) -> tuple[array[int], array[int]]:
    """(prompt, key) as ids: ``tokens`` in all, the key's sentence at ``depth`` of the filler."""
    frame = tokenizer.frame("You are a helpful assistant.")
    task, needle, question, answer, filler = (
        encoding.ids
        for encoding in tokenizer.encode([TASK, NEEDLE.format(key=key), QUESTION.strip(), str(key), FILLER * 200])
    )
    lead = tokenizer.encode(["The pass key is "])[0].ids
    room = tokens - sum(map(len, (frame.opening, task, needle, question, frame.to_answer, lead, answer)))
    many = array("i")
    while len(many) < room:
        many.extend(filler)
    before = int(room * depth)
    prompt = frame.opening + task + many[:before] + needle + many[before:room] + question + frame.to_answer + lead
    return prompt, answer


def ours(session: setup.Session, prompt: array[int], answer: array[int]) -> tuple[bool, int]:
    """Whether it is found, and how many tokens of the prompt had been read before."""
    model, pages, _ = session.load()
    reading = prefill.read(
        model,
        pages,
        setup.one_segment(prompt),
        limit=1 << 22,
        chunk_tokens=2048,
        cancel=Flag(),
        emit=lambda _: None,
        need_last=True,
    )
    assert reading.hidden is not None
    extent = model.shape.allocate(reading.cache.end, len(answer))
    reading.cache.append(extent)
    logits = model.logits(reading.hidden[None])[0]
    for token in answer:
        if int(logits.argmax()) != token:
            return False, reading.reused
        logits = model.step(token, reading.cache)
    return True, reading.reused


def chart(found: list[dict[str, Any]]) -> str:
    """Length by depth as SVG, a cell a pass key: found, or missed."""
    newest = {(row["model"], row["tokens"]): row for row in found}
    models = sorted({model for model, _ in newest})
    lengths = sorted({tokens for _, tokens in newest})
    depths = sorted({cell["depth"] for row in newest.values() for cell in row["cells"]})
    wide, high, left, top = 72, 26, 64, 34
    parts, y = [], 0
    for model in models:
        parts.append(f'<text x="0" y="{y + 14}" font-weight="600">Pass key: {model}</text>')
        for column, tokens in enumerate(lengths):
            x = left + column * wide
            parts.append(f'<text x="{x + wide / 2}" y="{y + top - 6}" text-anchor="middle">{tokens:,}</text>')
            for cell in newest.get((model, tokens), {"cells": []})["cells"]:
                line, colour = depths.index(cell["depth"]), "#2e7d5b" if cell["found"] else "#c2452d"
                place = f'x="{x + 1}" y="{y + top + line * high + 1}" width="{wide - 2}" height="{high - 2}"'
                name = f"{tokens:,} tokens, depth {cell['depth']:.0%}: {'found' if cell['found'] else 'missed'}"
                parts.append(f'<rect {place} rx="3" fill="{colour}"><title>{name}</title></rect>')
        for line, depth in enumerate(depths):
            middle = y + top + (line + 0.5) * high + 4
            parts.append(f'<text x="{left - 8}" y="{middle}" text-anchor="end">{depth:.0%}</text>')
        y += top + len(depths) * high + 20
    width = left + len(lengths) * wide
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#555">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def theirs(model: Any, prompt: array[int], answer: array[int]) -> bool:
    """transformers' own attention ("sdpa"), one forward pass over prompt and answer, without a cache."""
    with torch.inference_mode():
        ids = torch.tensor(prompt + answer)[None]
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=len(answer) + 1).logits[0]
    return bool((logits[:-1].argmax(-1) == torch.tensor(answer)).all())


def load_peer(info: ModelInfo) -> Any:
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, info.dtype)
    return AutoModelForCausalLM.from_pretrained(info.folder, dtype=dtype, attn_implementation="sdpa")


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[4096, 8192, 16384])
    parser.add_argument("--depths", nargs="+", type=float, default=[0.05, 0.25, 0.5, 0.75, 0.95])
    parser.add_argument("--peer", action="store_true", help="run transformers' own attention where ours misses")
    parser.add_argument("--peer-all", action="store_true", help="run it everywhere")
    parser.add_argument("--policy", default="default")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object (it always is)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the recorded rows, measure nothing")
    parser.set_defaults(model=["qwen2.5-coder-0.5b"])
    given = parser.parse_args()
    if given.chart:
        given.chart.write_text(chart(rows.rows("passkey")), "utf-8")
        return
    with TemporaryDirectory(prefix="lectern-passkey-") as folder:
        run(given, Path(folder))


def run(given: argparse.Namespace, readings: Path) -> None:
    for name in given.model:
        info = setup.describe(name)
        session = setup.Session(setup.config(info, readings, policy=given.policy))
        peer: Any = None
        for tokens in given.tokens:
            cells = []
            for depth in sorted(given.depths, reverse=True):
                key = random.Random(f"{tokens} {depth}").randrange(10000, 99999)
                prompt, answer = passkey_ids(session.tokenizer, tokens, depth, key)
                begun = time.perf_counter()
                found, reused = ours(session, prompt, answer)
                cell: dict[str, object] = {"depth": depth, "found": found, "reused": reused}
                cell["seconds"] = round(time.perf_counter() - begun, 1)
                if given.peer_all or (given.peer and not cell["found"]):
                    peer = peer or load_peer(info)
                    begun = time.perf_counter()
                    cell["peer_found"] = theirs(peer, prompt, answer)
                    cell["peer_seconds"] = round(time.perf_counter() - begun, 1)
                print(json.dumps(cell), flush=True)
                cells.append(cell)
            rows.record("passkey", {"model": name, "tokens": tokens, "policy": given.policy, "cells": cells})


if __name__ == "__main__":
    main()
