from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.reading.matching import difference, match
from app.reading.passages import NEAR_SHARE, TextIndex

ENGLISH = """Tobias Wren kept the lamp for forty-one years, and never once let it go out.

"You must not come up here," he told the inspector; "the stair is rotten, and the exam-
ination of 1887 condemned it."

In winter the sea rose. Gulls sat on every stone... The keeper's daughter counted nine ships,
then ten; the brass key lay under the blue stone. Nobody else knew. When the fog came from the
north she rang the bell twice in every minute, and the ships that heard it answered her.
""" + "\n".join(
    f"In the year {year} he wrote of {what}, and of little besides that was worth a reader's while."
    for year, what in zip(
        range(1850, 1860),
        ["oil", "rope", "salt", "bread", "fog", "ice", "herring", "paint", "candles", "letters"],
        strict=True,
    )
)
CHINESE = """守塔人老王每天黄昏点灯，黎明熄灯。铜钥匙压在门边的青石下面，只有他和女儿小满知道。

这一年的冬天来得很早，海面上起了大雾，渔船三天没有回来。小满敲了一夜的钟，天亮时听见远处有人应答：“我们回来了！”
老人没有说话，只是把灯芯剪短了一些，又往壶里添了两勺鱼油，然后坐在窗边慢慢地写他的日记。"""
TEXTS = [TextIndex(ENGLISH), TextIndex(CHINESE)]


@pytest.mark.parametrize(
    ("quotation", "source", "found"),
    [
        ("the brass key lay under the blue stone", 0, "the brass key lay under the blue stone"),
        ("THE BRASS KEY  lay\nunder the blue stone.", 0, "the brass key lay under the blue stone."),
        ("“You must not come up here,” he told", 0, 'You must not come up here," he told'),
        ("You must not come up here.", 0, "You must not come up here"),
        ("the examination of 1887", 0, "the exam-\nination of 1887"),
        ("for forty—one years", 0, "for forty-one years"),
        ("sat on every stone… the keeper’s daughter", 0, "sat on every stone... The keeper's daughter"),
        ("铜钥匙压在门边的青石下面", 1, "铜钥匙压在门边的青石下面"),
        ("黎明熄灯.铜 钥匙", 1, "黎明熄灯。铜钥匙"),
        ("应答:「我们回来了!」", 1, "应答：“我们回来了！"),
    ],
)
def test_what_does_not_count_is_exact(quotation: str, source: int, found: str) -> None:
    told = match(quotation, TEXTS)
    assert told is not None and told.exact and told.source == source
    assert told.found == found
    assert ("").join(mine for _, mine, _ in told.difference) == quotation


def test_words_are_whole() -> None:
    told = match("he brass key lay under the blue", TEXTS)
    assert told is not None and not told.exact
    assert told.found == "the brass key lay under the blue" and told.difference[0] == ("replace", "he ", "the ")


def test_near_shows_the_difference() -> None:
    told = match("the iron key lay under the blue stone", TEXTS)
    assert told is not None and not told.exact and told.found == "the brass key lay under the blue stone"
    assert ("replace", "iron ", "brass ") in told.difference
    told = match("铜钥匙放在门边的青石下面", TEXTS)
    assert told is not None and [step for step in told.difference if step[0] != "equal"] == [("replace", "放", "压")]


def test_other_punctuation_is_near() -> None:
    told = match("counted nine ships; then ten, the brass key", TEXTS)
    assert told is not None and told.found == "counted nine ships,\nthen ten; the brass key"
    assert [step[0] for step in told.difference if step[0] != "equal"] == ["replace", "replace"]


@pytest.mark.parametrize("gap", ["…", " ... ", " [...] ", "[…]", " . . . ", "……"])
def test_an_elision_parts_what_must_follow(gap: str) -> None:
    told = match(f"Tobias Wren kept the lamp{gap}and never once let it go out", TEXTS)
    assert told is not None and told.exact and len(told.spans) == 2
    assert [ENGLISH[slice(*span)] for span in told.spans] == [
        "Tobias Wren kept the lamp",
        "and never once let it go out",
    ]
    turned = match(f"and never once let it go out{gap}Tobias Wren kept the lamp", TEXTS)
    assert turned is None or not turned.exact
    nearly = match(f"Tobias Wren kept the lamp{gap}and never ever let it go out", TEXTS)
    assert nearly is not None and not nearly.exact and len(nearly.spans) == 2


@pytest.mark.parametrize(
    "quotation",
    [
        "the lighthouse was sold to a merchant from Bristol",
        "他们在山上看见了一只会说话的狐狸",
        "…",
        "",
        "quantum chromodynamics explains it",
    ],
)
def test_what_is_not_there(quotation: str) -> None:
    assert match(quotation, TEXTS) is None


@st.composite
def passages(draw: st.DrawFn) -> tuple[int, int, int]:
    """A text and a range of whole words in it, that begins and ends with a letter or digit."""
    source = draw(st.integers(0, 1))
    text = TEXTS[source].text
    start = draw(st.integers(0, len(text) - 30))
    stop = start + draw(st.integers(20, 200))
    while start < len(text) and not (text[start].isalnum() and (source or not text[start - 1 : start].isalnum())):
        start += 1
    stop = min(max(stop, start + 12), len(text))
    while stop < len(text) and text[stop - 1 : stop + 1].isalnum() and not source:
        stop += 1
    while stop > start and not text[stop - 1].isalnum():
        stop -= 1
    return source, start, stop


@settings(max_examples=100)
@given(where=passages(), seed=st.integers(0, 2**32))
def test_a_mangled_passage_is_exact_where_it_stands(where: tuple[int, int, int], seed: int) -> None:
    source, start, stop = where
    text, choice = TEXTS[source].text, random.Random(seed)
    marks = {'"': '“”«"', "'": "’‘'", "“": '"「', "”": '"」', " ": [" ", "\n", "  ", "\u3000"], "-": "-–—‐"}
    mangled = []
    for character in text[start:stop]:
        made = choice.choice(marks.get(character, character))
        made = choice.choice([made, made.upper(), made.lower()])
        if "!" <= made <= "~" and made not in "\"'.-" and choice.random() < 0.2:
            made = chr(ord(made) + 0xFEE0)
        mangled.append(made)
    told = match("".join(mangled), TEXTS)
    assert told is not None and told.exact and told.source == source
    wanted = text[start:stop]
    # the same words may stand there more than once
    assert told.spans == ((start, stop),) or wanted.lower() == told.found.lower()


@settings(max_examples=100)
@given(where=passages(), seed=st.integers(0, 2**32))
def test_an_edited_passage_is_near(where: tuple[int, int, int], seed: int) -> None:
    source, start, stop = where
    text, choice = TEXTS[source].text, random.Random(seed)
    passage = list(text[start:stop])
    letters = [place for place, one in enumerate(passage) if one.isalnum()]
    # one edit in the middle of fewer letters leaves no run of five to find it by
    assume(len(letters) >= 12)
    for place in choice.sample(letters[2:-2], max(1, int(0.09 * len(letters)))):
        passage[place] = choice.choice(["", "q", passage[place] + "x"]) if not source else choice.choice(["", "甲"])
    told = match("".join(passage), TEXTS)
    assert told is not None and told.similarity >= 1 - NEAR_SHARE
    (begin, end), *_ = told.spans
    # over the place that was quoted; a short one may be as close to a sentence that says nearly the same
    assert told.source == source and ((begin < stop and start < end) or len(letters) < 60 or told.similarity > 0.9)


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_pieces_of_a_difference_are_its_sides(quoted: str, found: str) -> None:
    steps = difference(quoted, found)
    assert "".join(mine for _, mine, _ in steps) == quoted and "".join(its for _, _, its in steps) == found
