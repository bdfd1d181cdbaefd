"""``lectern readings``: what is kept of all that was read, what must stay, is it sound, and making it smaller."""

from __future__ import annotations

import argparse
from typing import Any

from filelock import FileLock, Timeout

from app.commands.common import OWNER, Command, at_hand, complain, open_desk, print_json
from app.readings import checked, compacted
from app.settings import Settings
from app.terminal import Status, one_line


def readings(settings: Settings, options: argparse.Namespace) -> int:
    actions = {"check": _check, "compact": _compact, "pin": _pin, "unpin": _pin}
    return actions.get(options.action, _list)(settings, options)


def _list(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        if at_hand(settings):
            # names the files of older versions
            desk.engines.get(settings.model)
        kept = desk.kept(OWNER)
    if options.json:
        print_json(kept["rows"])
        return 0
    for row in kept["rows"]:
        print(f"{_size(row['bytes']):>10}  {row['tokens']:>10,} tokens  {one_line(_what(row))}")
        recall = "" if row["recall"] is None else f", recall {row['recall']:.2f}"
        pinned = ", pinned" if row["pinned"] else ""
        how = f"{row['storage']}, {', '.join(row['policies'])}{recall}; last used {row['used'][:16].replace('T', ' ')}"
        print(f"{'':>12}{how}{pinned}; model {row['model'][:12]}")
    limit = "" if kept["limit"] is None else f" of {_size(kept['limit'])}"
    free = "" if kept["disk_free"] is None else f"; {_size(kept['disk_free'])} free on the disk"
    print(f"{_size(kept['taken'])}{limit}{free}.")
    return 0


def _what(row: dict[str, Any]) -> str:
    behind = ", ".join(one["title"] for one in row["behind"])
    if row["kind"] == "document":
        what = ", ".join(f"{one['id']} {one['title']}" for one in row["documents"])
        return f"{what}, read after {behind}" if behind else what
    if row["kind"] == "conversation":
        about = f" [{behind}]" if behind else ""
        return f"conversation {row['conversation']['id']}: {row['conversation']['title']}{about}"
    return "openings and others"


def _size(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 10**10 else f"{size / 1e6:,.0f} MB"


def _pin(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        desk.pin(OWNER, options.documents, pinned=options.action == "pin")
    if options.json:
        print_json({"documents": options.documents, "pinned": options.action == "pin"})
    return 0


def _check(settings: Settings, options: argparse.Namespace) -> int:
    with Status() as status:
        row = checked(
            settings.readings, repair=options.repair, tell=lambda done, total: status.share("checking", done, total)
        )
    if options.json:
        print_json(row)
    else:
        for bad in row["bad"]:
            print(f"{bad['file']}: {bad['reason']}{' (removed)' if bad['removed'] else ''}")
        print(f"{row['files']:,} files, {row['bytes'] / 1e6:,.0f} MB sound, {len(row['bad'])} bad.")
    return int(bool(row["bad"]) and not options.repair)


def _compact(settings: Settings, options: argparse.Namespace) -> int:
    lock = FileLock(settings.engine_lock, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        complain(
            "another Lectern works on this home, and only one may write kept readings. Close it, or start it with "
            "LECTERN_READINGS_STORAGE=int8: it then does this by itself, after each reading"
        )
        return 1
    with lock, Status() as status:
        row = compacted(settings.readings, tell=lambda done, total: status.share("compacting", done, total))
    if options.json:
        print_json(row)
    else:
        print(f"{row['files']:,} files made smaller, {row['saved'] / 1e6:,.0f} MB saved, {row['failed']} passed over.")
    return int(bool(row["failed"]))


COMMANDS: dict[str, Command] = {"readings": readings}
