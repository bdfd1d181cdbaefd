from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from app.documents.model import Chapter, Document, Page, Paragraph

GOOD = Document(
    title="T",
    authors=("A",),
    language="en",
    format="pdf",
    text="One\n\nTwo 𝔸",
    chapters=(Chapter(title="One", level=1, start=0, end=5), Chapter(title="Two", level=1, start=5, end=10)),
    paragraphs=(Paragraph(start=0, end=3), Paragraph(start=5, end=10)),
    pages=(Page(number=1, start=0, end=7), Page(number=2, start=7, end=10)),
)


def test_a_sound_document_passes_and_pickles() -> None:
    GOOD.check()
    assert pickle.loads(pickle.dumps(GOOD)) == GOOD


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        GOOD.title = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": " "}, "title is empty"),
        ({"text": "  "}, "text is empty"),
        ({"text": "One\n\nTwo\tx"}, "control character"),
        ({"text": "One\n\nTwo e\u0301"}, "NFC"),
        ({"chapters": (Chapter(title="x", level=1, start=0, end=11),)}, "chapter"),
        ({"chapters": (GOOD.chapters[1], GOOD.chapters[0])}, "chapter"),
        ({"chapters": (Chapter(title="x", level=0, start=0, end=1),)}, "level"),
        ({"pages": (Page(number=2, start=0, end=10),)}, "numbered"),
        ({"pages": (Page(number=1, start=0, end=9),)}, "cover"),
        ({"pages": (Page(number=1, start=0, end=3), Page(number=2, start=4, end=10))}, "no page"),
        ({"paragraphs": GOOD.paragraphs[:1]}, "cover"),
        ({"paragraphs": (Paragraph(start=0, end=4), Paragraph(start=6, end=10))}, "blank line"),
        ({"paragraphs": (Paragraph(start=0, end=10),)}, "blank line"),
        ({"paragraphs": (Paragraph(start=0, end=3), Paragraph(start=6, end=10))}, "does not follow"),
    ],
)
def test_every_broken_invariant_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(GOOD, **change).check()
