"""Conversations: their documents in order, their turns, and answers kept as ids."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from app.documents.parse import parse_file
from app.errors import DocumentNotFound, LibraryDamaged, NothingChosen, QuestionEmpty, ThreadNotFound, TurnNotFound
from app.library.jobs import Jobs
from app.library.records import ThreadRecord, TurnRecord
from app.library.schema import MIGRATIONS
from app.library.store import Library
from app.library.threads import Threads

Book = Callable[..., Path]


@pytest.fixture
def threads(library: Library) -> Threads:
    return Threads(library)


@pytest.fixture
def documents(library: Library, owner: int, book: Book) -> list[int]:
    return [library.add_document(owner, book(f"{n}.txt", f"Book {n}.\n"), f"{n}.txt").document.id for n in range(3)]


class TestThreads:
    def test_documents_keep_their_order(self, threads: Threads, owner: int, documents: list[int]) -> None:
        first, second, third = documents
        thread = threads.create(owner, [third, first, third, second], "Wonder \ud83d")
        assert thread == ThreadRecord(
            id=thread.id,
            owner_id=owner,
            title="Wonder ?",
            document_ids=(third, first, second),
            created=thread.created,
            updated=thread.created,
        )
        assert threads.get(owner, thread.id) == thread
        assert threads.list(owner) == [thread]

    def test_nothing_chosen(self, threads: Threads, library: Library, owner: int, documents: list[int]) -> None:
        with pytest.raises(NothingChosen):
            threads.create(owner, [], "t")
        with pytest.raises(DocumentNotFound) as caught:
            threads.create(owner, [documents[0], 99], "t")
        assert caught.value.id == 99
        with pytest.raises(DocumentNotFound):
            threads.create(library.owner("stranger"), documents, "t")
        assert threads.list(owner) == []

    def test_the_last_spoken_in_comes_first(self, threads: Threads, owner: int, documents: list[int]) -> None:
        a, b, c = (threads.create(owner, documents[:1], title).id for title in "abc")
        turn = threads.add_turn(a, "why?")
        assert [thread.id for thread in threads.list(owner)] == [a, c, b]
        threads.add_turn(b, "how?")
        threads.rename(owner, c, "renamed")
        assert [(thread.id, thread.title) for thread in threads.list(owner)] == [(b, "b"), (a, "a"), (c, "renamed")]
        threads.save_answer(turn.id, answer="because")
        assert threads.list(owner)[0].id == a

    def test_a_removed_one_is_gone_and_its_answer_stopped(
        self, threads: Threads, library: Library, owner: int, documents: list[int]
    ) -> None:
        jobs = Jobs(library)
        thread = threads.create(owner, documents, "t")
        turn = threads.add_turn(thread.id, "why?")
        running, waiting = (
            jobs.enqueue(owner, "ask", {}, priority=0, thread_id=thread.id, turn_id=turn.id) for _ in range(2)
        )
        jobs.claim()
        threads.remove(owner, thread.id)
        assert jobs.stop_requested(running.id) and jobs.get(owner, waiting.id).state == "stopped"
        assert threads.list(owner) == []
        for attempt in (
            lambda: threads.get(owner, thread.id),
            lambda: threads.remove(owner, thread.id),
            lambda: threads.rename(owner, thread.id, "x"),
            lambda: threads.add_turn(thread.id, "still?"),
        ):
            with pytest.raises(ThreadNotFound):
                attempt()
        # what the engine was writing when it went still finds its place
        threads.save_answer(turn.id, answer="half an ans", finish="stopped")

    def test_ones_own_only(self, threads: Threads, library: Library, owner: int, documents: list[int]) -> None:
        thread = threads.create(owner, documents, "t")
        stranger = library.owner("stranger")
        assert threads.list(stranger) == []
        for attempt in (
            lambda: threads.get(stranger, thread.id),
            lambda: threads.remove(stranger, thread.id),
            lambda: threads.rename(stranger, thread.id, "x"),
        ):
            with pytest.raises(ThreadNotFound):
                attempt()
        assert threads.get(owner, thread.id) == thread

    def test_it_outlives_a_document_taken_from_the_shelf(
        self, threads: Threads, library: Library, owner: int, documents: list[int]
    ) -> None:
        thread = threads.create(owner, documents, "t")
        library.remove_document(owner, documents[1])
        assert threads.get(owner, thread.id).document_ids == tuple(documents)


class TestTurns:
    @pytest.fixture
    def thread(self, threads: Threads, owner: int, documents: list[int]) -> int:
        return threads.create(owner, documents, "t").id

    def test_a_question_and_its_answer(self, threads: Threads, thread: int, home: Path, library: Library) -> None:
        asked = threads.add_turn(thread, "Who is \ud83d Alice?")
        assert asked == TurnRecord(
            id=asked.id,
            thread_id=thread,
            ordinal=1,
            question="Who is ? Alice?",
            answer="",
            answer_ids=None,
            finish=None,
            tokens={},
            seconds={},
            model=None,
            error=None,
            created=asked.created,
        )
        ids = array("i", [151_644, 0, 7])
        answered = threads.save_answer(
            asked.id,
            answer="A girl. 爱丽丝",
            answer_ids=ids,
            finish="stop",
            tokens={"context": 10, "answered": 3},
            seconds={"decode": 0.25},
            model="qwen2.5-coder-0.5b",
        )
        assert (answered.answer, answered.finish, answered.error) == ("A girl. 爱丽丝", "stop", None)
        assert answered.answer_ids == ids and answered.answer_ids.typecode == "i"
        assert (answered.tokens, answered.seconds) == ({"context": 10, "answered": 3}, {"decode": 0.25})
        second = threads.add_turn(thread, "And then?")
        assert second.ordinal == 2
        with Library(home, parse=parse_file) as reopened:
            assert Threads(reopened).turns(thread) == [answered, second]

    def test_an_answer_is_set_as_a_whole(self, threads: Threads, thread: int) -> None:
        turn = threads.add_turn(thread, "q")
        threads.save_answer(turn.id, answer="half", error="out of memory")
        again = threads.save_answer(turn.id, answer="whole", answer_ids=[1], finish="stop")
        assert (again.answer, again.error, again.finish) == ("whole", None, "stop")
        with pytest.raises(ValueError, match="no turn 99"):
            threads.save_answer(99, answer="x")

    @pytest.mark.parametrize("question", ["", "  \n\t"])
    def test_an_empty_question(self, question: str, threads: Threads, thread: int) -> None:
        with pytest.raises(QuestionEmpty):
            threads.add_turn(thread, question)
        assert threads.turns(thread) == []

    def test_no_thread(self, threads: Threads) -> None:
        with pytest.raises(ThreadNotFound):
            threads.add_turn(99, "anyone?")
        assert threads.turns(99) == []

    def test_a_damaged_answer_is_named(self, threads: Threads, thread: int, library: Library) -> None:
        turn = threads.add_turn(thread, "q")
        with library.write() as db:
            db.execute("UPDATE turns SET answer_ids = x'09' WHERE id = ?", [turn.id])
        with pytest.raises(LibraryDamaged, match=f"turn {turn.id}"):
            threads.turns(thread)


class TestBranches:
    def test_a_question_asked_anew_begins_a_branch(self, threads: Threads, owner: int, documents: list[int]) -> None:
        thread = threads.create(owner, documents, "t").id
        first, second, third = (threads.add_turn(thread, name).id for name in ("one", "two", "three"))
        edited = threads.add_turn(thread, "two, better", instead_of=second)
        assert edited.parent_id == first and [turn.id for turn in threads.turns(thread)] == [first, edited.id]
        after = threads.add_turn(thread, "four").id
        assert [turn.id for turn in threads.turns(thread)] == [first, edited.id, after]
        # the old one stays, and is found again with all that followed it
        assert threads.beside(thread) == {second: (second, edited.id), edited.id: (second, edited.id)}
        threads.show_branch(thread, second)
        assert [turn.id for turn in threads.turns(thread)] == [first, second, third]
        assert [turn.id for turn in threads.branch(after)] == [first, edited.id, after]
        assert [turn.question for turn in threads.every_turn(thread)] == ["one", "two", "three", "two, better", "four"]

    def test_a_first_question_has_branches_too(self, threads: Threads, owner: int, documents: list[int]) -> None:
        thread = threads.create(owner, documents, "t").id
        first = threads.add_turn(thread, "one").id
        again = threads.add_turn(thread, "one", instead_of=first)
        assert again.parent_id is None and threads.turns(thread) == [again]

    def test_turns_of_others(self, threads: Threads, owner: int, documents: list[int]) -> None:
        mine, other = (threads.create(owner, documents, "t").id for _ in range(2))
        turn = threads.add_turn(other, "why?").id
        for attempt in (
            lambda: threads.add_turn(mine, "how?", instead_of=turn),
            lambda: threads.show_branch(mine, turn),
            lambda: threads.branch(99),
        ):
            with pytest.raises(TurnNotFound):
                attempt()

    def test_a_removal_is_taken_back(
        self, threads: Threads, library: Library, owner: int, documents: list[int]
    ) -> None:
        thread = threads.create(owner, documents, "t")
        threads.add_turn(thread.id, "why?")
        threads.remove(owner, thread.id)
        with pytest.raises(ThreadNotFound):
            threads.restore(library.owner("stranger"), thread.id)
        assert threads.restore(owner, thread.id).title == "t" and len(threads.turns(thread.id)) == 1

    def test_search(self, threads: Threads, library: Library, owner: int, documents: list[int]) -> None:
        whale, tea = (threads.create(owner, documents, title).id for title in ("The whale", "Tea"))
        turn = threads.add_turn(tea, "Who pours?")
        threads.save_answer(turn.id, answer="x" * 100 + " the Mad Hatter\npours, while the WHALE " + "y" * 100)
        found = threads.search(owner, "whale", 9)
        assert [(hit.thread.id, hit.turn_id) for hit in found] == [(tea, turn.id), (whale, None)]
        before, match, after = found[0].snippet
        assert match == "WHALE" and before.startswith("…x") and after.endswith("y…") and "\n" not in before
        assert threads.search(owner, "", 9) == [] and threads.search(library.owner("stranger"), "whale", 9) == []
        threads.remove(owner, tea)
        assert len(threads.search(owner, "whale", 9)) == 1


def test_turns_of_an_older_library_follow_each_other(threads: Threads, owner: int, documents: list[int]) -> None:
    thread = threads.create(owner, documents, "t").id
    ids = [threads.add_turn(thread, name).id for name in "abc"]
    migration = next(one for one in MIGRATIONS._migrations if one.name == "0033_branches")
    with threads.library.write() as db:
        db.execute("DROP INDEX turns_parent")
        db.execute("ALTER TABLE turns DROP COLUMN parent_id")
        db.execute("ALTER TABLE threads DROP COLUMN head_id")
        migration.fn(db)
    assert [(turn.id, turn.parent_id) for turn in threads.turns(thread)] == [
        (ids[0], None), (ids[1], ids[0]), (ids[2], ids[1]),
    ]  # fmt: skip
