"""The tree of errors: complete, sendable between processes, and each message a remedy."""

from __future__ import annotations

import inspect
import pickle

import pytest

from app import errors
from app.errors import LecternError, RoomExceeded

SAMPLES: list[LecternError] = [
    errors.DocumentUnreadable("a.pdf", "permission denied"),
    errors.DocumentEmpty("a.pdf"),
    errors.DocumentTooLarge("a.pdf", 300 * 2**20, 200 * 2**20),
    errors.DocumentTypeUnknown("a.doc", [".txt", ".pdf"]),
    errors.DocumentEncrypted("a.pdf"),
    errors.DocumentDamaged("a.pdf", "no pages"),
    errors.DocumentWithoutText("a.pdf", 12),
    errors.DocumentNotText("a.txt"),
    errors.EncodingWrong("a.txt", "big5", 1234),
    errors.EncodingUnknown("a.txt", "klingon"),
    errors.EncodingPointless("a.pdf"),
    errors.ParserFailed("a.pdf", "it took longer than 600 s"),
    errors.DocumentNotFound(7),
    errors.ThreadNotFound(8),
    errors.NoteNotFound(8),
    errors.TurnNotFound(8),
    errors.JobNotFound(9),
    errors.LibraryDamaged("/home/library.db", "it is not a database"),
    errors.LibraryTooNew("0099_later"),
    errors.LibraryBusy(30.0),
    errors.LibraryFull("/home"),
    errors.LibraryNotWritable("/home"),
    errors.BackupDamaged("/tmp/a.zip", "it has no manifest"),
    errors.OriginalDamaged("a.txt", "it is missing from the library"),
    errors.BackupExists("/tmp/a.zip"),
    errors.HomeNotEmpty("/home", ["files", "library.db"]),
    errors.TagInvalid("", 60),
    errors.ChaptersInvalid("chapter 3 has no title"),
    errors.RenewalInvalid("a document is no later state of itself"),
    errors.SourceRefused("http://localhost/", "localhost is not on the open internet"),
    errors.SourceFailed("https://example.org/a.pdf", "the server answers 404 Not Found"),
    errors.RangeInvalid(4, 2, 10),
    errors.ColourUnknown("red", ("yellow", "green")),
    errors.PlaceInvalid("Chapter 99"),
    errors.QuestionsBad("questions.json", "it has 3 questions, 8 are the least"),
    RoomExceeded(1_200_000, 900_000, "model", [("Alice", 400_000), ("Emma", 800_000)]),
    errors.SettingInvalid("--port", "x", "a port is a number"),
    errors.QuestionEmpty(),
    errors.NothingChosen(),
]
BASES = {errors.LecternError, errors.DocumentError, errors.NotFound, errors.LibraryError}

every = pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)


def _all_classes() -> set[type]:
    return {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}


def test_every_error_has_a_sample_and_stands_in_the_drawn_tree() -> None:
    assert {type(error) for error in SAMPLES} | BASES == _all_classes()
    assert errors.__doc__ is not None
    for kind in _all_classes():
        assert kind.__name__ in errors.__doc__
        assert issubclass(kind, LecternError)


@every
def test_it_crosses_processes_with_its_data(error: LecternError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@every
def test_its_arguments_are_attributes_of_the_same_name(error: LecternError) -> None:
    parameters = inspect.signature(type(error).__init__).parameters
    names = [name for name in parameters if name not in ("self", "args", "kwargs", "details")]
    assert {name for name in names if not hasattr(error, name)} == set()


@every
def test_its_message_is_plain_sentences(error: LecternError) -> None:
    message = str(error)
    assert message[0].isupper() or message[0] == "“"
    assert message.endswith(".")
    assert "None" not in message and "\n" not in message and "Error" not in message
    assert 40 < len(message) < 260


@pytest.mark.parametrize("error", [e for e in SAMPLES if isinstance(e, errors.DocumentError)], ids=repr)
def test_a_refused_document_is_named(error: errors.DocumentError) -> None:
    assert str(error).startswith(f"“{error.filename}”")


def test_numbers_of_bytes_are_megabytes() -> None:
    message = str(errors.DocumentTooLarge("a.pdf", 300 * 2**20, 200 * 2**20))
    assert "300 MB" in message and "200 MB" in message


class TestRoomExceeded:
    def test_it_says_what_each_number_is(self) -> None:
        message = str(RoomExceeded(1_200_000, 900_000, "model", [("A", 500_000), ("B", 400_000), ("C", 300_000)]))
        assert message.startswith("These 3 books are 1.2 M tokens; this model can hold 0.9 M. Leave out one of ")

    def test_only_documents_that_are_large_enough_are_offered(self) -> None:
        error = RoomExceeded(1_200_000, 900_000, "model", [("Large", 900_000), ("Small", 299_999)])
        assert error.leave_out == (("Large", 900_000),)
        assert "Small" not in str(error)
        assert "Leave out “Large” (0.9 M), or choose a model" in str(error)

    def test_several_must_go_when_none_is_enough(self) -> None:
        error = RoomExceeded(30_000, 9_000, "disk", [("A", 10_000), ("B", 10_000), ("C", 10_000)])
        assert error.leave_out == ()
        assert "Leave out several of" in str(error) and "free some space" in str(error)

    def test_one_book_is_not_asked_to_leave(self) -> None:
        message = str(RoomExceeded(900_000, 32_768, "memory", [("A", 899_000)]))
        assert message.startswith("This book is 0.9 M tokens; the memory of this machine has room for 32,768.")
        assert "Leave out" not in message and "smaller model" in message

    def test_two_numbers_that_round_alike_are_given_in_full(self) -> None:
        message = str(RoomExceeded(900_400, 899_900, "model", [("A", 900_000)]))
        assert "900,400" in message and "899,900" in message

    def test_a_clause_of_ones_own(self) -> None:
        assert "; this engine can hold 8,192." in str(RoomExceeded(9_000, 8_192, "this engine can hold", []))
