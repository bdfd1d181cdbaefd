"""Conversations as files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from app.commands.common import OWNER, Command, complain, open_desk, print_json
from app.settings import Settings
from app.terminal import one_line


def export(settings: Settings, options: argparse.Namespace) -> int:
    """To a file named after the conversation, the one named, or stdout for "-"; nothing is written over."""
    from app.reading.export import conversation

    with open_desk(settings) as desk:
        made = conversation(desk, OWNER, options.thread, options.format)
    if options.json and options.output is None:
        # one value: the conversation itself, or what became of it where it is no text
        if options.format == "json":
            print_json(json.loads(made.data))
            return 0
        if options.format == "md":
            print_json({"name": made.name, "format": options.format, "text": made.data.decode("utf-8")})
            return 0
    if options.output == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(made.data)
        sys.stdout.buffer.flush()
        return 0
    path = Path(options.output or made.name)
    try:
        with path.open("xb") as file:
            file.write(made.data)
    except FileExistsError:
        complain(f"“{path}” is there already. Give another name with --output.")
        return 1
    if options.json:
        print_json({"thread": options.thread, "format": options.format, "file": str(path), "bytes": len(made.data)})
    else:
        print(one_line(str(path)))
    return 0


COMMANDS: dict[str, Command] = {"export": export}
