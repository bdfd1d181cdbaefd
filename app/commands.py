"""The commands of the command line, over the same desk as the page. Each returns the exit status.

What was asked for goes to stdout, everything else to stderr. What comes from a book or a model is shown without its
control characters: a terminal obeys those.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from app import corrections
from app.cli import INTERRUPTED, TERMINATED, sampling
from app.documents.transcode import utf8_copy
from app.errors import DocumentError
from app.library.records import EventRecord, TurnRecord
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.engines import EngineFactory
from app.reading.runner import Runner
from app.reading.shelf import ShelfItem
from app.readings import readings
from app.settings import Settings
from app.terminal import Status, one_line, printable
from engine import catalogue
from engine.errors import EngineError
from engine.protocol import Engine, Loading, ModelInfo

OWNER = "local"
# how long a command waits for its own thread after a second Ctrl-C
LEAVE_SECONDS = 2.0
ELSEWHERE_SECONDS = 1.0
ELSEWHERE = "another Lectern works on this home: it does this when its turn comes"


def serve(settings: Settings, options: argparse.Namespace) -> int:
    from app.ui import serve as serve_page

    with _desk(settings) as desk, suppress(KeyboardInterrupt):
        # until interrupted: that is how a server ends
        serve_page(settings, desk, Runner(desk))
    return 0


def add(settings: Settings, options: argparse.Namespace) -> int:
    told: list[dict[str, Any]] = []
    problem: Exception | None = None
    with _desk(settings) as desk:
        try:
            _fetch(desk)
        except EngineError as error:
            # the shelf does not need the model: books can be put there all the same
            problem = error
        for path in options.files:
            row: dict[str, Any] = {"file": str(path), "id": None, "title": None, "already": False, "error": None}
            told.append(row)
            try:
                with utf8_copy(path, options.encoding) as copy:
                    added = desk.add(OWNER, copy, path.name)
            except DocumentError as error:
                row["error"] = str(error)
                _complain(str(error))
                continue
            title = added.document.title or added.document.filename
            row |= {"id": added.document.id, "title": title, "already": added.already}
            if not options.json:
                note = " (stood on the shelf already)" if added.already else ""
                print(f"{added.document.id:>4}  {one_line(title)}{note}")
    if options.json:
        _print_json(told)
    if problem is not None:
        _complain(str(problem))
    return 1 if problem is not None or any(row["error"] for row in told) else 0


def shelf(settings: Settings, options: argparse.Namespace) -> int:
    with _desk(settings) as desk:
        if _at_hand(settings):
            desk.count_tokens(OWNER)
        items = desk.shelf(OWNER)
        refusals = desk.refusals(OWNER)
    if options.json:
        _print_json([asdict(item) for item in items])
        return 0
    for item in items:
        tokens = "" if item.tokens is None else f"{item.tokens:,} tokens"
        by = f" — {one_line(item.author)}" if item.author else ""
        print(f"{item.id:>4}  {_state(item):<14}  {tokens:>16}  {one_line(item.title)}{by}")
        if item.error:
            print(f"      {one_line(item.error)}")
    for refusal in refusals:
        print(f"   –  {'refused':<14}  {'':>16}  {one_line(refusal.error)}")
    if not items and not refusals:
        print("The shelf is empty: `lectern add FILE…` puts books on it.", file=sys.stderr)
    return 0


def read(settings: Settings, options: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    with _desk(settings) as desk:
        engine = _fetch(desk)
        job_ids = desk.read(OWNER, options.documents or None, first=True)
        if not job_ids:
            print("Everything on the shelf is read.", file=sys.stderr)
        with _working(desk, job_ids) as (status, interrupted):
            for job_id in job_ids:
                document_id = desk.jobs.get(None, job_id).document_id
                item = next(one for one in desk.shelf(OWNER) if one.id == document_id)
                for event in desk.follow(OWNER, job_id):
                    _show(status, f"reading “{one_line(item.title)}”", event)
                row = _read_row(desk, engine.model, item, event)
                rows.append(row)
                status.say(f"{one_line(item.title)}: {row['error'] or row['state']}")
    if options.json:
        _print_json(rows)
    return interrupted() or int(any(row["error"] or row["state"] != "read" for row in rows))


def ask(settings: Settings, options: argparse.Namespace) -> int:
    with _desk(settings) as desk:
        _fetch(desk)
        run = desk.ask(
            OWNER,
            options.question,
            document_ids=options.documents,
            thread_id=options.thread,
            sampling=sampling(options),
        )
        written = ""
        with _working(desk, [run.job_id]) as (status, interrupted):
            for event in desk.follow(OWNER, run.job_id):
                _show(status, "reading", event)
                if event.kind == "delta":
                    written += str(event.payload["text"])
                    if not options.json:
                        status.clear()
                        print(printable(str(event.payload["text"])), end="", flush=True)
                elif event.kind == "restart":
                    written = ""
                    if not options.json:
                        print("\n— the answer begins again —", flush=True)
            if written and not options.json:
                print(flush=True)
            end = event.payload
            thread, turns = desk.quoted(OWNER, run.thread_id)
            turn = next(one for one in turns if one.id == run.turn_id)
            if end["state"] == "failed":
                _complain(str(end["error"]))
                return 1
            if options.json:
                _print_json({**_turn_row(turn), "documents": thread.document_ids, "thread": thread.id})
            else:
                status.say(_accounts(turn, thread.id))
            return interrupted()


def threads(settings: Settings, options: argparse.Namespace) -> int:
    with _desk(settings) as desk:
        if options.thread is None:
            rows = [_thread_row(thread) for thread in desk.threads(OWNER)]
            if options.json:
                _print_json(rows)
                return 0
            for row in rows:
                about = ", ".join(str(one) for one in row["documents"])
                print(f"{row['id']:>4}  {row['updated'][:16].replace('T', ' ')}  {one_line(row['title'])}  [{about}]")
            return 0
        thread, turns = desk.quoted(OWNER, options.thread)
    if options.json:
        _print_json({**_thread_row(thread), "turns": [_turn_row(turn) for turn in turns]})
        return 0
    for turn in turns:
        print(f"> {printable(turn.question)}\n\n{printable(turn.answer)}")
        print(f"({printable(turn.error)})\n" if turn.error else "")
    return 0


def model(settings: Settings, options: argparse.Namespace) -> int:
    entry = catalogue.find(settings.model)
    with _desk(settings) as desk:
        # looking at a model of the catalogue is no reason to fetch it
        fetched = entry is None or _at_hand(settings)
        facts = _catalogued(entry) if entry is not None and not fetched else asdict(_fetch(desk).model)
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
        _print_json({**facts, "fetched": fetched, "machine": asdict(around.machine), "models": offers})
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

    with _desk(settings) as desk:
        _fetch(desk)
    with Status() as status:
        row = refine_model(settings, options, lambda done, total: status.share("Measuring heads", done, total))
    if options.json:
        _print_json(row)
        return 0
    print(f"{one_line(row['file'])}: {row['keys_a_head']:.0f} keys a head on average.")
    print(f"  summed divergence {row['divergence_left']:.4f} nats; with equal budgets")
    print(f"  {row['divergence_left_by_equal_budgets']:.4f}. Every reading from now on uses them.")
    return 0


COMMANDS = {
    "serve": serve,
    "add": add,
    "list": shelf,
    "edit": corrections.edit,
    "read": read,
    "ask": ask,
    "threads": threads,
    "model": model,
    "refine": refine,
    "readings": lambda settings, options: readings(settings, options, _desk, _at_hand),
}

# what the commands share


@contextmanager
def _desk(settings: Settings) -> Iterator[Desk]:
    with Library(settings.home) as library:
        desk = Desk(settings, library, local_engines(settings))
        try:
            yield desk
        finally:
            desk.engines.close()


def local_engines(settings: Settings) -> EngineFactory:
    def make(name: str) -> Engine:
        from engine.local import LocalEngine

        return LocalEngine(name, **settings.engine)

    return make


def _at_hand(settings: Settings) -> bool:
    """Whether the model can be asked without a download."""
    from engine import checkpoint

    try:
        checkpoint.resolve(settings.model, cache=settings.cache, allow_download=False)
    except EngineError:
        return False
    return True


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


def _fetch(desk: Desk) -> Engine:
    """The engine, its checkpoint fetched first where it is not in the cache. Raises EngineError."""
    with Status() as status:

        def report(event: Loading) -> None:
            status.share(event.text, event.done, event.total)

        return desk.engines.get(desk.settings.model, report)


@contextmanager
def _working(desk: Desk, job_ids: list[int]) -> Iterator[tuple[Status, Callable[[], int]]]:
    """Work the queue, here or in the process that does it already, until the jobs have ended; Ctrl-C stops them.

    Gives the status line, and a function that says with which exit status it was interrupted, or 0.
    """
    signals: list[int] = []

    def stop() -> None:
        status.say("stopping; what was read is kept")
        for job_id in job_ids:
            desk.stop(OWNER, job_id)

    def on_signal(number: int, _: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            raise KeyboardInterrupt
        # not here: a signal may interrupt this thread in the middle of a transaction
        threading.Thread(target=stop, name="lectern-stop", daemon=True).start()

    def status_of() -> int:
        return (TERMINATED if signals[0] == signal.SIGTERM else INTERRUPTED) if signals else 0

    runner = Runner(desk)
    with Status() as status:
        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        elsewhere = threading.Timer(ELSEWHERE_SECONDS, lambda: None if runner.works else status.say(ELSEWHERE))
        elsewhere.start()
        try:
            runner.start(until=job_ids)
            yield status, status_of
        finally:
            elsewhere.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)
            runner.close(LEAVE_SECONDS if len(signals) > 1 else None)


def _show(status: Status, what: str, event: EventRecord) -> None:
    said = event.payload
    if event.kind == "loading":
        status.share(str(said["text"]), int(said["done"]), int(said["total"]))
    elif event.kind == "progress" and said["done"] < said["total"]:
        status.share(what, said["done"], said["total"], said["tokens_per_second"], said["seconds_left"])


def _read_row(desk: Desk, model: ModelInfo, before: ShelfItem, end: EventRecord) -> dict[str, Any]:
    said = end.payload
    item = next((one for one in desk.shelf(OWNER) if one.id == before.id), before)
    error = said["error"]
    if said["state"] == "done" and said["model"] not in (None, model.name):
        error = (
            f"it was read with {said['model']}, by another Lectern that works on this home. "
            f"Close that one, or start it with --model {desk.settings.model}"
        )
    prefilled, seconds = said["tokens"].get("prefilled", 0), said["seconds"].get("prefill", 0.0)
    return {
        "id": item.id,
        "title": item.title,
        "state": item.state,
        "progress": item.progress,
        "error": error,
        "tokens": said["tokens"],
        "seconds": said["seconds"],
        "tokens_per_second": prefilled / seconds if prefilled and seconds else None,
    }


def _turn_row(turn: TurnRecord) -> dict[str, Any]:
    row = asdict(turn)
    told = {name: row[name] for name in ("question", "answer", "finish", "tokens", "seconds", "model", "error")}
    return {**told, "quotes": (turn.quotes or {}).get("quotes", [])}


def _thread_row(thread: Any) -> dict[str, Any]:
    return {
        "id": thread.id,
        "title": thread.title,
        "documents": thread.document_ids,
        "created": thread.created,
        "updated": thread.updated,
    }


def _state(item: ShelfItem) -> str:
    shows = item.state in ("reading", "stopped") or (item.state == "waiting" and item.progress)
    return f"{item.state} {100 * item.progress:.0f} %" if shows else item.state


def _accounts(turn: TurnRecord, thread_id: int) -> str:
    tokens, seconds = turn.tokens, turn.seconds
    reason = {"length": "the answer reached its longest; ", "stopped": "stopped; "}.get(turn.finish or "", "")
    if not tokens:
        return f"{reason}conversation {thread_id}"
    return (
        f"{reason}{tokens['context']:,} tokens, {tokens['reused']:,} read before; first word after "
        f"{seconds['load'] + seconds['first_token']:.1f} s; conversation {thread_id}"
    )


def _print_json(value: Any) -> None:
    # ascii, so that it is one line for everybody and shows on any terminal
    print(json.dumps(value), flush=True)


def _complain(reason: str) -> None:
    print(f"lectern: {printable(reason)}", file=sys.stderr)
