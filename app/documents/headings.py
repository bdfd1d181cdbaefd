"""Chapters of a text that does not name them itself: lines such as "CHAPTER XII", "BOOK FIRST", "第一回".

Works on paragraphs (blocks), in four steps: what looks like a heading; which of those are a table of contents;
which fall out of the sequence of numbers and so are mentions; what each is called and at which level.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

from app.documents import numerals
from app.documents.canonical import Heading, one_line

_LONGEST = 160
_GAP = 200  # characters: less between two headings is no chapter but a line of a table of contents
_RANKS = {
    "volume": 1,
    "book": 2,
    "part": 2,
    "act": 2,
    "epilogue": 2,
    "section": 3,
    "chapter": 3,
    "entry": 3,
    "scene": 4,
    "roman": 3,
}

_ENGLISH = {
    "chapter": "chapter|chap|chapitre|kapitel|capítulo|capitulo|capitolo|hoofdstuk|rozdział|глава|letter|canto|stave|"
    "adventure|lecture|fable",
    "book": "book|livre|buch|libro|livro|книга",
    "part": "part|partie|teil|parte|часть",
    "volume": "volume|vol|tome|band|tomo|том",
    "act": "act|acte|akt|atto|acto",
    "scene": "scene|scène",
    "section": "section",
}
_KINDS = {word: kind for kind, words in _ENGLISH.items() for word in words.split("|")}
_kinds = "|".join(sorted(_KINDS, key=len, reverse=True))
_number = rf"(?:\d{{1,4}}|[ivxlc]{{1,9}}|{numerals.WORD})"
_rest = r"(?P<sep>\s*[.:—–\-]+\s*|\s+)?(?P<rest>.*)"
_NUMBERED = re.compile(
    rf"_?(?:the\s+)?(?P<kind>{_kinds})\.?\s+(?:the\s+)?(?P<number>{_number})\b{_rest}", re.IGNORECASE | re.DOTALL
)
_ORDINAL = re.compile(
    rf"(?:the\s+)?(?P<number>{numerals.WORD})\s+(?P<kind>{_kinds}|epilogue)\b{_rest}", re.IGNORECASE | re.DOTALL
)
_HAN_KINDS = {
    **dict.fromkeys("回章节節话話折幕", "chapter"),
    **dict.fromkeys("卷篇集编編册冊", "book"),
    "部": "part",
}
_CHINESE = re.compile(rf"第\s*(?P<number>{numerals.HAN})\s*(?P<kind>[{''.join(_HAN_KINDS)}])(?P<rest>.*)", re.DOTALL)
# 卷二, 卷之三, 上卷: only with a space or nothing after it, as 卷 is a word of prose too
_VOLUME = re.compile(
    rf"(?:卷\s*之?(?P<number>{numerals.HAN})|(?P<third>[上中下])(?P<kind>[卷部篇册冊]))"
    r"(?:[\s　：:·]+(?P<rest>.{1,30}))?",
    re.DOTALL,
)
_KOREAN = re.compile(r"제\s*(?P<number>\d{1,4})\s*(?P<kind>[장부편])(?P<rest>.*)", re.DOTALL)
_ROMAN = re.compile(r"(?P<number>[IVXLC]{1,8})(?:\.?|(?P<sep>\.)\s+(?P<rest>\S.*))", re.DOTALL)
_SPECIAL = re.compile(
    r"(?:prologue|epilogue|preface|introduction|introductory|foreword|afterword|conclusion|postscript|interlude|appendix"
    r"(?: [a-z0-9]{1,3})?|dedication|acknowledge?ments?|glossary|bibliography|index|notes|etymology|"
    r"prolog|epilog|vorwort|nachwort|préface|épilogue|prólogo|epílogo|prefazione|пролог|эпилог)\b(?P<rest>.{0,60})",
    re.IGNORECASE,
)
_HAN_SPECIAL = re.compile(
    r"(?:楔子|引子|序[章言幕]?|自序|前言|尾[声聲]|[后後][记記]|[终終]章|番外[篇編编]?[一二三四五六七八九十\d]{0,3}|附[录錄]|結語|结语|跋)"
    r"(?:[\s　：:].{0,30})?"
)
_CONTENTS = frozenset(
    (
        "contents",
        "tableofcontents",
        "thecontents",
        "目录",
        "目錄",
        "目次",
        "inhalt",
        "tabledesmatières",
        "índice",
        "indice",
    )
)
_PROSE_END = re.compile(r"[,;，；、]$|[a-z][.!?][\"'”’]?$")


@dataclass(frozen=True, slots=True)
class Mark:
    """A block that looks like a heading. ``rest`` is what follows the number; ``number`` is None for "Epilogue"."""

    index: int
    kind: str
    number: int | None
    text: str
    rest: str = ""


def match(text: str, index: int = 0) -> Mark | None:
    """The mark of a line that looks like a heading by itself, or None."""
    if not text or len(text) > _LONGEST:
        return None
    text = one_line(text).strip("*_ ")
    if not text or text[0].islower():
        return None
    if found := _CHINESE.match(text) or _KOREAN.match(text):
        rest = found["rest"]
        if len(text) > 60 or (
            rest and rest[0] not in " \t　：:·.、—-（(" and (len(rest) > 30 or re.search("[，。；！？,;]", rest))
        ):
            return None
        kind = _HAN_KINDS.get(found["kind"], "book" if found["kind"] in "부편" else "chapter")
        return Mark(index, kind, numerals.number(found["number"]), text, rest.strip(" 　：:·.、"))
    if (found := _VOLUME.fullmatch(text)) and not re.search("[，。；！？]", found["rest"] or ""):
        number = "上中下".index(found["third"]) + 1 if found["third"] else numerals.number(found["number"])
        return Mark(index, _HAN_KINDS[found["kind"] or "卷"], number, text, (found["rest"] or "").strip())
    if found := _NUMBERED.match(text) or _ORDINAL.match(text):
        separator, rest = found["sep"] or "", found["rest"] or ""
        starts_sentence = bool(rest) and not separator.strip() and (rest[0].islower() or rest[0] in ",;)")
        if starts_sentence or (rest and not separator):
            return None
        kind = _KINDS.get(found["kind"].lower(), "epilogue")
        return Mark(index, kind, numerals.number(found["number"]), text, rest.strip(" ._*"))
    if found := _SPECIAL.fullmatch(text):
        rest = found["rest"]
        capital = text[0].isupper() and (not rest or not rest.strip() or not rest.lstrip(" ")[0].islower())
        return Mark(index, "special", None, text, "") if capital and not _PROSE_END.search(rest.rstrip(".")) else None
    if _HAN_SPECIAL.fullmatch(text):
        return Mark(index, "special", None, text, "")
    return None


def find(blocks: Sequence[str], *, bare: bool = True, contents_too: bool = False) -> list[Heading]:
    """The chapters of a text given by its paragraphs, in order. Empty if none can be told.

    contents_too: give the table of contents a heading of its own, of the kind "front".

    bare: whether paragraphs that are a number only ("IV", "12") may be headings; not so where figures and tables
    leave such paragraphs behind.
    """
    lines = [[line.strip() for line in block.split("\n")] if len(block) < 20_000 else [block] for block in blocks]
    marks: list[Mark] = []
    lists: set[int] = set()  # blocks that name several headings
    for index, parts in enumerate(lines):
        if len(parts) > 2 and sum(match(part) is not None for part in parts) > 2:
            lists.add(index)
        elif len(parts) <= 3 and (mark := match(blocks[index], index)):
            marks.append(mark)
    contents = _contents(blocks, lines, marks)
    marks = _in_sequence([mark for mark in marks if mark.index not in contents.blocks])
    if sum(mark.number is not None for mark in marks) < 2 and not contents.entries:
        skip = contents.blocks | lists
        marks = (_roman(blocks, skip) if bare else []) or [mark for mark in marks if mark.number is not None]
    found = _headings(blocks, _with_entries(blocks, marks, contents))
    if contents_too and contents.blocks and found and (first := min(contents.blocks)) < found[0].index:
        title = one_line(blocks[first]) if key(blocks[first]) in _CONTENTS else "Contents"
        found.insert(0, Heading(index=first, title=title, level=1, kind="front"))
    return found


def key(text: str) -> str:
    """A heading as it is compared: letters and digits only, without case, leaders and page number."""
    text = re.sub(r"[\s.·…_]{2,}\d{1,4}\s*$", "", text)
    return re.sub(r"[\W_]+", "", text).casefold()


def _keys(text: str) -> set[str]:
    """The keys under which an entry of the contents may stand in the text.

    A numbered heading is known by its kind and number and by its title, anything else with and without its number.
    """
    if (mark := match(text)) and mark.number is not None:
        keys = {f"{mark.kind} {mark.number}", key(mark.rest)}
    else:
        keys = {key(text), key(re.sub(r"^\s*(?:[IVXLC]+|\d{1,3})[.)]?\s+", "", text))}
    return {k for k in keys if any(c.isalpha() for c in k)}


@dataclass(frozen=True, slots=True)
class _Contents:
    blocks: frozenset[int] = frozenset()
    entries: tuple[str, ...] = ()


def _contents(blocks: Sequence[str], lines: Sequence[Sequence[str]], marks: Sequence[Mark]) -> _Contents:
    """The table of contents: it ends where its first entry appears again.

    It begins at a block "Contents", or with four headings that nothing stands between.
    """
    start = next((n for n, parts in enumerate(lines[:400]) if key(parts[0]) in _CONTENTS), None)
    if start is None:
        start = _dense_run(blocks, marks)
    if start is None:
        return _Contents()
    entries: list[str] = []
    first: set[str] = set()
    for end in range(start, min(start + 3000, len(blocks))):
        parts = [part for part in lines[end] if key(part) and key(part) not in _CONTENTS]
        if not parts:
            continue
        if len(blocks[end]) > _LONGEST and len(parts) < 3:
            break
        if entries and first & (_keys(blocks[end]) | _keys(parts[0])):
            break
        first = first or _keys(parts[0])
        entries += parts
    else:
        return _Contents()
    # a list of which next to nothing comes again is no table of contents
    later = set().union(*(_keys(block) for block in blocks[end:] if len(block) <= _LONGEST))
    again = tuple(entry for entry in entries if _keys(entry) & later)
    if len(again) < 2 or len(again) * 3 < len(entries):
        return _Contents()
    return _Contents(frozenset(range(start, end)), again)


def _dense_run(blocks: Sequence[str], marks: Sequence[Mark]) -> int | None:
    """The block where four headings or more begin that have next to nothing between them, and come again later."""
    sizes = [0]
    for block in blocks:
        sizes.append(sizes[-1] + len(block))
    for n in range(len(marks) - 4):
        run = marks[n : n + 4]
        dense = all(sizes[b.index] - sizes[a.index + 1] < _GAP for a, b in pairwise(run))
        if dense and any(_keys(mark.text) & _keys(run[0].text) for mark in marks[n + 4 :]):
            return run[0].index
    return None


def _in_sequence(marks: Sequence[Mark]) -> list[Mark]:
    """Drop the numbered marks that do not go on counting: "第四回中…" after 第五回 is a mention, not a heading."""
    kept: list[Mark] = []
    last: dict[str, int] = {}
    order = _ranks(marks)
    for n, mark in enumerate(marks):
        if mark.number is not None:
            before = last.get(mark.kind)
            if before is not None and not before < mark.number <= before + 20:
                following = (m.number for m in marks[n + 1 :] if m.kind == mark.kind and m.number in (2, before + 1))
                # a series that begins anew goes on with 2
                if mark.number != 1 or (before > 1 and next(following, 2) != 2):
                    continue
            if before == 1 and mark.number == 1 and kept and kept[-1].number == 1 and kept[-1].kind == mark.kind:
                kept.pop()  # a title page repeats the first heading
            last[mark.kind] = mark.number
            for kind in [k for k in last if order[k] > order[mark.kind]]:
                del last[kind]
        kept.append(mark)
    return kept


def _roman(blocks: Sequence[str], listed: Set[int]) -> list[Mark]:
    """Chapters headed by a bare Roman or Arabic number, or by one and a title: only if they count I, II, III, …"""
    marks: list[Mark] = []
    for index, block in enumerate(blocks):
        if len(block) > 80 or index in listed:
            continue
        text = one_line(block)
        found = _ROMAN.fullmatch(text) or re.fullmatch(r"(?P<number>\d{1,3})(?P<sep>\.?)(?P<rest>)", text)
        if not found:
            continue
        rest = found["rest"] or ""
        value = numerals.number(found["number"])
        if value == len(marks) + 1 and not _PROSE_END.search(rest):
            marks.append(Mark(index, "roman", value, text, rest))
    return marks if len(marks) > 2 else []


def _with_entries(blocks: Sequence[str], marks: Sequence[Mark], contents: _Contents) -> list[Mark]:
    """Add the entries of the contents that are no pattern but stand again as paragraphs, such as "ETYMOLOGY."."""
    taken = {mark.index: mark for mark in marks}
    known = set().union(*(_keys(mark.text) for mark in marks))
    wanted = set().union(*(keys for entry in contents.entries if not (keys := _keys(entry)) & known))
    for index in range(max(contents.blocks, default=len(blocks)) + 1, len(blocks)):
        if index in taken or len(blocks[index]) > _LONGEST or not wanted:
            continue
        keys = _keys(blocks[index]) & wanted
        # a title under its bare "CHAPTER I." belongs to that
        above = taken.get(index - 1)
        if keys and not (above and above.number is not None and not above.rest):
            taken[index] = Mark(index, "entry", None, one_line(blocks[index]))
            wanted -= keys
    return [taken[index] for index in sorted(taken)]


def _headings(blocks: Sequence[str], marks: Sequence[Mark]) -> list[Heading]:
    marks = _levelled_specials(marks)
    order = _ranks(marks)
    ranks = sorted({order[mark.kind] for mark in marks})
    # a title page or a picture between heading and title is too rare to look further than the next paragraph
    bare = [mark for mark in marks if mark.number is not None and not mark.rest]
    taken = {mark.index for mark in marks}
    titled = {mark.index: _title_below(blocks, mark.index + 1) for mark in bare if mark.index + 1 not in taken}
    use = sum(title is not None for title in titled.values()) * 10 >= 6 * len(bare)
    headings = []
    for mark in marks:
        below = titled.get(mark.index) if use else None
        title = one_line(mark.text).strip("*_ ")
        if below:
            title = f"{title.rstrip('.:')}. {below}" if title.isascii() else f"{title} {below}"
        headings.append(Heading(index=mark.index, title=title, level=ranks.index(order[mark.kind]) + 1))
    return headings


def _ranks(marks: Sequence[Mark]) -> dict[str, float]:
    """The rank of each kind. Books hold parts or parts hold books: the outer is what comes first and is rarer."""
    ranks: dict[str, float] = {mark.kind: _RANKS.get(mark.kind, 3) for mark in marks}
    divisions = [mark.kind for mark in marks if mark.kind in ("book", "part") and mark.number is not None]
    if divisions and divisions.count(divisions[0]) * 2 < len(divisions):
        ranks[divisions[0]] -= 0.5
    return ranks


def _levelled_specials(marks: Sequence[Mark]) -> list[Mark]:
    """An epilogue that has chapters of its own ranks with the books, any other with the chapters."""
    levelled = []
    for n, mark in enumerate(marks):
        after = marks[n + 1] if n + 1 < len(marks) else None
        if mark.kind in ("special", "epilogue"):
            opens = (
                after is not None and after.kind == "chapter" and after.number == 1 and after.index == mark.index + 1
            )
            mark = replace(mark, kind="book" if opens else "entry")
        levelled.append(mark)
    return levelled


def _title_below(blocks: Sequence[str], index: int) -> str | None:
    """The paragraph after a bare "CHAPTER I", if it reads like a title."""
    text = blocks[index] if index < len(blocks) else ""
    if not text or len(text) > 100 or text.count("\n") > 1 or text[0] in "\"'“‘«「『—-[(":
        return None
    title = one_line(text)
    if title[0].islower() or (_PROSE_END.search(title) and not title.isupper()):
        return None
    return title.rstrip(".")
