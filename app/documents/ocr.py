"""Text of pictures of pages, by Tesseract where it is installed. Imports no parser: those are the child's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from app.documents.canonical import clean, is_wide, one_line
from app.documents.model import Document

VERSION = 1  # goes up whenever the same picture would give other lines
# seconds: one page takes two to ten on one core
_PAGE_LIMIT_S = 180.0
PATIENCE_S = 60.0 + _PAGE_LIMIT_S  # after which pages that are looked at together are given up
NOTHING: list[Any] = [595.0, 842.0, []]  # a page without words, as ``look`` tells one
_LEAST_SURE = 30.0  # of 100: below, it is a speck or a drawing that looks like a word
# with what each stands for in our codes of languages; what else is installed is not used unasked
_LANGUAGES = {
    "eng": "en", "chi_sim": "zh", "chi_tra": "zh", "jpn": "ja", "kor": "ko", "deu": "de", "fra": "fr", "spa": "es",
    "ita": "it", "rus": "ru",
}  # fmt: skip


_SIGNS = {".": "。", ",": "，", ":": "：", ";": "；", "?": "？", "!": "！"}
_SIGN = re.compile(
    r"(?<=[\u3040-\u30ff\u4e00-\u9fff”』」）》])\s*([.,:;?!])(?=\s|$|[\u3040-\u30ff\u4e00-\u9fff“『「（《])\s*"
)


@dataclass(frozen=True, slots=True)
class Words:
    """One recognized line: its text, its box in pixels, and the number of its block."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    height: float
    block: int


def available() -> bool:
    """Whether Tesseract and the data of a language are installed."""
    return bool(languages())


@cache
def languages() -> tuple[str, ...]:
    """Tesseract's names of the languages that are installed and told apart here."""
    program = shutil.which("tesseract")
    if program is None:
        return ()
    try:
        told = subprocess.run([program, "--list-langs"], capture_output=True, text=True, timeout=30, errors="replace")
    except (OSError, subprocess.SubprocessError):
        return ()
    installed = set((told.stdout + told.stderr).split())
    return tuple(name for name in _LANGUAGES if name in installed)


def count(path: Path, filename: str) -> int:
    """How many pages a scanned PDF or a CBZ has; for a process of its own. Raises DocumentError."""
    from app.documents import scans

    return scans.count(path, filename)


def look(path: Path, filename: str, *, numbers: Sequence[int], names: Sequence[str]) -> list[list[Any]]:
    """Recognize these pages (from 1), all at once, in the languages ``names``; for a process of its own.

    A page: width and height in points, and its lines, each with the fields of ``Words``. Raises DocumentError.
    """
    from app.documents import scans

    return scans.look(path, filename, numbers, names)


def assemble(path: Path, filename: str, *, pages: Sequence[list[Any]]) -> Document:
    """The Document of all pages, as ``look`` told them; for a process of its own. Raises DocumentError."""
    from app.documents import metadata, scans

    document = metadata.complete(scans.assemble(path, filename, pages))
    document.check()
    return document


def fitting(language: str | None) -> tuple[str, ...]:
    """Of the installed languages those for a text in ``language`` (ISO 639-1); English with every other."""
    chosen = [name for name in languages() if _LANGUAGES[name] == language]
    return tuple(dict.fromkeys([*chosen, *(name for name in languages() if name == "eng")])) or languages()[:1]


def lines(picture: bytes, names: Sequence[str]) -> list[Words]:
    """The lines in a picture (PNG), in Tesseract's order. Empty where it fails or finds nothing."""
    program = shutil.which("tesseract")
    if program is None:
        return []
    # one thread each: on a busy machine several wait for each other many times longer than they work
    variables = os.environ | {"OMP_THREAD_LIMIT": "1"}
    command = [program, "stdin", "stdout", "-l", "+".join(names), "--dpi", "200", "tsv"]
    try:
        done = subprocess.run(command, input=picture, capture_output=True, timeout=_PAGE_LIMIT_S, env=variables)
    except (OSError, subprocess.SubprocessError):
        return []
    return _lines(done.stdout.decode("utf-8", "replace"))


def _lines(table: str) -> list[Words]:
    found: dict[tuple[str, ...], list[tuple[str, int, int, int, int]]] = {}
    for row in table.split("\n")[1:]:
        cells = row.split("\t")
        if len(cells) < 12 or cells[0] != "5":
            continue
        try:
            left, top, width, height = map(int, cells[6:10])
            sure = float(cells[10])
        except ValueError:
            continue
        word = one_line(clean(cells[11]))
        if word and sure >= _LEAST_SURE:
            found.setdefault(tuple(cells[2:5]), []).append((word, left, top, left + width, top + height))
    result = []
    for (block, _, _), words in found.items():
        heights = sorted(bottom - top for _, _, top, _, bottom in words)
        result.append(
            Words(
                text=_joined([word for word, *_ in words]),
                x0=min(word[1] for word in words),
                y0=min(word[2] for word in words),
                x1=max(word[3] for word in words),
                y1=max(word[4] for word in words),
                height=heights[len(heights) // 2],
                block=int(block),
            )
        )
    return result


def _joined(words: Sequence[str]) -> str:
    # a "word" of Chinese is a character or two
    text = ""
    for word in words:
        text += ("" if not text or (is_wide(text[-1]) and is_wide(word[0])) else " ") + word
    # behind an ideograph a sign is as wide as that, whatever the recognizer took it for
    return _SIGN.sub(lambda found: _SIGNS[found[1]], text)
