"""The model: which one answers, what fits, how many keys its heads need."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from app.commands.common import OWNER, Command, at_hand, fetched_engine, open_desk, print_json
from app.settings import Settings
from app.terminal import Status, one_line
from engine import catalogue


def model(settings: Settings, options: argparse.Namespace) -> int:
    entry = catalogue.find(settings.model)
    with open_desk(settings) as desk:
        # looking at a model of the catalogue is no reason to fetch it
        fetched = entry is None or at_hand(settings)
        facts = _catalogued(entry) if entry is not None and not fetched else asdict(fetched_engine(desk).model)
        around = desk.machine()
    offers = [
        {
            "name": offer.entry.name,
            "title": offer.entry.title,
            "parameters": offer.entry.parameters,
            "window": offer.entry.window,
            "limit": offer.entry.limit,
            "licence": offer.entry.licence,
            "download_bytes": offer.entry.download_bytes,
            "fits": offer.fit.fits,
            "most_tokens": offer.fit.most,
            "why": offer.why,
            "recommended": offer.recommended,
        }
        for offer in around.offers
    ]
    if options.json:
        print_json({**facts, "fetched": fetched, "machine": asdict(around.machine), "models": offers})
        return 0
    print(f"{facts['title']} ({facts['name']})")
    print(f"  from       {one_line(facts['source'])}")
    print(f"  size       {facts['parameters']:,} parameters; licence {one_line(facts['licence'])}")
    if fetched:
        print(f"  runs       in {facts['dtype']} on {facts['device']}")
    print(f"  window     trained to {facts['window']:,} tokens, can tell {facts['limit']:,} apart")
    print(f"  keeping    {facts['kv_bytes']:,} bytes a token")
    if facts["small"]:
        print("  It is small and often wrong.")
    seen = around.machine
    gpus = ", ".join(f"{gpu.name} with {gpu.memory_total / 1e9:.0f} GB" for gpu in seen.gpus) or "no GPU"
    print(f"This machine: {seen.cores} cores, {seen.memory_total / 1e9:.0f} GB of memory, {gpus}.")
    for offer in around.offers:
        print(f"  {'yes' if offer.fit.fits else 'no ':<4} {offer.entry.name:<20} {offer.why}")
    return 0


def refine(settings: Settings, options: argparse.Namespace) -> int:
    from app.refine import refine_model

    with open_desk(settings) as desk:
        fetched_engine(desk)
    with Status() as status:
        row = refine_model(settings, options, lambda done, total: status.share("Measuring heads", done, total))
    if options.json:
        print_json(row)
        return 0
    print(f"{one_line(row['file'])}: {row['keys_a_head']:.0f} keys a head on average.")
    print(f"  summed divergence {row['divergence_left']:.4f} nats; with equal budgets")
    print(f"  {row['divergence_left_by_equal_budgets']:.4f}. Every reading from now on uses them.")
    return 0


def calibrate(settings: Settings, options: argparse.Namespace) -> int:
    from app.calibrate import calibrate_model, read_questions

    asked = read_questions(options.questions)
    with open_desk(settings) as desk:
        fetched_engine(desk)
        with Status() as status:
            row = calibrate_model(desk, OWNER, asked, lambda done, total: status.share("Looking", done, total))
    if options.json:
        print_json(row)
        return 0
    questions, found = row["questions"], row["hits"][5]
    print(f"{one_line(row['file'])}: {len(row['heads'])} heads that look for what is asked.")
    print(f"  The right place is among the first 5 for {found} of {questions} questions, with heads chosen on other")
    print(f"  texts; for {row['hits_by_all_heads'][5]} with all heads.")
    return 0


def _catalogued(entry: catalogue.Entry) -> dict[str, Any]:
    """What is known of a model that is still to be fetched, under the names of ModelInfo."""
    return {
        "name": entry.name,
        "title": entry.title,
        "source": f"not fetched yet: {entry.download_bytes / 1e6:,.0f} MB are brought when it is first used",
        "family": entry.shape.family,
        "parameters": entry.parameters,
        "licence": entry.licence,
        "window": entry.window,
        "limit": entry.limit,
        "kv_bytes": entry.kv_bytes,
        "small": entry.small,
    }


COMMANDS: dict[str, Command] = {"model": model, "refine": refine, "calibrate": calibrate}
