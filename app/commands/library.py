"""The library as a whole: searching it, backing it up."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from app.commands.common import OWNER, Command, complain, open_desk, print_json
from app.library.backup import back_up, restore
from app.library.search import index_pending
from app.library.store import Library
from app.settings import Settings
from app.terminal import one_line

BEYOND = "What was read (kept pages) is not part of a backup: the books are read again where it is restored."


def search(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        index_pending(desk.library)
        found = desk.search(OWNER, options.query, options.documents, limit=options.limit)
    if options.json:
        hits = [
            {
                "document": hit.document,
                "title": hit.title,
                "start": hit.start,
                "stop": hit.stop,
                "page": hit.page,
                "chapter": hit.chapter,
                "snippet": hit.snippet,
            }
            for hit in found.hits
        ]
        documents = [{"document": id, "count": count} for id, count in found.documents]
        print_json({"count": found.count, "documents": documents, "hits": hits})
        return 0
    last = None
    counts = dict(found.documents)
    for hit in found.hits:
        if hit.document != last:
            print(f"{hit.document:>4}  {one_line(hit.title)}: {counts[hit.document]:,}")
            last = hit.document
        place = [f"p. {hit.page}" if hit.page is not None else "", one_line(hit.chapter or "")]
        print(f"      {', '.join(part for part in place if part) or '–'}: {one_line(hit.snippet)}")
    print(f"{found.count:,} in {len(found.documents):,} documents", file=sys.stderr)
    return 0


def backup(settings: Settings, options: argparse.Namespace) -> int:
    with Library(settings.home) as library:
        made = back_up(library, options.file)
    if options.json:
        print_json({**asdict(made), "readings": False})
    else:
        print(f"{one_line(made.path)}: {made.documents:,} documents, {made.size / 1e6:,.1f} MB before compression.")
        print(BEYOND, file=sys.stderr)
    return 0


def restore_backup(settings: Settings, options: argparse.Namespace) -> int:
    made = restore(options.file, settings.home)
    with Library(settings.home) as library:
        problems = library.check()
    if options.json:
        print_json({**asdict(made), "home": str(settings.home), "readings": False, "problems": problems})
    else:
        print(f"{one_line(str(settings.home))}: {made.documents:,} documents restored.")
        print(BEYOND, file=sys.stderr)
    for line in problems:
        complain(line)
    return 1 if problems else 0


COMMANDS: dict[str, Command] = {"search": search, "backup": backup, "restore": restore_backup}
