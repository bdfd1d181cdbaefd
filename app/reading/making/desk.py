"""What a reader can do with templates and artefacts, for the page and for the command line alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.errors import LibraryDamaged
from app.library.artefacts import ArtefactRecord, Artefacts, StepRecord, VersionRecord
from app.library.records import DocumentRecord
from app.library.values import clean
from app.reading.folding import bare
from app.reading.making import items as making
from app.reading.making import template as templates
from app.reading.making import template_file
from app.reading.making.comparing import compared
from app.reading.making.current import Behind, behind, looked_at
from app.reading.making.errors import (
    ArtefactUnfinished,
    ContentInvalid,
    InputInvalid,
    TemplateInvalid,
    TemplateNotFound,
    TemplateTaken,
)
from app.reading.making.template import LANGUAGES, Template
from engine import ending, schema
from engine.errors import SchemaTooLong
from engine.protocol import Engine

if TYPE_CHECKING:
    from app.library.jobs import Jobs
    from app.library.store import Library
    from app.reading.engines import Engines
    from app.reading.quotes import Quotes
    from app.settings import Settings

# before every reading, after a question
MAKING = 500_000
TITLE_LENGTH = 120
LEAST_WINDOW = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An artefact on its way: follow ``job_id``."""

    artefact_id: int
    version: int
    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A version of an artefact as it is now. content: of what is done so far, None before anything is."""

    artefact: ArtefactRecord
    version: VersionRecord
    template: Template
    content: dict[str, Any] | None
    steps: list[StepRecord]
    versions: list[VersionRecord]
    # what it does not know of its documents: empty while it is made, and where nothing changed
    behind: tuple[Behind, ...] = ()
    # items on their way, as far as they are written: without places
    writing: list[dict[str, Any]] = field(default_factory=list)


class Making:
    """What ``Desk`` inherits."""

    library: Library
    jobs: Jobs
    engines: Engines
    quotes: Quotes
    settings: Settings
    artefacts: Artefacts

    def owner_id(self, owner: str) -> int:
        raise NotImplementedError

    def chosen(self, owner_id: int, document_ids: Sequence[int]) -> list[DocumentRecord]:
        raise NotImplementedError

    # templates

    def templates(self, owner: str) -> list[Template]:
        """Lectern's own and then this person's. One of theirs that a newer Lectern finds a mistake in is left out."""
        found = list(template_file.shipped().values())
        for source in self.artefacts.templates(self.owner_id(owner)).values():
            try:
                found.append(template_file.read(source, own=True))
            except TemplateInvalid:
                continue
        return found

    def template(self, owner: str, id: str) -> Template:
        """Raises TemplateNotFound, TemplateInvalid."""
        if id in template_file.shipped():
            return template_file.shipped()[id]
        own = self.artefacts.templates(self.owner_id(owner))
        if id not in own:
            raise TemplateNotFound(id)
        return template_file.read(own[id], own=True)

    def save_template(self, owner: str, source: Any) -> Template:
        """Keep a template of one's own, over an earlier one of its id. Raises TemplateInvalid, TemplateTaken."""
        template = template_file.read(source, own=True)
        if template.id in template_file.shipped():
            raise TemplateTaken(template.id)
        self.artefacts.save_template(self.owner_id(owner), template.id, template.source)
        return template

    def copy_template(self, owner: str, id: str, new_id: str) -> Template:
        """A copy of one's own, to be changed."""
        source = {**self.template(owner, id).source, "id": new_id, "group": "own"}
        return self.save_template(owner, source)

    def remove_template(self, owner: str, id: str) -> None:
        if id in template_file.shipped():
            raise TemplateTaken(id)
        self.artefacts.remove_template(self.owner_id(owner), id)

    # making

    def make(
        self,
        owner: str,
        template_id: str,
        document_ids: Sequence[int],
        *,
        inputs: Mapping[str, Any] | None = None,
        language: str | None = None,
        chapters: Sequence[int] = (),
        parts: int | None = None,
        window: int | None = None,
        tokens: int | None = None,
        title: str = "",
    ) -> Made:
        """Queue the making of an artefact.

        language: "en" or "zh", None is the documents'; chapters: their numbers from 1, none are all; parts: at most so
        many, spread over the text; window, tokens: of a part shown, and of its answer.
        Raises NothingChosen, NotFound, TemplateNotFound, InputInvalid, SchemaTooLong.
        """
        owner_id = self.owner_id(owner)
        template = self.template(owner, template_id)
        documents = self.chosen(owner_id, document_ids)
        if language is None:
            language = "zh" if all((one.language or "").startswith("zh") for one in documents) else "en"
        if language not in LANGUAGES:
            raise InputInvalid("language", f"it must be one of {', '.join(LANGUAGES)}")
        choices = {
            "inputs": template.choose(inputs or {}, language),
            "language": language,
            "chapters": list(chapters),
            "parts": _bounded("parts", parts, 1, 100_000),
            "window": _bounded("window", window, LEAST_WINDOW, 10**6),
            "tokens": _bounded("tokens", tokens, 16, templates.MOST_TOKENS) or template.tokens,
        }
        engine = self.engines.ready(self.settings.model)
        if engine is not None:
            check_length(engine, template, choices)
        said = " ".join(title.split())[:TITLE_LENGTH] or _title(template, documents, language)
        with self.library.write():
            artefact_id = self.artefacts.create(owner_id, template.id, said, [one.id for one in documents])
            return self._begin(owner_id, artefact_id, template.source, choices, documents)

    def make_again(self, owner: str, artefact_id: int, *, anew: bool = False, document_ids: Sequence[int] = ()) -> Made:
        """A new version, by the template and choices of the latest: of parts whose text did not change the earlier
        result stands, unless ``anew``. document_ids: more documents for it to be made of, from now on. Versions before
        it are not touched. Raises ArtefactNotFound, DocumentNotFound."""
        owner_id = self.owner_id(owner)
        artefact = self.artefacts.get(owner_id, artefact_id)
        latest = self.artefacts.numbered(artefact_id, artefact.version)
        documents = self.chosen(owner_id, [*artefact.document_ids, *document_ids])
        choices = {**latest.choices, "anew": anew}
        with self.library.write():
            self.artefacts.add_documents(owner_id, artefact_id, document_ids)
            return self._begin(owner_id, artefact_id, latest.source, choices, documents)

    def go_on(self, owner: str, artefact_id: int, steps: Sequence[int] | None = None) -> Made:
        """Go on with what was stopped, and try failed steps again: all of them, or those of these ids alone. Where the
        documents changed meanwhile, that is a new version, in which what is done and did not change stands."""
        owner_id = self.owner_id(owner)
        artefact = self.artefacts.get(owner_id, artefact_id)
        made = [one for one in self.artefacts.versions(artefact_id) if one.made_by == "model"]
        version = made[-1]
        if version.state == "making" and version.job_id is not None:
            return Made(artefact_id=artefact.id, version=version.number, job_id=version.job_id)
        if version.state != "done" and behind(self, artefact, version):
            # its parts name ranges of a text that is no more
            return self.make_again(owner, artefact_id)
        found = self.artefacts.steps(version.id)
        failed = [one for one in found if one.state == "failed" and (steps is None or one.id in steps)]
        with self.library.write():
            if any(one.kind == "part" for one in failed):
                self.artefacts.drop_joins(version.id)
            return self._queue(owner_id, version, [one.id for one in failed])

    def stop_making(self, owner: str, artefact_id: int) -> None:
        """Stop it; what is done stays, and ``go_on`` goes on."""
        owner_id = self.owner_id(owner)
        self.artefacts.get(owner_id, artefact_id)
        for version in self.artefacts.versions(artefact_id):
            if version.state == "making" and version.job_id is not None:
                self.jobs.request_stop(owner_id, version.job_id)

    def behind(self, owner: str, artefact: ArtefactRecord) -> tuple[Behind, ...]:
        """What its latest version does not know of its documents."""
        version = self.artefacts.numbered(artefact.id, artefact.version)
        return tuple(behind(self, artefact, version))

    def _begin(
        self,
        owner_id: int,
        artefact_id: int,
        source: dict[str, Any],
        choices: dict[str, Any],
        documents: Sequence[DocumentRecord],
    ) -> Made:
        choices = {**choices, "of": looked_at(self, documents, choices)}
        version = self.artefacts.add_version(artefact_id, made_by="model", source=source, choices=choices)
        return self._queue(owner_id, version, [])

    def _queue(self, owner_id: int, version: VersionRecord, steps: list[int]) -> Made:
        payload = {"version": version.id, "model": self.settings.model, "steps": steps}
        job = self.jobs.enqueue(owner_id, "make", payload, priority=MAKING)
        self.artefacts.set_job(version.id, job.id)
        return Made(artefact_id=version.artefact_id, version=version.number, job_id=job.id)

    # artefacts

    def made(self, owner: str) -> list[ArtefactRecord]:
        """All artefacts, the one changed last first."""
        return self.artefacts.list(self.owner_id(owner))

    def artefact(self, owner: str, artefact_id: int, number: int | None = None) -> Shown:
        """A version, the latest if none is named. Raises ArtefactNotFound, VersionNotFound."""
        owner_id = self.owner_id(owner)
        with self.library.read():
            artefact = self.artefacts.get(owner_id, artefact_id)
            versions = self.artefacts.versions(artefact_id)
            version = self.artefacts.numbered(artefact_id, artefact.version if number is None else number)
            steps = self.artefacts.steps(version.id)
        template = template_file.read(version.source, own=True)
        content, writing = version.content, []
        if version.state == "making" and steps:
            content = making.assembled(template, steps)
            if version.job_id is not None and any(step.state == "running" for step in steps):
                writing = making.begun(self.jobs.written(version.job_id))
        return Shown(
            artefact=artefact,
            version=version,
            template=template,
            content=content,
            steps=steps,
            versions=versions,
            behind=() if version.state == "making" else tuple(behind(self, artefact, version)),
            writing=writing,
        )

    def rename_artefact(self, owner: str, artefact_id: int, title: str) -> ArtefactRecord:
        said = " ".join(clean(title).split())[:TITLE_LENGTH]
        if not said:
            raise ContentInvalid("a title must not be empty")
        return self.artefacts.rename(self.owner_id(owner), artefact_id, said)

    def remove_artefact(self, owner: str, artefact_id: int) -> None:
        self.artefacts.remove(self.owner_id(owner), artefact_id)

    def edit_artefact(self, owner: str, artefact_id: int, items: Any, number: int | None = None) -> Shown:
        """A new version by hand: the items of one version, changed. Places are checked, not trusted.

        Raises ContentInvalid, and then changes nothing.
        """
        shown = self.artefact(owner, artefact_id, number)
        if shown.content is None:
            raise ArtefactUnfinished(artefact_id)
        if not isinstance(items, list) or not items:
            raise ContentInvalid("it has no items; remove the artefact instead")
        checked = [self._edited(shown, item, n) for n, item in enumerate(items, 1)]
        self.artefacts.add_version(
            artefact_id,
            made_by="hand",
            source=shown.version.source,
            choices=shown.version.choices,
            content={"items": checked},
            model=shown.version.model,
        )
        return self.artefact(owner, artefact_id)

    def _edited(self, shown: Shown, item: Any, number: int) -> dict[str, Any]:
        partial = (shown.content or {}).get("partial")
        known = shown.template.item["properties"] if partial else shown.template.last["properties"]
        if not isinstance(item, dict):
            raise ContentInvalid(f"item {number} is no object")
        kept: dict[str, Any] = {}
        for name in known:
            value = item.get(name)
            if isinstance(value, list) and all(isinstance(one, str) for one in value):
                kept[name] = [clean(one) for one in value]
            elif isinstance(value, bool | int):
                kept[name] = value
            elif isinstance(value, str) and value.strip() and len(value) <= schema.STRING_LIMIT:
                kept[name] = clean(value.strip())
            else:
                raise ContentInvalid(f"item {number} needs {name}: a text of 1 to {schema.STRING_LIMIT:,} characters")
        evidence = item.get("evidence", [])
        if not isinstance(evidence, list):
            raise ContentInvalid(f"item {number} has no list of places")
        kept["evidence"] = [self._place(shown, one, number) for one in evidence]
        for name in ("also", "unnamed", "misquoted", "unsupported"):
            if item.get(name):
                kept[name] = item[name]
        return kept

    def _place(self, shown: Shown, place: Any, number: int) -> dict[str, Any]:
        try:
            document, start, end, text = place["document"], place["start"], place["end"], place["text"]
            fine = document in shown.artefact.document_ids and 0 <= start < end
            # a document may have changed since; what an item rested on stays with it
            known = {"document": document, "start": start, "end": end, "text": text}.items()
            kept = any(known <= one.items() for item in _items(shown) for one in item["evidence"])
            fine = fine and (kept or self.quotes.stands(document, start, end, text))
        except (KeyError, TypeError, LibraryDamaged):
            fine = False
        if not fine:
            raise ContentInvalid(f"item {number} names a place where its text does not stand")
        quote = place.get("quote")
        kept = {"quote": quote} if isinstance(quote, str) and bare(quote).text in bare(text).text else {}
        return {"document": document, "start": start, "end": end, "text": text, **kept}

    def compare_artefact(self, owner: str, artefact_id: int, before: int, after: int) -> dict[str, Any]:
        """added, removed: items; changed: [{"before", "after", "fields"}]; same: how many."""
        first, second = self.artefact(owner, artefact_id, before), self.artefact(owner, artefact_id, after)
        return compared(second.template, _items(first), _items(second))


def check_length(engine: Engine, template: Template, choices: Mapping[str, Any]) -> None:
    """Raise SchemaTooLong if the shortest answer of a step does not fit into its tokens."""
    for join in (False, True) if template.join is not None else (False,):
        node = schema.parse(template.schema(choices["inputs"], join=999 if join else None))
        needed = len(engine.encode([ending.shortest(node)])[0].ids)
        if needed > choices["tokens"]:
            raise SchemaTooLong(needed, choices["tokens"])


def _items(shown: Shown) -> list[dict[str, Any]]:
    return list((shown.content or {}).get("items", []))


def _bounded(name: str, value: int | None, least: int, most: int) -> int | None:
    if value is not None and not least <= value <= most:
        raise InputInvalid(name, f"it must lie in {least:,}..{most:,}")
    return value


def _title(template: Template, documents: Sequence[DocumentRecord], language: str) -> str:
    titles = [one.title or one.filename for one in documents]
    shown = titles[0] if len(titles) == 1 else f"{titles[0]} +{len(titles) - 1}"
    said = f"{template.title[language]}{'：' if language == 'zh' else ': '}{shown}"
    return said[:TITLE_LENGTH]
