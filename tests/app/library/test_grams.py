"""The sieve never holds back a paragraph that has what is looked for."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from app.library.grams import expression, fold, fold_query, pieces

LETTERS = st.text(alphabet="ab é\"'*+-\0ß曹操王İ한", min_size=1, max_size=12)
ANY = st.text(min_size=1, max_size=12)


def lets_through(paragraph: str, folded: str) -> bool:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(
            "CREATE VIRTUAL TABLE t USING fts5 (p, content = '', detail = none, columnsize = 0, tokenize = ascii)"
        )
        db.execute("INSERT INTO t (rowid, p) VALUES (1, ?)", [" ".join(pieces(fold(paragraph)))])
        return bool(db.execute("SELECT rowid FROM t WHERE t MATCH ?", [expression(folded)]).fetchall())


@settings(max_examples=150)
@given(before=LETTERS, query=LETTERS | ANY, after=LETTERS)
def test_a_paragraph_that_holds_it_is_let_through(before: str, query: str, after: str) -> None:
    folded = fold_query(query)
    paragraph = before + folded + after
    if folded:
        assert lets_through(paragraph.encode("utf-8", "replace").decode(), folded)


def test_others_are_held_back() -> None:
    assert not lets_through("A white whale.", "moby")
    assert not lets_through("曹丕篡汉", "曹操")
    assert not lets_through("C+", "c++")


def test_signs_of_the_query_language_are_text() -> None:
    for query in ('"', "c++", "gpt-4", "and or not (", "*", "^a", "a:b", "\0"):
        assert lets_through(f"before {query} after", query)
        assert not lets_through("nothing of it", query)
