"""Short pieces of text by which a paragraph is found, so that a search meets what ``str.count`` counts.

A piece begins at every character of the case-folded paragraph: two characters where a Chinese, Japanese or Korean one
begins it, three elsewhere, fewer at the paragraph's end. So a name of two characters is a piece of its own, any other
text of one or two characters is the beginning of pieces, and a longer one is a conjunction of pieces. All of it is a
sieve: what it lets through is counted on the text itself.
"""

from __future__ import annotations

import re
import unicodedata

from app.documents.canonical import usual_signs

# from here on a character is a syllable or a word
_WIDE = "\u2e80"
# the ascii tokenizer of FTS5 takes letters, digits and everything beyond ASCII into a token: signs move beyond it
_SIGNS = {code: chr(0x100 + code) for code in range(128) if not chr(code).isalnum()}
# more pieces than these only cost time
PIECES = 24


# letters and digits set as wide as an ideograph; signs are not among them: ， and , are two signs of Chinese
_WIDTH = {0xFF00 + code - 0x20: chr(code) for code in range(0x21, 0x7F) if chr(code).isalnum()}
_FULL = re.compile("[０-９Ａ-Ｚａ-ｚ]")


def fold(text: str) -> str:
    """Case-folded, letters and digits of full width as those of half width."""
    text = text.casefold()
    return text.translate(_WIDTH) if not text.isascii() and _FULL.search(text) else text


def fold_query(query: str) -> str:
    """What is looked for: its signs those of canonical texts, composed, without halves of surrogates, folded."""
    return fold(unicodedata.normalize("NFC", usual_signs(query.encode("utf-8", "replace").decode("utf-8"))))


def pieces(folded: str) -> set[str]:
    """The pieces of a case-folded paragraph, as tokens of FTS5's ascii tokenizer."""
    signs = folded.translate(_SIGNS)
    if signs.isascii() or max(signs) < _WIDE:
        found = set(map("".join, zip(signs, signs[1:], signs[2:], strict=False)))
        return found | {signs[-2:], signs[-1:]} - {""}
    return {signs[at : at + (2 if character >= _WIDE else 3)] for at, character in enumerate(signs)}


def expression(folded: str) -> str:
    """The FTS5 query that every paragraph holding ``folded``, which is not empty, answers to."""
    signs = folded.translate(_SIGNS)
    whole: list[str] = []
    open_end: str | None = None
    covered = 0
    for at, character in enumerate(signs):
        end = at + (2 if character >= _WIDE else 3)
        if end <= len(signs):
            whole.append(signs[at:end])
            covered = end
        elif open_end is None:
            open_end = signs[at:]
    whole = list(dict.fromkeys(whole))
    if len(whole) > PIECES:
        whole = [whole[place * len(whole) // PIECES] for place in range(PIECES)]
    terms = [f'"{piece}"' for piece in whole]
    if covered < len(signs) and open_end is not None:
        terms.append(f'"{open_end}" *')
    return " AND ".join(terms)
