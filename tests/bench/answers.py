"""Answers from the whole book and from passages found in it, by mode: ``python -m tests.bench.answers --home FOLDER``.

The questions of ``questions.json`` on the beginnings of six books, each asked in a conversation of its own, greedily. An
answer counts where one of the strings that the question names stands in it, letters of either case: this says what the
mode brings out, not how well it is put. The books are read once into ``--home`` and kept, and so is each answer: a run
that was stopped goes on. The row: right by mode and language, where the whole and the passages differ, and what an answer
took (median seconds, reading of the book not counted).
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any, get_args

from app.commands.common import OWNER
from app.reading.desk import Desk
from app.reading.rereading import Mode, measured
from app.reading.runner import Runner
from engine.protocol import Sampling
from tests.bench import excerpts, rows


def right(answer: str, wanted: list[str]) -> bool:
    return any(one.casefold() in answer.casefold() for one in wanted)


def ask(desk: Desk, document: int, question: str, mode: Mode, most: int) -> dict[str, Any]:
    """The answer, the seconds it took and what the mode came to; RuntimeError where it failed. A runner works."""
    run = desk.ask(
        OWNER, question, document_ids=[document], mode=mode, sampling=Sampling(temperature=0.0, max_tokens=most)
    )
    events = list(desk.follow(OWNER, run.job_id))
    end = events[-1].payload
    if end["state"] != "done":
        raise RuntimeError(f"{question}: {end['error'] or end['state']}")
    _, turns = desk.quoted(OWNER, run.thread_id)
    used = next((event.payload["mode"] for event in events if event.kind == "mode"), mode)
    return {"answer": turns[-1].answer, "seconds": sum(end["seconds"].values()), "used": used}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="a library for the excerpts; made where it is not")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--modes", nargs="+", choices=get_args(Mode), default=["whole", "reread"])
    parser.add_argument("--books", nargs="+", help="only these")
    parser.add_argument("--most", type=int, default=64, help="tokens of an answer")
    given = parser.parse_args()
    books, asked = excerpts.load()
    languages = {book.name: book.language for book in books if given.books is None or book.name in given.books}
    asked = [one for one in asked if one["book"] in languages]
    kept = given.home / f"answers {given.model}.json"
    known: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    with excerpts.library(given.home, given.model) as (desk, documents), Runner(desk) as runner:
        finder = measured(desk.engines.get(given.model).model).finder
        # one for all questions: the model is loaded once
        runner.start()
        for book in languages:
            shelf = {item.id: item.state for item in desk.shelf(OWNER)}
            if "whole" in given.modes and shelf[documents[book].id] != "read":
                for job in desk.read(OWNER, [documents[book].id], first=True):
                    list(desk.follow(OWNER, job))
            for one in asked:
                for mode in given.modes if one["book"] == book else []:
                    name = f"{mode}: {one['question']}"
                    if name not in known:
                        known[name] = ask(desk, documents[book].id, one["question"], mode, given.most)
                        kept.write_text(json.dumps(known, ensure_ascii=False, indent=1), "utf-8")
                        print(f"{right(known[name]['answer'], one['answers'])} {name}", flush=True)
        tokens = {
            book: item.tokens for book in languages for item in desk.shelf(OWNER) if item.id == documents[book].id
        }
    found: dict[str, dict[str, Any]] = {}
    for mode in given.modes:
        told = [(one, known[f"{mode}: {one['question']}"]) for one in asked]
        hit = [languages[one["book"]] for one, each in told if right(each["answer"], one["answers"])]
        found[mode] = {
            "right": len(hit),
            **{language: hit.count(language) for language in sorted(set(languages.values()))},
            "seconds": statistics.median(each["seconds"] for _, each in told),
            "used": {used: sum(each["used"] == used for _, each in told) for used in ("whole", "reread")},
        }
    counts = [languages[one["book"]] for one in asked]
    by_language = {language: counts.count(language) for language in sorted(set(counts))}
    row = {"model": given.model, "books": list(languages), "tokens": tokens, "questions": by_language, "finder": finder}
    rows.record("answers", row | {"modes": found})


if __name__ == "__main__":
    main()
