from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import (
    DocumentEmpty,
    DocumentNotFound,
    JobNotFound,
    NothingChosen,
    QuestionEmpty,
    RoomExceeded,
    ThreadNotFound,
)
from app.library.store import Library
from app.reading.desk import Desk
from app.reading.engines import ModelNotReady
from app.reading.runner import Runner
from app.settings import Settings
from engine.protocol import Loading

from .conftest import OWNER, Machine, PlainEngine

Book = Callable[..., int]


def test_a_new_document_waits_with_its_tokens(desk: Desk, book: Book) -> None:
    id = book("alice", tokens=1000)
    (item,) = desk.shelf(OWNER)
    assert (item.id, item.title, item.filename, item.format, item.state) == (id, "Alice", "alice.txt", "txt", "waiting")
    assert item.tokens == item.characters > 1000
    assert (item.progress, item.error) == (0.0, None)


def test_a_refused_file_stands_on_the_shelf_until_dismissed(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    with pytest.raises(DocumentEmpty):
        desk.add(OWNER, path, "empty.txt")
    (refusal,) = desk.refusals(OWNER)
    assert (refusal.filename, "is empty" in refusal.error) == ("empty.txt", True)
    assert desk.shelf(OWNER) == []
    desk.dismiss(OWNER, refusal.id)
    assert desk.refusals(OWNER) == []


def test_the_same_book_twice_is_one_reading(desk: Desk, book: Book) -> None:
    id = book()
    assert book() == id
    assert len(desk.jobs.list(None)) == 1


def test_adding_a_book_again_does_not_overrule_its_reader(desk: Desk, book: Book) -> None:
    id = book()
    desk.stop_document(OWNER, id)
    book()
    assert desk.shelf(OWNER)[0].state == "stopped"


def test_another_model_has_read_nothing(
    desk: Desk, settings: Settings, library: Library, machine: Machine, book: Book
) -> None:
    id = book()
    Runner(desk).run_until(desk.read(OWNER, [id]))
    assert desk.shelf(OWNER)[0].state == "read"
    other = Desk(
        Settings.load({"home": settings.home, "cache": settings.cache, "model": "other"}, {}),
        library,
        lambda name: PlainEngine(name, machine),
    )
    other.engines.get("other")
    (item,) = other.shelf(OWNER)
    assert (item.state, item.progress, item.tokens) == ("unread", 0.0, None)
    assert other.count_tokens() == 1
    assert other.shelf(OWNER)[0].tokens is not None
    assert other.count_tokens() == 0


def test_reading_everything_leaves_out_what_is_read(desk: Desk, book: Book) -> None:
    first = book("one")
    Runner(desk).run_until(desk.read(OWNER))
    second = book("two")
    (job,) = desk.read(OWNER)
    assert desk.jobs.get(None, job).document_id == second != first


def test_an_unknown_document_queues_nothing(desk: Desk, book: Book) -> None:
    id = book()
    desk.stop_document(OWNER, id)
    with pytest.raises(DocumentNotFound):
        desk.read(OWNER, [id, 99])
    assert desk.shelf(OWNER)[0].state == "stopped"


def test_room_is_told_before_anyone_waits(desk: Desk, machine: Machine, book: Book) -> None:
    ids = [book("one", tokens=3000), book("two", tokens=2000)]
    plan = desk.room(OWNER, ids, question="Who?")
    assert (plan.fits, plan.kept, plan.seconds_left) == (True, 0, None)
    assert [part.id for part in plan.documents] == ids
    assert plan.to_read == plan.tokens > 5000
    Runner(desk).run_until(desk.read(OWNER, ids[:1]))
    plan = desk.room(OWNER, ids[::-1], question="Who?")
    assert 3000 < plan.kept < 4500
    assert plan.seconds_left is not None
    machine.limit = 4000
    plan = desk.room(OWNER, ids)
    assert not plan.fits
    assert "These 2 books are" in plan.message
    with pytest.raises(RoomExceeded) as refused:
        desk.ask(OWNER, "Who?", document_ids=ids, mode="whole")
    assert str(refused.value).startswith("These 2 books are")
    # nothing was begun for it
    assert desk.threads(OWNER) == []


def test_room_estimates_what_was_never_counted(
    settings: Settings, library: Library, machine: Machine, tmp_path: Path
) -> None:
    desk = Desk(settings, library, lambda name: PlainEngine(name, machine))
    path = tmp_path / "a.txt"
    path.write_text("A few words. " * 100, encoding="utf-8")
    id = desk.add(OWNER, path, "a.txt").document.id
    plan = desk.room(OWNER, [id])
    assert plan.estimated
    assert plan.message.startswith("About ")
    assert desk.count_tokens(OWNER) == 1
    assert not desk.room(OWNER, [id]).estimated


def test_room_of_a_conversation_counts_what_was_said(desk: Desk, book: Book) -> None:
    id = book()
    run = desk.ask(OWNER, "Who?", document_ids=[id])
    Runner(desk).run_until([run.job_id])
    alone = desk.room(OWNER, [id], question="And?")
    in_thread = desk.room(OWNER, [], thread_id=run.thread_id, question="And?")
    assert in_thread.tokens - alone.tokens == len("Who?</u><a>A plain answer.</a><u>")


def test_questions_that_cannot_be_asked(desk: Desk, book: Book) -> None:
    id = book()
    with pytest.raises(QuestionEmpty):
        desk.ask(OWNER, "  \n", document_ids=[id])
    with pytest.raises(NothingChosen):
        desk.ask(OWNER, "Who?")
    with pytest.raises(NothingChosen):
        desk.room(OWNER, [])
    with pytest.raises(DocumentNotFound):
        desk.ask(OWNER, "Who?", document_ids=[id, 99])
    with pytest.raises(ThreadNotFound):
        desk.ask(OWNER, "Who?", thread_id=99)
    assert desk.threads(OWNER) == []


def test_documents_stand_in_the_order_of_their_ids(desk: Desk, book: Book) -> None:
    one, two = book("one"), book("two")
    run = desk.ask(OWNER, "Who?", document_ids=[two, one, two])
    assert desk.thread(OWNER, run.thread_id)[0].document_ids == (one, two)


def test_a_title_begins_with_ones_own_words(desk: Desk, book: Book) -> None:
    for question in (
        "Explain this passage:\n\n> Down the\n> rabbit hole",
        "> Down the\n>rabbit hole\n\nExplain this passage:",
    ):
        run = desk.ask(OWNER, question, document_ids=[book()])
        assert desk.thread(OWNER, run.thread_id)[0].title == "Explain this passage: Down the rabbit hole"


def test_a_long_question_is_a_short_title(desk: Desk, book: Book) -> None:
    run = desk.ask(OWNER, "Why,\n" + "oh why? " * 50, document_ids=[book()])
    title = desk.thread(OWNER, run.thread_id)[0].title
    assert len(title) <= 80
    assert title.startswith("Why, oh why?")
    assert title.endswith("…")


def test_nothing_of_one_reader_is_anothers(desk: Desk, book: Book) -> None:
    id = book()
    run = desk.ask(OWNER, "Who?", document_ids=[id])
    stranger = "visitor:x"
    assert (desk.shelf(stranger), desk.threads(stranger), desk.refusals(stranger)) == ([], [], [])
    for act in (
        lambda: desk.ask(stranger, "Who?", document_ids=[id]),
        lambda: desk.room(stranger, [id]),
        lambda: desk.read(stranger, [id]),
        lambda: desk.remove(stranger, id),
        lambda: desk.rename(stranger, id, "Mine", []),
        lambda: desk.stop_document(stranger, id),
    ):
        with pytest.raises(DocumentNotFound):
            act()
    for act in (
        lambda: desk.thread(stranger, run.thread_id),
        lambda: desk.ask(stranger, "Who?", thread_id=run.thread_id),
        lambda: desk.remove_thread(stranger, run.thread_id),
        lambda: desk.rename_thread(stranger, run.thread_id, "Mine"),
    ):
        with pytest.raises(ThreadNotFound):
            act()
    with pytest.raises(JobNotFound):
        desk.stop(stranger, run.job_id)
    assert desk.running(stranger, run.thread_id) is None
    assert desk.running(OWNER, run.thread_id) == run.job_id


def test_conversations_are_renamed_and_removed(desk: Desk, book: Book) -> None:
    run = desk.ask(OWNER, "Who?", document_ids=[book()])
    assert desk.rename_thread(OWNER, run.thread_id, "Alice").title == "Alice"
    desk.remove_thread(OWNER, run.thread_id)
    assert desk.threads(OWNER) == []
    assert desk.jobs.get(None, run.job_id).state == "stopped"


def test_a_shelf_does_not_wait_for_a_model_that_is_being_fetched(
    settings: Settings, library: Library, machine: Machine, tmp_path: Path
) -> None:
    fetching, go_on = threading.Event(), threading.Event()

    class Slow(PlainEngine):
        def prepare(self, progress: Callable[[Loading], None]) -> None:
            progress(Loading(text="fetching", done=30, total=120))
            fetching.set()
            go_on.wait(10)

    desk = Desk(settings, library, lambda name: Slow(name, machine))
    told: list[Loading] = []
    thread = threading.Thread(target=lambda: desk.engines.get("plain", told.append))
    thread.start()
    try:
        assert fetching.wait(10)
        assert told == [Loading(text="fetching", done=30, total=120)]
        path = tmp_path / "a.txt"
        path.write_text("A few words.", encoding="utf-8")
        id = desk.add(OWNER, path, "a.txt").document.id
        assert [item.state for item in desk.shelf(OWNER)] == ["waiting"]
        with pytest.raises(ModelNotReady, match="25 %"):
            desk.model()
        with pytest.raises(ModelNotReady):
            desk.room(OWNER, [id])
        # a question can wait for the model too
        desk.ask(OWNER, "Who?", document_ids=[id])
    finally:
        go_on.set()
        thread.join()
    assert desk.model().name == "plain"


def test_this_machine_and_what_fits_it(desk: Desk) -> None:
    around = desk.machine()
    assert around.machine.cores >= 1
    assert {offer.entry.name for offer in around.offers} >= {"qwen2.5-coder-0.5b", "smollm2-135m"}
    for offer in around.offers:
        assert offer.why
        assert not offer.recommended or offer.fit.fits
    assert around.memory_for(desk.model()) == around.machine.memory_total
