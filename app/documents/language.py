"""The language of a text: by what its metadata say, else by its script and its most frequent words."""

from __future__ import annotations

import re

_SAMPLE = 20_000
_NAMES = {
    "english": "en", "chinese": "zh", "japanese": "ja", "french": "fr", "german": "de", "spanish": "es",
    "italian": "it", "portuguese": "pt", "dutch": "nl", "russian": "ru", "latin": "la", "greek": "el",
    "swedish": "sv", "danish": "da", "norwegian": "no", "finnish": "fi", "polish": "pl", "czech": "cs",
    "hungarian": "hu", "turkish": "tr", "korean": "ko", "arabic": "ar", "hebrew": "he", "esperanto": "eo",
}  # fmt: skip
_SCRIPTS = (
    ("ko", "가", "힣"),
    ("ru", "Ѐ", "ӿ"),
    ("el", "Ͱ", "Ͽ"),
    ("he", "֐", "׿"),
    ("ar", "؀", "ۿ"),
    ("hi", "ऀ", "ॿ"),
    ("th", "฀", "๿"),
)  # fmt: skip
_WORDS = {
    "en": "the of and to a in that it is was he for with his as had her not at on but be she you which by",
    "fr": "le la les de des et un une que il est dans qui ne pas pour sur se plus ce au avec elle par son vous",
    "de": "der die das und in den von zu ist nicht mit sich ein eine auf des dem war er sie als auch es an so",
    "es": "el la los las de y que en un una no se por con su para como lo es más al pero del era le había",
    "it": "il la le di e che in un una non si per con del della è da sono al ma più lo gli come era nel",
    "pt": "o a os as de e que um uma não se em por com para da do no na mais como ao era seu foi ele",
    "nl": "de het een en van in dat is niet met op te zijn voor hij was aan er ook als om maar ze door",
    "la": "et in est non ad cum ut ex quod qui sed si per quae esse ab aut nec hoc sunt eius atque",
    "sv": "och att det i en som på är av för med den till inte han har de ett om var jag hon från",
    "da": "og det at en i er som på de med han af for ikke der var til den et jeg har hun sig",
    "pl": "i w nie na się że z do to jest jak po co a tak za od przez ale już był jego dla",
}
_KANA = re.compile("[ぁ-ゖァ-ヺ]")
_HAN = re.compile("[一-鿿㐀-䶿]")


def from_tag(tag: str | None) -> str | None:
    """``en-US`` -> ``en``, ``English`` -> ``en``; None for what is no language."""
    if not tag:
        return None
    tag = tag.strip().lower()
    if tag in _NAMES:
        return _NAMES[tag]
    primary = re.split(r"[-_ ,;(]", tag, maxsplit=1)[0]
    if primary in _NAMES:
        return _NAMES[primary]
    return primary if re.fullmatch("[a-z]{2}", primary) and primary not in ("un", "xx") else None


def guess(text: str) -> str | None:
    """The language of the text, from samples of its beginning, middle and end; None if it cannot be told."""
    if len(text) > 3 * _SAMPLE:
        middle = len(text) // 2
        text = text[:_SAMPLE] + text[middle : middle + _SAMPLE] + text[-_SAMPLE:]
    letters = sum(map(str.isalpha, text))
    if not letters:
        return None
    han, kana = len(_HAN.findall(text)), len(_KANA.findall(text))
    if kana * 20 > letters and kana * 10 > han:
        return "ja"
    if han * 5 > letters:
        return "zh"
    for language, first, last in _SCRIPTS:
        if sum(first <= c <= last for c in text) * 2 > letters:
            return language
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    shares = {
        language: sum(counts.get(word, 0) for word in known.split()) / len(words) for language, known in _WORDS.items()
    }
    best = max(shares, key=lambda language: shares[language])
    return best if shares[best] > 0.12 else None
