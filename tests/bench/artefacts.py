"""Artefacts by every template from real documents: ``python -m tests.bench.artefacts``.

Each run makes one artefact of the first part of one document: at most ``--window`` tokens of text and ``--tokens`` an
answer, 8,192 and 256 in all. A run is valid if its artefact is done, so that its answers have the structure asked for,
and has an item; it resolves if each of its items names ranges of the canonical text that are there word for word, and
holds the words that it quotes. Records how many did, what went wrong, and wall time, of the runs that found their
reading kept and of the others. A document that has nothing of what a template is about, such as a paper without
figures, is refused in words: the next one is taken, and the row tells how many were passed over. ``--home`` keeps all, so that ``--seconds`` may cut it into pieces: the row is
written when the last run is done.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from app.commands.common import local_engines
from app.library.store import Library
from app.reading.desk import ENDED, Desk
from app.reading.folding import bare
from app.reading.making.template import Template
from app.reading.making.template_file import shipped
from app.reading.runner import Runner
from app.settings import Settings
from tests.bench import rows

OWNER = "local"
BOOKS = ("alice.txt", "pride-and-prejudice.txt", "hong-lou-meng.txt", "sherlock-holmes.html")
PAPERS = ("bitcoin.pdf", "mapreduce.pdf", "dynamo.pdf", "spanner.pdf")
# tokens that were there already, of those a run was asked with: a question is always new
KEPT = 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=rows.ROOT.parent / "shared")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--window", type=int, help="tokens of text; those that a small model gets")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of an answer")
    parser.add_argument("--seconds", type=float, default=1e9, help="of this piece")
    parser.add_argument("--home", type=Path, help="where pieces are kept")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() if given.home is None else nullcontext(given.home) as home:
        settings = Settings.load({"home": Path(home), "model": given.model})
        with Library(settings.home) as library:
            desk = Desk(settings, library, local_engines(settings))
            runs = piece(desk, given, Path(home) / "runs.jsonl")
            desk.engines.close()
    row = summed(runs, given)
    print(json.dumps(row, ensure_ascii=False))
    if len(runs) == given.runs and not given.dry:
        rows.record("artefacts", row)


def piece(desk: Desk, given: argparse.Namespace, kept: Path) -> list[dict[str, Any]]:
    """The runs that were done, and as many more as there is time for."""
    end = time.monotonic() + given.seconds
    lines = kept.read_text("utf-8").splitlines() if kept.exists() else []
    runs = [{"index": n, "passed_over": 0, **json.loads(line)} for n, line in enumerate(lines)]
    # what was refused is no run
    runs = [one for one in runs if one["steps"]]
    with Runner(desk) as runner:
        begun = time.monotonic()
        books, papers = shelved(desk, given.shared / "books", BOOKS), shelved(desk, given.shared / "papers", PAPERS)
        for job in desk.jobs.list(None, kind="read"):
            # only parts are read here
            if job.state not in ENDED:
                desk.jobs.request_stop(None, job.id)
        runner.start()
        print(f"shelved in {time.monotonic() - begun:.1f} s, {len(runs)} runs done before", flush=True)
        templates = list(shipped().values())
        known = {one["index"] for one in runs}
        for index in (n for n in range(given.runs) if n not in known):
            if time.monotonic() > end:
                break
            turn, number = divmod(index, len(templates))
            template = templates[number]
            documents = papers if template.group in ("papers", "data") else books + papers[:1]
            first = (number + turn) % len(documents)
            over, made = 0, run(desk, given, template, documents[first])
            while not made["steps"] and over < len(documents) - 1:
                over += 1
                made = run(desk, given, template, documents[(first + over) % len(documents)])
            runs.append({"index": index, "passed_over": over, **made})
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(runs[-1], ensure_ascii=False) + "\n")
            one = runs[-1]
            print(
                f"{len(runs):>4} {one['template']:<18} {one['seconds']:6.1f} s  {one['state']}  {one['items']} items  "
                f"{one['in']} in, {one['reused']} kept, {one['out']} out  {one['error'] or ''}",
                flush=True,
            )
    return runs


def run(desk: Desk, given: argparse.Namespace, template: Template, document: int) -> dict[str, Any]:
    start = time.monotonic()
    made = desk.make(OWNER, template.id, [document], parts=1, window=given.window, tokens=given.tokens)
    # one runner for all: it would end its engine with each
    while desk.jobs.get(None, made.job_id).state not in ENDED:
        time.sleep(0.02)
    seconds = time.monotonic() - start
    shown = desk.artefact(OWNER, made.artefact_id)
    items = (shown.content or {}).get("items", [])
    tokens = [step.tokens for step in shown.steps]
    return {
        "template": template.id,
        "document": desk.library.document(desk.owner_id(OWNER), document).filename,
        "state": shown.version.state,
        "error": shown.version.error,
        "items": len(items),
        "resolved": bool(items) and all(stands(desk, item) for item in items),
        "in": max((one.get("context", 0) for one in tokens), default=0),
        "reused": max((one.get("reused", 0) for one in tokens), default=0),
        "out": max((one.get("answered", 0) for one in tokens), default=0),
        "steps": len(shown.steps),
        "seconds": round(seconds, 3),
    }


def summed(runs: list[dict[str, Any]], given: argparse.Namespace) -> dict[str, Any]:
    kept = [one["seconds"] for one in runs if one["reused"] > KEPT * one["in"]]
    read = [one["seconds"] for one in runs if one["reused"] <= KEPT * one["in"]]
    return {
        "model": given.model,
        "runs": len(runs),
        "templates": len({one["template"] for one in runs}),
        "documents": len({one["document"] for one in runs}),
        "valid": sum(one["state"] == "done" and one["items"] > 0 for one in runs),
        "resolved": sum(one["resolved"] for one in runs),
        "items": sum(one["items"] for one in runs),
        "passed_over": sum(one["passed_over"] for one in runs),
        "wrong": dict(Counter(f"{one['template']}: {one['error']}" for one in runs if one["state"] != "done")),
        "most_tokens_in": max((one["in"] for one in runs), default=0),
        "most_tokens_out": max((one["out"] for one in runs), default=0),
        "runs_with_reading_kept": len(kept),
        "seconds_a_run": {"reading_kept": spread(kept), "read_first": spread(read)},
        "wall_seconds": round(sum(one["seconds"] for one in runs), 1),
        "window": given.window,
        "tokens": given.tokens,
    }


def spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {
        "median": round(statistics.median(seconds), 2),
        "least": round(min(seconds), 2),
        "most": round(max(seconds), 2),
    }


def shelved(desk: Desk, folder: Path, names: tuple[str, ...]) -> list[int]:
    known = {one.filename: one.id for one in desk.library.documents(desk.owner_id(OWNER))}
    return [known.get(name) or desk.add(OWNER, folder / name, name).document.id for name in names]


def stands(desk: Desk, item: dict[str, Any]) -> bool:
    """Whether there is evidence, and all of it is in the text."""
    evidence = item.get("evidence")
    if not isinstance(evidence, list) or not evidence:
        return False
    for place in evidence:
        document = desk.library.document(desk.owner_id(OWNER), place["document"])
        text = desk.library.text(document.text_sha256)
        if not place["text"].strip() or text[place["start"] : place["end"]] != place["text"]:
            return False
        if bare(place.get("quote", "")).text not in bare(place["text"]).text:
            return False
    return True


if __name__ == "__main__":
    main()
