"""Numbers as headings write them: 12, XII, twelve, twelfth, 十二, 一二, １２."""

from __future__ import annotations

import re
import unicodedata

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: n for n, word in enumerate(_UNITS.split())} | {word: n for n, word in enumerate(_ORDINALS.split())}
_WORDS |= {word: 10 * n for n, word in enumerate(_TENS.split(), 2)} | {
    word[:-1] + "ieth": 10 * n for n, word in enumerate(_TENS.split(), 2)
}
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}
_ROMAN_FORM = re.compile(r"m{0,3}(cm|cd|d?c{0,4})(xc|xl|l?x{0,4})(ix|iv|v?i{0,4})", re.IGNORECASE)
_HAN = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "○": 0, "两": 2, "兩": 2, "廿": 20, "卅": 30}
_HAN_DIGITS = "零一二三四五六七八九"
# from the largest on: what to_roman takes off
_ROMAN_PARTS = {
    "m": 1000, "cm": 900, "d": 500, "cd": 400, "c": 100, "xc": 90, "l": 50, "xl": 40,
    "x": 10, "ix": 9, "v": 5, "iv": 4, "i": 1,
}  # fmt: skip
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000}

_word = "|".join(sorted((w for w in _WORDS if w != "zero"), key=len, reverse=True))
WORD = rf"(?:{_word})(?:[- ](?:{_word}))?"  # a regular expression for the numbers and ordinals of English
HAN = "[0-9０-９零〇○一二三四五六七八九十百千两兩廿卅]+"  # and for the digits of Chinese and Japanese


def number(text: str) -> int | None:
    """The value of a number in any of the forms above; None if it is none of them."""
    text = unicodedata.normalize("NFKC", text).strip(" .").lower()
    if text.isdecimal():
        return int(text) if len(text) < 6 else None
    if text and _ROMAN_FORM.fullmatch(text):
        return roman(text)
    words = re.split("[- ]+", text)
    if all(word in _WORDS for word in words):
        return sum(_WORDS[word] for word in words)
    return han(text)


def roman(text: str) -> int:
    values = [_ROMAN[c] for c in text.lower()]
    return sum(-v if v < following else v for v, following in zip(values, [*values[1:], 0], strict=True))


def han(text: str) -> int | None:
    """十二, 一百二十, 一二零 (digit by digit), 一百十: None for anything else."""
    total = digit = 0
    if not text or any(c not in _HAN and c not in _HAN_UNITS and not c.isdecimal() for c in text):
        return None
    if not any(c in _HAN_UNITS for c in text):
        digits = [_HAN[c] if c in _HAN else int(c) for c in text]
        return (
            digits[0] if len(digits) == 1 else sum(d if d >= 10 else d * 10**n for n, d in enumerate(reversed(digits)))
        )
    for c in text:
        if c in _HAN_UNITS:
            total += (digit or 1) * _HAN_UNITS[c]
            digit = 0
        else:
            digit = digit * 10 + int(c) if c.isdecimal() and c not in _HAN else _HAN[c]
    return total + digit


def to_roman(number: int) -> str:
    """In small letters; digits where there is no such numeral (0, 4,000)."""
    if not 0 < number < 4000:
        return str(number)
    found = ""
    for letters, value in _ROMAN_PARTS.items():
        found += letters * (number // value)
        number %= value
    return found


def to_han(number: int) -> str:
    """十二, 一百零三; digits from 10,000 on."""
    if not 0 < number < 10000:
        return "零" if number == 0 else str(number)
    found, gap = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, number = divmod(number, unit)
        if digit:
            found += ("零" if gap else "") + _HAN_DIGITS[digit] + name
        gap = not digit and bool(found)
    return found[1:] if found.startswith("一十") else found
