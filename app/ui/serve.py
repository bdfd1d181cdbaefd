"""Lectern in a browser: the page, its server, and what that server lets a browser do."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import gradio as gr
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.documents.parse import FILE_LIMIT
from app.errors import SettingInvalid
from app.ui import theme
from app.ui.backups import Backups, Served
from app.ui.page import Page

if TYPE_CHECKING:
    from app.reading.desk import Desk
    from app.reading.runner import Runner
    from app.settings import Settings

THREADS = 80  # each page that watches an answer holds one while it waits for the next word
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
CLOSE_SECONDS = 20.0  # for the engine to write down what it just read


def build(settings: Settings, desk: Desk) -> gr.Blocks:
    return Page(settings, desk).build()


def serve(settings: Settings, desk: Desk, runner: Runner) -> None:
    """Serve the page until interrupted; the runner works the queue beside it. Raises SettingInvalid."""
    uploads(settings.home)
    runner.start()
    try:
        page = Page(settings, desk)
        blocks = page.build()
        # what was dropped on a server that ended
        page.resume()
        try:
            print(f"Lectern is at {launch(blocks, settings, page.backups)}", flush=True)
            while True:
                time.sleep(3600)
        finally:
            blocks.close(verbose=False)
    finally:
        runner.close(CLOSE_SECONDS)


def launch(blocks: gr.Blocks, settings: Settings, backups: Backups | None = None) -> str:
    """Start serving; returns the address to open."""
    port = settings.port or _free_port(settings.host)
    blocks.queue(default_concurrency_limit=None, api_open=False)
    middleware = [Middleware(Guard, space=settings.space, loopback=settings.host in LOOPBACK)]
    if backups is not None and not settings.space:
        middleware.append(Middleware(Served, backups=backups))
    try:
        blocks.launch(
            server_name=settings.host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            inbrowser=False,
            share=False,
            show_error=True,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            max_file_size=FILE_LIMIT,
            max_threads=THREADS,
            allowed_paths=[],
            favicon_path=theme.FAVICON,
            theme=theme.theme(),
            head=theme.head(settings),
            app_kwargs={
                "middleware": middleware,
                "docs_url": None,
                "redoc_url": None,
                "openapi_url": None,
            },
        )
    except OSError as error:
        reason = "another program listens there; end it, or choose another port"
        raise SettingInvalid("--port", port, reason) from error
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def uploads(home: Path) -> None:
    """Where files wait until the library has them: in the home, since /tmp is everybody's."""
    folder = home / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Gradio takes this from the environment only
    os.environ["GRADIO_TEMP_DIR"] = str(folder)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        return int(probe.getsockname()[1])


class Guard:
    """Lets this page talk to this server, and neither to anybody else.

    Headers forbid the page all requests to others. On a person's machine any page in the browser can reach this
    address: what comes from another page, or under another name than this machine's, is refused.
    """

    def __init__(self, app: ASGIApp, *, space: bool, loopback: bool) -> None:
        self._app = app
        # a Space is reached through its proxy, under names that only the proxy knows
        self._same_origin = not space
        self._loopback = loopback and not space
        policy = {
            "default-src": "'self'",
            # gradio compiles its templates in the page; nothing untrusted ever reaches them (panel.py)
            "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
            "style-src": "'self' 'unsafe-inline'",
            "img-src": "'self' data: blob:",
            "font-src": "'self' data:",
            "connect-src": "'self'",
            "object-src": "'none'",
            "frame-src": "'none'",
            "base-uri": "'self'",
            "form-action": "'self'",
            # Hugging Face shows a Space in a frame of its own page
            "frame-ancestors": "https://huggingface.co" if space else "'none'",
        }
        self._headers = [
            (b"content-security-policy", "; ".join(f"{name} {value}" for name, value in policy.items()).encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        if self._foreign(Headers(scope=scope)):
            refusal = PlainTextResponse("This address is for Lectern's own page.", status_code=403)
            await refusal(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _foreign(self, headers: Headers) -> bool:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._same_origin and origin is not None and urlsplit(origin).netloc != host:
            return True
        # a name of somebody else's that leads here (DNS rebinding) passes for the same origin
        return self._loopback and urlsplit(f"//{host}").hostname not in LOOPBACK
