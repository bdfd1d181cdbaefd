"""Serving the page, reading, asking, and what was said."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from app.cli import sampling
from app.commands.common import OWNER, Command, complain, fetched_engine, open_desk, print_json, show, working
from app.commands.notes import limits
from app.library.records import EventRecord, TurnRecord
from app.reading.desk import Desk
from app.reading.runner import Runner
from app.reading.shelf import ShelfItem
from app.settings import Settings
from app.terminal import one_line, printable
from engine.protocol import ModelInfo


def serve(settings: Settings, options: argparse.Namespace) -> int:
    from app.ui import serve as serve_page

    with open_desk(settings) as desk, suppress(KeyboardInterrupt):
        # until interrupted: that is how a server ends
        serve_page(settings, desk, Runner(desk))
    return 0


def read(settings: Settings, options: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    with open_desk(settings) as desk:
        engine = fetched_engine(desk)
        job_ids = desk.read(OWNER, options.documents or None, first=True)
        if not job_ids:
            print("Everything on the shelf is read.", file=sys.stderr)
        with working(desk, job_ids) as (status, interrupted):
            for job_id in job_ids:
                document_id = desk.jobs.get(None, job_id).document_id
                assert document_id is not None
                plan = desk.reading_room(OWNER, document_id)
                if plan.evicts or plan.evicted_bytes:
                    status.say(printable(plan.message))
                item = next(one for one in desk.shelf(OWNER) if one.id == document_id)
                for event in desk.follow(OWNER, job_id):
                    show(status, f"reading “{one_line(item.title)}”", event)
                row = _read_row(desk, engine.model, item, event)
                rows.append(row)
                status.say(f"{one_line(item.title)}: {row['error'] or row['state']}")
    if options.json:
        print_json(rows)
    return interrupted() or int(any(row["error"] or row["state"] != "read" for row in rows))


def ask(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        fetched_engine(desk)
        run = desk.ask(
            OWNER,
            options.question,
            document_ids=options.documents,
            thread_id=options.thread,
            sampling=sampling(options),
            upto=limits(desk, options),
            mode=options.mode,
            quick=options.quick,
        )
        quick = bool(desk.jobs.get(None, run.job_id).payload.get("quick"))
        written = ""
        with working(desk, [run.job_id]) as (status, interrupted):
            for event in desk.follow(OWNER, run.job_id):
                show(status, "reading", event)
                if event.kind == "delta":
                    written += str(event.payload["text"])
                    if not options.json:
                        status.clear()
                        print(printable(str(event.payload["text"])), end="", flush=True)
                elif event.kind == "mode" and event.payload["passages"] and not options.json:
                    status.say(f"re-reading {len(event.payload['passages'])} passages")
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
                complain(str(end["error"]))
                return 1
            if options.json:
                print_json({**_turn_row(turn), "quick": quick, "documents": thread.document_ids, "thread": thread.id})
            else:
                for line in _passages(turn):
                    status.say(line)
                status.say(_accounts(turn, thread.id))
            return interrupted()


def threads(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        if options.thread is None:
            rows = [_thread_row(thread) for thread in desk.threads(OWNER)]
            if options.json:
                print_json(rows)
                return 0
            for row in rows:
                about = ", ".join(str(one) for one in row["documents"])
                print(f"{row['id']:>4}  {row['updated'][:16].replace('T', ' ')}  {one_line(row['title'])}  [{about}]")
            return 0
        thread, turns = desk.quoted(OWNER, options.thread)
    if options.json:
        print_json({**_thread_row(thread), "turns": [_turn_row(turn) for turn in turns]})
        return 0
    for turn in turns:
        print(f"> {printable(turn.question)}\n\n{printable(turn.answer)}")
        print(f"({printable(turn.error)})\n" if turn.error else "")
    return 0


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
    reading, gaze = turn.reading or {}, turn.gaze or {}
    return {
        **told,
        "quotes": (turn.quotes or {}).get("quotes", []),
        "mode": reading.get("mode"),
        "mode_asked": reading.get("asked"),
        "finder": reading.get("finder"),
        "passages": reading.get("passages", []),
        "gaze": gaze.get("places", []),
        "gaze_measured": gaze.get("measured"),
    }


def _thread_row(thread: Any) -> dict[str, Any]:
    return {
        "id": thread.id,
        "title": thread.title,
        "documents": thread.document_ids,
        "created": thread.created,
        "updated": thread.updated,
    }


def _passages(turn: TurnRecord) -> list[str]:
    """The passages that an answer may cite, a line each."""
    lines = []
    for one in (turn.reading or {}).get("passages", []):
        place = [one["title"], one["chapter"], f"p. {one['page']}" if one["page"] else None]
        lines.append(f"[{one['number']}] {one_line(', '.join(part for part in place if part))}")
    return lines


def _accounts(turn: TurnRecord, thread_id: int) -> str:
    tokens, seconds = turn.tokens, turn.seconds
    reason = {"length": "the answer reached its longest; ", "stopped": "stopped; "}.get(turn.finish or "", "")
    if not tokens:
        return f"{reason}conversation {thread_id}"
    return (
        f"{reason}{tokens['context']:,} tokens, {tokens['reused']:,} read before; first word after "
        f"{seconds['load'] + seconds['first_token']:.1f} s; conversation {thread_id}"
    )


COMMANDS: dict[str, Command] = {"serve": serve, "read": read, "ask": ask, "threads": threads}
