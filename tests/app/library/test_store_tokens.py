"""What a model makes of a text: its tokens, their counts, and how far it has read."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import DocumentNotFound, LibraryDamaged
from app.library.records import Added, ReadingRecord
from app.library.store import Library

Book = Callable[..., Path]


def _add(library: Library, owner: int, path: Path) -> Added:
    return library.add_document(owner, path, path.name)


class TestTokens:
    IDS = array("i", [5, 151_642, 7])

    def test_they_come_back(self, library: Library, owner: int, book: Book) -> None:
        document = _add(library, owner, book()).document
        offsets = array("q", [0, 3, 3, document.characters])
        assert library.tokenization(document.text_sha256, "t") is None
        assert library.token_count(document.text_sha256, "t") is None
        library.save_tokenization(document.text_sha256, "t", self.IDS, offsets)
        library.save_tokenization(document.text_sha256, "t", self.IDS, offsets)
        found = library.tokenization(document.text_sha256, "t")
        assert found is not None and (found.ids, found.offsets) == (self.IDS, offsets)
        assert (found.ids.typecode, found.offsets.typecode) == ("i", "q")
        assert library.token_count(document.text_sha256, "t") == 3
        assert library.tokenization(document.text_sha256, "another") is None
        assert library.check() == []

    def test_counts_are_of_the_shelf(self, library: Library, book: Book) -> None:
        ada, bob = library.owner("ada"), library.owner("bob")
        hers, gone, uncounted, his = (
            _add(library, owner, book("b.txt", text)).document
            for owner, text in ((ada, "One.\n"), (ada, "Two.\n"), (ada, "Three.\n"), (bob, "One.\n"))
        )
        for document in (hers, gone):
            library.save_tokenization(document.text_sha256, "t", self.IDS, array("q", [0, 1, 2, document.characters]))
        library.save_tokenization(uncounted.text_sha256, "u", array("i"), array("q", [uncounted.characters]))
        library.remove_document(ada, gone.id)
        assert library.token_counts(ada, "t") == {hers.id: 3}
        # the same text was counted already, whoever's it is
        assert library.token_counts(bob, "t") == {his.id: 3}

    @pytest.mark.parametrize("offsets", [[0, 1, 2], [0, 1, 2, 5], [0, 1, 2, 3, 39]])
    def test_offsets_must_fit(self, offsets: list[int], library: Library, owner: int, book: Book) -> None:
        document = _add(library, owner, book()).document
        with pytest.raises(ValueError, match="do not fit"):
            library.save_tokenization(document.text_sha256, "t", self.IDS, array("q", offsets))

    def test_a_text_that_is_not_there(self, library: Library) -> None:
        with pytest.raises(LibraryDamaged, match="missing"):
            library.text("0" * 64)
        with pytest.raises(LibraryDamaged, match="missing"):
            library.save_tokenization("0" * 64, "t", self.IDS, array("q", [0, 1, 2, 3]))


class TestReadings:
    def test_how_far_each_model_is(self, library: Library, book: Book) -> None:
        ada, bob = library.owner("ada"), library.owner("bob")
        hers, his = (_add(library, owner, book()).document for owner in (ada, bob))
        assert library.reading(hers.id, "m") is None and library.readings(ada, "m") == {}
        library.save_reading(
            hers.id, "m", done=1024, total=4096, complete=False, seconds=1.5, provenance={"policy": "dense"}
        )
        reading = library.reading(hers.id, "m")
        assert reading is not None
        assert reading == ReadingRecord(
            document_id=hers.id,
            identity="m",
            done=1024,
            total=4096,
            complete=False,
            seconds=1.5,
            provenance={"policy": "dense"},
            updated=reading.updated,
        )
        library.save_reading(hers.id, "m", done=4096, total=4096, complete=True, seconds=6)
        library.save_reading(hers.id, "n", done=1, total=2, complete=False, seconds=0, provenance={})
        assert {key: (r.done, r.complete, r.provenance) for key, r in library.readings(ada, "m").items()} == {
            hers.id: (4096, True, {"policy": "dense"})
        }
        assert library.readings(bob, "m") == {} and library.reading(his.id, "m") is None
        with pytest.raises(DocumentNotFound):
            library.save_reading(99, "m", done=0, total=1, complete=False, seconds=0)
