"""The chapters of a document: shown, corrected, left out of the reading or taken into it."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import Any

from app.commands.common import OWNER, Command, open_desk, print_json
from app.documents.model import Chapter, Page
from app.errors import ChaptersInvalid
from app.settings import Settings
from app.terminal import one_line


def chapters(settings: Settings, options: argparse.Namespace) -> int:
    """Changes are made in this order: the whole list, then titles, then what is read, then what is no chapter."""
    with open_desk(settings) as desk:
        found = desk.chapters(OWNER, options.document)
        wanted = _wanted(found, options)
        anew = False
        if options.reset or wanted != found:
            found, anew = desk.set_chapters(OWNER, options.document, None if options.reset else wanted)
            if anew:
                desk.read(OWNER, [options.document])
        pages = desk.library.pages(options.document)
    if options.json:
        rows = [{"number": n, **_row(one), "page": _page(pages, one.start)} for n, one in enumerate(found, 1)]
        print_json({"document": options.document, "chapters": rows, "anew": anew})
        return 0
    for number, one in enumerate(found, 1):
        page = _page(pages, one.start)
        where = f"p. {page}" if page is not None else f"{one.start:,}"
        left = "" if one.is_read else "  (not read)"
        print(f"{number:>4}  {where:>10}  {one.kind:<5}  {'  ' * (one.level - 1)}{one_line(one.title)}{left}")
    if anew:
        print("What is read of it has changed: it waits to be read anew.", file=sys.stderr)
    return 0


def _row(one: Chapter) -> dict[str, Any]:
    return {
        "title": one.title, "level": one.level, "start": one.start, "end": one.end, "kind": one.kind,
        "included": one.is_read,
    }  # fmt: skip


def _page(pages: list[Page], offset: int) -> int | None:
    return next((page.number for page in pages if page.start <= offset < page.end), None)


def _wanted(found: list[Chapter], options: argparse.Namespace) -> list[Chapter]:
    wanted = list(found) if options.set is None else _given(options.set)

    def check(number: int) -> int:
        if not 1 <= number <= len(wanted):
            raise ChaptersInvalid(f"there is no chapter {number} among {len(wanted)}")
        return number - 1

    for text in options.rename or ():
        number, _, title = text.partition("=")
        if not number.strip().isdecimal():
            raise ChaptersInvalid(f"--rename takes NUMBER=TITLE, not {text!r}")
        at = check(int(number))
        wanted[at] = replace(wanted[at], title=title)
    for numbers, included in ((options.leave_out, False), (options.include, True)):
        for number in numbers or ():
            wanted[check(number)] = replace(wanted[check(number)], included=included)
    dropped = {check(number) for number in options.drop or ()}
    return [one for place, one in enumerate(wanted) if place not in dropped]


def _given(path: str) -> list[Chapter]:
    """A list as ``--json`` prints it, of a file or "-" for stdin; level, kind and included may be missing."""
    try:
        if path == "-":
            told = json.load(sys.stdin)
        else:
            with open(path, encoding="utf-8") as file:
                told = json.load(file)
        rows = told["chapters"] if isinstance(told, dict) else told
        return [
            Chapter(
                title=str(row["title"]),
                level=int(row.get("level", 1)),
                start=int(row["start"]),
                end=0,
                kind=row.get("kind", "body"),
                included=None if row.get("included") is None else bool(row["included"]),
            )
            for row in rows
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ChaptersInvalid(f"{path} is no list of titles and starts ({type(error).__name__}: {error})") from None


COMMANDS: dict[str, Command] = {"chapters": chapters}
