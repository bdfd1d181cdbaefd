"""The options of making artefacts and of the writing desk. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def making_commands(
    command: Callable[[str, str], argparse.ArgumentParser], _id: Callable[[str], int], _said: Callable[[str], str]
) -> None:
    """``_id``, ``_said``: the types of ``cli``."""
    make = command("make", "Make an artefact of documents: a summary, a timeline, a quiz, a table …")
    make.add_argument("template", nargs="?", metavar="TEMPLATE", help="an id of `lectern templates`")
    make.add_argument("--doc", action="append", metavar="DOC", dest="documents", type=_id, help="one or several")
    make.add_argument("--columns", metavar="A,B,…", help="of a comparison")
    make.add_argument(
        "--set", action="append", metavar="NAME=VALUE", type=_pair, help="an input of the template; can be repeated"
    )
    make.add_argument("--language", choices=["en", "zh"], help="to be written in; by default the documents'")
    make.add_argument("--chapters", metavar="1,3-5", type=_numbers, help="only these, by their numbers")
    make.add_argument("--parts", metavar="N", type=_id, help="at most so many parts of the text, spread evenly over it")
    make.add_argument("--window", metavar="N", type=_id, help="tokens of text that a part shows")
    make.add_argument("--max-tokens", metavar="N", type=_id, help="tokens of a part's answer")
    make.add_argument("--title", type=_said)
    make.add_argument("--go-on", metavar="ID", type=_id, help="go on with an artefact, and try again what failed")
    make.add_argument("--again", metavar="ID", type=_id, help="a new version, with --doc of more documents")
    make.add_argument("--anew", action="store_true", help="with --again: make everything again")
    templates = command("templates", "List the templates, show one, or keep one's own.")
    templates.add_argument("template", nargs="?", metavar="TEMPLATE")
    templates.add_argument("--copy", metavar="NEW", help="a copy of TEMPLATE of one's own, under this id")
    templates.add_argument("--save", metavar="FILE", type=Path, help="keep a template of one's own, a JSON file")
    templates.add_argument("--remove", action="store_true", help="remove TEMPLATE, one of one's own")
    command("artefacts", "List the artefacts.")
    artefact = command("artefact", "Show, export, edit or compare an artefact.")
    artefact.add_argument("artefact", metavar="ID", type=_id)
    artefact.add_argument("--format", default="md", help="md, docx, pdf, csv, json, anki, svg or png; default md")
    artefact.add_argument("--chart", help="of svg and png: graph, timeline, kinds, chapters or book")
    artefact.add_argument("--version", metavar="N", type=_id, help="the latest if none is named")
    artefact.add_argument("--output", metavar="FILE", type=Path, help="write there; - or none is standard output")
    artefact.add_argument("--rename", metavar="TITLE", type=_said)
    artefact.add_argument("--edit", metavar="FILE", type=Path, help="a new version of the items of a JSON export")
    artefact.add_argument("--compare", metavar="N", type=_id, help="with an earlier version")
    artefact.add_argument("--remove", action="store_true")
    write = command("write", "The writing desk: list drafts, begin one, save it, have it continued, export it.")
    write.add_argument(
        "action",
        metavar="ACTION",
        help="list, new, show, save, versions, restore, export, choose, bible-list, remove, or a task such as continue",
    )
    write.add_argument("draft", nargs="?", metavar="DRAFT", type=_id)
    write.add_argument("--title", type=_said)
    write.add_argument(
        "--doc", action="append", metavar="DOC", dest="documents", type=_id, help="books beside the draft"
    )
    write.add_argument("--language", choices=["en", "zh"], default="en")
    write.add_argument("--file", metavar="FILE", type=Path, help="the text, of new and save")
    write.add_argument("--wish", metavar="TEXT", default="", help="what is wanted, of a task")
    write.add_argument("--start", metavar="N", type=int, help="the range that a task is about, in characters")
    write.add_argument("--end", metavar="N", type=int)
    write.add_argument("--versions", metavar="N", type=_id, default=1, help="so many continuations to choose from")
    write.add_argument("--max-tokens", metavar="N", type=_id)
    write.add_argument(
        "--passage", action="append", metavar="DOC:START-END", type=_passage, help="of a book, for style"
    )
    write.add_argument("--option", action="append", metavar="ID", type=_id, help="of choose and merge")
    write.add_argument("--number", metavar="N", type=_id, help="of restore")
    write.add_argument("--format", choices=["md", "docx", "epub"], default="md")
    write.add_argument("--output", metavar="FILE", type=Path)


def _pair(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name.strip():
        raise ValueError
    return name.strip(), value


_pair.__name__ = "NAME=VALUE"


def _passage(text: str) -> dict[str, int]:
    document, _, place = text.partition(":")
    start, _, end = place.partition("-")
    return {"document": int(document), "start": int(start), "end": int(end)}


_passage.__name__ = "DOC:START-END"


def _numbers(text: str) -> list[int]:
    """ "1,3-5" as [1, 3, 4, 5]."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    if len(found) > 10_000 or min(found, default=0) < 1:
        raise ValueError
    return found


_numbers.__name__ = "list of numbers"
