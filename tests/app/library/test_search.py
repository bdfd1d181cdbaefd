"""Search: exact counts, whatever is asked, of one's own shelf only."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import DocumentNotFound
from app.library.search import forget_text, index_pending, search
from app.library.store import Library
from tests.app.library.conftest import Book

TALE = """CHAPTER I. The White Whale

Call me Ishmael. A white whale, a WHITE WHALE, and snow-white whales.

CHAPTER II. Straße

In der Straße, in der STRASSE, liest man C++ und gpt-4, sagt "Mr. Darcy".

曹操大怒。曹操曰：寧教我負天下人。

黛玉笑道：“曹操”。
"""


def test_counts_are_those_of_the_text(library: Library, owner: int, book: Book) -> None:
    document = library.add_document(owner, book("tale.txt", TALE), "tale.txt").document
    text = library.text(document.text_sha256)
    queries = ["white whale", "曹操", "黛玉", "曹", "Mr. Darcy", "C++", "gpt-4", '"', "strasse", "Straße", "ss", "S"]
    for query in [*queries, "e", "hale", "\n", "\n\n", ".\n\nC", "nowhere", "AND", "* OR (", "   ", "\0", "\ud800"]:
        found = search(library, owner, query, limit=1000)
        folded = query.encode("utf-8", "replace").decode().casefold()
        assert found.count == text.casefold().count(folded) == len(found.hits), query
        for hit in found.hits:
            assert folded in text[hit.start : hit.stop].casefold()
            assert hit.match == text[hit.start : hit.stop].replace("\n", " ")
            assert hit.match in hit.snippet
    assert search(library, owner, "").count == 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, len(TALE)), size=st.integers(1, 30))
def test_whatever_stands_in_it_is_found(library: Library, start: int, size: int) -> None:
    owner = library.owner()
    if not library.documents(owner):
        path = library.home / "tale.txt"
        path.write_text(TALE, encoding="utf-8")
        library.add_document(owner, path, "tale.txt")
    text = library.text(library.documents(owner)[0].text_sha256)
    query = text[start : start + size]
    if query:
        assert search(library, owner, query).count == text.casefold().count(query.casefold()) > 0


def test_a_hit_says_where_it_stands(library: Library, owner: int, book: Book) -> None:
    library.add_document(owner, book("tale.txt", TALE), "tale.txt")
    (hit,) = search(library, owner, "ishmael").hits
    assert hit.chapter is not None and "White Whale" in hit.chapter
    assert hit.page is None
    # a snippet keeps to its paragraph
    assert hit.snippet.startswith("Call me Ishmael. A white whale")


def test_hits_are_shared_among_documents(library: Library, owner: int, book: Book) -> None:
    for number in range(3):
        name = f"{number}.txt"
        library.add_document(owner, book(name, "whale " * (50 if number else 2) + f"{number}"), name)
    found = search(library, owner, "whale", limit=9)
    assert found.count == 102
    assert found.documents == ((2, 50), (3, 50), (1, 2))
    assert [hit.document for hit in found.hits] == [2, 2, 2, 2, 3, 3, 3, 1, 1]


def test_only_ones_own_and_only_what_stands_there(library: Library, owner: int, book: Book) -> None:
    first = library.add_document(owner, book("a.txt", "A whale.\n"), "a.txt").document
    second = library.add_document(owner, book("b.txt", "Two whales.\n"), "b.txt").document
    assert search(library, library.owner("other"), "whale").count == 0
    assert search(library, owner, "whale", [second.id]).documents == ((second.id, 1),)
    library.remove_document(owner, first.id)
    assert search(library, owner, "whale").documents == ((second.id, 1),)
    for id in (first.id, 99):
        with pytest.raises(DocumentNotFound):
            search(library, owner, "whale", [id])


def test_what_came_before_the_index_is_found_and_indexed_in_steps(library: Library, owner: int, book: Book) -> None:
    for name in ("a.txt", "b.txt"):
        library.add_document(owner, book(name, f"A whale in {name}.\n"), name)
    with library.write() as db:
        for row in list(db.query("SELECT sha256, text FROM texts")):
            forget_text(db, row["sha256"], row["text"])
        assert not list(db.query("SELECT rowid FROM text_pieces WHERE text_pieces MATCH 'wha'"))
    assert search(library, owner, "WHALE").count == 2
    assert index_pending(library, most=1) == 1
    assert search(library, owner, "WHALE").count == 2
    assert index_pending(library) == 1
    assert index_pending(library) == 0
    assert search(library, owner, "WHALE").count == 2
    assert library.check() == []


def test_width_and_direction_of_signs_do_not_matter(library: Library, owner: int, book: Book) -> None:
    library.add_document(owner, book("a.txt", "第１章 ＧＰＴ－４ と GPT-4。ｶﾞﾗｽの﹁窓﹂，a，b, c。"), "a.txt")
    counts = {
        query: search(library, owner, query).count
        for query in ("gpt", "ＧＰＴ", "1", "ガラス", "ｶﾞﾗｽ", "「窓」", "﹁窓", "，", ",")
    }
    # signs of full width are signs of their own
    assert counts == {"gpt": 2, "ＧＰＴ": 2, "1": 1, "ガラス": 1, "ｶﾞﾗｽ": 1, "「窓」": 1, "﹁窓": 1, "，": 2, ",": 1}


def test_texts_indexed_before_widths_were_folded_are_indexed_anew(
    home: Path, library: Library, owner: int, book: Book
) -> None:
    library.add_document(owner, book("a.txt", "A book.\n\nＡＢＣ stands here.\n"), "a.txt")
    with library.write() as db:
        db.execute("INSERT INTO text_pieces (text_pieces) VALUES ('delete-all')")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = '0032_width'")
    library.close()
    with Library(home) as again:
        with again.read() as db:
            assert not list(db.query("SELECT 1 FROM indexed_texts"))
        assert search(again, owner, "abc").count == 1
        assert index_pending(again) == 1 and search(again, owner, "abc").count == 1


def test_a_word_that_stands_everywhere_is_counted_in_whole_texts(
    library: Library, owner: int, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add_document(owner, book("a.txt", TALE), "a.txt")
    queries = ("a", "whale", "strasse", "曹操", "。", "c++", "ishmael", "absent")
    sieved = [search(library, owner, query) for query in queries]
    monkeypatch.setattr("app.library.search.CANDIDATES", 0)
    assert [search(library, owner, query) for query in queries] == sieved
