"""``lectern readings``: what is kept on disk of all that was read, and whether it is still what was written."""

from __future__ import annotations

import argparse

from app.commands.common import OWNER, Command, at_hand, open_desk, print_json
from app.reading.kept import kept_files as kept_files_of
from app.readings import checked, listed
from app.settings import Settings
from app.terminal import Status, one_line


def readings(settings: Settings, options: argparse.Namespace) -> int:
    """Documents are named where the model is at hand."""
    if options.action == "check":
        return _check(settings, options)
    with open_desk(settings) as desk:
        known = kept_files_of(desk, OWNER) if at_hand(settings) else {}
    rows = listed(settings.readings, known)
    if options.json:
        print_json(rows)
        return 0
    for row in rows:
        what = ", ".join(f"{one['id']} {one_line(one['title'])}" for one in row["documents"])
        recall = "" if row["recall"] is None else f", recall {row['recall']:.2f}"
        print(f"{row['bytes'] / 1e6:>8,.0f} MB  {row['tokens']:>10,} tokens  {what or 'conversations and others'}")
        print(f"{'':>13}{', '.join(row['policies'])}{recall}; model {row['model'][:12]}")
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


COMMANDS: dict[str, Command] = {"readings": readings}
