"""Artefacts: what was made of the documents, making more, and the templates they are made by. A panel and a dialog."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.reading.making.drawing import draw, fitting
from app.reading.making.export import TYPES, export, filename, formats
from app.reading.making.rows import columns, places_of
from app.reading.making.template import Input, Template, default
from app.ui.notes import trouble
from app.ui.panel import Payload, panel
from app.ui.seat import Seat

if TYPE_CHECKING:
    from app.reading.desk import Desk
    from app.reading.making.desk import Shown

MOST_ITEMS = 2000
# places, before a chart of them says more than their list
FEWEST = 3


class ArtefactPanel:
    def __init__(self, desk: Desk, *, space: bool) -> None:
        self._desk = desk
        self._space = space

    def build(self) -> gr.HTML:
        # Gradio marks server functions with an attribute, which a bound method cannot have
        def look(said: Any) -> Payload:
            return self._answer(said, self._look)

        def show(said: Any) -> Payload:
            return self._answer(said, self._show)

        def make(said: Any) -> Payload:
            return self._answer(said, self._make)

        def act(said: Any) -> Payload:
            return self._answer(said, self._act)

        def file(said: Any) -> Payload:
            return self._answer(said, self._file)

        def compare(said: Any) -> Payload:
            return self._answer(said, self._compare)

        def template(said: Any) -> Payload:
            return self._answer(said, self._template)

        return panel("artefacts", server=[look, show, make, act, file, compare, template])

    def _answer(self, said: Any, act: Callable[[str, Payload], Payload]) -> Payload:
        said = said if isinstance(said, dict) else {}
        owner = Seat.read(said).owner(space=self._space)
        if owner is None:
            return {}
        try:
            return act(owner, said)
        except Exception as error:
            return {"note": trouble(error)}

    def _look(self, owner: str, said: Payload) -> Payload:
        """The list, and with {"templates": true} the templates too."""
        made = [
            {
                "id": one.id,
                "title": one.title,
                "template": one.template,
                "state": one.state,
                "updated": one.updated,
                "behind": one.state == "done" and bool(self._desk.behind(owner, one)),
            }
            for one in self._desk.made(owner)
        ]
        answer: Payload = {"made": made}
        if said.get("templates"):
            answer["templates"] = [_template(one) for one in self._desk.templates(owner)]
        return answer

    def _show(self, owner: str, said: Payload) -> Payload:
        """{"id", "version"?, "chart"?, "language"}: a version with all that the page draws of it."""
        shown = self._desk.artefact(owner, _id(said, "id"), said.get("version") or None)
        return self._shown(shown, _language(said), said.get("chart"))

    def _make(self, owner: str, said: Payload) -> Payload:
        """{"template", "documents", "inputs", "in", "parts", "chapters"}: the new artefact as ``_show`` gives it."""
        documents = [one for one in said.get("documents") or [] if isinstance(one, int)]
        chapters = [one for one in said.get("chapters") or [] if isinstance(one, int)]
        inputs = said.get("inputs")
        run = self._desk.make(
            owner,
            str(said.get("template")),
            documents,
            inputs=inputs if isinstance(inputs, dict) else {},
            language=str(said.get("in") or "") or None,
            chapters=chapters,
            parts=said.get("parts") if isinstance(said.get("parts"), int) else None,
        )
        return self._shown(self._desk.artefact(owner, run.artefact_id), _language(said))

    def _act(self, owner: str, said: Payload) -> Payload:
        """{"id", "do"}: stop, go_on, step (with "step"), again (with more "documents", if any), anew, rename ("title"),
        edit ("items"), remove."""
        id, do = _id(said, "id"), said.get("do")
        if do == "stop":
            self._desk.stop_making(owner, id)
        elif do == "go_on":
            self._desk.go_on(owner, id)
        elif do == "step":
            self._desk.go_on(owner, id, [_id(said, "step")])
        elif do in ("again", "anew"):
            more = [one for one in said.get("documents") or [] if isinstance(one, int)]
            self._desk.make_again(owner, id, anew=do == "anew", document_ids=more)
        elif do == "rename":
            self._desk.rename_artefact(owner, id, str(said.get("title", "")))
        elif do == "edit":
            self._desk.edit_artefact(owner, id, said.get("items"), said.get("version") or None)
        elif do == "remove":
            self._desk.remove_artefact(owner, id)
            return {"removed": id}
        return self._shown(self._desk.artefact(owner, id), _language(said))

    def _file(self, owner: str, said: Payload) -> Payload:
        """{"id", "version", "format", "chart"?}: {"name", "type", "data"} in base64."""
        shown = self._desk.artefact(owner, _id(said, "id"), said.get("version") or None)
        format = str(said.get("format"))
        made = export(self._desk.library, shown, format, _language(said), said.get("chart") or None)
        data = base64.b64encode(made).decode("ascii")
        return {"name": filename(shown, format), "type": TYPES[format], "data": data}

    def _compare(self, owner: str, said: Payload) -> Payload:
        """{"id", "before", "after"}."""
        return self._desk.compare_artefact(owner, _id(said, "id"), _id(said, "before"), _id(said, "after"))

    def _template(self, owner: str, said: Payload) -> Payload:
        """{"source"} is kept, {"remove"} removed; the templates as they are then."""
        if "source" in said:
            self._desk.save_template(owner, said["source"])
        elif "remove" in said:
            self._desk.remove_template(owner, str(said["remove"]))
        return {"templates": [_template(one) for one in self._desk.templates(owner)], "saved": True}

    def _shown(self, shown: Shown, language: str, chart: Any = None) -> Payload:
        places = places_of(self._desk.library, shown)
        items = []
        for item in (shown.content or {}).get("items", [])[:MOST_ITEMS]:
            items.append({**item, "evidence": [asdict(places.of(one)) for one in item["evidence"]]})
        names = columns(shown)
        drawn = bool(items) and shown.version.state != "making"
        known = fitting(shown) if drawn else []
        if sum(len(item["evidence"]) for item in items) < FEWEST:
            known = [one for one in known if one in ("graph", "timeline")]
        if sum(len(places.along(one)) for one in shown.artefact.document_ids) < 2:
            # one chapter is no line of chapters
            known = [one for one in known if one not in ("kinds", "chapters")]
        chart = chart if chart in known else next(iter(known), None)
        drawing = draw(shown, places, language, chart) if chart else ""
        done = sum(step.state == "done" for step in shown.steps)
        return {
            "id": shown.artefact.id,
            "title": shown.artefact.title,
            "template": shown.template.id,
            "view": shown.template.view,
            "over": shown.template.over,
            "documents": [{"id": one, "title": places.title(one)} for one in shown.artefact.document_ids],
            "version": shown.version.number,
            "latest": shown.artefact.version,
            "made_by": shown.version.made_by,
            "state": shown.version.state,
            "error": shown.version.error,
            "behind": [asdict(one) for one in shown.behind],
            "model": shown.version.model,
            "partial": bool((shown.content or {}).get("partial")),
            "columns": [{"name": one, "label": shown.template.label(one, language)} for one in names],
            "values": _values(shown.template, language),
            "chosen": shown.version.choices["inputs"].get("columns", []),
            "items": items,
            "drawing": base64.b64encode(drawing.encode()).decode("ascii"),
            "charts": known,
            "chart": chart,
            "writing": [_begun(one, shown.template, language) for one in shown.writing],
            "formats": formats(shown) if items else [],
            "steps": {"done": done, "all": len(shown.steps)},
            "failed": [
                {"id": one.id, "title": one.title, "number": one.ordinal, "error": one.error}
                for one in shown.steps
                if one.state == "failed"
            ],
            "running": next((one.title or None for one in shown.steps if one.state == "running"), None),
            "versions": [
                {"number": one.number, "state": one.state, "made_by": one.made_by, "created": one.created}
                for one in shown.versions
            ],
        }


def _begun(item: Payload, template: Template, language: str) -> Payload:
    """An item on its way: what it says so far, its first property apart, and what it quotes."""
    values = _values(template, language)
    said = []
    for name, value in item.items():
        if name == "quote":
            continue
        one = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        said.append(values.get(name, {}).get(one, one))
    return {"said": said, "quote": item.get("quote") or ""}


def _template(one: Template) -> Payload:
    return {
        "id": one.id,
        "group": one.group,
        "title": one.title,
        "about": one.about,
        "own": one.own,
        "join": one.join is not None,
        "inputs": [_input(each) for each in one.inputs],
        "source": one.source,
    }


def _input(one: Input) -> Payload:
    said = {language: default(one, language) for language in ("en", "zh")}
    return {"id": one.id, "title": one.title, "kind": one.kind, "default": said, "choices": list(one.choices)}


def _values(template: Template, language: str) -> dict[str, dict[str, str]]:
    """Names of choices in the reader's language, by property."""
    properties = {**template.item["properties"], **template.last["properties"]}
    return {
        name: {value: said.get(language, value) for value, said in one["x-values"].items()}
        for name, one in properties.items()
        if isinstance(one, dict) and isinstance(one.get("x-values"), dict)
    }


def _id(said: Payload, name: str) -> int:
    value = said.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is not an id")
    return value


def _language(said: Payload) -> str:
    return "zh" if said.get("language") == "zh" else "en"
