"""Charts of where things lie in books, as SVG: items by chapter, kinds of items by chapter, places along a book, gaze.

Plain SVG without scripts or fonts of its own; the same data always give the same drawing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from app.reading.making.rows import Places, value

if TYPE_CHECKING:
    from app.reading.making.desk import Shown

INK, SOFT, LINE, PAPER, ACCENT = "#24211c", "#6b6558", "#b9b1a0", "#ffffff", "#8a4b2a"
PALE = "#efe9dd"
WIDTH = 960
FONT = "font-family=\"-apple-system, 'Segoe UI', 'Noto Sans', 'PingFang SC', 'Noto Sans CJK SC', sans-serif\""
ROWS, COLUMNS, KINDS, STRIPS = 60, 160, 24, 24
# of a strip along a book; chapters are named under it where there is so much room for each
CELLS, NAMED = 160, 88
_SAID = {
    "en": {
        "empty": "Nothing to draw.",
        "chapters": "Places by chapter",
        "kinds": "{} by chapter",
        "book": "Where in the book the places lie",
        "gaze": "Where the answers looked",
        "all": "All answers",
        "start": "start",
        "end": "end",
    },
    "zh": {
        "empty": "没有可绘制的内容。",
        "chapters": "各章出处分布",
        "kinds": "{}在各章的分布",
        "book": "出处在全书中的位置",
        "gaze": "回答时看了哪里",
        "all": "全部回答",
        "start": "开头",
        "end": "结尾",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One line along a book. cells: weights of equal parts of it, from its start to its end."""

    label: str
    cells: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """chapters: (where it starts, of 0..1; its title)."""

    title: str
    chapters: Sequence[tuple[float, str]]
    strips: Sequence[Strip]


def chapters(items: Sequence[Mapping[str, Any]], places: Places, language: str) -> str:
    """How many places lie in each chapter."""
    found = Counter(_chapter(one, places) for item in items for one in item["evidence"])
    order = _order(found, places)[:ROWS]
    if not order:
        return _empty(language)
    several, most = len({document for document, _ in order}) > 1, max(found.values())
    out = [words(24, 32, _SAID[language]["chapters"], 15, INK, "start", bold=True)]
    for number, key in enumerate(order):
        y = 56 + 24 * number
        label = f"{short(places.title(key[0]), 16)} · {key[1]}" if several else key[1]
        out.append(words(330, y + 12, short(label, 46), 12, INK, "end"))
        count = found.get(key, 0)
        bar = f'width="{max(1.0, 540 * count / most):.1f}" height="16" rx="3" fill="{ACCENT if count else LINE}"'
        out.append(f'<rect x="342" y="{y}" {bar}/>')
        out.append(words(350 + 540 * count / most, y + 12, str(count), 11, SOFT, "start"))
    return svg(WIDTH, 72 + 24 * len(order), out)


def kind_of(shown: Shown) -> str | None:
    """The property whose values are followed through the chapters: a theme, a name, an aspect."""
    merge = [name for name in shown.template.merge if name in shown.template.last["properties"]]
    return merge[0] if len(merge) == 1 else None


def kinds(shown: Shown, items: Sequence[Mapping[str, Any]], places: Places, language: str) -> str:
    """How dense each theme, or whatever the items are called by, lies in each chapter: the darker, the more places."""
    name = kind_of(shown)
    found: dict[str, Counter[tuple[int, str]]] = {}
    for item in items:
        kind = value(shown, name or "", dict(item), language)
        found.setdefault(kind, Counter()).update(_chapter(one, places) for one in item["evidence"])
    rows = sorted(found, key=lambda kind: -sum(found[kind].values()))[:KINDS]
    columns = _order(Counter(key for kind in rows for key in found[kind]), places)[:COLUMNS]
    if not columns:
        return _empty(language)
    left, top, width = 232.0, 56.0, WIDTH - 232.0 - 24.0
    cell, most = width / len(columns), max(count for kind in rows for count in found[kind].values())
    heading = _SAID[language]["kinds"].format(shown.template.label(name or "", language))
    out = [words(24, 32, heading, 15, INK, "start", bold=True)]
    for number, kind in enumerate(rows):
        y = top + 26 * number
        out.append(words(left - 12, y + 16, short(kind, 30), 12, INK, "end"))
        for place, key in enumerate(columns):
            count = found[kind].get(key, 0)
            fill = f'fill="{ACCENT}" fill-opacity="{0.2 + 0.8 * count / most:.2f}"' if count else f'fill="{PALE}"'
            x = left + cell * place
            out.append(f'<rect x="{x + 0.5:.1f}" y="{y}" width="{max(0.5, cell - 1):.1f}" height="24" rx="2" {fill}/>')
            if count > 1 and cell > 18:
                ink = PAPER if count / most > 0.5 else INK
                out.append(words(x + cell / 2, y + 16, str(count), 11, ink, "middle"))
    bottom = top + 26 * len(rows)
    several = len({document for document, _ in columns}) > 1
    labels = [f"{short(places.title(document), 10)} · {title}" if several else title for document, title in columns]
    return svg(WIDTH, bottom + 120, [*out, *_slanted(labels, left, bottom, cell)])


def book(items: Sequence[Mapping[str, Any]], places: Places, language: str) -> str:
    """Where along each book the places lie."""
    found: dict[int, list[float]] = {}
    for item in items:
        for one in item["evidence"]:
            cells = found.setdefault(one["document"], [0.0] * CELLS)
            size = max(1, places.characters(one["document"]))
            cells[min(CELLS - 1, (one["start"] + one["end"]) * CELLS // (2 * size))] += 1
    books = [
        Book(title=places.title(id), chapters=places.along(id), strips=[Strip(label="", cells=cells)])
        for id, cells in found.items()
    ]
    return strips(books, _SAID[language]["book"], language)


def gaze(books: Sequence[Book], language: str) -> str:
    """Where in each book answers looked as they were written: a strip an answer, and one of all of them."""
    made = []
    for one in books:
        whole = [sum(strip.cells[n] for strip in one.strips) for n in range(len(one.strips[0].cells))]
        total = [Strip(label=_SAID[language]["all"], cells=whole)] if len(one.strips) > 1 else []
        made.append(Book(title=one.title, chapters=one.chapters, strips=[*total, *one.strips[: STRIPS - 1]]))
    return strips(made, _SAID[language]["gaze"], language)


def strips(books: Sequence[Book], heading: str, language: str) -> str:
    if not books:
        return _empty(language)
    out = [words(24, 32, heading, 15, INK, "start", bold=True)]
    y = 44.0
    for one in books:
        labelled = any(strip.label for strip in one.strips)
        left = 232.0 if labelled else 24.0
        width = WIDTH - left - 24.0
        out.append(words(24, y + 22, short(one.title, 100), 13, INK, "start", bold=True))
        y += 34
        top = y
        for strip in one.strips:
            if strip.label:
                out.append(words(left - 12, y + 17, short(strip.label, 30), 12, SOFT, "end"))
            out.append(f'<rect x="{left}" y="{y}" width="{width}" height="24" rx="3" fill="{PALE}"/>')
            most, cell = max(strip.cells, default=0.0) or 1.0, width / max(1, len(strip.cells))
            for place, weight in enumerate(strip.cells):
                # what is hardly looked at is paper
                if weight / most < 0.03:
                    continue
                shape = f'x="{left + cell * place:.1f}" y="{y}" width="{max(1.5, cell):.1f}" height="24"'
                out.append(f'<rect {shape} fill="{ACCENT}" fill-opacity="{0.2 + 0.8 * weight / most:.2f}"/>')
            y += 30
        y += _axis(out, one.chapters, left, width, top, y - 6, language)
    return svg(WIDTH, y + 20, out)


def _axis(
    out: list[str], marks: Sequence[tuple[float, str]], left: float, width: float, top: float, y: float, language: str
) -> float:
    """Where chapters begin, named where they are far enough apart; its height."""
    if not marks:
        out.append(words(left, y + 18, _SAID[language]["start"], 11, SOFT, "start"))
        out.append(words(left + width, y + 18, _SAID[language]["end"], 11, SOFT, "end"))
        return 34
    for share, _ in marks:
        x = left + width * share
        out.append(f'<path d="M{x:.1f} {top} V{y + 5:.1f}" stroke="{PAPER}" stroke-width="1"/>')
        out.append(f'<path d="M{x:.1f} {y} V{y + 6:.1f}" stroke="{LINE}" stroke-width="1"/>')
    said: list[tuple[float, str]] = []
    for share, title in marks:
        if not said or (share - said[-1][0]) * width >= NAMED:
            said.append((share, title))
    for number, (share, title) in enumerate(said):
        room = ((said[number + 1][0] if number + 1 < len(said) else 1.0) - share) * width
        out.append(words(left + width * share + 2, y + 18, short(title, max(4, int(room / 7.4))), 11, SOFT, "start"))
    return 34


def _slanted(labels: Sequence[str], left: float, y: float, cell: float) -> list[str]:
    """Names under narrow columns: as many as there is room for."""
    step = max(1, math.ceil(19 / cell))
    out = []
    for number in range(0, len(labels), step):
        x = left + cell * (number + 0.5)
        text = escape(short(labels[number], 24))
        out.append(
            f'<text transform="translate({x + 3:.1f} {y + 14:.1f}) rotate(-42)" font-size="11" fill="{SOFT}" '
            f'text-anchor="end">{text}</text>'
        )
    return out


def _chapter(evidence: Mapping[str, Any], places: Places) -> tuple[int, str]:
    place = places.of(dict(evidence))
    return place.document, place.chapter or "–"


def _order(found: Mapping[tuple[int, str], int], places: Places) -> list[tuple[int, str]]:
    """Chapters as the books have them, also those without a place."""
    order: list[tuple[int, str]] = []
    for document in dict.fromkeys(document for document, _ in found):
        titles = ["–", *(chapter.title for chapter in places.chapters(document) if chapter.kind == "body")]
        order += [(document, title) for title in dict.fromkeys(titles) if title != "–" or (document, "–") in found]
        order += [key for key in found if key[0] == document and key not in order]
    return order


def _empty(language: str) -> str:
    return svg(WIDTH, 80, [words(24, 46, _SAID[language]["empty"], 14, SOFT, "start")])


def svg(width: float, height: float, parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" {FONT}>'
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="{PAPER}"/>{"".join(parts)}</svg>'
    )


def words(x: float, y: float, said: str, size: int, colour: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    look = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(said)}</text>'


def short(text: str, most: int) -> str:
    """By width: a Chinese character counts two."""
    width, text = 0, " ".join(text.split())
    for place, character in enumerate(text):
        width += 2 if ord(character) >= 0x2E80 else 1
        if width > most:
            return text[:place].rstrip() + "…"
    return text
