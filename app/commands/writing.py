"""The writing desk on the command line."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from app.commands.common import OWNER, Command, complain, fetched_engine, open_desk, print_json, show, working
from app.library.drafts import DraftRecord, OptionRecord
from app.reading.desk import Desk
from app.reading.writing.errors import TaskUnknown
from app.reading.writing.tasks import tasks
from app.settings import Settings
from app.terminal import one_line, printable

OTHERS = ("list", "new", "show", "save", "versions", "restore", "export", "choose", "bible-list", "remove")


def write(settings: Settings, options: argparse.Namespace) -> int:
    action = options.action
    if action not in OTHERS and action not in tasks():
        raise TaskUnknown(action, [*OTHERS, *tasks()])
    with open_desk(settings) as desk:
        if action == "list":
            return _list(desk, options)
        if action == "new":
            text = options.file.read_text("utf-8") if options.file else ""
            made = desk.new_draft(
                OWNER, options.title or "", document_ids=options.documents or (), language=options.language, text=text
            )
            return _told(made, options)
        if options.draft is None:
            complain(f"`lectern write {action}` needs the number of a draft; `lectern write list` shows them")
            return 2
        if action in tasks():
            return _task(desk, options)
        return _kept(desk, options)


def _list(desk: Desk, options: argparse.Namespace) -> int:
    found = desk.all_drafts(OWNER)
    if options.json:
        print_json([_row(one) for one in found])
        return 0
    for one in found:
        print(f"{one.id:>4}  {one.updated[:16].replace('T', ' ')}  {len(one.text):>8,}  {one_line(one.title)}")
    return 0


def _kept(desk: Desk, options: argparse.Namespace) -> int:
    id, action = options.draft, options.action
    if action == "save":
        text = options.file.read_text("utf-8") if options.file else sys.stdin.read()
        return _told(desk.save_draft(OWNER, id, text, why="saved"), options)
    if action == "restore":
        return _told(desk.restore_draft(OWNER, id, options.number or 1), options)
    if action == "choose":
        made = desk.draft(OWNER, id)
        for option in options.option or []:
            made = desk.choose_option(OWNER, id, option)
        return _told(made, options)
    if action == "remove":
        desk.remove_draft(OWNER, id)
        return 0
    if action == "versions":
        versions = desk.draft_versions(OWNER, id)
        if options.json:
            print_json([asdict(one) for one in versions])
        else:
            for one in versions:
                print(
                    f"{one.number:>4}  {one.created[:16].replace('T', ' ')}  {len(one.text):>8,}  {one_line(one.why)}"
                )
        return 0
    if action == "export":
        name, data = desk.draft_file(OWNER, id, options.format)
        path = options.output
        if path is None and options.format == "md":
            print(printable(data.decode()), end="")
            return 0
        from pathlib import Path

        path = path or Path(name)
        path.write_bytes(data)
        print(f"{one_line(str(path))}: {len(data):,} bytes", file=sys.stderr)
        return 0
    draft = desk.draft(OWNER, id)
    if action == "bible-list":
        if options.json:
            print_json(draft.bible)
        else:
            for entry in draft.bible:
                print(f"{entry['kind']:<7} {one_line(entry['name'])}: {one_line(entry['fact'])}")
        return 0
    return _told(draft, options, whole=True)


def _task(desk: Desk, options: argparse.Namespace) -> int:
    desk.draft(OWNER, options.draft)
    fetched_engine(desk)
    run = desk.write(
        OWNER,
        options.draft,
        options.action,
        start=options.start,
        end=options.end,
        wish=options.wish,
        versions=options.versions,
        passages=options.passage or (),
        options=options.option or (),
        tokens=options.max_tokens,
    )
    with working(desk, [run.job_id]) as (status, interrupted):
        for event in desk.follow(OWNER, run.job_id):
            show(status, "reading", event)
        end = event.payload
        if end["error"]:
            complain(str(end["error"]))
        made = desk.options(OWNER, options.draft, run.job_id)
        if options.json:
            print_json({"options": [_option(one) for one in made], "seconds": end["seconds"], "tokens": end["tokens"]})
        else:
            for one in made:
                print(f"[{one.id}]\n{printable(one.text)}\n")
        return interrupted() or int(end["state"] == "failed")


def _told(draft: DraftRecord, options: argparse.Namespace, *, whole: bool = False) -> int:
    if options.json:
        print_json({**_row(draft), "text": draft.text, "style": draft.style, "bible": draft.bible})
    elif whole:
        print(printable(draft.text))
    else:
        print(f"draft {draft.id}: {one_line(draft.title)}, {len(draft.text):,} characters")
    return 0


def _row(draft: DraftRecord) -> dict[str, Any]:
    return {
        "id": draft.id,
        "title": draft.title,
        "language": draft.language,
        "characters": len(draft.text),
        "documents": draft.document_ids,
        "revision": draft.revision,
        "created": draft.created,
        "updated": draft.updated,
    }


def _option(one: OptionRecord) -> dict[str, Any]:
    return {"id": one.id, "task": one.task, "start": one.start, "end": one.end, "text": one.text, "items": one.items}


COMMANDS: dict[str, Command] = {"write": write}
