"""What a model is asked to make an artefact, in words."""

from __future__ import annotations

from typing import Any

from app.reading.making.template import FROM, QUOTE, Template

LANGUAGE_NAMES = {"en": "English", "zh": "Chinese"}


def question(template: Template, choices: dict[str, Any], *, join: int | None = None) -> str:
    """What the model is asked, with the structure of its answer in words; join: of so many numbered items."""
    language = str(choices["language"])
    asked = template.asked(language, choices["inputs"], join=join is not None)
    item = template.join.item if join is not None and template.join is not None else template.item
    names = ", ".join(f'"{name}"' for name in item["properties"])
    first = QUOTE if join is None else FROM
    if language == "zh":
        place = (
            f'"{QUOTE}"是这一段中能证明这一条的原话，一字不改'
            if join is None
            else f'"{FROM}"是所依据的编号（1 到 {join}）的列表'
        )
        return f'{asked}\n\n以 JSON 作答：{{"items": [...]}}，每条依次含 "{first}" 与 {names}。{place}。请用中文写。'
    place = (
        f'"{QUOTE}" are words of the excerpt that show it, unchanged'
        if join is None
        else f'"{FROM}" lists the numbers (1 to {join}) that it rests on'
    )
    spoken = LANGUAGE_NAMES.get(language, language)
    return (
        f'{asked}\n\nAnswer in JSON: {{"items": [...]}}, each with "{first}" and then {names}. {place}. '
        f"Write in {spoken}."
    )
