"""The command ``edit``: what its reader knows better than the file that a document came in."""

from __future__ import annotations

import argparse

from app.settings import Settings
from app.terminal import one_line


def edit(settings: Settings, options: argparse.Namespace) -> int:
    from app import commands

    given = {name: getattr(options, name) for name in ("title", "authors", "year", "language")}
    with commands._desk(settings) as desk:
        document = desk.edit(commands.OWNER, options.document, **given)
    if options.json:
        commands._print_json({name: getattr(document, name) for name in ("id", *given)})
        return 0
    by = f" — {one_line(', '.join(document.authors))}" if document.authors else ""
    about = ", ".join(str(value) for value in (document.year, document.language) if value)
    print(f"{document.id:>4}  {one_line(document.title)}{by}{f' ({about})' if about else ''}")
    return 0
