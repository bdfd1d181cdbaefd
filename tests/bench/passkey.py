"""A pass key hidden in repeated filler, ours beside transformers' own attention: ``python -m tests.bench.passkey``.

The deepest place comes first: the filler before a key is the same at every depth, so each reading after the first goes
on from the pages that the one before it kept, as a person's would. ``--chart FILE`` draws the recorded rows as SVG.

Found means that every token of the key has the highest logit when the ones before it are given, which is what greedy
decoding does; so one forward pass a depth is enough. Each depth hides another key. With ``--peer``, what ours misses
is tried with transformers' own attention too; with ``--peer-all``, everything.

``--together`` hides the keys of all depths in one text, each by the name of a town, and asks for each: harder, for
every key has the others to be mistaken for, and one reading serves all depths, which is what makes a million tokens
bearable. The question is a segment of its own, as a person's is. ``--books FILE…`` hides them in these texts, one after another, instead. ``--readings FOLDER`` keeps the pages
there, so that a reading that was stopped goes on; ``--stop-after SECONDS`` stops it itself, and the seconds are added up.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Flag
from typing import Any

import torch

from engine import prefill
from engine.protocol import ModelInfo, Progress, Prompt, Segment
from engine.tokenizer import Tokenizer
from tests.bench import rows, setup

FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
TASK = "There is important information hidden in a lot of irrelevant text. Find it and memorize it."
NEEDLE = "\nThe pass key{of} is {key}. Remember it. {key} is the pass key{of}.\n"
QUESTION = "What is the pass key{of}?{closing}"
LEAD = "The pass key{of} is "
# whose key it is, where one text hides several
TOWNS = ("Paris", "Cairo", "Lima", "Oslo", "Tokyo", "Dublin", "Nairobi", "Sydney", "Boston", "Madrid")


@dataclass(frozen=True)
class Hidden:
    """A key: how deep in the filler, and the town it belongs to ("" where the text hides one key only)."""

    depth: float
    key: int
    town: str = ""

    @property
    def of(self) -> str:
        return f" of {self.town}" if self.town else ""


def passkey_prompt(
    tokenizer: Tokenizer, tokens: int, hidden: list[Hidden], asked: Hidden, hay: array[int] | None = None
) -> tuple[Prompt, array[int]]:
    """(prompt, key's ids): ``tokens`` in all, each key's sentence at its depth of the filler, one of them asked for.

    hay: what it is hidden in, at least as many ids as ``tokens``; None for the filler.
    """
    frame = tokenizer.frame("You are a helpful assistant.")
    closing = "" if asked.town else " The pass key is"
    task, question, lead, answer, filler = (
        encoding.ids
        for encoding in tokenizer.encode(
            [
                TASK,
                QUESTION.format(of=asked.of, closing=closing),
                LEAD.format(of=asked.of),
                str(asked.key),
                FILLER * 200,
            ]
        )
    )
    needles = [one.ids for one in tokenizer.encode([NEEDLE.format(of=one.of, key=one.key) for one in hidden])]
    # what stands behind the filler has a fixed room, so that every question finds the same text before it
    behind = question + frame.to_answer + lead
    room = tokens - sum(map(len, (frame.opening, task, *needles, answer))) - max(len(behind), 64 if asked.town else 0)
    many = hay or filler * (room // len(filler) + 1)
    prompt, begun = frame.opening + task, 0
    for one, needle in sorted(zip(hidden, needles, strict=True), key=lambda pair: pair[0].depth):
        end = int(room * one.depth)
        prompt += many[begun:end] + needle
        begun = end
    text = Segment(name="text", ids=prompt + many[begun:room])
    return Prompt(segments=(text, Segment(name="question", ids=behind))), answer


@dataclass
class Ours:
    """A session over a folder of readings, and the seconds its readings took, those of earlier runs included."""

    session: setup.Session
    readings: Path
    stop_after: float | None = None

    @property
    def ledger(self) -> Path:
        return self.readings / "seconds.json"

    def seconds(self) -> dict[str, float]:
        return json.loads(self.ledger.read_text("utf-8")) if self.ledger.is_file() else {}

    def ask(self, prompt: Prompt, answer: array[int], *, name: str = "") -> dict[str, Any]:
        """Whether the key is found, tokens that had been read before, the recall of what was read.

        name: a long reading's, for the ledger and for lines on stderr that say how far it is. SystemExit where it was
        stopped.
        """
        model, pages, _ = self.session.load()
        stop = Flag()
        before, begun, said = self.seconds().get(name, 0.0), time.perf_counter(), [0.0]

        def emit(progress: Progress) -> None:
            spent = time.perf_counter() - begun
            if self.stop_after is not None and spent > self.stop_after:
                stop.set()
            if not name:
                return
            self.ledger.write_text(json.dumps(self.seconds() | {name: before + spent}), "utf-8")
            if spent >= said[0]:
                said[0] = spent + 60
                left = f"{progress.seconds_left:.0f} s" if progress.seconds_left is not None else "?"
                told = f"{name}: {progress.done} of {progress.total}, {before + spent:.0f} s, {left} left"
                print(told, file=sys.stderr, flush=True)

        reading = prefill.read(
            model,
            pages,
            prompt,
            limit=1 << 22,
            chunk_tokens=self.session.config.prefill_tokens,
            cancel=stop,
            emit=emit,
            need_last=True,
        )
        if not reading.finished:
            sys.exit(
                f"stopped after {reading.reused + reading.prefilled} of {prompt.tokens} tokens; run it again to go on"
            )
        assert reading.hidden is not None
        found: dict[str, Any] = {"found": True, "reused": reading.reused}
        found["seconds"] = round(before + time.perf_counter() - begun, 1)
        if name:
            found |= pages.provenance(prompt)
        extent = model.shape.allocate(reading.cache.end, len(answer))
        reading.cache.append(extent)
        logits = model.logits(reading.hidden[None])[0]
        for token in answer:
            if int(logits.argmax()) != token:
                found["found"] = False
                break
            logits = model.step(token, reading.cache)
        return found


def name_of(row: dict[str, Any]) -> str:
    many = f", {len(row['cells'])} keys in one text" if row.get("together") else ""
    return f"{row['model']}{many}{', of books' if row.get('books') else ''}"


def chart(found: list[dict[str, Any]]) -> str:
    """Length by depth as SVG, a cell a pass key: found, or missed. Of what people get, other policies left out."""
    newest = {(name_of(row), row["tokens"]): row for row in found if row.get("policy", "default") == "default"}
    models = sorted({model for model, _ in newest})
    wide, high, left, top = 72, 26, 64, 34
    parts, y, width = [], 0, 0
    for model in models:
        lengths = sorted(tokens for name, tokens in newest if name == model)
        depths = sorted({cell["depth"] for tokens in lengths for cell in newest[model, tokens]["cells"]})
        width = max(width, left + len(lengths) * wide, 10 * len(model))
        parts.append(f'<text x="0" y="{y + 14}" font-weight="600">Pass key: {model}</text>')
        for column, tokens in enumerate(lengths):
            x = left + column * wide
            parts.append(f'<text x="{x + wide / 2}" y="{y + top - 6}" text-anchor="middle">{tokens:,}</text>')
            for cell in newest[model, tokens]["cells"]:
                line, colour = depths.index(cell["depth"]), "#2e7d5b" if cell["found"] else "#c2452d"
                place = f'x="{x + 1}" y="{y + top + line * high + 1}" width="{wide - 2}" height="{high - 2}"'
                name = f"{tokens:,} tokens, depth {cell['depth']:.0%}: {'found' if cell['found'] else 'missed'}"
                parts.append(f'<rect {place} rx="3" fill="{colour}"><title>{name}</title></rect>')
        for line, depth in enumerate(depths):
            middle = y + top + (line + 0.5) * high + 4
            parts.append(f'<text x="{left - 8}" y="{middle}" text-anchor="end">{depth:.0%}</text>')
        y += top + len(depths) * high + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#555">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def theirs(model: Any, prompt: Prompt, answer: array[int]) -> bool:
    """transformers' own attention ("sdpa"), one forward pass over prompt and answer, without a cache."""
    with torch.inference_mode():
        before = [token for segment in prompt.segments for token in segment.ids]
        ids = torch.tensor([*before, *answer])[None]
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=len(answer) + 1).logits[0]
    return bool((logits[:-1].argmax(-1) == torch.tensor(answer)).all())


def load_peer(info: ModelInfo) -> Any:
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, info.dtype)
    return AutoModelForCausalLM.from_pretrained(info.folder, dtype=dtype, attn_implementation="sdpa")


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[4096, 8192, 16384])
    parser.add_argument("--depths", nargs="+", type=float, default=[0.05, 0.25, 0.5, 0.75, 0.95])
    parser.add_argument("--together", action="store_true", help="the keys of all depths in one text (at most ten)")
    parser.add_argument("--readings", type=Path, metavar="FOLDER", help="keep the pages there, and go on from them")
    parser.add_argument("--stop-after", type=float, metavar="SECONDS", help="stop a reading after so long")
    parser.add_argument("--books", nargs="+", type=Path, metavar="FILE", help="hide them in these texts (UTF-8)")
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
    if given.together and len(given.depths) > len(TOWNS):
        parser.error(f"--together hides at most {len(TOWNS)} keys")
    if given.readings:
        given.readings.mkdir(parents=True, exist_ok=True)
        run(given, given.readings)
        return
    with TemporaryDirectory(prefix="lectern-passkey-") as folder:
        run(given, Path(folder))


def cases(given: argparse.Namespace, tokens: int) -> list[tuple[list[Hidden], Hidden]]:
    """(what a text hides, what is asked for), the deepest first."""
    depths = sorted(given.depths, reverse=True)
    towns = TOWNS if given.together else [""] * len(depths)
    hidden = [
        Hidden(depth, random.Random(f"{tokens} {depth}").randrange(10000, 99999), town)
        for depth, town in zip(depths, towns, strict=False)
    ]
    return [(hidden if given.together else [asked], asked) for asked in hidden]


def run(given: argparse.Namespace, readings: Path) -> None:
    for name in given.model:
        info = setup.describe(name)
        session = setup.Session(setup.config(info, readings, policy=given.policy))
        ours = Ours(session, readings, given.stop_after)
        hay = array("i")
        for text in given.books or ():
            hay.extend(session.tokenizer.encode([text.read_text("utf-8-sig")])[0].ids)
        if given.books and len(hay) < max(given.tokens):
            sys.exit(f"these books have {len(hay):,} tokens, {max(given.tokens):,} are asked for")
        peer: Any = None
        for tokens in given.tokens:
            cells = []
            for hidden, asked in cases(given, tokens):
                prompt, answer = passkey_prompt(session.tokenizer, tokens, hidden, asked, hay)
                reading = f"{name} {tokens}" if given.together and not cells else ""
                cell: dict[str, Any] = {"depth": asked.depth, **ours.ask(prompt, answer, name=reading)}
                if given.peer_all or (given.peer and not cell["found"]):
                    peer = peer or load_peer(info)
                    begun = time.perf_counter()
                    cell["peer_found"] = theirs(peer, prompt, answer)
                    cell["peer_seconds"] = round(time.perf_counter() - begun, 1)
                print(json.dumps(cell), flush=True)
                cells.append(cell)
            facts = {"model": name, "tokens": tokens, "policy": given.policy, "together": given.together}
            facts["books"] = [text.name for text in given.books or ()]
            rows.record("passkey", {**facts, "cells": cells, "peak_bytes": setup.peak_bytes()})


if __name__ == "__main__":
    main()
