"""Full-text search, attention and their fusion, on questions with known places: ``python -m tests.bench.finders``.

The books are the beginnings of six, read once into ``--home`` and kept there, so that a second run is quick. Attention
is that of query-focused heads chosen without the question's book (``engine.calibrate``). ``--write`` ships the heads
chosen on all of them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from app.calibrate import prepare
from app.commands.common import OWNER
from app.library.records import DocumentRecord
from app.reading.desk import Desk
from app.reading.finder import SOFT
from engine.calibrate import Calibrated, Looked, Question, calibrate, hits, look_at
from engine.gaze import MEASURED
from engine.protocol import ModelInfo
from tests.bench import excerpts, rows, setup


def rank(scores: list[float] | torch.Tensor, right: tuple[int, ...]) -> int:
    """What stands nowhere comes last."""
    best = max(float(scores[place]) for place in right)
    return sum(float(score) > best for score in scores) if best > 0 else len(scores)


def fused(one: Looked, weights: torch.Tensor, text: list[float], *, baseline: bool) -> int:
    """As ``app.reading.finder.fuse`` does it."""
    scores = weights @ (one.masses - one.blank if baseline else one.masses)
    total = torch.zeros(len(text))
    for ranking in (scores, torch.tensor(text)):
        order = ranking.argsort(descending=True, stable=True)
        for place, number in enumerate(order.tolist()):
            if ranking is scores or text[number] > 0:
                total[number] += 1 / (SOFT + place)
    return rank(total, one.right)


def look(session: setup.Session, asked: list[dict[str, Any]], made: list[Question], keep: Path | None) -> list[Looked]:
    """What is in ``keep`` already is not looked at again."""
    known: dict[str, Looked] = {}
    if keep and keep.exists():
        known = torch.load(keep, weights_only=False)
    left = [place for place, one in enumerate(asked) if one["question"] not in known]

    def tell(number: int, looked: Looked) -> None:
        known[asked[left[number]]["question"]] = looked
        print(f"{number + 1} of {len(left)}", flush=True)
        if keep:
            torch.save(known, keep)

    if left:
        look_at(session, [made[place] for place in left], tell)
    return [known[one["question"]] for one in asked]


def measure(looked: list[Looked], text: list[list[float]], heads: int) -> tuple[dict[str, list[int]], Calibrated]:
    """The rank of the right extract by every finder, for every question."""
    from engine.calibrate import choose

    found = calibrate(looked, heads)
    ranks: dict[str, list[int]] = {
        "text": [rank(scores, one.right) for scores, one in zip(text, looked, strict=True)],
        "attention": list(found.ranks),
        "attention, all heads": list(found.all_ranks),
        "fusion": [],
    }
    for one, scores in zip(looked, text, strict=True):
        weights = torch.zeros(len(one.masses))
        others = [other for other in looked if other.group != one.group] or looked
        for place, weight in choose(others, len(found.heads), baseline=found.baseline):
            weights[place] = weight
        ranks["fusion"].append(fused(one, weights, scores, baseline=found.baseline))
    return ranks, found


def write(info: ModelInfo, found: Calibrated, row: dict[str, Any]) -> Path:
    heads = [[layer, head, round(weight, 4)] for layer, head, weight in found.heads]
    path = MEASURED / f"{info.name}.heads.json"
    told = {"heads": heads, "baseline": found.baseline, "questions": row["questions"], "hits": row["hits"]}
    path.write_text(json.dumps(told, ensure_ascii=False) + "\n", "utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--home", type=Path, default=setup.cache_folder() / "bench-finders")
    parser.add_argument("--books", nargs="+", help="by their names in questions.json; default all that fit")
    parser.add_argument("--languages", nargs="+", default=["en", "zh"])
    parser.add_argument("--most", type=int, default=1000, help="questions over one book")
    parser.add_argument("--words", action="store_true", help="full-text search alone: nothing is read")
    parser.add_argument("--known", action="store_true", help="only the questions that --keep holds; nothing is read")
    parser.add_argument("--write", action="store_true", help="ship the heads chosen on all questions")
    parser.add_argument("--keep", type=Path, help="keep what was looked at in this file, and go on from it")
    given = parser.parse_args()
    books, asked = excerpts.load()
    names = [one.name for one in books if one.language in given.languages]
    names = [name for name in names if given.books is None or name in given.books]
    asked = [one for name in names for one in [each for each in asked if each["book"] == name][: given.most]]
    if given.known:
        known = torch.load(given.keep, weights_only=False)
        asked = [one for one in asked if one["question"] in known]
        names = list(dict.fromkeys(one["book"] for one in asked))
    with excerpts.library(given.home, given.model) as (desk, documents):
        documents = {name: documents[name] for name in names}
        desk.engines.get(given.model)
        unread = [documents[item] for item in names if not _is_read(desk, documents[item])]
        if unread and not given.known and not given.words:
            excerpts.read(desk, unread)
            desk.engines.close()
        made, text = prepare(desk, documents, asked, "book")
        if given.words:
            ranks = {"text": [rank(found, one.right) for found, one in zip(text, made, strict=True)]}
            rows.record(
                "finders", {"model": given.model, "books": names, "questions": len(asked), "hits": _hits(ranks)}
            )
            return
        info = desk.engines.get(given.model).model
        session = setup.Session(setup.config(info, desk.settings.readings))
        looked = look(session, asked, made, given.keep)
    config = json.loads((Path(info.folder) / "config.json").read_text("utf-8"))
    ranks, found = measure(looked, text, int(config["num_attention_heads"]))
    row: dict[str, Any] = {
        "model": given.model,
        "books": names,
        "questions": len(asked),
        "extracts": {one["book"]: len(each.extracts) for one, each in zip(asked, made, strict=True)},
        "hits": _hits(ranks),
        "heads": len(found.heads),
        "baseline": found.baseline,
    }
    if given.write:
        print(write(info, found, row))
    rows.record("finders", row)


def _hits(ranks: dict[str, list[int]]) -> dict[str, dict[str, int]]:
    return {finder: {str(most): hits(places, most) for most in (1, 5, 10)} for finder, places in ranks.items()}


def _is_read(desk: Desk, document: DocumentRecord) -> bool:
    return any(item.id == document.id and item.state == "read" for item in desk.shelf(OWNER))


if __name__ == "__main__":
    main()
