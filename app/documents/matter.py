"""Front and back matter: parts of a book that are not read as its text, told by what they are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.documents.model import Kind

_FRONT = (
    "cover|(?:half)?title(?:page)?|copyright(?:page|notice)?|dedication|(?:tableof)?contents|thecontents|"
    "list(?:of)?(?:illustrations|figures|tables|maps|plates)|illustrations|(?:original)?transcribers?notes?|"
    "aboutthise?book|alsoby.{0,60}|praisefor.{0,80}|封面|扉页|扉頁|书名页|版权(?:页|信息)?|版權(?:頁)?|目录|目錄|目次|"
    "inhalt(?:sverzeichnis)?|tabledesmatières|índice|indice"
)
_BACK = (
    "(?:general|subject|name|author)?index(?:es)?|indexof(?:names|subjects|firstlines|titles).{0,40}|colophon|"
    "(?:the)?(?:full)?(?:project)?(?:gutenberg)?(?:tm)?licen[cs]e|copyright(?:page|notice)?|(?:tableof)?contents|"
    "about(?:the|this)(?:authors?|publisher|type|e?book)|(?:original)?transcribers?notes?|alsoby.{0,60}|"
    "索引|版权(?:页|信息)?|版權(?:頁)?|奥付|作者简介|目录|目錄|目次"
)
_IN_FRONT = re.compile(_FRONT)
_AT_BACK = re.compile(_BACK)


def kinds(chapters: Sequence[tuple[str, int, float, Kind | None]]) -> list[Kind]:
    """The kind of each chapter, given by title, level, place (0 to 1) and kind if it is known.

    What lies below a part of the front or back matter belongs to that.
    """
    found: list[Kind] = []
    inside: tuple[int, Kind] | None = None
    for title, level, place, known in chapters:
        if inside is not None and level <= inside[0]:
            inside = None
        kind = known or (inside[1] if inside else _kind(title, place))
        if kind != "body" and inside is None:
            inside = (level, kind)
        found.append(kind)
    return found


def _kind(title: str, place: float) -> Kind:
    name = re.sub(r"[\W_]+", "", title).casefold()
    # a story may be called "Contents" or "Illustrations": only the ends of a book hold such parts
    if place < 0.25 and _IN_FRONT.fullmatch(name):
        return "front"
    return "back" if place > 0.6 and _AT_BACK.fullmatch(name) else "body"
