from __future__ import annotations

from typing import Any

import pytest

from app.ui.seat import LOCAL, MOST_CHOSEN, Seat, is_visitor, new_visitor


def test_a_seat_is_read_as_it_was_said() -> None:
    visitor = new_visitor()
    seat = Seat.read({"visitor": visitor, "thread": 3, "chosen": [2, 1, 2], "digests": {"shelf": "a"}})
    assert (seat.visitor, seat.thread, seat.chosen, seat.digests) == (visitor, 3, (2, 1), {"shelf": "a"})


@pytest.mark.parametrize(
    "said",
    [
        None,
        "local",
        [],
        {"visitor": "local", "thread": "3", "chosen": "12", "digests": []},
        {"visitor": 7, "thread": True, "chosen": [True, "1", -1, 0, 1.0, 2**60, None], "digests": None},
        {"visitor": "../../etc", "thread": -3, "chosen": {"1": 1}},
        {"visitor": "a" * 31},
        {"visitor": "a" * 40 + "\n"},
    ],
)
def test_what_is_not_understood_counts_as_not_said(said: Any) -> None:
    assert Seat.read(said) == Seat()


def test_a_choice_without_end_is_cut() -> None:
    assert len(Seat.read({"chosen": list(range(1, 5000))}).chosen) == MOST_CHOSEN


def test_owners_on_a_machine_and_on_a_space() -> None:
    seat = Seat(visitor=new_visitor())
    assert seat.owner(space=False) == LOCAL
    assert seat.owner(space=True) == f"visitor:{seat.visitor}"
    # nobody becomes the owner of a machine by saying so, or anybody before the server gave a name
    assert Seat.read({"visitor": LOCAL}).owner(space=True) is None


def test_visitors_are_not_guessed() -> None:
    made = {new_visitor() for _ in range(100)}
    assert len(made) == 100
    assert all(is_visitor(one) and len(one) >= 43 for one in made)
