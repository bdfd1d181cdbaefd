"""Headings that a file marks as such (tags, styles) to chapters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.documents import headings, naming
from app.documents.canonical import Heading

_TITLE_PAGE = 8  # headings among which title, "by" and author may stand
_BY = frozenset(("by", "von", "par", "de", "著"))


def chapters(
    blocks: Sequence[str], marked: Sequence[tuple[int, int]], title: str, authors: Sequence[str]
) -> list[Heading]:
    """Chapters at the marked blocks, (index, level); where fewer than two are marked, at what looks like headings.

    Title, "by" and author on a title page are none. The highest level becomes 1.
    """
    names = {key for name in (title, *authors) if (key := headings.key(name))}
    found: list[tuple[int, int, str]] = []
    for place, (index, level) in enumerate(marked):
        text = naming.tidy_title(blocks[index])
        key = headings.key(text)
        on_title_page = place < _TITLE_PAGE and (key in _BY or any(key.endswith(name) for name in names))
        if not key or key in names or (on_title_page and headings.match(text) is None):
            continue
        found.append((index, level, text))
    if len(found) < 2:
        return headings.find(blocks) or [Heading(index=index, title=text, level=1) for index, _, text in found]
    # a heading "CONTENTS" is set larger than the chapters of many a book
    numbered = [level for _, level, text in found if not re.fullmatch("contents|目录|目錄|目次", headings.key(text))]
    highest = min(numbered or [1])
    return [Heading(index=index, title=text, level=max(level - highest, 0) + 1) for index, level, text in found]
