"""Heads are calibrated on questions about the shelf, and written beside the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from app.calibrate import read_questions, spots
from app.errors import QuestionsBad
from engine.calibrate import Looked, calibrate, hits, leaving_out, rank


def test_questions_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    good = {"document": 1, "question": "Who?", "anchors": ["the lamp"]}
    path.write_text(json.dumps([good] * 8), "utf-8")
    assert read_questions(path)[7]["anchors"] == ["the lamp"]
    for bad in ("{", "[1]", json.dumps([good] * 7), json.dumps([{"document": "x"}] * 9)):
        path.write_text(bad, "utf-8")
        with pytest.raises(QuestionsBad):
            read_questions(path)
    assert spots("kept the\nlamp; the lamp", ["the lamp"]) == [(5, 13), (15, 23)]


def test_the_heads_that_find_are_chosen_without_the_text_they_are_tried_on() -> None:
    """Two heads of 24 look at the right extract, one of them in one text only; the others look anywhere."""
    generator = torch.Generator().manual_seed(3)
    looked = []
    for number in range(12):
        masses, right = torch.rand(24, 30, generator=generator), int(torch.randint(30, (1,), generator=generator))
        masses[5, right] += 3
        if number < 6:
            masses[11, right] += 4
        looked.append(Looked("one" if number < 6 else "two", masses, torch.rand(24, 30, generator=generator), (right,)))
    found = calibrate(looked, 4, counts=(1, 2))
    assert found.heads[0][:2] == (1, 1) and hits(found.ranks, 1) == 12
    assert hits(found.ranks, 1) > hits(found.all_ranks, 1)
    # the head of the first text alone is of no use to the second, and is not chosen for it from that
    assert hits(leaving_out(looked, 1, baseline=False)[:6], 1) == 6
    assert rank(looked[0], torch.zeros(24), baseline=False) == 0
