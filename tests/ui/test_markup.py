from __future__ import annotations

from html.parser import HTMLParser

import pytest

from app.ui.markup import render

ALLOWED = {
    "p": (), "br": (), "em": (), "strong": (), "s": (), "code": (), "pre": (), "blockquote": (), "hr": (), "ul": (),
    "ol": ("start",), "li": (), "h3": (), "h4": (), "h5": (), "h6": (), "table": (), "thead": (), "tbody": (), "tr": (),
    "th": ("style",), "td": ("style",), "a": ("href", "title", "target", "rel"), "span": ("class",),
}  # fmt: skip


class Checker(HTMLParser):
    """Fails on any element or attribute that answers may not have."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert name in ALLOWED[tag], (tag, name)
            if name == "href":
                assert str(value).split(":")[0].lower() in ("http", "https", "mailto"), value
            if name == "style":
                assert value in ("text-align:left", "text-align:right", "text-align:center"), value


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a <svg/onload=alert(1)> b",
    "![x](http://evil.example/x.png)",
    "![x][r] ![r]\n\n[r]: http://evil.example/y.png",
    "[![x](http://evil.example/x.png)](http://evil.example)",
    "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](java\tscript:alert(1)) [d](&#106;avascript:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>) [b](vbscript:x) [c](file:///etc/passwd) [d](//evil.example)",
    "[x][r]\n\n[r]: javascript:alert(1)",
    '<javascript:alert(1)> <http://ok.example/"onmouseover=alert(1)>',
    '[a](http://ok.example "x\\" onmouseover=\\"alert(1)")',
    "```html\n<script>alert(1)</script>\n```",
    '```" onclick="alert(1)\ncode\n```',
    "    <script>indented</script>",
    "`<b>`",
    "| <b> | `|` |\n|:--|--:|\n| <i onclick=x> | ![x](http://e.example/z) |",
    "# <h1 onclick=x>\n\nSetext <b>\n---",
    "&lt;script&gt; &#60;script&#62; &amp;lt;",
    "<!-- --><![CDATA[ ]]><?php ?><!DOCTYPE html>",
    "${alert(1)} {{constructor}} `${alert(1)}`",
    ">" * 400 + " deep",
    "[" * 2000,
    "*" * 3000,
    "\x00\ufffd\u202e\u2028 text",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_but_marks_of_our_own_comes_out(text: str) -> None:
    made = render(text)
    Checker(convert_charrefs=True).feed(made)
    assert "<script" not in made and "src=" not in made.replace("src=x", "").replace("src=http", "")


def test_a_picture_becomes_its_caption() -> None:
    assert render("![a *chart*](http://evil.example/x.png)") == '<p><span class="no-picture">a chart</span></p>\n'
    assert render("![](http://evil.example/x.png)") == '<p><span class="no-picture">…</span></p>\n'
    assert "evil" not in render("![<b>](http://evil.example/x.png)")


def test_a_link_opens_apart_and_tells_nothing() -> None:
    link = '<a href="https://ok.example" target="_blank" rel="noopener noreferrer nofollow">ok</a>'
    assert render("[ok](https://ok.example)") == f"<p>{link}</p>\n"


def test_markdown_is_set() -> None:
    made = render(
        "# Title\n\n**bold** *slanted* ~~gone~~ `code`\nnext\n\n> quoted\n\n1. one\n2. two\n\n|a|b|\n|-|-|\n|1|2|"
    )
    for part in (
        "<h3>Title</h3>",
        "<strong>bold</strong> <em>slanted</em> <s>gone</s> <code>code</code><br />\nnext",
        "<blockquote>\n<p>quoted</p>\n</blockquote>",
        "<ol>\n<li>one</li>\n<li>two</li>\n</ol>",
        "<td>1</td>",
    ):
        assert part in made


def quote(answer: str, text: str, kind: str = "exact", form: str = "marks") -> dict[str, object]:
    start = answer.index(text)
    return {"start": start, "stop": start + len(text), "kind": kind, "form": form}


def within(answer: str, marked: str) -> dict[str, object]:
    start = answer.index(marked)
    return {"start": start + 1, "stop": start + len(marked) - 1, "kind": "exact", "form": "marks"}


def test_quotations_are_marked() -> None:
    answer = "He says “so *it* goes” & “never\nagain”.\n\n> a `block`\n> of words"
    quotes = [
        quote(answer, "so *it* goes"),
        quote(answer, "never\nagain", "not found"),
        quote(answer, "a `block`\n> of words", "near", "block"),
    ]
    made = render(answer, quotes)
    assert (
        '<span class="quoted exact" data-quote="0">“so </span><em><span class="quoted exact" data-quote="0">it</span></em>'
        in made
    )
    assert '<span class="quoted missing" data-quote="1">“never</span><br />' in made and "</span>." in made
    assert '<blockquote>\n<p><span class="quoted near" data-quote="2">a </span>' in made
    assert "</span> &amp; <span" in made


def test_marks_do_not_open_a_door() -> None:
    answer = "“<script>alert(1)</script>” and [“a”](http://ok.example/“b”) `“c”` \ufdd00\ufdd1x\ufdd2 \ufdd07\ufdd1"
    made = render(answer, [within(answer, text) for text in ("“<script>alert(1)</script>”", "“a”", "“b”", "“c”")])
    assert "%EF%B7" not in made
    assert "<script" not in made and "&lt;script&gt;" in made
    assert not any("\ufdd0" <= one <= "\ufdef" for one in made)
    assert "<code>“c”</code>" in made and 'href="http://ok.example/' in made
    assert 'data-quote="7"' not in made


@pytest.mark.parametrize("text", HOSTILE)
def test_a_quotation_of_anything_brings_nothing_in(text: str) -> None:
    answer = f"“{text}”"
    made = render(answer, [quote(answer, text, "not found")])
    Quoted(convert_charrefs=True).feed(made)


class Quoted(Checker):
    """Lets the number of a quotation through."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, [one for one in attrs if not (one[0] == "data-quote" and str(one[1]).isdigit())])
