"""The commands of the command line, over the same desk as the page. Each returns the exit status.

What was asked for goes to stdout, everything else to stderr. What comes from a book or a model is shown without its
control characters: a terminal obeys those.
"""

from __future__ import annotations

from app.commands import asking, chapters, export, library, making, model, notes, readings, shelf, writing
from app.commands.common import Command

COMMANDS: dict[str, Command] = {
    **asking.COMMANDS,
    **shelf.COMMANDS,
    **chapters.COMMANDS,
    **export.COMMANDS,
    **library.COMMANDS,
    **making.COMMANDS,
    **model.COMMANDS,
    **readings.COMMANDS,
    **notes.COMMANDS,
    **writing.COMMANDS,
}
