"""Conversations as files for the browser to keep."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from app.reading import export
from app.ui.notes import trouble
from app.ui.panel import Payload
from app.ui.seat import Seat

if TYPE_CHECKING:
    from app.reading.desk import Desk

FORMATS = tuple(export.FORMATS)


def conversation(desk: Desk, said: Payload, *, space: bool) -> Payload:
    """Said {"visitor", "thread", "format", "language"?}; {"name", "type", "data"} in base64, or a "note"."""
    owner, id, format = Seat.read(said).owner(space=space), said.get("thread"), said.get("format")
    if owner is None or not isinstance(id, int) or format not in FORMATS:
        return {}
    try:
        made = export.conversation(desk, owner, id, format, "zh" if said.get("language") == "zh" else "en")
    except Exception as error:
        return {"note": trouble(error)}
    return {"name": made.name, "type": made.type, "data": base64.b64encode(made.data).decode("ascii")}
