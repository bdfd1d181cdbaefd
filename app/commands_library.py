"""The commands about the library itself: searching, tags, removing, backups, folders full of books."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from app.commands import OWNER
from app.commands import _complain as complain
from app.commands import _desk as open_desk
from app.commands import _print_json as print_json
from app.documents.parse import SUFFIXES
from app.errors import DocumentError
from app.library.backup import back_up, restore
from app.library.search import index_pending
from app.library.store import Library
from app.settings import Settings
from app.terminal import Status, one_line

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


def tag(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        desk.tag(OWNER, options.documents, add=options.add or (), remove=options.remove or ())
        rows: list[dict[str, Any]] = [
            {"id": item.id, "title": item.title, "tags": item.tags}
            for item in desk.shelf(OWNER)
            if item.id in options.documents
        ]
    if options.json:
        print_json(rows)
        return 0
    for row in rows:
        print(f"{row['id']:>4}  {one_line(row['title'])}  {' '.join('#' + one_line(name) for name in row['tags'])}")
    return 0


def remove(settings: Settings, options: argparse.Namespace) -> int:
    """All of them or none."""
    with open_desk(settings) as desk, desk.library.write():
        for id in options.documents:
            desk.remove(OWNER, id)
    if options.json:
        print_json([{"id": id} for id in options.documents])
    else:
        numbers = " ".join(map(str, options.documents))
        print(f"Removed; for 30 days `lectern restore-document {numbers}` takes it back.", file=sys.stderr)
    return 0


def restore_document(settings: Settings, options: argparse.Namespace) -> int:
    """Without documents: say which can be brought back."""
    with open_desk(settings) as desk:
        if not options.documents:
            rows: list[dict[str, Any]] = [
                {"id": record.id, "title": record.title or record.filename, "removed": removed}
                for record, removed in desk.removed(OWNER)
            ]
        else:
            with desk.library.write():
                records = [desk.restore(OWNER, id) for id in options.documents]
            rows = [{"id": one.id, "title": one.title or one.filename, "removed": None} for one in records]
    if options.json:
        print_json(rows)
        return 0
    for row in rows:
        print(f"{row['id']:>4}  {(row['removed'] or '')[:16].replace('T', ' '):<16}  {one_line(row['title'])}")
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


def import_folder(settings: Settings, options: argparse.Namespace) -> int:
    """Every file of a known type below a folder; one that was added before is skipped, so that it can be resumed."""
    if not options.folder.is_dir():
        complain(f"{options.folder} is no folder. Name the folder that holds the books.")
        return 1
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    told: list[dict[str, Any]] = []
    with open_desk(settings) as desk, Status() as status:
        for place, path in enumerate(paths):
            status.share("Importing", place, len(paths))
            row: dict[str, Any] = {"file": str(path), "id": None, "title": None, "already": False, "error": None}
            told.append(row)
            try:
                added = desk.add(OWNER, path, path.name)
            except DocumentError as error:
                row["error"] = str(error)
                status.say(str(error))
                continue
            title = added.document.title or added.document.filename
            row |= {"id": added.document.id, "title": title, "already": added.already}
        failed = sum(row["error"] is not None for row in told)
        already = sum(row["already"] for row in told)
        status.say(f"{len(told) - failed - already:,} added, {already:,} there already, {failed:,} not taken")
    if options.json:
        print_json(told)
    return 1 if failed else 0


COMMANDS = {
    "search": search,
    "tag": tag,
    "remove": remove,
    "restore-document": restore_document,
    "backup": backup,
    "restore": restore_backup,
    "import": import_folder,
}
