from __future__ import annotations

import pytest

from app.documents.matter import kinds


@pytest.mark.parametrize(
    ("title", "place", "kind"),
    [
        ("CONTENTS.", 0.01, "front"),
        ("目录", 0.0, "front"),
        ("Transcriber’s Notes:", 0.0, "front"),
        ("Copyright Page", 0.0, "front"),
        ("Copyright Page", 0.99, "back"),
        ("THE FULL PROJECT GUTENBERG LICENSE", 0.99, "back"),
        ("Index", 0.95, "back"),
        ("Index", 0.3, "body"),
        ("索引", 0.95, "back"),
        ("Preface", 0.0, "body"),
        ("EPILOGUE", 0.98, "body"),
        ("Cover me", 0.0, "body"),
        ("Contents of the dead man's pocket", 0.0, "body"),
    ],
)
def test_the_kind_of_a_part(title: str, place: float, kind: str) -> None:
    assert kinds([(title, 1, place, None)]) == [kind]


def test_what_lies_below_back_matter_belongs_to_it() -> None:
    parts = [("One", 1, 0.1, None), ("Index", 1, 0.9, None), ("A", 2, 0.92, None), ("Two", 1, 0.95, None)]
    assert kinds(parts) == ["body", "back", "back", "body"]
    assert kinds([("1", 2, 0.9, "back"), ("2", 2, 0.95, None)]) == ["back", "body"]
