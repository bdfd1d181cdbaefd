"""Notes and highlights, and up to where a document may be told."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from app.commands.common import OWNER, Command, complain, open_desk, print_json
from app.errors import PlaceInvalid
from app.reading.desk import Desk
from app.reading.noted import note_rows, write
from app.settings import Settings
from app.terminal import one_line, printable


def notes(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        noted = desk.noted(OWNER, None if options.document is None else [options.document])
    if options.json:
        print_json([row for one in noted for row in note_rows(one)])
        return 0
    for one in noted:
        print(one_line(str(one.source)))
        for mark in one.marks:
            place = [f"p. {mark.page}" if mark.page else "", one_line(mark.chapter or "")]
            lost = " (no longer in the text)" if mark.note.lost else ""
            where = ", ".join(part for part in place if part) or "–"
            print(f"{mark.note.id:>4}  {where}: {one_line(mark.note.quote)}{lost}")
            for line in mark.note.note.splitlines():
                print(f"      {printable(line)}")
    return 0


def export_notes(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        noted = desk.noted(OWNER, options.documents or None)
    data, count = write(noted, options.format), sum(len(one.marks) for one in noted)
    if options.out is not None:
        options.out.write_bytes(data)
    elif options.format != "docx":
        print(data.decode("utf-8"), end="")
    elif sys.stdout.isatty():
        complain(
            "A Word file is not for a terminal. Name a file: `lectern export-notes --format docx --out notes.docx`."
        )
        return 1
    else:
        sys.stdout.buffer.write(data)
    if options.json and options.out is not None:
        print_json({"file": str(options.out), "format": options.format, "notes": count})
    else:
        print(f"{count:,} notes of {len(noted):,} documents", file=sys.stderr)
    return 0


def upto(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        if options.clear:
            desk.guard(OWNER, options.document, None)
        elif options.place is not None:
            desk.guard(OWNER, options.document, desk.find_place(OWNER, options.document, options.place))
        place = desk.place(OWNER, options.document)
        document = desk.library.document(desk.owner_id(OWNER), options.document)
    if options.json:
        print_json({**asdict(place), "characters": document.characters})
    elif place.upto is None:
        print(f"{one_line(document.title or document.filename)}: all of it may be told.")
    else:
        share = place.upto / max(1, document.characters)
        print(
            f"{one_line(document.title or document.filename)}: up to character {place.upto:,} of "
            f"{document.characters:,} ({share:.0%}); nothing behind that is told."
        )
    return 0


def limits(desk: Desk, options: argparse.Namespace) -> dict[int, int] | None:
    """The offsets that ``ask --upto`` means, by document. Raises NotFound, PlaceInvalid."""
    if not options.upto:
        return None
    documents = options.documents
    if options.thread is not None:
        documents = desk.thread(OWNER, options.thread)[0].document_ids
    found: dict[int, int] = {}
    for said in options.upto:
        number, colon, place = said.partition(":")
        if colon and number.isascii() and number.isdigit() and int(number) in documents:
            found[int(number)] = desk.find_place(OWNER, int(number), place)
        elif len(documents) == 1:
            found[documents[0]] = desk.find_place(OWNER, documents[0], said)
        else:
            # of several documents nobody can tell which is meant
            raise PlaceInvalid(said, [f"{one}:{said}" for one in documents])
    return found


COMMANDS: dict[str, Command] = {"notes": notes, "export-notes": export_notes, "upto": upto}
