"""Artefacts by every template from real documents: ``python -m tests.bench.artefacts``.

Each run makes one artefact of one part of one document: at most ``--window`` tokens of text and ``--tokens`` an answer.
A run is valid if its artefact is done and its answers have the structure asked for; it resolves if each of its items,
of which there is at least one, names ranges of the canonical text that are there word for word. Records how many did,
what went wrong, and wall time. ``--seconds`` ends it earlier; the row says how many runs there were.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from app.commands.common import local_engines
from app.library.store import Library
from app.reading.desk import ENDED, Desk
from app.reading.making.template import shipped
from app.reading.runner import Runner
from app.settings import Settings
from tests.bench import rows

OWNER = "local"
BOOKS = ("alice.txt", "pride-and-prejudice.txt", "hong-lou-meng.txt", "sherlock-holmes.html")
PAPERS = ("bitcoin.pdf", "mapreduce.pdf", "dynamo.pdf", "spanner.pdf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=rows.ROOT.parent / "shared")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--window", type=int, default=6000, help="tokens of text")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of an answer")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.load({"home": Path(home), "model": given.model})
        with Library(settings.home) as library:
            desk = Desk(settings, library, local_engines(settings))
            row = measure(desk, given)
            desk.engines.close()
    if not given.dry:
        rows.record("artefacts", row)


def measure(desk: Desk, given: argparse.Namespace) -> dict[str, object]:
    begun = time.perf_counter()
    books = [shelved(desk, given.shared / "books" / name) for name in BOOKS]
    papers = [shelved(desk, given.shared / "papers" / name) for name in PAPERS]
    for job in desk.jobs.list(None, kind="read"):
        # only parts are read here
        desk.jobs.request_stop(None, job.id)
    seconds, tokens_in, tokens_out, items, wrong = [], [], [], 0, Counter[str]()
    valid = resolved = runs = 0
    used: Counter[str] = Counter()
    with Runner(desk) as runner:
        runner.start()
        turns = ((turn, template) for turn in itertools.count() for template in shipped().values())
        for number, (turn, template) in enumerate(turns):
            if runs == given.runs or time.perf_counter() - begun > given.seconds:
                break
            documents = papers if template.group in ("papers", "data") else books + papers[:1]
            document = documents[(number + turn) % len(documents)]
            start = time.perf_counter()
            run = desk.make(OWNER, template.id, [document], parts=1, window=given.window, tokens=given.tokens)
            # one runner for all: it would end its engine with each
            while desk.jobs.get(None, run.job_id).state not in ENDED:
                time.sleep(0.05)
            seconds.append(time.perf_counter() - start)
            runs += 1
            used[template.id] += 1
            shown = desk.artefact(OWNER, run.artefact_id)
            tokens_in += [step.tokens.get("context", 0) for step in shown.steps]
            tokens_out += [step.tokens.get("answered", 0) for step in shown.steps]
            made = (shown.content or {}).get("items", [])
            items += len(made)
            if shown.version.state == "done":
                valid += 1
            else:
                wrong[f"{template.id}: {shown.version.error}"] += 1
            resolved += bool(made) and all(stands(desk, item) for item in made)
            print(
                f"{runs:>4} {template.id:<18} {seconds[-1]:6.1f} s  {shown.version.state}  {len(made)} items",
                flush=True,
            )
    return {
        "model": given.model,
        "runs": runs,
        "templates": len(used),
        "valid": valid,
        "resolved": resolved,
        "items": items,
        "wrong": dict(wrong),
        "most_tokens_in": max(tokens_in, default=0),
        "most_tokens_out": max(tokens_out, default=0),
        "seconds_a_run": {
            "median": round(statistics.median(seconds), 2),
            "least": round(min(seconds), 2),
            "most": round(max(seconds), 2),
        },
        "wall_seconds": round(time.perf_counter() - begun, 1),
        "window": given.window,
        "tokens": given.tokens,
    }


def shelved(desk: Desk, path: Path) -> int:
    return desk.add(OWNER, path, path.name).document.id


def stands(desk: Desk, item: dict[str, object]) -> bool:
    evidence = item.get("evidence")
    if not isinstance(evidence, list) or not evidence:
        return False
    for place in evidence:
        document = desk.library.document(desk.owner_id(OWNER), place["document"])
        text = desk.library.text(document.text_sha256)
        if not place["text"].strip() or text[place["start"] : place["end"]] != place["text"]:
            return False
    return True


if __name__ == "__main__":
    main()
