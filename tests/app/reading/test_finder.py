"""Extracts, full-text search over them, and the fusion of rankings."""

from __future__ import annotations

from itertools import pairwise

import pytest

from app.documents.model import Chapter, Paragraph
from app.reading.bm25 import Bm25, asked, terms
from app.reading.extracts import MOST, extracts, measure
from app.reading.finder import Cut, Found, by_attention, by_text, fuse, within

LINES = [f"Paragraph {number} tells of harbour {number * 7}. " + "The sea was calm. " * 12 for number in range(40)]
LONG = "A sentence without much in it goes on. " * 200
CHINESE = "黛玉听了这话，便低头不语。" * 150


def made(*parts: str) -> tuple[str, list[Paragraph]]:
    text, paragraphs = "", []
    for part in parts:
        text += "\n\n" if text else ""
        paragraphs.append(Paragraph(start=len(text), end=len(text) + len(part.strip())))
        text += part.strip()
    return text, paragraphs


@pytest.mark.parametrize("parts", [LINES, [LONG], [CHINESE], ["x" * 5000], ["One.", LONG, "Two.", CHINESE, *LINES]])
def test_extracts_hold_the_whole_text_once(parts: list[str]) -> None:
    text, paragraphs = made(*parts)
    found = extracts(text, paragraphs, [])
    assert found and all(one.start < one.end for one in found)
    assert all(not text[one.end : two.start].strip() for one, two in pairwise(found))
    assert found[0].start == 0 and found[-1].end == len(text)
    sizes = [measure(text, one.start, one.end) for one in found]
    assert max(sizes) <= MOST and sum(sizes) / len(sizes) > 600


def test_an_extract_stays_within_its_chapter() -> None:
    text, paragraphs = made(*LINES)
    border = paragraphs[5].start
    chapters = [
        Chapter(title="One", level=1, start=0, end=border),
        Chapter(title="Two", level=1, start=border, end=len(text)),
    ]
    assert any(one.start == border for one in extracts(text, paragraphs, chapters))
    assert not any(one.start < border < one.end for one in extracts(text, paragraphs, chapters))


def test_words_are_found_by_their_stems_and_characters_by_pairs() -> None:
    texts = ["The whales were hunting near the ship.", "A ship in harbour.", "黛玉低头不语，宝玉笑了。", "宝钗来了。"]
    index = Bm25(texts)

    def best(question: str) -> int:
        scores = index.scores(question)
        return max(range(len(texts)), key=scores.__getitem__)

    assert best("Who hunted a whale?") == 0
    assert best("Which harbours are there?") == 1
    assert best("宝玉为什么笑了？") == 2
    assert best("宝钗是谁？") == 3
    assert not any(index.scores("What is it?")) and not any(index.scores("Zanzibar"))


def test_what_a_question_is_made_of_is_not_looked_for() -> None:
    assert asked("What did the Dodo present?") == ["dodo", "present"]
    assert asked("谁是她？") == [] and asked("Who was it?") == []
    assert list(terms("Alice's cats, x")) == ["alic", "cat", "x"]


def test_the_rarer_word_and_the_denser_extract_come_first() -> None:
    scores = Bm25(["sea sea ship", "sea", "sea " * 30 + "port", "ship"]).scores("port sea")
    assert scores[2] == max(scores) and scores[0] > scores[1] > scores[3] == 0


def test_attention_goes_to_the_extract_that_holds_its_middle() -> None:
    text, paragraphs = made(*LINES)
    cut = Cut(text, paragraphs, [])
    one, two = cut.extracts[3], cut.extracts[8]
    spots = {
        (7, two.start - 10, two.start + 40): 0.5,
        (7, one.start, one.start + 60): 0.2,
        (7, one.end - 60, one.end): 0.2,
    }
    found = by_attention(spots, {7: cut})
    assert [(each.start, round(each.score, 3)) for each in found[:3]] == [
        (two.start, 0.5),
        (one.start, 0.4),
        (found[2].start, 0),
    ]
    assert len(found) == len(cut.extracts) and not by_text("Zanzibar", {7: cut})
    assert by_text("harbour 56", {7: cut})[0].start <= text.index("harbour 56") < by_text("harbour 56", {7: cut})[0].end


def test_fusion_prefers_what_both_rank_high() -> None:
    def ranking(*starts: int) -> list[Found]:
        return [Found(document=1, start=start, end=start + 1, score=1.0) for start in starts]

    fused = [one.start for one in fuse(ranking(5, 2, 9, 7), ranking(6, 2, 8))]
    assert fused[0] == 2 and set(fused) == {2, 5, 6, 7, 8, 9}


def test_nothing_is_found_beyond_what_is_shown() -> None:
    found = [Found(document=1, start=start, end=start + 100, score=1.0) for start in (0, 40, 60, 300)]
    shown = within(found, [(1, 0, 100), (2, 0, 1000)])
    assert [(one.start, one.end) for one in shown] == [(0, 100), (40, 100)]
