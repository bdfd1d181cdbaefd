"""An artefact knows when its documents went on, and is made again with what is new."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import DocumentNotFound
from app.reading.desk import Desk
from app.reading.making.export import as_json
from app.reading.making.rows import places_of
from app.reading.runner import Runner

from .conftest import OWNER


def serial(chapters: int, first: int = 1) -> str:
    return "\n\n".join(
        f"CHAPTER {n}\n\nThe Keeper met the Fisher in harbour {n}. Tobias said that day {n} was a good one for it."
        for n in range(first, chapters + first)
    )


@pytest.fixture
def put(desk: Desk, tmp_path: Path) -> Callable[[str, str], int]:
    def add(name: str, text: str) -> int:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return desk.add(OWNER, path, name).document.id

    return add


@pytest.fixture
def work(desk: Desk, runner: Runner) -> Callable[[Any], None]:
    def run(made: Any) -> None:
        runner.run_until([made.job_id])

    return run


def kinds(desk: Desk, id: int, number: int | None = None) -> list[tuple[int, str, int]]:
    return [(one.document, one.kind, one.chapters) for one in desk.artefact(OWNER, id, number).behind]


def test_made_again_when_chapters_are_added(
    desk: Desk, put: Callable[[str, str], int], work: Callable[[Any], None]
) -> None:
    book = put("serial-1-3.txt", serial(3))
    made = desk.make(OWNER, "summary-chapters", [book])
    work(made)
    id = made.artefact_id
    assert kinds(desk, id) == []
    later = put("serial-1-5.txt", serial(5))
    assert desk.continued(OWNER, desk.document(OWNER, later)) == desk.document(OWNER, book)
    desk.renew(OWNER, book, later)
    assert kinds(desk, id) == [(book, "grown", 2)]
    assert desk.behind(OWNER, desk.made(OWNER)[0])
    again = desk.make_again(OWNER, id)
    assert [one.state for one in desk.artefact(OWNER, id, 2).steps] == []
    work(again)
    shown = desk.artefact(OWNER, id)
    # the three chapters that were there stand, two are new; what the first version knew it still knows
    assert [bool(one.tokens) for one in shown.steps] == [False] * 3 + [True] * 2
    assert kinds(desk, id) == [] and kinds(desk, id, 1) == [(book, "grown", 2)]
    told = desk.compare_artefact(OWNER, id, 1, 2)
    assert told["added"] and not told["removed"]


def test_another_document_joins(desk: Desk, put: Callable[[str, str], int], work: Callable[[Any], None]) -> None:
    first, second = put("a.txt", serial(2)), put("b.txt", serial(2, first=7))
    made = desk.make(OWNER, "characters", [first])
    work(made)
    with pytest.raises(DocumentNotFound):
        desk.make_again(OWNER, made.artefact_id, document_ids=[99])
    assert desk.artefact(OWNER, made.artefact_id).artefact.document_ids == (first,)
    work(desk.make_again(OWNER, made.artefact_id, document_ids=[second, first]))
    shown = desk.artefact(OWNER, made.artefact_id)
    assert shown.artefact.document_ids == (first, second) and shown.behind == ()
    assert kinds(desk, made.artefact_id, 1) == [(second, "new", 0)]
    assert {e["document"] for item in (shown.content or {})["items"] for e in item["evidence"]} == {first, second}


def test_a_guard_that_moves_on_counts(desk: Desk, put: Callable[[str, str], int], work: Callable[[Any], None]) -> None:
    book = put("guarded.txt", serial(4))
    starts = [one.start for one in desk.chapters(OWNER, book)]
    desk.guard(OWNER, book, starts[2])
    made = desk.make(OWNER, "timeline", [book])
    limited = desk.make(OWNER, "timeline", [book], chapters=[1])
    work(limited)
    desk.guard(OWNER, book, None)
    assert kinds(desk, made.artefact_id) == [(book, "grown", 2)]
    assert kinds(desk, limited.artefact_id) == []
    desk.guard(OWNER, book, starts[1])
    assert kinds(desk, made.artefact_id) == [(book, "changed", 0)]


def test_places_are_found_by_their_words(
    desk: Desk, put: Callable[[str, str], int], work: Callable[[Any], None]
) -> None:
    book = put("notes.txt", serial(2))
    made = desk.make(OWNER, "themes", [book])
    work(made)
    id = made.artefact_id
    begins = "A foreword that was not there before, of some words.\n\n" + serial(1) + "\n\n" + serial(9, first=3)
    desk.renew(OWNER, book, put("notes-2.txt", begins))
    shown = desk.artefact(OWNER, id)
    places = places_of(desk.library, shown)
    found = [places.of(one) for item in (shown.content or {})["items"] for one in item["evidence"]]
    text = desk.library.text(desk.document(OWNER, book).text_sha256)
    assert found and all(one.gone or text[one.start : one.end] == one.text for one in found)
    assert any(not one.gone for one in found)
    # what an item rests on stays with it, though its text went
    edited = desk.edit_artefact(OWNER, id, (shown.content or {})["items"])
    assert edited.version.number == 2 and edited.behind
    told = as_json(edited, places)
    assert told["behind"][0]["document"] == book and "of" not in told["choices"]


def test_a_stopped_one_is_begun_anew_where_its_text_changed(
    desk: Desk, put: Callable[[str, str], int], work: Callable[[Any], None]
) -> None:
    book = put("stopped-1.txt", serial(3))
    made = desk.make(OWNER, "summary-chapters", [book])
    desk.stop_making(OWNER, made.artefact_id)
    desk.renew(OWNER, book, put("stopped-2.txt", serial(6)))
    on = desk.go_on(OWNER, made.artefact_id)
    assert on.version == 2
    work(on)
    assert desk.artefact(OWNER, made.artefact_id).version.state == "done"
