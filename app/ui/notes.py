"""What went wrong, or well, as a note to the reader: the name and numbers of an error, and its words as they are.

The browser puts it in the reader's language where it knows the name, and shows the words where it does not.
"""

from __future__ import annotations

import itertools
import logging
import traceback
from collections.abc import Mapping
from typing import Any

from app.errors import LecternError
from app.ui.panel import Payload
from engine.errors import EngineError

log = logging.getLogger(__name__)
_serial = itertools.count(1)


def note(key: str, values: Mapping[str, Any] | None = None, *, kind: str = "info") -> Payload:
    """key: of the strings; kind: "info", "done" or "error"."""
    return {"serial": next(_serial), "kind": kind, "key": key, "values": dict(values or {})}


def trouble(error: Exception) -> Payload:
    """The note for an error; an unexpected one goes to the log, its words to nobody."""
    if isinstance(error, LecternError | EngineError):
        return {"serial": next(_serial), "kind": "error", "name": type(error).__name__, "text": str(error)}
    # where it happened, never what it said: that may hold a reader's text
    log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return note("error.Unexpected", kind="error")
