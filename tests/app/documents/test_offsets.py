"""Any range of a canonical text lies on pages, in paragraphs and in chapters, and is found again from there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.documents.canonical import Block, Heading, assemble, clean
from app.documents.model import Document
from app.reading.prompt import token_ranges

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40).map(
    lambda text: "\n".join(line for line in clean(text).replace("\t", " ").split("\n") if line.strip()).strip("\n")
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Blocks over pages that go up, as parsers make them, with headings in order."""
    texts = draw(st.lists(TEXTS, min_size=1, max_size=8).filter(lambda texts: any(text.strip() for text in texts)))
    count = draw(st.integers(1, 6))
    page = 0
    blocks = []
    for text in texts:
        starts = []
        for offset in sorted(draw(st.lists(st.integers(0, len(text)), max_size=2))):
            page = min(count, page + draw(st.integers(1, 2)))
            starts.append((offset, page))
        blocks.append(Block(text, starts))
    places = sorted(draw(st.lists(st.integers(0, len(blocks)), max_size=5)))
    marks = [
        Heading(index=place, title=f"Chapter {n}", level=draw(st.integers(1, 3))) for n, place in enumerate(places)
    ]
    paged = draw(st.booleans())
    found = assemble(
        blocks if paged else [Block(block.text) for block in blocks], marks, title="T", authors=(), language=None,
        format="pdf", page_count=count if paged else 0,
    )  # fmt: skip
    found.check()
    return found


@given(documents(), st.data())
def test_any_range_maps_to_its_pages_and_back(document: Document, data: st.DataObject) -> None:
    text = document.text
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    parts = [
        (page.number, max(start - page.start, 0), min(stop, page.end) - page.start)
        for page in document.pages
        if page.start < stop and start < page.end
    ]
    # forward: the pages in their order hold the range and nothing else
    pages = {page.number: page for page in document.pages}
    said = "".join(text[pages[number].start :][first:last] for number, first, last in parts)
    assert said == (text[start:stop] if document.pages else "")
    # and back: from a page and a place on it to the same characters
    for number, first, last in parts:
        back = pages[number].start + first, pages[number].start + last
        assert start <= back[0] <= back[1] <= stop and text[slice(*back)] == said[back[0] - start : back[1] - start]


@given(documents(), st.data())
def test_any_character_has_one_page_one_paragraph_and_at_most_one_chapter(
    document: Document, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(document.text) - 1))
    assert sum(page.start <= at < page.end for page in document.pages) == bool(document.pages)
    assert sum(chapter.start <= at < chapter.end for chapter in document.chapters) <= 1
    inside = [one for one in document.paragraphs if one.start <= at < one.end]
    assert len(inside) == 1 or (not inside and document.text[at] == "\n")


@given(documents(), st.data())
def test_what_is_read_is_what_the_spans_hold(document: Document, data: st.DataObject) -> None:
    # tokens of any lengths, as a tokenizer might make them
    borders = sorted({0, len(document.text), *data.draw(st.lists(st.integers(0, len(document.text)), max_size=30))})
    cuts = sorted({*data.draw(st.lists(st.sampled_from(borders), max_size=6))})
    spans = list(zip(cuts[0::2], cuts[1::2], strict=False))
    ranges = token_ranges(borders, spans)
    said = ["".join(document.text[borders[n] : borders[n + 1]] for n in range(*one)) for one in ranges]
    assert said == [document.text[start:stop] for start, stop in spans if start < stop]
    assert token_ranges(borders, None) == [(0, len(borders) - 1)]
    # and up to an offset nothing that reaches beyond it
    upto = data.draw(st.integers(0, len(document.text)))
    kept = "".join(document.text[borders[a] : borders[b]] for a, b in token_ranges(borders, spans, upto))
    assert "".join(said).startswith(kept)
    assert len(kept) <= sum(max(0, min(stop, upto) - start) for start, stop in spans)
