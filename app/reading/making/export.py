"""An artefact as a file: Markdown, Word, PDF, CSV, JSON, Anki, and its drawing as SVG or PNG."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from app.library.store import Library
from app.reading.making import drawing, office
from app.reading.making.desk import Shown
from app.reading.making.errors import ArtefactUnfinished, FormatUnknown
from app.reading.making.rows import Places, columns, full, places_of, said, table, value

TYPES = {
    "md": "text/markdown",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pdf": "application/pdf",
    "csv": "text/csv",
    "json": "application/json",
    "anki": "text/plain",
    "svg": "image/svg+xml",
    "png": "image/png",
}
# beyond ASCII, Excel believes only this
BOM = "\ufeff"


def formats(shown: Shown) -> list[str]:
    """Those that fit this artefact."""
    fit = ["md", "docx", "pdf", "csv", "json"]
    if _cards(shown) is not None:
        fit.append("anki")
    if shown.content is not None:
        fit += ["svg", "png"]
    return fit


def export(library: Library, shown: Shown, format: str, language: str | None = None, chart: str | None = None) -> bytes:
    """chart: of SVG and PNG, one of ``drawing.fitting``. Raises FormatUnknown, ArtefactUnfinished."""
    if shown.content is None:
        raise ArtefactUnfinished(shown.artefact.id)
    known = formats(shown)
    if format not in known:
        raise FormatUnknown(format, known)
    language = language or str(shown.version.choices.get("language", "en"))
    places = places_of(library, shown)
    make: dict[str, Callable[[], bytes]] = {
        "md": lambda: markdown(shown, places, language).encode(),
        "docx": lambda: office.docx(blocks(shown, places, language), language),
        "pdf": lambda: office.pdf(blocks(shown, places, language), language),
        "csv": lambda: _csv(shown, places, language),
        "json": lambda: json.dumps(as_json(shown, places), ensure_ascii=False, indent=1).encode() + b"\n",
        "anki": lambda: _anki(shown, places, language),
        "svg": lambda: drawing.draw(shown, places, language, chart).encode(),
        "png": lambda: office.png(drawing.draw(shown, places, language, chart)),
    }
    return make[format]()


def filename(shown: Shown, format: str) -> str:
    name = (
        "".join(one if one.isalnum() or one in " -_.()" else "-" for one in shown.artefact.title).strip(" -.")
        or "artefact"
    )
    return f"{name[:80]}.{'txt' if format == 'anki' else format}"


def as_json(shown: Shown, places: Places) -> dict[str, Any]:
    """The artefact with everything that is known of it; ranges count code points of the canonical texts."""
    items = []
    for item in (shown.content or {}).get("items", []):
        items.append({**item, "evidence": [asdict(places.of(one)) for one in item["evidence"]]})
    version = shown.version
    return {
        "id": shown.artefact.id,
        "title": shown.artefact.title,
        "template": shown.template.id,
        "view": shown.template.view,
        "documents": [{"id": one, "title": places.title(one)} for one in shown.artefact.document_ids],
        "version": version.number,
        "state": version.state,
        "made_by": version.made_by,
        "model": version.model,
        "choices": {name: value for name, value in version.choices.items() if name != "of"},
        "behind": [asdict(one) for one in shown.behind],
        "error": version.error,
        "partial": bool((shown.content or {}).get("partial")),
        "created": version.created,
        "items": items,
    }


def blocks(shown: Shown, places: Places, language: str) -> list[office.Block]:
    """The artefact as headings, paragraphs and tables, for every format that people read."""
    view, items = shown.template.view, (shown.content or {}).get("items", [])
    made: list[office.Block] = [office.Heading(1, shown.artefact.title)]
    documents = "; ".join(places.title(one) for one in shown.artefact.document_ids)
    made.append(office.Text(" · ".join(one for one in (documents, shown.version.model or "") if one), small=True))
    several = len(shown.artefact.document_ids) > 1
    names = columns(shown)
    if view == "table" or names == ["column", "value"]:
        heads, rows = table(shown, places, language)
        return [*made, office.Table(heads, rows)]

    def where(item: dict[str, Any]) -> str:
        found = dict.fromkeys(said(places.of(one), language, several=several) for one in item["evidence"])
        return "; ".join(found)

    chapter = None
    for item in items:
        if view == "text":
            first = places.of(item["evidence"][0]).chapter if item["evidence"] else None
            if shown.template.over == "chapters" and first != chapter:
                chapter = first
                made.append(office.Heading(2, chapter or "–"))
            made.append(office.Text(" ".join(value(shown, name, item, language) for name in names), place=where(item)))
        elif view == "quiz":
            wrong = [str(one) for one in item.get("wrong", [])]
            made.append(office.Text(str(item["question"]), strong=True))
            made.append(office.Bullets(sorted([str(item["answer"]), *wrong])))
        else:
            head, *rest = names
            if view == "graph":
                lead, text = f"{item['a']} → {item['b']}", str(item["relation"])
            elif view == "timeline":
                lead, text = str(item.get("when", "–")), str(item["what"])
            else:
                lead = value(shown, head, item, language)
                text = " – ".join(value(shown, name, item, language) for name in rest)
            also = [one for several_said in item.get("also", {}).values() for one in several_said]
            made.append(office.Text("; ".join([text, *also]) if text else "", lead=lead, place=where(item)))
    if view == "quiz":
        made.append(office.Heading(2, "答案" if language == "zh" else "Key"))
        for number, item in enumerate(items, 1):
            made.append(office.Text(str(item["answer"]), lead=f"{number}.", place=where(item)))
    return made


def markdown(shown: Shown, places: Places, language: str) -> str:
    return office.markdown(blocks(shown, places, language))


def _csv(shown: Shown, places: Places, language: str) -> bytes:
    pivot = columns(shown) == ["column", "value"]
    heads, rows = table(shown, places, language) if pivot else full(shown, places, language)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(heads)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return (BOM + out.getvalue()).encode()


def _harmless(cell: str) -> str:
    """A spreadsheet runs what begins like a formula."""
    return f"'{cell}" if cell[:1] in "=+-@\t\r" and not cell.lstrip("+-").replace(".", "", 1).isdigit() else cell


def _cards(shown: Shown) -> tuple[str, str] | None:
    names = set(columns(shown))
    for pair in (("front", "back"), ("question", "answer"), ("term", "meaning")):
        if names.issuperset(pair):
            return pair
    return None


def _anki(shown: Shown, places: Places, language: str) -> bytes:
    """What Anki imports: a card a line, the place in small below the back, the fields as HTML."""
    pair = _cards(shown)
    assert pair is not None
    out = io.StringIO()
    out.write("#separator:Comma\n#html:true\n#tags:lectern\n")
    writer = csv.writer(out)
    several = len(shown.artefact.document_ids) > 1
    for item in (shown.content or {}).get("items", []):
        where = "; ".join(said(places.of(one), language, several=several) for one in item["evidence"][:3])
        front, back = (html.escape(str(item[name])) for name in pair)
        writer.writerow([front, f"{back}<br><small>{html.escape(where)}</small>"])
    return out.getvalue().encode()
