"""Where a draft says of the same thing something else than what is known: another word or number, or none of it.

Words are compared, not meanings: it tells where to look, which the smallest model cannot. "with green eyes" differs
from "with pink eyes" where the sentences have another word in common (the White Rabbit), "no sister" from "her sister",
"three brothers" from "two brothers". In Chinese, numbers and 没有 alone. No model here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.reading.bm25 import NO_WORD, stem
from app.reading.folding import WIDE

# shown of one draft, and of one sentence of it
MOST, MOST_EACH = 6, 3
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_OWN = re.compile("my|your|his|her|its|our|their")
_BEFORE = re.compile(f"{_OWN.pattern}|an?|the|with|of|in|had|has|have|wears|wore|some|this|that")
_NONE = re.compile("no|without")
_COUNT = re.compile("(one)|(two)|(three)|(four)|(five)|(six)|(seven)|(eight)|(nine)|(ten)|(eleven)|(twelve)")
# of these there is always another number
_ANY = re.compile("day|time|thing|year|minute|moment|hour|word|people|other|way|side|hand|more")
# neither a thing nor what kind it is
_LOOSE = re.compile(
    "again|later|beside|before|after|behind|away|together|back|ago|once|too|also|very|well|then|only|just|like|about|"
    "over|under|into|upon|down|up|out|off|now|here|same|such|next|last|first|whole|much|many|more|most|every|each|being|"
    "still|even|ever|never|always|perhaps|almost|quite|rather"
)
_WIDE_COUNT = re.compile(r"([一二两三四五六七八九十百\d]+)([个位名只头匹张把条座间岁年口])([\u4e00-\u9fff]{0,2})")
_WIDE_NONE = re.compile(r"(?:没有|并无|无)([\u4e00-\u9fff]{2})")
_WIDE_OWN = re.compile(r"(?:有个?|的)([\u4e00-\u9fff]{2})")


@dataclass(frozen=True, slots=True)
class Said:
    """What a sentence says of a thing: ``value`` of kind "kind", "number" or "has"; words: as it says it."""

    kind: str
    thing: str
    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Numbers of a draft's sentence and of one that is known, and the words of each that differ."""

    draft: int
    known: int
    here: str
    there: str


def said(sentence: str) -> list[Said]:
    counts = [match for match in _WIDE_COUNT.finditer(sentence) if match[3] and match[1] not in "一两"]
    found = [Said("number", match[2] + match[3], match[1], match[0]) for match in counts]
    found += [Said("has", match[1], "no", match[0]) for match in _WIDE_NONE.finditer(sentence)]
    found += [Said("has", match[1], "own", match[0]) for match in _WIDE_OWN.finditer(sentence)]
    spots = [match for match in _WORD.finditer(sentence) if max(match[0]) < chr(WIDE)]
    words = [match[0].casefold() for match in spots]
    for place in range(1, len(words)):
        thing, before = words[place], words[place - 1]
        if not is_telling(thing) or re.search(r"[.;:!?]", sentence[spots[place - 1].end() : spots[place].start()]):
            continue
        phrase = sentence[spots[place - 1].start() : spots[place].end()]
        if _NONE.fullmatch(before):
            found.append(Said("has", stem(thing), "no", phrase))
        elif _OWN.fullmatch(before):
            found.append(Said("has", stem(thing), "own", phrase))
        elif (count := _count(before)) is not None:
            if not _ANY.fullmatch(stem(thing)):
                found.append(Said("number", stem(thing), str(count), phrase))
        elif place > 1 and is_telling(before) and _BEFORE.fullmatch(words[place - 2]):
            whole = sentence[spots[place - 2].start() : spots[place].end()]
            found.append(Said("kind", stem(thing), stem(before), whole))
    return found


def differences(draft: Sequence[str], known: Iterable[str]) -> list[Difference]:
    """Those of a draft's sentences that differ from one that is known, the ones with most in common first."""
    asked: dict[tuple[str, str], list[tuple[int, Said]]] = defaultdict(list)
    content = [_content(one) for one in draft]
    for number, one in enumerate(draft):
        for what in said(one):
            asked[what.kind, what.thing].append((number, what))
    found: dict[tuple[int, str, str], tuple[int, Difference]] = {}
    for place, other in enumerate(known) if asked else ():
        for what in said(other):
            for number, mine in asked.get((what.kind, what.thing), ()):
                if mine.value == what.value:
                    continue
                shared = len((content[number] & _content(other)) - {what.thing, what.value, mine.value})
                if what.kind == "kind" and not shared:
                    continue
                key = number, what.kind, what.thing
                if key not in found or shared > found[key][0]:
                    found[key] = shared, Difference(number, place, mine.words, what.words)
    ranked = sorted(found.values(), key=lambda one: (-one[0], one[1].draft))
    kept: list[Difference] = []
    for _, one in ranked:
        if any((one.here, one.there) == (other.here, other.there) for other in kept):
            continue
        if len(kept) < MOST and sum(other.draft == one.draft for other in kept) < MOST_EACH:
            kept.append(one)
    return kept


def is_telling(word: str) -> bool:
    """Whether it may be a thing, or say of what kind it is."""
    if len(word) < 3 or _NONE.fullmatch(word) or _LOOSE.fullmatch(word) or word.endswith(("'s", "’s")):
        return False
    return not NO_WORD.fullmatch(word) and _count(word) is None


def _content(sentence: str) -> set[str]:
    return {stem(word) for word in map(str.casefold, _WORD.findall(sentence)) if is_telling(word)}


def _count(word: str) -> int | None:
    if word.isdecimal() and len(word) < 9:
        return int(word)
    found = _COUNT.fullmatch(word)
    return found.lastindex if found else None
