"""Full-text search over the extracts of a text: BM25 (Robertson and Zaragoza, 2009) over words and pairs of characters.

A word of an alphabet counts by its stem, lightly cut; Chinese and Japanese count by every two characters that stand
side by side, and single ones a little. What a question is made of ("what", "who", 什么) is not looked for.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import log

from app.reading.folding import WIDE

K1, B = 1.2, 0.75
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
NO_WORD = re.compile(
    "an?|and|are|as|at|be|been|but|by|can|could|did|do|does|for|from|had|has|have|he|her|him|his|how|i|in|into|is|its?|"
    "me|my|of|on|or|our|says?|said|she|so|tell|that|the|their|them|then|there|these|they|this|those|to|us|was|we|were|"
    "what|when|where|which|who|whom|whose|why|will|with|would|you|your|please"
)
_NO_PAIR = re.compile(
    "什么|怎么样?|怎样|为什么|哪[一个些里儿位]*|谁|多少|几[个位]?|吗|呢|是不是|请问|的|了|是|在|和|与|有"
)
_MARKS = ".,;:!?\"'“”‘’()"
_SUFFIXES = ("'s", "’s", "ingly", "edly", "ing", "ied", "ies", "ed", "es", "ly", "s")


class Bm25:
    """texts: the extracts, in order."""

    def __init__(self, texts: Sequence[str]) -> None:
        counted = [Counter(terms(text)) for text in texts]
        self._sizes = [sum(counts.values()) for counts in counted]
        self._mean = max(1.0, sum(self._sizes) / max(1, len(texts)))
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, counts in enumerate(counted):
            for term, count in counts.items():
                self._postings[term].append((number, count))

    def scores(self, question: str) -> list[float]:
        """One for every extract, 0.0 where nothing that is asked for stands."""
        found = [0.0] * len(self._sizes)
        for term in set(asked(question)):
            postings = self._postings.get(term, ())
            rarity = log(1 + (len(found) - len(postings) + 0.5) / (len(postings) + 0.5))
            for number, count in postings:
                length = 1 - B + B * self._sizes[number] / self._mean
                found[number] += rarity * count * (K1 + 1) / (count + K1 * length)
        return found


def terms(text: str) -> Iterator[str]:
    """What a text is indexed by."""
    for found in _WORD.finditer(text.casefold()):
        word = found[0]
        if max(word) < chr(WIDE):
            yield stem(word)
            continue
        for place, character in enumerate(word):
            if ord(character) >= WIDE:
                pair = word[place : place + 2]
                if len(pair) == 2 and ord(pair[1]) >= WIDE:
                    yield pair


def asked(question: str) -> list[str]:
    """What a question looks for; nothing if it consists of question words alone."""
    folded = question.casefold()
    if any(ord(character) >= WIDE for character in folded):
        folded = _NO_PAIR.sub(" ", folded)
    words = " ".join(word for word in folded.split() if not NO_WORD.fullmatch(word.strip(_MARKS)))
    return list(terms(words))


def stem(word: str) -> str:
    """Lightly: what is left must still be a word's length."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    return word[:-1] if word.endswith("e") and len(word) > 4 else word
