from __future__ import annotations

import pytest

from app.documents.language import from_tag, guess


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en-US", "en"), ("EN", "en"), ("English", "en"), ("zh-Hans", "zh"), ("ja-jp", "ja"), ("Chinese", "zh"),
        ("English (British)", "en"), ("und", None), ("", None), (None, None), ("x-klingon", None),
    ],
)  # fmt: skip
def test_tags_and_names(tag: str | None, language: str | None) -> None:
    assert from_tag(tag) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("It was the best of times and he knew that she was in the house with him.", "en"),
        ("Le petit chat est dans la maison et il ne veut pas sortir avec nous.", "fr"),
        ("Der Mann ging in das Haus und sah die Frau, die nicht mit ihm war.", "de"),
        ("El hombre que vivía en la casa no era de los que se van por las noches.", "es"),
        ("话说天下大势，分久必合", "zh"),
        ("山の上に小さな家があった", "ja"),
        ("그 사람은 이미 그곳에 있었다", "ko"),
        ("Все счастливые семьи похожи", "ru"),
        ("Η Ελλάδα είναι όμορφη", "el"),
        ("1234 5678 --", None),
        ("", None),
        ("Qxz vbn wrt plk mnb", None),
    ],
)
def test_guess(text: str, language: str | None) -> None:
    assert guess(text) == language


def test_a_quotation_does_not_turn_the_language() -> None:
    assert guess("The words 分久必合 and 合久必分 are in the book that he gave to me. " * 3) == "en"
