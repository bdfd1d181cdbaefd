"""Making artefacts, and what was made: the commands of ``app.reading.making``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from app.commands.common import OWNER, Command, complain, fetched_engine, open_desk, print_json, working
from app.library.artefacts import ArtefactRecord
from app.reading.desk import Desk
from app.reading.making.errors import ContentInvalid
from app.reading.making.export import as_json, export
from app.reading.making.rows import places_of
from app.reading.making.template import Template
from app.settings import Settings
from app.terminal import Status, one_line, printable


def make(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        if options.template is not None:
            # a wrong name is told before anything is fetched
            desk.template(OWNER, options.template)
        fetched_engine(desk)
        if options.go_on is not None:
            run = desk.go_on(OWNER, options.go_on)
        elif options.again is not None:
            run = desk.make_again(OWNER, options.again, anew=options.anew, document_ids=options.documents or ())
        else:
            inputs: dict[str, Any] = dict(options.set or [])
            if options.columns is not None:
                inputs["columns"] = options.columns
            run = desk.make(
                OWNER,
                options.template,
                options.documents or [],
                inputs=inputs,
                language=options.language,
                chapters=options.chapters or (),
                parts=options.parts,
                window=options.window,
                tokens=options.max_tokens,
                title=options.title or "",
            )
        with working(desk, [run.job_id]) as (status, interrupted):
            what = "making"
            for event in desk.follow(OWNER, run.job_id):
                what = _show(status, what, event.kind, event.payload)
            end = event.payload
            shown = desk.artefact(OWNER, run.artefact_id, run.version)
            if end["error"]:
                complain(str(end["error"]))
            if options.json:
                print_json(
                    {
                        **as_json(shown, places_of(desk.library, shown)),
                        "seconds": end["seconds"],
                        "tokens": end["tokens"],
                    }
                )
            elif shown.content is not None:
                print(printable(export(desk.library, shown, "md").decode()))
            status.say(f"artefact {run.artefact_id}, version {run.version}: {shown.version.state}")
            return interrupted() or int(end["state"] == "failed")


def _show(status: Status, what: str, kind: str, said: dict[str, Any]) -> str:
    if kind == "loading":
        status.share(str(said["text"]), int(said["done"]), int(said["total"]))
    elif kind == "step":
        what = f"part {said['step']} of {said['of']}" + (f", {one_line(said['title'])}" if said["title"] else "")
        if said["state"] == "failed":
            status.say(f"{what}: failed")
    elif kind == "progress" and said["done"] < said["total"]:
        status.share(what, said["done"], said["total"], said["tokens_per_second"], said["seconds_left"])
    elif kind == "delta":
        status.share(f"{what}: writing", 0, 0)
    return what


def templates(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        if options.save is not None:
            template = desk.save_template(OWNER, _json(options.save))
        elif options.copy is not None:
            template = desk.copy_template(OWNER, options.template, options.copy)
        elif options.remove:
            desk.remove_template(OWNER, options.template)
            return 0
        elif options.template is not None:
            template = desk.template(OWNER, options.template)
        else:
            found = desk.templates(OWNER)
            if options.json:
                print_json([_template_row(one) for one in found])
            else:
                for one in found:
                    print(f"{one.id:<18} {one.group:<9} {one.title['en']} · {one.title['zh']}")
            return 0
        if options.json:
            print_json(_template_row(template))
        else:
            print(json.dumps(template.source, ensure_ascii=False, indent=1))
    return 0


def artefacts(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        rows = [{**_artefact_row(one), "behind": bool(desk.behind(OWNER, one))} for one in desk.made(OWNER)]
    if options.json:
        print_json(rows)
        return 0
    for row in rows:
        about = ", ".join(map(str, row["documents"]))
        what = f"{row['template']:<18} {row['state']:<8} v{row['version']}"
        behind = "  (its documents changed: `lectern make --again`)" if row["behind"] else ""
        print(f"{row['id']:>4}  {what}  {one_line(row['title'])}  [{about}]{behind}")
    return 0


def artefact(settings: Settings, options: argparse.Namespace) -> int:
    with open_desk(settings) as desk:
        if options.remove:
            desk.remove_artefact(OWNER, options.artefact)
            return 0
        if options.rename is not None:
            desk.rename_artefact(OWNER, options.artefact, options.rename)
        if options.edit is not None:
            said = _json(options.edit)
            items = said.get("items") if isinstance(said, dict) else said
            desk.edit_artefact(OWNER, options.artefact, items, options.version)
            options.version = None
        shown = desk.artefact(OWNER, options.artefact, options.version)
        if options.compare is not None:
            told = desk.compare_artefact(OWNER, options.artefact, options.compare, shown.version.number)
            if options.json:
                print_json(told)
            else:
                _print_comparison(told)
            return 0
        if options.json:
            versions = [
                {"number": one.number, "state": one.state, "made_by": one.made_by, "created": one.created}
                for one in shown.versions
            ]
            steps = [
                {"id": one.id, "kind": one.kind, "title": one.title, "state": one.state, "error": one.error}
                for one in shown.steps
            ]
            print_json({**as_json(shown, places_of(desk.library, shown)), "versions": versions, "steps": steps})
            return 0
        return _write(desk, shown, options)


def _write(desk: Desk, shown: Any, options: argparse.Namespace) -> int:
    made = export(desk.library, shown, options.format, chart=options.chart)
    if options.output is not None and str(options.output) != "-":
        options.output.write_bytes(made)
        print(f"{one_line(str(options.output))}: {len(made):,} bytes", file=sys.stderr)
    elif options.format in ("md", "json", "csv", "anki", "svg"):
        print(printable(made.decode()), end="")
    elif sys.stdout.isatty():
        complain(f"{options.format} is no text for a terminal: name a file with --output")
        return 1
    else:
        sys.stdout.buffer.write(made)
    return 0


def _print_comparison(told: dict[str, Any]) -> None:
    for mark, name in (("+", "added"), ("-", "removed")):
        for item in told[name]:
            print(f"{mark} {_line(item)}")
    for pair in told["changed"]:
        print(f"- {_line(pair['before'])}\n+ {_line(pair['after'])}")
    print(f"{told['same']} unchanged", file=sys.stderr)


def _line(item: dict[str, Any]) -> str:
    return one_line(" – ".join(one for one in item.values() if isinstance(one, str)))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ContentInvalid(f"{path.name} is not JSON ({error})") from error


def _template_row(template: Template) -> dict[str, Any]:
    return {
        "id": template.id,
        "group": template.group,
        "title": template.title,
        "about": template.about,
        "view": template.view,
        "over": template.over,
        "inputs": [one["id"] for one in template.source.get("inputs", [])],
        "own": template.own,
        "source": template.source,
    }


def _artefact_row(record: ArtefactRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "template": record.template,
        "title": record.title,
        "documents": record.document_ids,
        "version": record.version,
        "state": record.state,
        "created": record.created,
        "updated": record.updated,
    }


COMMANDS: dict[str, Command] = {
    "make": make,
    "templates": templates,
    "artefacts": artefacts,
    "artefact": artefact,
}
