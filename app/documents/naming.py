"""Titles and names: from what a file says of itself, or from what it is called."""

from __future__ import annotations

import re
from pathlib import PurePath

from app.documents.canonical import clean, one_line
from app.documents.formats import SUFFIXES

_SMALL_WORDS = "a an and as at but by for from in into nor of on or the to with de la le du des et und der die das"
_SMALL = frozenset(_SMALL_WORDS.split())
_ROLE = re.compile(r"\s*[(\[][^)\]]*[)\]]\s*|,?\s*\b(?:\d{3,4}\??-(?:\d{3,4}\??)?|ed\.|eds\.|editor|translator)\s*$")
_TITLE_LIMIT = 300
_ENDINGS = re.compile(rf"(?:\.(?:{'|'.join(s[1:] for s in SUFFIXES)}|utf-?8|gb18030|gbk|big5))+$", re.IGNORECASE)
_PARTICLE_WORDS = "de del della di da du la le van von der den ten ter el al bin ibn y e zu zum"
_PARTICLES = frozenset(_PARTICLE_WORDS.split())
_NO_NAME = re.compile(
    r"[@\d/:;!?|]|\b(?:universit|institut|department|laborator|labs?\b|inc\b|corp|ltd|google|microsoft|research|college|"
    r"school|center|centre|abstract|www|http|press|group|edition|version|chapter|contents|microsystems|amazon)",
    re.IGNORECASE,
)
_FILLERS = "administrator admin user owner unknown anonymous author root windows default guest pc python-docx"


def tidy_title(text: str | None) -> str:
    """A title on one clean line of at most 300 characters; "" if there is none."""
    title = one_line(clean(text or ""))
    return title if len(title) <= _TITLE_LIMIT else title[: _TITLE_LIMIT - 1].rstrip() + "…"


def title_from_filename(filename: str) -> str:
    """``war_and-peace (1).txt`` -> ``War and Peace``. Never empty."""
    stem = PurePath(filename.replace("\\", "/")).name
    stem = _ENDINGS.sub("", stem)
    stem = re.sub(r"\s*\(\d+\)$", "", stem)
    words = re.sub(r"[_\-.+\s]+" if " " not in stem else r"[_\s]+", " ", clean(stem)).split()
    if words and all(word == word.lower() for word in words):
        words = [w if n and w in _SMALL else w[:1].upper() + w[1:] for n, w in enumerate(words)]
    return tidy_title(" ".join(words)) or "Untitled"


def split_authors(text: str) -> tuple[str, ...]:
    """``Jeffrey Dean and Sanjay Ghemawat`` -> two names; ``Dumas, Alexandre`` stays one."""
    text = one_line(clean(text))
    for pattern in (r"\s*;\s*", r"\s*(?:,\s+and|,\s*&|,|\band\b|&|、)\s*"):
        parts = [part for part in re.split(pattern, text) if part]
        if len(parts) > 1 and all(len(part.split()) > 1 or "、" in text for part in parts):
            return tuple(dict.fromkeys(name for name in map(tidy_name, parts) if name))
    name = tidy_name(text)
    return (name,) if name else ()


def tidy_name(text: str) -> str:
    """A person's name without years and roles: ``Carroll, Lewis, 1832-1898`` -> ``Carroll, Lewis``."""
    name = one_line(clean(text)).strip(" ,;*†‡∗")
    while (shorter := _ROLE.sub(" ", name).strip(" ,;")) != name and shorter:
        name = shorter
    name = one_line(name)
    return name if 0 < len(name) <= 120 and name.lower() not in ("unknown", "anonymous", "various") else ""


def names_in(text: str) -> tuple[str, ...]:
    """The names in a line under a title; () if anything in it is no name. Marks of footnotes fall off."""
    parts = re.split(
        r"\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*|\s*;\s*|\s*·\s*", re.sub(r"[*†‡∗§¶⋆⁎0-9¹²³⁴⁵]+", " ", one_line(text))
    )
    names = tuple(one_line(part) for part in parts if part.strip())
    return names if names and all(looks_like_name(name) for name in names) else ()


def looks_like_name(text: str) -> bool:
    """Two to five capitalised words, initials and particles among them."""
    words = text.split()
    return (
        2 <= len(words) <= 5
        and not _NO_NAME.search(text)
        and all(word[0].isupper() or word.lower() in _PARTICLES for word in words)
        and not all(len(word.strip(".")) > 3 and word.isupper() for word in words)
    )


def is_filler(author: str) -> bool:
    """Whether a program, not a person, wrote this name into the metadata."""
    return author.strip().lower() in _FILLERS.split()
