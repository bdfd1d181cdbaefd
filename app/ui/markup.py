"""An answer as HTML. Models repeat what books say, and books say anything: only marks of our own choosing come out.

Raw HTML stays text, a picture becomes its caption (so that no answer makes the browser fetch something), and a link
is kept for http, https and mailto only, opened apart and without telling where from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

SCHEMES = frozenset({"http", "https", "mailto"})


class _Renderer(RendererHTML):
    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        caption = self.renderInlineAsText(tokens[idx].children or [], options, env)
        return f'<span class="no-picture">{escapeHtml(caption or "…")}</span>'

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        tokens[idx].attrSet("target", "_blank")
        tokens[idx].attrSet("rel", "noopener noreferrer nofollow")
        return self.renderToken(tokens, idx, options, env)

    def heading_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        # the page's own headings come first: an answer's begin below the question
        tokens[idx].tag = f"h{min(6, int(tokens[idx].tag[1]) + 2)}"
        return self.renderToken(tokens, idx, options, env)

    heading_close = heading_open

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<pre><code>{escapeHtml(tokens[idx].content)}</code></pre>\n"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return self.code_block(tokens, idx, options, env)


def _link(url: str) -> bool:
    try:
        return urlsplit(url.strip()).scheme.lower() in SCHEMES
    except ValueError:
        return False


def _parser() -> MarkdownIt:
    options: dict[str, Any] = {"html": False, "linkify": False, "typographer": False, "breaks": True, "maxNesting": 20}
    parser = MarkdownIt("commonmark", options, renderer_cls=_Renderer).enable(["table", "strikethrough"])
    parser.validateLink = _link  # type: ignore[method-assign]
    return parser


def render(text: str) -> str:
    """Markdown to safe HTML."""
    # a parser of its own each time: one is not meant for several threads, and making it takes 0.2 ms
    return str(_parser().render(text))
