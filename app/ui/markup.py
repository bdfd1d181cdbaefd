"""An answer as HTML. Models repeat what books say, and books say anything: only marks of our own choosing come out.

Raw HTML stays text, a picture becomes its caption (so that no answer makes the browser fetch something), and a link
is kept for http, https and mailto only, opened apart and without telling where from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

# where a quotation begins and ends, put into the Markdown itself: noncharacters, which no text may hold
_BEGIN, _STOP, _END = "\ufdd0", "\ufdd1", "\ufdd2"
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")
_SIGN = re.compile(f"{_BEGIN}(\\d+){_STOP}|({_END})")
SCHEMES = frozenset({"http", "https", "mailto"})


class _Renderer(RendererHTML):
    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A quotation is wrapped piece by piece, so that its element never crosses another."""
        made, place, content = [], 0, tokens[idx].content
        for sign in [*_SIGN.finditer(content), None]:
            piece = escapeHtml(content[place : sign.start() if sign else len(content)])
            number = env.get("quotation")
            if piece and number is not None:
                kind = env["kinds"][number]
                piece = f'<span class="quoted {kind}" data-quote="{number}">{piece}</span>'
            made.append(piece)
            if sign:
                env["quotation"] = int(sign[1]) if sign[1] else None
                place = sign.end()
        return "".join(made)

    def renderInline(self, tokens: Sequence[Token], options: OptionsDict, env: EnvType) -> str:
        # a quotation never goes on in the next block
        env["quotation"] = None
        return super().renderInline(tokens, options, env)

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
    normalize = parser.normalizeLink
    parser.normalizeLink = lambda url: normalize(_SIGN.sub("", url))  # type: ignore[method-assign]
    return parser


def render(text: str, quotes: Sequence[Mapping[str, Any]] = ()) -> str:
    """Markdown to safe HTML. ``quotes``, as ``reading.quotes`` gives them, are marked: their number in ``data-quote``,
    their kind ("exact", "near", "missing") as a class."""
    # a parser of its own each time: one is not meant for several threads, and making it takes 0.2 ms
    parser = _parser()
    text = _NONCHARACTERS.sub("\ufffd", text)
    blocks: dict[int, int] = {}
    # from the last one on, so that the places before it stay where they are
    for number, quote in reversed(list(enumerate(quotes))):
        start, stop = quote["start"], quote["stop"]
        if quote["form"] == "block":
            blocks[len(re.findall(r"\r\n?|\n", text[:start]))] = number
            continue
        if quote["form"] == "marks":
            start, stop = start - 1, stop + 1
        text = f"{text[:start]}{_BEGIN}{number}{_STOP}{text[start:stop]}{_END}{text[stop:]}"
    tokens = parser.parse(text)
    for token in tokens:
        if token.type == "inline" and token.map and token.map[0] in blocks and token.children is not None:
            token.children.insert(0, Token("text", "", 0, content=f"{_BEGIN}{blocks[token.map[0]]}{_STOP}"))
    kinds = [quote["kind"] if quote["kind"] != "not found" else "missing" for quote in quotes]
    # what is left of the signs stands in code or in an address
    return _SIGN.sub("", str(parser.renderer.render(tokens, parser.options, {"kinds": kinds})))
