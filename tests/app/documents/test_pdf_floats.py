"""What interrupts the text of a page: it stands after the sentence that it interrupts, on its own page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.documents import pdf
from app.documents.model import Document
from app.documents.pdf_pages import quads
from tests.app.documents.pages import LONG, OTHER, Line, joined, prose

Make = Callable[..., Path]

NOTE = [(72, 740.0, "* Said by the keeper of the lamp.", 8.0)]
FIGURE = [(200, 100.0, "oil", 8.0), (260, 120.0, "wick", 8.0), (150, 150.0, "Figure 1: The parts of a lamp", 11.0)]


def read(path: Path) -> Document:
    document = pdf.parse(path, "x.pdf")
    document.check()
    return document


def paragraphs(document: Document) -> list[str]:
    return [document.text[part.start : part.end] for part in document.paragraphs]


def page_of(document: Document, words: str) -> int:
    place = document.text.index(words)
    return next(page.number for page in document.pages if page.start <= place < page.end)


def test_a_note_and_a_figure_between_the_halves_of_a_sentence(make_pdf: Make) -> None:
    first: list[Line] = [*prose(72, 100, OTHER), *prose(72, 680, LONG[:2]), *NOTE]
    second: list[Line] = [*FIGURE, *prose(72, 200, LONG[2:]), *prose(72, 300, OTHER)]
    document = read(make_pdf([first, second]))
    assert paragraphs(document) == [
        joined(OTHER),
        NOTE[0][2],
        joined(LONG),
        "oil\nwick",
        "Figure 1: The parts of a lamp",
        joined(OTHER),
    ]
    assert (page_of(document, "* Said"), page_of(document, "out before"), page_of(document, "Figure 1")) == (1, 2, 2)


def test_a_paragraph_of_three_pages_is_divided_at_a_sentence(make_pdf: Make) -> None:
    middle: list[Line] = [
        *prose(72, 100, [*LONG[:3], "began to sing in the trees beside the house and the shed.", *LONG[:2]]),
        *NOTE,
    ]
    document = read(make_pdf([prose(72, 700, LONG[:2]), middle, prose(72, 100, LONG[2:])]))
    found = paragraphs(document)
    assert [found.index(NOTE[0][2]), len(found)] == [1, 3]
    assert found[0].endswith("and the shed.") and found[2] == joined(LONG)
    assert page_of(document, "* Said") == 2


def test_the_cells_of_a_table_under_its_caption(make_pdf: Make) -> None:
    table = [(72, 160.0, "Table 2. Lamps by year", 11.0), *prose(72, 190, ["1901 12", "1902 15"], size=9)]
    lines: list[Line] = [*prose(72, 100, LONG), *table, *prose(72, 260, OTHER)]
    assert paragraphs(read(make_pdf([lines]))) == [
        joined(LONG),
        "Table 2. Lamps by year",
        "1901 12\n1902 15",
        joined(OTHER),
    ]


def test_a_sentence_that_names_a_figure_is_no_caption(make_pdf: Make) -> None:
    lines = [
        *prose(72, 100, LONG),
        *prose(72, 180, ["Figure 1 shows that the oil had been changed for water and", *OTHER]),
    ]
    assert paragraphs(read(make_pdf([lines])))[1].startswith("Figure 1 shows that the oil")


def test_small_type_alone_is_text(make_pdf: Make) -> None:
    pages = [prose(72, 100, [*LONG, *OTHER]), prose(72, 100, ["1 The lamp is lit.", "2 The lamp is out."], size=8)]
    assert "2 The lamp is out." in read(make_pdf(pages)).text


# the words on either side of a column's or a page's end, read off the printed pages, and each looked at there
CROSSINGS = {
    "dynamo": [
        "Dynamo employs a gossip based",
        "guaranteeing that it will provide a response",
        "Experiences with Amazon’s production systems",
        "put() call may return to its",
        "read request, if Dynamo has access",
        "writes to an object. In practice",
        "returned to the original replica node",
        "Let us consider a simple bootstrapping",
        "the caller the state machine waits for",
        "there is a significant difference",
        "1/8th of the measured peak load",
        "strategies is to evaluate the skew",
    ],
    "mapreduce": [
        "frequent queries in a given day",
        "as the basis for a rewrite",
        "in wide use at Google: large clusters",
        "the input data into a set of M splits",
        "all workers executing reduce tasks",
        "makes it very easy for programmers",
        "function on the intermediate key",
        "generates a signal, the signal handler",
        "160GB IDE disks, and a gigabit",
        "the key and the original text line",
        "graph is for the first batch",
        "production indexing system that",
    ],
    "spanner": [
        "choose lower latency over higher",
        "distributed database: it provides externally",
        "deployment of Bigtable servers [9]",
        "key-value store. A tablet’s state is",
        "Operations that require synchronization",
        "simpler to manage than Bigtable’s",
        "example database: for example, Albums",
        "together account for the sawtooth",
        "The execution of the reads in a",
        "which is the maximum timestamp",
        "servers’ CPUs. Snapshot reads",
        "up to 2200 km apart",
    ],
}


@pytest.mark.parametrize("name", CROSSINGS)
def test_sentences_go_on_over_columns_and_pages(shared: Path, name: str) -> None:
    path = shared / "papers" / f"{name}.pdf"
    document = read(path)
    missing = [words for words in CROSSINGS[name] if words not in document.text]
    assert missing == []
    for words in CROSSINGS[name]:
        start = document.text.index(words)
        (first, begins), *_, (last, ends) = quads(path, document, start, start + len(words), filename=path.name)
        # the next page, or the other column
        assert last == first + 1 or (last == first and begins[0] < 0.5 < ends[0] and ends[1] < begins[1]), words
    assert "appear in OSDI" not in document.text and "Proceedings of OSDI 2012" not in document.text


def test_notes_of_a_real_paper(shared: Path) -> None:
    document = read(shared / "papers" / "dynamo.pdf")
    assert "Freenet and Gnutella¹, were" in document.text
    notes = [text for text in paragraphs(document) if text.startswith(("¹ http", "² http"))]
    assert len(notes) == 2 and page_of(document, "¹ http") == 4 and page_of(document, "² http") == 9
