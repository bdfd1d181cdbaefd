"""What stands on the shelf: adding, listing, correcting, tagging, removing."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from app.commands.common import OWNER, Command, at_hand, complain, fetched_engine, open_desk, print_json
from app.documents.parse import SUFFIXES
from app.documents.sources import is_address
from app.documents.transcode import utf8_copy
from app.errors import DocumentError, SourceFailed, SourceRefused
from app.library.intake import WORKERS, Arrival, files, work
from app.library.records import Added
from app.reading.desk import Desk
from app.reading.shelf import ShelfItem
from app.settings import Settings
from app.terminal import Status, one_line
from engine.errors import EngineError


def add(settings: Settings, options: argparse.Namespace) -> int:
    told: list[dict[str, Any]] = []
    problem: Exception | None = None
    with open_desk(settings) as desk:
        try:
            fetched_engine(desk)
        except EngineError as error:
            # the shelf does not need the model: books can be put there all the same
            problem = error
        for name in options.files:
            row: dict[str, Any] = {"file": name, "id": None, "title": None, "already": False, "error": None}
            told.append(row)
            try:
                added = _added(desk, name, options.encoding)
            except (DocumentError, SourceRefused, SourceFailed) as error:
                row["error"] = str(error)
                complain(str(error))
                continue
            title = added.document.title or added.document.filename
            later = None if added.already else desk.continued(OWNER, added.document)
            twins = [] if added.already or later is not None else desk.twins(OWNER, added.document)
            row |= {"id": added.document.id, "title": title, "already": added.already}
            row["twins"] = [{"id": one.id, "title": one.title} for one in twins]
            row["continues"] = None if later is None else later.id
            if not options.json:
                note = " (stood on the shelf already)" if added.already else ""
                print(f"{added.document.id:>4}  {one_line(title)}{note}")
            if later is not None:
                print(
                    f"      begins as {later.id} “{one_line(later.title)}” does and goes on: "
                    f"`lectern edit {later.id} --newer {added.document.id}` puts it in its place",
                    file=sys.stderr,
                )
            for one in twins:
                print(
                    f"      much like {one.id} “{one_line(one.title)}”: if it is the same book, "
                    f"`lectern remove {added.document.id}` takes it off again",
                    file=sys.stderr,
                )
    if options.json:
        print_json(told)
    if problem is not None:
        complain(str(problem))
    return 1 if problem is not None or any(row["error"] for row in told) else 0


def _added(desk: Desk, name: str, encoding: str | None) -> Added:
    if is_address(name):
        with Status() as status:
            return desk.add_source(OWNER, name, lambda done, total: status.share(one_line(name), done, total or 0))
    path = Path(name)
    with utf8_copy(path, encoding) as copy, Status() as status:

        def told(done: int, total: int) -> None:
            # Ctrl-C loses nothing: those pages are kept
            status.share(f"{one_line(path.name)}: {total:,} pages, recognized", done, total)

        return desk.add(OWNER, copy, path.name, told)


def import_folder(settings: Settings, options: argparse.Namespace) -> int:
    """Every file of a known type below a folder, several at a time. What was dealt with before is not opened again, so
    that an import that was ended goes on."""
    if not options.folder.is_dir():
        complain(f"{options.folder} is no folder. Name the folder that holds the books.")
        return 1
    told: dict[int, Arrival] = {}
    with open_desk(settings) as desk, Status() as status:
        intake, owner_id = desk.intake, desk.owner_id(OWNER)
        intake.requeue()
        arrivals = [intake.note(owner_id, path, again=options.again) for path in files(options.folder, SUFFIXES)]
        before = {one.id for one in arrivals if one.state != "waiting"}
        waiting = [one for one in arrivals if one.id not in before]

        def tell(one: Arrival) -> None:
            told[one.id] = one
            seconds = f" ({one.seconds:.1f} s)" if one.seconds is not None else ""
            status.say(f"{one_line(one.filename)}: {one_line(one.error) if one.error else f'taken in{seconds}'}")
            status.share("Importing", len(told), len(waiting))

        def pages(one: Arrival, done: int, total: int) -> None:
            status.share(f"{one_line(one.filename)}: {total:,} pages, recognized", done, total)

        work(intake, waiting, partial(desk.add, OWNER), workers=options.workers or WORKERS, told=tell, pages=pages)
        ended = [told.get(one.id, one) for one in arrivals]
        failed = [one for one in ended if one.state == "failed"]
        already = sum(one.state == "done" and (one.already or one.id in before) for one in ended)
        left = sum(one.state in ("waiting", "running", "stopped") for one in ended)
        added = len(ended) - len(failed) - already - left
        more = f", {left:,} left for the next time" if left else ""
        status.say(f"{added:,} added, {already:,} there already, {len(failed):,} not taken{more}")
    if options.json:
        print_json([_arrived(one, one.id in before) for one in ended])
    return 1 if failed or left else 0


def _arrived(one: Arrival, before: bool) -> dict[str, Any]:
    already = one.already or (before and one.state == "done")
    row = {"file": one.source, "id": one.document_id, "state": one.state, "already": already, "error": one.error}
    return {**row, "seconds": one.seconds}


def shelf(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        if at_hand(settings):
            desk.count_tokens(OWNER)
        items = desk.shelf(OWNER)
        refusals = desk.refusals(OWNER)
    if options.json:
        print_json([asdict(item) for item in items])
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


def edit(settings: Settings, options: argparse.Namespace) -> int:
    given = {name: getattr(options, name) for name in ("title", "authors", "year", "language", "identifiers")}
    with open_desk(settings) as desk:
        document = desk.edit(OWNER, options.document, **given)
        if options.newer is not None:
            document = desk.renew(OWNER, document.id, options.newer)
        if options.encoding:
            document = desk.reencode(OWNER, document.id, options.encoding)
    if options.json:
        print_json({name: getattr(document, name) for name in ("id", *given)})
        return 0
    by = f" — {one_line(', '.join(document.authors))}" if document.authors else ""
    about = ", ".join(str(value) for value in (document.year, document.language) if value)
    print(f"{document.id:>4}  {one_line(document.title)}{by}{f' ({about})' if about else ''}")
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


def _state(item: ShelfItem) -> str:
    shows = item.state in ("reading", "stopped") or (item.state == "waiting" and item.progress)
    return f"{item.state} {100 * item.progress:.0f} %" if shows else item.state


COMMANDS: dict[str, Command] = {
    "add": add,
    "import": import_folder,
    "list": shelf,
    "edit": edit,
    "tag": tag,
    "remove": remove,
    "restore-document": restore_document,
}
