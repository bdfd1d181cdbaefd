"""How the page looks: Gradio's theme turned down to system fonts and our colours, then our own style sheets.

Nothing is fetched from anywhere: fonts are the system's, scripts and styles travel in the page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from app.documents.formats import LABELS, SUFFIXES
from app.documents.parse import FILE_LIMIT
from app.reading import welcome
from app.ui.download import FORMATS as EXPORTS
from app.ui.settings import defaults
from app.ui.strings import sayings, tables

if TYPE_CHECKING:
    from app.settings import Settings

ASSETS = Path(__file__).resolve().parents[2] / "assets"
FAVICON = ASSETS / "icons" / "favicon.png"
SHEETS = (
    "base.css",
    "shelf.css",
    "conversation.css",
    "quotes.css",
    "gaze.css",
    "frame.css",
    "dialogs.css",
    "chapters.css",
    "reader.css",
    "artefacts.css",
    "writing.css",
)
SCRIPTS = (
    "core.js",
    "icons.js",
    "frame.js",
    "covers.js",
    "arriving.js",
    "removed.js",
    "shelf.js",
    "quotes.js",
    "gaze.js",
    "history.js",
    "conversation.js",
    "composer.js",
    "backup.js",
    "dialogs.js",
    "chapters.js",
    "reader-text.js",
    "reader-pages.js",
    "reader-notes.js",
    "reader.js",
    "wayback.js",
    "artefacts.js",
    "writing.js",
)
SANS = (
    "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "PingFang SC", "Microsoft YaHei",
    "Noto Sans CJK SC", "sans-serif",
)  # fmt: skip
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")
PAPER, PAPER_DARK, INK, INK_DARK = "#f6f3ec", "#191816", "#24211c", "#e8e3d9"


def theme() -> gr.themes.Base:
    # plain strings are names of installed fonts; Gradio's own default would be fetched from Google
    made = gr.themes.Base(font=list(SANS), font_mono=list(MONO))
    return made.set(
        body_background_fill=PAPER,
        body_background_fill_dark=PAPER_DARK,
        body_text_color=INK,
        body_text_color_dark=INK_DARK,
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        layout_gap="0px",
    )


def head(settings: Settings) -> str:
    given = {
        "strings": tables(),
        "sayings": sayings(),
        "language": settings.language,
        "limit": FILE_LIMIT,
        "suffixes": sorted(SUFFIXES),
        "formats": LABELS,
        "exports": EXPORTS,
        "sampling": defaults(),
        "space": settings.space,
        # as much of a hash as the shelf tells
        "welcome": sorted(one[:8] for one in welcome.hashes()),
    }
    # "</" would end the script early
    data = json.dumps(given, ensure_ascii=False).replace("</", "<\\/")
    # not by launch(css=...): Gradio rewrites selectors there, and splits those with commas inside :is()
    styles = "\n".join((ASSETS / "css" / name).read_text(encoding="utf-8") for name in SHEETS)
    scripts = "\n".join((ASSETS / "js" / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return (
        '<meta name="referrer" content="no-referrer">\n'
        f"<style>{styles}</style>\n"
        f"<script>window.lecternGiven = {data};\n{scripts}</script>"
    )
