from __future__ import annotations

from app.ui.conversation import within


def test_a_quotation_shows_nothing_behind_the_guard() -> None:
    quote = {"document": 3, "place": [10, 20], "kind": "exact", "found": "the butler", "difference": [],
             "passage": [["It was ", False], ["the butler", True], [" who did it.", False]]}  # fmt: skip
    assert within(quote, {}) == within(quote, {4: 5}) == quote
    near = within(quote, {3: 24})
    assert near["passage"] == [["It was ", False], ["the butler", True], [" who", False]] and "ahead" not in near
    behind = within(quote, {3: 19})
    assert behind["ahead"] and not behind["passage"] and behind["found"] is behind["place"] is None
    assert within({**quote, "document": None, "place": None}, {3: 1})["kind"] == "exact"
