"""The numbers that Word puts before paragraphs and keeps nowhere in their text: 第三章, 2.1, (b), •.

ECMA-376, part 1, 17.9: a paragraph or its style names a list and a level, the list's definition says how each level
counts and what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lxml import etree

from app.documents.numerals import to_han, to_roman
from app.documents.xhtml import local_name

_STEMS, _BRANCHES = "甲乙丙丁戊己庚辛壬癸", "子丑寅卯辰巳午未申酉戌亥"
_LEGAL = str.maketrans("一二三四五六七八九十百千", "壹贰叁肆伍陆柒捌玖拾佰仟")
_DIGITS = str.maketrans("0123456789", "〇一二三四五六七八九")
_WIDE = str.maketrans("0123456789", "０１２３４５６７８９")
# levels of a list, by the standard
_LEVELS = 9


def attribute(element: etree._Element, name: str) -> str:
    """An attribute by its local name, whatever its namespace; "" if there is none."""
    return next((str(value) for key, value in element.attrib.items() if str(key).rpartition("}")[2] == name), "")


def _letters(number: int) -> str:
    # after z comes aa, then bb
    return chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)


def _ordinal(number: int) -> str:
    teens = 10 < number % 100 < 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _one_of(signs: str) -> Callable[[int], str]:
    return lambda number: signs[number - 1] if number <= len(signs) else str(number)


_CIRCLES = "".join(map(chr, range(0x2460, 0x2474)))
# what is not here counts in digits
_FORMATS: dict[str, Callable[[int], str]] = {
    "decimalzero": lambda number: f"{number:02}",
    "upperroman": lambda number: to_roman(number).upper(),
    "lowerroman": to_roman,
    "upperletter": lambda number: _letters(number).upper(),
    "lowerletter": _letters,
    "ordinal": _ordinal,
    "chinesecounting": to_han,
    "chinesecountingthousand": to_han,
    "taiwanesecounting": to_han,
    "taiwanesecountingthousand": to_han,
    "japanesecounting": to_han,
    "chineselegalsimplified": lambda number: to_han(number).translate(_LEGAL),
    "ideographdigital": lambda number: str(number).translate(_DIGITS),
    "taiwanesedigital": lambda number: str(number).translate(_DIGITS),
    "japanesedigitaltenthousand": lambda number: str(number).translate(_DIGITS),
    "ideographtraditional": _one_of(_STEMS),
    "ideographzodiac": _one_of(_BRANCHES),
    "decimalenclosedcircle": _one_of(_CIRCLES),
    "decimalenclosedcirclechinese": _one_of(_CIRCLES),
    "decimalfullwidth": lambda number: str(number).translate(_WIDE),
    "decimalfullwidth2": lambda number: str(number).translate(_WIDE),
    "none": lambda _: "",
}


@dataclass(frozen=True, slots=True)
class _Level:
    """text: "%1.%2" stands for the numbers of the first and second level; style: of the paragraphs that have it."""

    format: str = "decimal"
    text: str = ""
    start: int = 1
    restarts: bool = True
    plain: bool = False
    behind: str = " "
    style: str = ""


@dataclass(slots=True)
class _List:
    """levels, and how far each has counted: None before the first."""

    levels: dict[int, _Level]
    counts: list[int | None] = field(default_factory=lambda: [None] * _LEVELS)

    def level(self, number: int) -> _Level:
        return self.levels.get(number, _Level())

    def next(self, number: int) -> str:
        """Count one more on a level, and what is shown before its text."""
        level, before = self.level(number), self.counts[number]
        self.counts[number] = level.start if before is None else before + 1
        for deeper in range(number + 1, _LEVELS):
            if self.level(deeper).restarts:
                self.counts[deeper] = None
        if level.format == "bullet":
            return "• "

        def shown(match: re.Match[str]) -> str:
            which = int(match[1]) - 1
            other = self.level(which)
            count = self.counts[which]
            write = str if level.plain else _FORMATS.get(other.format, str)
            return write(other.start if count is None else count) if which <= number else ""

        text = re.sub("%([1-9])", shown, level.text).strip()
        return text + level.behind if text else ""


class Lists:
    """Of one document, in the order of whose paragraphs ``mark`` is asked."""

    def __init__(self, numbering: etree._Element | None, styles: etree._Element | None) -> None:
        self._lists: dict[str, _List] = {}
        self._of: dict[str, str] = {}
        self._overrides: dict[str, dict[int, int]] = {}
        links: dict[str, str] = {}
        for element in numbering if numbering is not None else ():
            id = attribute(element, "abstractNumId") or attribute(element, "numId")
            if local_name(element) == "abstractnum":
                levels = {n: made for e in element if local_name(e) == "lvl" for n, made in [_level(e)] if n < _LEVELS}
                self._lists[id] = _List(levels)
                links.update((id, attribute(e, "val")) for e in element if local_name(e) == "numstylelink")
            elif local_name(element) == "num":
                self._num(element)
        self._parents: dict[str, str] = {}
        self._styles: dict[str, tuple[str, int | None]] = {}
        for style in styles if styles is not None else ():
            id = attribute(style, "styleId")
            for element in style:
                if local_name(element) == "basedon":
                    self._parents[id] = attribute(element, "val")
                elif local_name(element) == "ppr" and (named := _named(element)):
                    self._styles[id] = named
        # a list may be defined by a style, which names a list that is defined
        self._linked = {id: self._of.get(self._style(style)[0], id) for id, style in links.items()}

    def mark(self, paragraph: etree._Element) -> str:
        """What Word shows before a paragraph, with what separates it; "" if nothing. Counts it."""
        own, style = None, ""
        for element in paragraph:
            if local_name(element) == "ppr":
                own = _named(element)
                style = next((attribute(e, "val") for e in element if local_name(e) == "pstyle"), "")
        inherited, level = self._style(style)
        number = inherited
        if own:
            number, level = own[0] or inherited, own[1] if own[1] is not None else level
        abstract = self._of.get(number, "")
        found = self._lists.get(self._linked.get(abstract, abstract))
        if found is None:
            return ""
        if level is None:
            level = next((n for n, one in found.levels.items() if one.style and one.style == style), 0)
        for which, start in self._overrides.pop(number, {}).items():
            found.counts[which] = start - 1
        return found.next(level)

    def _num(self, element: etree._Element) -> None:
        id = attribute(element, "numId")
        for part in element:
            if local_name(part) == "abstractnumid":
                self._of[id] = attribute(part, "val")
            elif local_name(part) == "lvloverride":
                level = _whole(attribute(part, "ilvl"))
                starts = [_whole(attribute(e, "val")) for e in part if local_name(e) == "startoverride"]
                if level is not None and level < _LEVELS and starts and starts[0] is not None:
                    self._overrides.setdefault(id, {})[level] = starts[0]

    def _style(self, style: str) -> tuple[str, int | None]:
        """The list and the level of a style or of those that it is based on."""
        for _ in range(20):
            if style in self._styles:
                return self._styles[style]
            style = self._parents.get(style, "")
        return "", None


def _whole(text: str) -> int | None:
    # "²" is a digit to Python, and no number
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def _named(properties: etree._Element) -> tuple[str, int | None] | None:
    """(list, level) that a paragraph's or a style's properties name; list 0 is none."""
    for element in properties:
        if local_name(element) == "numpr":
            values = {local_name(e): attribute(e, "val") for e in element}
            level = _whole(values.get("ilvl", ""))
            return values.get("numid", ""), None if level is None else min(level, _LEVELS - 1)
    return None


def _level(element: etree._Element) -> tuple[int, _Level]:
    values = dict(_values(element))
    number = _whole(attribute(element, "ilvl"))
    start = _whole(values.get("start", ""))
    return number if number is not None else _LEVELS, _Level(
        format=values.get("numfmt", "decimal").lower(),
        text=values.get("lvltext", ""),
        start=1 if start is None else start,
        restarts=values.get("lvlrestart") != "0",
        plain="islgl" in values and values["islgl"] not in ("0", "false"),
        behind="" if values.get("suff") == "nothing" else " ",
        style=values.get("pstyle", ""),
    )


def _values(element: etree._Element) -> Iterator[tuple[str, str]]:
    for part in element:
        yield local_name(part), attribute(part, "val")
