"""Lectern in a browser: the page, its server, and what that server lets a browser do."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.documents.parse import FILE_LIMIT
from app.errors import SettingInvalid
from app.ui import theme
from app.ui.page import Page

if TYPE_CHECKING:
    from app.reading.desk import Desk
    from app.reading.runner import Runner
    from app.settings import Settings

THREADS = 80  # each page that watches an answer holds one while it waits for the next word
CLOSE_SECONDS = 20.0  # for the engine to write down what it just read


def build(settings: Settings, desk: Desk) -> gr.Blocks:
    return Page(settings, desk).build()


def serve(settings: Settings, desk: Desk, runner: Runner) -> None:
    """Serve the page until interrupted; the runner works the queue beside it. Raises SettingInvalid."""
    uploads(settings.home)
    runner.start()
    try:
        blocks = build(settings, desk)
        try:
            print(f"Lectern is at {launch(blocks, settings)}", flush=True)
            while True:
                time.sleep(3600)
        finally:
            blocks.close(verbose=False)
    finally:
        runner.close(CLOSE_SECONDS)


def launch(blocks: gr.Blocks, settings: Settings) -> str:
    """Start serving; returns the address to open."""
    port = settings.port or _free_port(settings.host)
    blocks.queue(default_concurrency_limit=None, api_open=False)
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
                "middleware": [Middleware(Guard, space=settings.space)],
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
    """Headers that forbid the page whatever it does not need, above all requests to anyone else.

    Gradio compiles its templates in the page, hence the unsafe-eval; what is untrusted never reaches them (panel.py).
    """

    def __init__(self, app: ASGIApp, *, space: bool) -> None:
        self._app = app
        # Hugging Face shows a Space in a frame of its own page
        frames = "https://huggingface.co" if space else "'none'"
        policy = {
            "default-src": "'self'",
            "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
            "style-src": "'self' 'unsafe-inline'",
            "img-src": "'self' data: blob:",
            "font-src": "'self' data:",
            "connect-src": "'self'",
            "object-src": "'none'",
            "frame-src": "'none'",
            "base-uri": "'self'",
            "form-action": "'self'",
            "frame-ancestors": frames,
        }
        self._headers = [
            (b"content-security-policy", "; ".join(f"{name} {value}" for name, value in policy.items()).encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)
