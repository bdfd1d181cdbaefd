"""Pages of a PDF as they are shown: a picture of each, and which characters of the text stand where on it, so that a
passage can be selected and marked. Several pages at a time, in one process of their own; nothing is kept."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from app.documents.pdf_pages import _TOKEN, WIDTHS, Paged, _image_of, _joined, _match, _share, _tokens

# start, stop in the document's text; line on the page; x0, y0, x1, y1 as shares of the page
Piece = tuple[int, int, int, float, float, float, float]
MOST_PAGES = 8


class PageView(TypedDict):
    """``image``: PNG; ``ratio``: height by width; ``pieces``: words, or the part of one on a line, in the text's
    order."""

    number: int
    image: bytes
    ratio: float
    pieces: list[Piece]


def page_views(
    path: Path, document: Paged, numbers: Sequence[int], width: int, *, filename: str = ""
) -> list[PageView]:
    """The pages of these numbers (from 1, at most 8 are shown), ``width`` pixels wide; unknown ones are left out.

    Raises ValueError for another width, and what parsing raises of DocumentError.
    """
    from app.documents import sandbox

    if not WIDTHS[0] <= width <= WIDTHS[1]:
        raise ValueError(f"a picture is {WIDTHS[0]} to {WIDTHS[1]:,} pixels wide, not {width}")
    wanted = set(list(numbers)[:MOST_PAGES])
    parts = [
        (page.number, page.start, document.text[page.start : page.end])
        for page in document.pages
        if page.number in wanted
    ]
    found: list[PageView] = sandbox.call(_views, path, filename or path.name, parts=parts, width=width) if parts else []
    return found


# in the child process


def _views(path: Path, filename: str, *, parts: Sequence[tuple[int, int, str]], width: int) -> list[dict[str, Any]]:
    from app.documents import pdf

    made: list[dict[str, Any]] = []
    with pdf.open_document(path, filename) as document:
        for number, start, text in parts:
            if number > document.page_count:
                continue
            page = document[number - 1]
            made.append(
                {
                    "number": number,
                    "image": _image_of(page, width),
                    "ratio": page.rect.height / max(page.rect.width, 1),
                    "pieces": _pieces(page, start, text),
                }
            )
    return made


def _pieces(page: Any, start: int, text: str) -> list[Piece]:
    # raised digits of the text are plain ones in the file
    text = "".join(plain if len(plain := unicodedata.normalize("NFKC", c)) == 1 else c for c in text)
    words = [(match[0], match.start()) for match in _TOKEN.finditer(text)]
    tokens = _joined(list(_tokens(page)), {word for word, _ in words})
    places = _match([word for word, _ in words], [token.text for token in tokens])
    pieces: list[Piece] = []
    for (word, offset), place in zip(words, places, strict=True):
        if place is None:
            continue
        token = tokens[place]
        first = 0
        for index in range(1, len(word) + 1):
            if index < len(word) and token.lines[index] == token.lines[first]:
                continue
            boxes = token.boxes[first:index]
            whole = [min(b[0] for b in boxes), min(b[1] for b in boxes)]
            whole += [max(b[2] for b in boxes), max(b[3] for b in boxes)]
            shares = [round(value, 5) for value in _share(whole, page)]
            at = start + offset
            pieces.append((at + first, at + index, token.lines[first], *shares))  # type: ignore[arg-type]
            first = index
    return pieces
