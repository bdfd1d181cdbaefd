from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from app.reading.making import charts
from app.reading.making.charts import Book, Strip, short

SVG = "{http://www.w3.org/2000/svg}"


class Bookshelf:
    """Three chapters of ten characters each; an item's place is (document, start)."""

    def of(self, evidence: dict[str, Any]) -> Any:
        place = type("Place", (), {})()
        place.document, place.chapter = evidence["document"], f"Chapter {1 + evidence['start'] // 10}"
        return place

    def chapters(self, document: int) -> list[Any]:
        return [type("Chapter", (), {"title": f"Chapter {n}", "kind": "body"})() for n in (1, 2, 3)]

    def title(self, document: int) -> str:
        return f"Book <{document}>"

    def characters(self, document: int) -> int:
        return 30

    def along(self, document: int) -> list[tuple[float, str]]:
        return [(n / 3, f"Chapter {n + 1}") for n in range(3)]


def item(*starts: int, document: int = 1) -> dict[str, Any]:
    return {"theme": "sea", "evidence": [{"document": document, "start": one, "end": one + 2} for one in starts]}


def said(drawn: str) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.fromstring(drawn).iter(f"{SVG}text")]


def bars(drawn: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(drawn).iter(f"{SVG}rect") if one.get("fill") == charts.ACCENT]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_chapters_without_a_place_are_there_too(language: str) -> None:
    shelf: Any = Bookshelf()
    drawn = charts.chapters([item(1, 2), item(25)], shelf, language)
    assert [one for one in said(drawn) if one.startswith("Chapter")] == ["Chapter 1", "Chapter 2", "Chapter 3"]
    assert len(bars(drawn)) == 2 and said(drawn)[-5:] == ["2", "Chapter 2", "0", "Chapter 3", "1"]
    assert said(charts.chapters([], shelf, language)) == [charts._SAID[language]["empty"]]


def test_places_lie_where_they_lie_in_the_book() -> None:
    shelf: Any = Bookshelf()
    first, last = bars(charts.book([item(0), item(28)], shelf, "en"))
    assert float(first.get("x") or 0) < 60 and float(last.get("x") or 0) > 850
    drawn = charts.book([item(0), item(3, document=2)], shelf, "en")
    assert {"Book <1>", "Book <2>"} <= set(said(drawn))


def test_gaze_is_a_strip_an_answer_and_one_of_all() -> None:
    strips = [
        Strip(label="Who?", cells=[99, 0, 0]),
        Strip(label="Where is it, after all that was said?", cells=[0, 50, 1]),
    ]
    drawn = charts.gaze([Book(title="Sea", chapters=[], strips=strips)], "en")
    assert said(drawn)[2:4] == ["All answers", "Who?"] and "Where is it, after all that wa…" in said(drawn)
    # what is hardly looked at is paper
    assert len(bars(drawn)) == 2 + 1 + 1


def test_names_are_cut_by_width() -> None:
    assert short("红楼梦第一回", 6) == "红楼梦…" and short("a  b\nc", 9) == "a b c"
