"""Chat templates -> the constant texts around a conversation. Knows no token ids.

A template is somebody's program: it runs in Jinja's sandbox, without a clock, so that the same conversation always
gives the same text.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import CheckpointDamaged, CheckpointUnsupported

# enable_thinking: models that can think aloud (Qwen3) get the frame of a plain answer
NEUTRAL_CONTEXT: dict[str, Any] = {"tools": None, "documents": None, "enable_thinking": False}

_SYSTEM, _FIRST, _ANSWER, _SECOND = "LecternSystemText", "LecternFirstText", "LecternAnswerText", "LecternSecondText"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """before_system S after_system U1 to_answer A1 to_turn U2 to_answer A2 …"""

    before_system: str
    after_system: str
    to_answer: str
    to_turn: str


def chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The template of a checkpoint, or None. settings: its tokenizer_config.json."""
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text("utf-8")
    found = settings.get("chat_template")
    if found is None and (file := folder / "chat_template.json").exists():
        try:
            found = json.loads(file.read_text("utf-8")).get("chat_template")
        except (ValueError, AttributeError) as error:
            raise CheckpointDamaged(str(file), "not a JSON object") from error
    if isinstance(found, list):  # several named ones
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def render(name: str, template: str, context: dict[str, Any]) -> Turns:
    """Render a conversation of marks and cut it at them. name: of the model, for errors.

    A template that refuses a system message gets the system text at the head of the first user text.
    Raises CheckpointUnsupported.
    """
    import jinja2

    try:
        with_system = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _FIRST}]
        turns = _cut(_rendered(template, with_system, context))
    except jinja2.TemplateSyntaxError as error:
        raise CheckpointUnsupported(name, f"its chat template cannot be read: {error}") from error
    except jinja2.TemplateError:
        turns = None
    if turns is None:
        try:
            folded = [{"role": "user", "content": f"{_SYSTEM}\n\n{_FIRST}"}]
            turns = _cut(_rendered(template, folded, context))
        except jinja2.TemplateError as error:
            raise CheckpointUnsupported(name, f"its chat template fails: {error}") from error
    if turns is None:
        raise CheckpointUnsupported(name, "its chat template does not put the texts of a conversation in a row")
    return turns


def _rendered(template: str, opening: list[dict[str, str]], context: dict[str, Any]) -> str:
    import jinja2
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = refuse
    # some templates print today's date at the very front: a day's change would void every page read
    environment.globals["strftime_now"] = datetime.date(2024, 7, 26).strftime
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    # a mark for training that changes no text
    template = re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", template)
    messages = [*opening, {"role": "assistant", "content": _ANSWER}, {"role": "user", "content": _SECOND}]
    try:
        return environment.from_string(template).render(messages=messages, add_generation_prompt=True, **context)
    except (TypeError, ValueError, LookupError, AttributeError) as error:  # raised by the template's own expressions
        raise jinja2.TemplateError(str(error)) from error


def _cut(text: str) -> Turns | None:
    marks = (_SYSTEM, _FIRST, _ANSWER, _SECOND)
    if any(text.count(mark) != 1 for mark in marks):
        return None
    parts = re.split("|".join(marks), text)
    if re.findall("|".join(marks), text) != list(marks):
        return None
    # what stands before a first answer in the history may lack what a new answer begins with (Qwen3's empty <think>)
    return Turns(before_system=parts[0], after_system=parts[1], to_answer=parts[4], to_turn=parts[3])
