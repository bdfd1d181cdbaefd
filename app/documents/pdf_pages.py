"""Where on the pages of a PDF a passage of its text stands, and pictures of its pages. Each call runs in a process
of its own, reads the file again and keeps nothing.

A page's tokens are matched against those of the text that lies on it: the longest runs first, so that columns, notes
and figures may stand in another order than the text has them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Protocol

from app.documents.canonical import clean
from app.documents.model import Page

Quad = tuple[int, list[float]]

WIDTHS = (16, 4096)  # pixels of a picture's width
_MOST_PIXELS = 32_000_000
_WIDE = "\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+|[^\s]")
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})


class Paged(Protocol):
    """A document, or what a library kept of it."""

    @property
    def text(self) -> str: ...

    @property
    def pages(self) -> Sequence[Page]: ...


def quads(path: Path, document: Paged, start: int, stop: int, *, filename: str = "") -> list[Quad]:
    """The rectangles of ``document.text[start:stop]``: (page, [x0, y0, x1, y1]), one a line, in the text's order.

    Coordinates are shares (0 to 1) of the page's width and height, from its upper left corner as it is shown. What
    the page does not print has none: the space between paragraphs. Raises ValueError for a range outside the text,
    and what parsing raises of DocumentError.
    """
    from app.documents import sandbox

    if not 0 <= start <= stop <= len(document.text):
        raise ValueError(f"characters {start}..{stop} of a text of {len(document.text)}")
    parts = [
        (page.number, document.text[page.start : page.end], max(start - page.start, 0), stop - page.start)
        for page in document.pages
        if page.start < stop and start < page.end
    ]
    found: list[Quad] = sandbox.call(_quads, path, filename or path.name, parts=parts) if parts else []
    return found


def page_image(path: Path, page: int, width: int, *, filename: str = "") -> bytes:
    """The page (from 1) as PNG, ``width`` pixels wide (16 to 4,096).

    Raises ValueError for another width or a page that is not there, and what parsing raises of DocumentError.
    """
    from app.documents import sandbox

    if not WIDTHS[0] <= width <= WIDTHS[1]:
        raise ValueError(f"a picture is {WIDTHS[0]} to {WIDTHS[1]:,} pixels wide, not {width}")
    image: bytes | None = sandbox.call(_image, path, filename or path.name, page=page, width=width)
    if image is None:
        raise ValueError(f"there is no page {page}")
    return image


# in the child process


def _image(path: Path, filename: str, *, page: int, width: int) -> bytes | None:
    from app.documents import pdf

    with pdf.open_document(path, filename) as document:
        return _image_of(document[page - 1], width) if 1 <= page <= document.page_count else None


def _image_of(page: Any, width: int) -> bytes:
    from app.documents.mupdf import pymupdf

    scale = width / max(page.rect.width, 1)
    # a strip of a page would need the memory of hundreds
    scale = min(scale, (_MOST_PIXELS / max(page.rect.width * page.rect.height, 1)) ** 0.5)
    image: bytes = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False).tobytes("png")
    return image


def _quads(path: Path, filename: str, *, parts: Sequence[tuple[int, str, int, int]]) -> list[Quad]:
    from app.documents import pdf

    found: list[Quad] = []
    with pdf.open_document(path, filename) as document:
        for number, text, start, stop in parts:
            if number <= document.page_count:
                found += [(number, box) for box in page_quads(document[number - 1], text, start, stop)]
    return found


@dataclass(slots=True)
class _Token:
    """A word or a sign of the page. boxes: of each character; line: its number on the page."""

    text: str
    boxes: list[tuple[float, float, float, float]]
    lines: list[int]


def page_quads(page: Any, text: str, start: int, stop: int) -> list[list[float]]:
    """The rectangles of ``text[start:stop]`` on a PyMuPDF page, ``text`` being all that is kept of it."""
    # raised digits of the text are plain ones in the file
    text = "".join(plain if len(plain := unicodedata.normalize("NFKC", c)) == 1 else c for c in text)
    words = [(match[0], match.start()) for match in _TOKEN.finditer(text)]
    tokens = _joined(list(_tokens(page)), {word for word, _ in words})
    rects: list[tuple[int, list[float]]] = []  # line and box
    places = _match([word for word, _ in words], [token.text for token in tokens])
    for (word, offset), place in zip(words, places, strict=True):
        if place is None:
            continue
        token = tokens[place]
        for index in range(max(start - offset, 0), min(stop - offset, len(word))):
            line, box = token.lines[index], token.boxes[index]
            if rects and rects[-1][0] == line:
                last = rects[-1][1]
                last[:] = [min(last[0], box[0]), min(last[1], box[1]), max(last[2], box[2]), max(last[3], box[3])]
            else:
                rects.append((line, list(box)))
    return [_share(box, page) for _, box in rects]


def _share(box: Sequence[float], page: Any) -> list[float]:
    from app.documents.mupdf import pymupdf

    # text has the coordinates of the page before it is turned
    x0, y0, x1, y1 = pymupdf.Rect(box) * page.rotation_matrix
    rect = page.rect
    across, down = max(rect.width, 1e-6), max(rect.height, 1e-6)
    values = ((x0 - rect.x0) / across, (y0 - rect.y0) / down, (x1 - rect.x0) / across, (y1 - rect.y0) / down)
    return [min(max(value, 0.0), 1.0) for value in values]


def _tokens(page: Any) -> Iterator[_Token]:
    from app.documents.pdf_lines import TEXT_FLAGS

    number = 0
    for block in page.get_text("rawdict", flags=TEXT_FLAGS)["blocks"]:
        for line in block.get("lines", ()):
            number += 1
            letters: list[str] = []
            boxes: list[tuple[float, float, float, float]] = []
            for character in (c for span in line["spans"] for c in span["chars"]):
                said = unicodedata.normalize("NFKC", clean(character["c"].translate(_LIGATURES)))
                if len(said) == 1 and unicodedata.combining(said) and letters:
                    # an accent set on its own belongs to the letter before it
                    composed = unicodedata.normalize("NFC", letters[-1] + said)
                    if len(composed) == 1:
                        letters[-1] = composed
                        continue
                letters += said
                boxes += [tuple(character["bbox"])] * len(said)
            text = "".join(letters)
            for match in _TOKEN.finditer(text):
                span = boxes[match.start() : match.end()]
                yield _Token(match[0], span, [number] * len(span))


def _joined(tokens: Sequence[_Token], words: set[str]) -> list[_Token]:
    """Words that a line end divides are one token where the text has them in one."""
    joined: list[_Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if index + 2 < len(tokens) and tokens[index + 1].text in ("-", "‐"):
            after = tokens[index + 2]
            whole = token.text + after.text
            if after.lines[0] != token.lines[-1] and whole in words:
                joined.append(_Token(whole, token.boxes + after.boxes, token.lines + after.lines))
                index += 3
                continue
        joined.append(token)
        index += 1
    return joined


def _match(words: Sequence[str], tokens: Sequence[str]) -> list[int | None]:
    """For each word of the text its token on the page, or None: long runs first, then what is left between them."""
    places: list[int | None] = [None] * len(words)
    open_words, open_tokens = list(range(len(words))), list(range(len(tokens)))
    for shortest in (8, 8, 4, 4, 2, 2, 1, 1):
        if not open_words or not open_tokens:
            break
        matcher = SequenceMatcher(None, [words[n] for n in open_words], [tokens[n] for n in open_tokens], False)
        used_words: set[int] = set()
        used_tokens: set[int] = set()
        for first, second, size in matcher.get_matching_blocks():
            if size < shortest:
                continue
            for step in range(size):
                places[open_words[first + step]] = open_tokens[second + step]
                used_words.add(first + step)
                used_tokens.add(second + step)
        open_words = [n for index, n in enumerate(open_words) if index not in used_words]
        open_tokens = [n for index, n in enumerate(open_tokens) if index not in used_tokens]
    return places
