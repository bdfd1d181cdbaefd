"""A backup of the library made from the page, in a thread of its own, and handed to the browser as one file.

It outlives the page that asked for it: gradio ends a request when its tab goes away. The latest one stays in
``home/backups`` until the next, or until it is taken away, and has an address that cannot be guessed. A library is
restored by ``lectern restore`` into a folder of its own: never into the one that a server is working on.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.library.backup import back_up
from app.library.files import private_folder
from app.ui.notes import trouble
from app.ui.panel import Payload

if TYPE_CHECKING:
    from app.reading.desk import Desk

ADDRESS = "/lectern/backup/"
_NAME = re.compile(r"lectern-\d{8}-\d{6}\.zip")

log = logging.getLogger(__name__)


class Stopped(Exception):
    """Its reader no longer wants it."""


class Backups:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._done = self._total = 0
        self._trouble: Payload | None = None
        self._key = secrets.token_urlsafe(24)

    @property
    def folder(self) -> Path:
        return self._desk.settings.home / "backups"

    def show(self) -> Payload:
        """{"making": {"done", "total"}}, bytes, or {"ready": {"name", "size", "made", "address"}}, or neither; and the
        "note" of one that failed."""
        with self._lock:
            if self._thread is not None:
                return {"making": {"done": self._done, "total": self._total}}
            # told once
            failed = {"note": self._trouble} if self._trouble is not None else {}
            self._trouble = None
            path = self._latest()
            if path is None:
                return failed
            facts = path.stat()
            made = datetime.fromtimestamp(facts.st_mtime).astimezone().isoformat(timespec="seconds")
            address = f"{ADDRESS}{self._key}/{path.name}"
            return failed | {"ready": {"name": path.name, "size": facts.st_size, "made": made, "address": address}}

    def make(self) -> None:
        """Begin one, unless one is being made."""
        with self._lock:
            if self._thread is not None:
                return
            self._done = self._total = 0
            self._trouble = None
            self._stopping.clear()
            self._thread = threading.Thread(target=self._make, name="lectern-backup", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def drop(self) -> None:
        """Take what was made away."""
        with self._lock:
            for path in self._made():
                path.unlink(missing_ok=True)

    def file(self, path: str) -> Path | None:
        """What lies at an address that ``show`` told."""
        key, _, name = path.removeprefix(ADDRESS).partition("/")
        latest = self._latest()
        known = secrets.compare_digest(key.encode(), self._key.encode())
        return latest if known and latest is not None and latest.name == name else None

    def _make(self) -> None:
        try:
            path = private_folder(self.folder) / f"lectern-{datetime.now():%Y%m%d-%H%M%S}.zip"
            for left in self.folder.glob("*.part"):  # of a server that ended
                left.unlink()
            former = self._made()
            back_up(self._desk.library, path, self._told)
            for one in former:
                one.unlink(missing_ok=True)
        except Stopped:
            pass
        except Exception as error:
            self._trouble = trouble(error)
        finally:
            with self._lock:
                self._thread = None

    def _told(self, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise Stopped
        self._done, self._total = done, total

    def _made(self) -> list[Path]:
        try:
            names = sorted(name for name in os.listdir(self.folder) if _NAME.fullmatch(name))
        except OSError:
            return []
        return [self.folder / name for name in names]

    def _latest(self) -> Path | None:
        made = self._made()
        return made[-1] if made else None


class Served:
    """The addresses of backups, in front of gradio's own."""

    def __init__(self, app: ASGIApp, *, backups: Backups) -> None:
        self._app = app
        self._backups = backups

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(ADDRESS):
            await self._app(scope, receive, send)
            return
        path = self._backups.file(scope["path"])
        if path is None:
            await PlainTextResponse("This backup is no longer here.", status_code=404)(scope, receive, send)
            return
        response = FileResponse(
            path, media_type="application/zip", filename=path.name, headers={"cache-control": "no-store"}
        )
        await response(scope, receive, send)
