"""Answers from the whole book and from passages found in it, by mode: ``python -m tests.bench.answers --home FOLDER``.

The questions of ``questions.json`` on the beginnings of six books, each asked in a conversation of its own, greedily. An
answer counts where one of the strings that the question names stands in it, letters of either case: this says what the
mode brings out, not how well it is put. The books are read once into ``--home`` and kept, and so is each answer: a run
that was stopped goes on. ``--upto`` asks what stands in the first tokens of each book, and shows no more of it (by the
spoiler guard): a shorter context, without another reading. The row: right by mode and language, and what the mode came
to.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, get_args

from app.calibrate import spots
from app.commands.common import OWNER
from app.library.records import DocumentRecord
from app.reading.desk import Desk
from app.reading.rereading import Mode, measured
from app.reading.runner import Runner
from engine.protocol import Sampling
from tests.bench import excerpts, rows


def right(answer: str, wanted: list[str]) -> bool:
    return any(one.casefold() in answer.casefold() for one in wanted)


def within(desk: Desk, document: DocumentRecord, tokens: int, anchors: list[str]) -> int | None:
    """The offset up to which a book has so many tokens; None where the passage stands behind it."""
    text = desk.library.text(document.text_sha256)
    count = next(item.tokens for item in desk.shelf(OWNER) if item.id == document.id)
    end = len(text) * tokens // (count or 1)
    return end if any(stop <= end for _, stop in spots(text, anchors)) else None


def ask(desk: Desk, document: int, question: str, mode: Mode, most: int, upto: int | None) -> dict[str, Any]:
    """The answer and what the mode came to; RuntimeError where it failed. A runner works."""
    run = desk.ask(
        OWNER, question, document_ids=[document], mode=mode, sampling=Sampling(temperature=0.0, max_tokens=most),
        upto=None if upto is None else {document: upto},
    )  # fmt: skip
    events = list(desk.follow(OWNER, run.job_id))
    end = events[-1].payload
    if end["state"] != "done":
        raise RuntimeError(f"{question}: {end['error'] or end['state']}")
    _, turns = desk.quoted(OWNER, run.thread_id)
    used = next((event.payload["mode"] for event in events if event.kind == "mode"), mode)
    return {"answer": turns[-1].answer, "used": used}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="a library for the excerpts; made where it is not")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--modes", nargs="+", choices=get_args(Mode), default=["whole", "reread"])
    parser.add_argument("--books", nargs="+", help="only these")
    parser.add_argument("--upto", type=int, metavar="TOKENS", help="of each book no more than these")
    parser.add_argument("--most", type=int, default=64, help="tokens of an answer")
    given = parser.parse_args()
    books, asked = excerpts.load()
    languages = {book.name: book.language for book in books if given.books is None or book.name in given.books}
    asked = [one for one in asked if one["book"] in languages]
    kept = given.home / f"answers {given.model}{f' {given.upto}' if given.upto else ''}.json"
    known: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    with excerpts.library(given.home, given.model) as (desk, documents), Runner(desk) as runner:
        finder = measured(desk.engines.get(given.model).model).finder
        # one for all questions: the model is loaded once
        runner.start()
        ends = {
            one["question"]: within(desk, documents[one["book"]], given.upto, one["anchors"]) if given.upto else None
            for one in asked
        }
        asked = [one for one in asked if not given.upto or ends[one["question"]] is not None]
        for book in languages:
            shelf = {item.id: item.state for item in desk.shelf(OWNER)}
            if "whole" in given.modes and shelf[documents[book].id] != "read":
                for job in desk.read(OWNER, [documents[book].id], first=True):
                    list(desk.follow(OWNER, job))
            for one in asked:
                for mode in given.modes if one["book"] == book else []:
                    name = f"{mode}: {one['question']}"
                    if name not in known:
                        end = ends[one["question"]]
                        known[name] = ask(desk, documents[book].id, one["question"], mode, given.most, end)
                        kept.write_text(json.dumps(known, ensure_ascii=False, indent=1), "utf-8")
                        print(f"{right(known[name]['answer'], one['answers'])} {name}", flush=True)
        counts = {item.id: item.tokens or 0 for item in desk.shelf(OWNER)}
        tokens = {book: min(counts[documents[book].id], given.upto or counts[documents[book].id]) for book in languages}
    found: dict[str, dict[str, Any]] = {}
    for mode in given.modes:
        told = [(one, known[f"{mode}: {one['question']}"]) for one in asked]
        hit = [languages[one["book"]] for one, each in told if right(each["answer"], one["answers"])]
        found[mode] = {
            "right": len(hit),
            **{language: hit.count(language) for language in sorted(set(languages.values()))},
            "used": {used: sum(each["used"] == used for _, each in told) for used in ("whole", "reread")},
        }
    told_in = [languages[one["book"]] for one in asked]
    by_language = {language: told_in.count(language) for language in sorted(set(told_in))}
    row = {"model": given.model, "books": list(languages), "tokens": tokens, "questions": by_language, "finder": finder}
    rows.record("answers", row | {"upto": given.upto or 0, "modes": found})


if __name__ == "__main__":
    main()
