"""How soon a continuation of a draft begins: ``python -m tests.bench.writing``.

A draft of some thousand words of a book is continued, continued again, and continued after more was written at its end:
seconds from asking to the first word, and the tokens that were read for it. The draft's own reading is kept, so that
only what is new is read. The model is loaded before.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from app.commands.common import local_engines
from app.library.store import Library
from app.reading.desk import ENDED, Desk
from app.reading.runner import Runner
from app.settings import Settings
from tests.bench import rows

OWNER = "local"
ADDED = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=rows.ROOT.parent / "shared")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--words", type=int, nargs="+", default=[500, 3000])
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    words = (given.shared / "books" / "alice.txt").read_text("utf-8").split(" ")
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.load({"home": Path(home), "model": given.model})
        with Library(settings.home) as library:
            desk = Desk(settings, library, local_engines(settings))
            with Runner(desk) as runner:
                runner.start()
                warm = desk.new_draft(OWNER, "Warm", text="The lamp was lit.").id
                continued(desk, warm)
                for count in given.words:
                    row = {"model": given.model, "words": count, **measured(desk, words, count)}
                    print(row, flush=True)
                    if not given.dry:
                        rows.record("writing", row)
            desk.engines.close()


def measured(desk: Desk, words: list[str], count: int) -> dict[str, object]:
    # behind the licence, where the story goes on
    start = 2000
    draft = desk.new_draft(OWNER, f"{count} words", text=" ".join(words[start : start + count])).id
    told = {"first": continued(desk, draft), "again": continued(desk, draft)}
    desk.save_draft(OWNER, draft, " ".join(words[start : start + count + ADDED]))
    told[f"{ADDED}_words_later"] = continued(desk, draft)
    return {
        "seconds_to_first_word": {name: seconds for name, (seconds, _, _) in told.items()},
        "tokens_read": {name: read for name, (_, read, _) in told.items()},
        "tokens_of_prompt": {name: whole for name, (_, _, whole) in told.items()},
    }


def continued(desk: Desk, draft: int) -> tuple[float, int, int]:
    """Seconds to the first word, tokens read for it, tokens of the prompt."""
    start = time.monotonic()
    run = desk.write(OWNER, draft, "continue", tokens=24)
    first = None
    while desk.jobs.get(None, run.job_id).state not in ENDED:
        if first is None and any(event.kind == "delta" for event in desk.jobs.events(run.job_id)):
            first = time.monotonic() - start
        time.sleep(0.01)
    (end,) = [event.payload for event in desk.jobs.events(run.job_id) if event.kind == "end"]
    if first is None or end["error"]:
        raise RuntimeError(f"nothing was written: {end['error']}")
    return round(first, 2), end["tokens"]["prefilled"], end["tokens"]["context"]


if __name__ == "__main__":
    main()
