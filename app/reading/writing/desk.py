"""What a writer can do at the desk, for the page and for the command line alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.library.drafts import DraftRecord, Drafts, DraftVersion, OptionRecord
from app.library.records import DocumentRecord
from app.reading.making import office
from app.reading.making.errors import FormatUnknown
from app.reading.writing import asking
from app.reading.writing.errors import RangeChanged, TaskIncomplete
from app.reading.writing.tasks import task

if TYPE_CHECKING:
    from app.library.jobs import Jobs
    from app.library.store import Library
    from app.settings import Settings

# a writer waits for it
WRITING = 900_000
TITLE_LENGTH = 120
TEXT_LIMIT = 4_000_000
VERSIONS = 4
PASSAGES, PASSAGE_LENGTH = 6, 2000
# a check shows at most so many sentences of the draft, and so many things known
SENTENCES, KNOWN = 40, 40
FORMATS = {
    "md": "text/markdown",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "epub": "application/epub+zip",
}
_NAME = re.compile(r"\b[A-Z][a-z]{2,}(?: [A-Z][a-z]+)?\b|[\u4e00-\u9fff]{2,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """A task on its way: follow ``job_id``; its continuations are ``options`` of that job."""

    draft_id: int
    job_id: int


class WritingDesk:
    """What ``Desk`` inherits. All places of a draft count code points."""

    library: Library
    jobs: Jobs
    settings: Settings
    drafts: Drafts

    def owner_id(self, owner: str) -> int:
        raise NotImplementedError

    def chosen(self, owner_id: int, document_ids: Sequence[int]) -> list[DocumentRecord]:
        raise NotImplementedError

    def search(self, owner: str, query: str, document_ids: Sequence[int] | None = None, *, limit: int = 5) -> Any:
        raise NotImplementedError

    # drafts

    def new_draft(
        self, owner: str, title: str, *, document_ids: Sequence[int] = (), language: str = "en", text: str = ""
    ) -> DraftRecord:
        """Begin a draft, beside these documents if any. Raises DocumentNotFound."""
        said = " ".join(title.split())[:TITLE_LENGTH] or ("未命名" if language == "zh" else "Untitled")
        language = "zh" if language == "zh" else "en"
        return self.drafts.create(self.owner_id(owner), said, language, document_ids, text[:TEXT_LIMIT])

    def all_drafts(self, owner: str) -> list[DraftRecord]:
        return self.drafts.list(self.owner_id(owner))

    def draft(self, owner: str, id: int) -> DraftRecord:
        return self.drafts.get(self.owner_id(owner), id)

    def save_draft(self, owner: str, id: int, text: str, *, base: int | None = None, why: str = "") -> DraftRecord:
        return self.drafts.save(self.owner_id(owner), id, text[:TEXT_LIMIT], base=base, why=why)

    def change_draft(self, owner: str, id: int, **changes: Any) -> DraftRecord:
        """title, style, bible, document_ids."""
        owner_id = self.owner_id(owner)
        if changes.get("title") is not None:
            changes["title"] = " ".join(str(changes["title"]).split())[:TITLE_LENGTH] or None
        if changes.get("bible") is not None:
            changes["bible"] = [_entry(one) for one in changes["bible"]]
        if changes.get("document_ids"):
            self.chosen(owner_id, changes["document_ids"])
        return self.drafts.change(owner_id, id, **changes)

    def remove_draft(self, owner: str, id: int) -> None:
        self.drafts.remove(self.owner_id(owner), id)

    def draft_versions(self, owner: str, id: int) -> list[DraftVersion]:
        return self.drafts.versions(self.owner_id(owner), id)

    def restore_draft(self, owner: str, id: int, number: int) -> DraftRecord:
        """An earlier text again; the one of now stays as a version."""
        version = self.drafts.version(self.owner_id(owner), id, number)
        draft = self.draft(owner, id)
        self.save_draft(owner, id, draft.text, why="before restoring")
        return self.save_draft(owner, id, version.text, why=f"version {number}")

    # tasks

    def write(
        self,
        owner: str,
        draft_id: int,
        task_id: str,
        *,
        start: int | None = None,
        end: int | None = None,
        wish: str = "",
        versions: int = 1,
        passages: Sequence[dict[str, int]] = (),
        options: Sequence[int] = (),
        tokens: int | None = None,
    ) -> Writing:
        """Queue a task over the range start..end of the draft; without one, at its end.

        passages: [{"document", "start", "end"}] of books; options: continuations to merge.
        Raises DraftNotFound, TaskUnknown, TaskIncomplete, DocumentNotFound.
        """
        owner_id = self.owner_id(owner)
        draft = self.drafts.get(owner_id, draft_id)
        what = task(task_id)
        size = len(draft.text)
        end = size if end is None else min(max(0, end), size)
        start = end if start is None else min(max(0, start), end)
        passage = draft.text[start:end]
        if what.needs == "selection" and not passage.strip():
            raise TaskIncomplete(task_id, "selection")
        if task_id == "continue" and not draft.text[:end].strip():
            raise TaskIncomplete(task_id, "text")
        if what.wish is not None and task_id in ("tone", "view") and not wish.strip():
            raise TaskIncomplete(task_id, "wish")
        if what.needs == "nothing" and task_id not in ("bible", "check"):
            # written behind the place, whatever is selected
            start = end
        texts: list[str] = []
        if what.needs == "passages":
            texts = self._passages(owner_id, passages) or ([passage] if passage.strip() else [])
            if not texts:
                raise TaskIncomplete(task_id, "passages")
        if what.needs == "options":
            picked = [self.drafts.option(owner_id, draft_id, one) for one in dict.fromkeys(options)]
            if len(picked) < 2:
                raise TaskIncomplete(task_id, "options")
            texts, start, end = [one.text for one in picked], picked[0].start, picked[0].end
        payload: dict[str, Any] = {
            "draft": draft_id,
            "task": task_id,
            "start": start,
            "end": end,
            "versions": 1 if what.items or task_id in ("bible", "check") else min(max(1, versions), VERSIONS),
            "tokens": tokens
            or (asking.LIST_TOKENS if what.items or task_id in ("bible", "check") else asking.TEXT_TOKENS),
            "model": self.settings.model,
            "seed": draft.revision,
            "schema": what.schema(),
            "asked": asking.asked_of(draft, what, wish=wish.strip()[:1000], passage=passage, texts=texts),
        }
        if task_id in ("bible", "check"):
            payload |= self._examined(owner, draft, task_id, start, end, payload["asked"])
        job = self.jobs.enqueue(owner_id, "write", payload, priority=WRITING)
        return Writing(draft_id=draft_id, job_id=job.id)

    def options(self, owner: str, draft_id: int, job_id: int | None = None) -> list[OptionRecord]:
        return self.drafts.options(self.owner_id(owner), draft_id, job_id)

    def choose_option(self, owner: str, draft_id: int, option_id: int) -> DraftRecord:
        """Put a continuation into the text, where it was written for. Raises RangeChanged, OptionNotFound."""
        owner_id = self.owner_id(owner)
        with self.library.write():
            draft = self.drafts.get(owner_id, draft_id)
            option = self.drafts.option(owner_id, draft_id, option_id)
            text, start, end = draft.text, option.start, option.end
            if start > len(text) or text[start:end] != option.before:
                raise RangeChanged()
            added = option.text
            if start == end and start > 0:
                # a sentence that goes on, or another paragraph: everything but a continuation is one
                sentence = text[:start].rstrip().endswith((*'.!?”"。！？',))
                if text[start - 1] != "\n" and sentence and ("\n" in added or option.task not in ("continue", "merge")):
                    added = "\n\n" + added.lstrip()
                elif draft.language != "zh" and not (text[start - 1].isspace() or added[:1].isspace()):
                    added = " " + added
            self.drafts.save(owner_id, draft_id, text, why=f"before {option.task}")
            made = self.drafts.save(owner_id, draft_id, text[:start] + added + text[end:], why=option.task)
            self.drafts.mark_chosen(option.id)
            return made

    # files

    def draft_file(self, owner: str, id: int, format: str) -> tuple[str, bytes]:
        """Its name and its bytes. Raises FormatUnknown."""
        draft = self.draft(owner, id)
        if format not in FORMATS:
            raise FormatUnknown(format, list(FORMATS))
        name = "".join(one if one.isalnum() or one in " -_.()" else "-" for one in draft.title).strip(" -.") or "draft"
        if format == "md":
            data = f"# {draft.title}\n\n{draft.text.strip()}\n".encode()
        elif format == "docx":
            data = office.docx([office.Heading(1, draft.title), *_blocks(draft.text)], draft.language)
        else:
            data = office.epub(draft.title, draft.language, _chapters(draft))
        return f"{name[:80]}.{format}", data

    # shared

    def _passages(self, owner_id: int, passages: Sequence[dict[str, int]]) -> list[str]:
        texts = []
        for one in passages[:PASSAGES]:
            document = self.library.document(owner_id, int(one["document"]))
            text = self.library.text(document.text_sha256)
            found = text[max(0, int(one["start"])) : int(one["end"])][:PASSAGE_LENGTH]
            texts += [found] if found.strip() else []
        return texts

    def _examined(
        self, owner: str, draft: DraftRecord, task_id: str, start: int, end: int, asked: str
    ) -> dict[str, Any]:
        """The sentences of a check or a bible, numbered; for a check, what is known of the same names."""
        first = start if end > start else 0
        shown = asking.numbered_sentences(draft.text, first, end if end > start else len(draft.text))[-SENTENCES:]
        if not shown:
            raise TaskIncomplete(task_id, "text")
        lines = "\n".join(f"[{n}] {one['text']}" for n, one in enumerate(shown, 1))
        zh = draft.language == "zh"
        if task_id == "bible":
            fields = '"at", "kind" (person, place, fact), "name", "fact"'
            ask = (
                f"以 JSON 作答，每条含 {fields}。" if zh else f'Answer in JSON: {{"items": [...]}}, each with {fields}.'
            )
            return {"shown": shown, "schema": asking.bible_schema(len(shown)), "asked": f"{lines}\n\n{asked}\n\n{ask}"}
        known = self._known(owner, draft, " ".join(one["text"] for one in shown))
        if not known:
            raise TaskIncomplete(task_id, "a story bible or a book beside the draft is needed")
        facts = "\n".join(f"({n}) {one['text']}" for n, one in enumerate(known, 1))
        fields = '"at", "against", "why"'
        ask = f"以 JSON 作答，每条含 {fields}。" if zh else f'Answer in JSON: {{"items": [...]}}, each with {fields}.'
        return {
            "shown": shown,
            "known": known,
            "schema": asking.check_schema(len(shown), len(known)),
            "asked": f"{lines}\n\n{facts}\n\n{asked}\n\n{ask}",
        }

    def _known(self, owner: str, draft: DraftRecord, text: str) -> list[dict[str, Any]]:
        """The bible's entries, and sentences of the books beside the draft that have its names."""
        known: list[dict[str, Any]] = [
            {"text": f"{one['name']}: {one['fact']}", "bible": n} for n, one in enumerate(draft.bible[:KNOWN])
        ]
        names = [one["name"] for one in draft.bible if one["name"] in text]
        names += [name for name in dict.fromkeys(_NAME.findall(text)) if name not in names]
        for name in names[:12] if draft.document_ids else []:
            if len(known) >= KNOWN:
                break
            for hit in self.search(owner, name, draft.document_ids, limit=3).hits:
                body = self._sentence(hit.document, hit.start)
                if body is not None and body not in known:
                    known.append(body)
        return known[:KNOWN]

    def _sentence(self, document_id: int, place: int) -> dict[str, Any] | None:
        from app.library import rows
        from app.reading.making.units import sentences

        with self.library.read() as db:
            record = rows.document(db, document_id)
        text = self.library.text(record.text_sha256)
        first, last = text.rfind("\n\n", 0, place) + 1, text.find("\n\n", place)
        for start, end in sentences(text, max(0, first), len(text) if last < 0 else last):
            if start <= place < end:
                return {
                    "document": document_id,
                    "title": record.title,
                    "start": start,
                    "end": end,
                    "text": text[start:end],
                }
        return None


def _entry(one: Any) -> dict[str, Any]:
    said = one if isinstance(one, dict) else {}
    kind = said.get("kind") if said.get("kind") in asking.KINDS else "fact"
    entry = {
        "kind": kind,
        "name": str(said.get("name", ""))[:80].strip(),
        "fact": str(said.get("fact", ""))[:500].strip(),
    }
    return {**entry, **({"place": said["place"]} if isinstance(said.get("place"), dict) else {})}


def _blocks(text: str) -> list[office.Block]:
    blocks: list[office.Block] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        head = re.match(r"(#{1,3})\s+(.+)\Z", paragraph.strip())
        if head:
            blocks.append(office.Heading(min(3, len(head[1]) + 1), head[2]))
        elif paragraph.strip():
            blocks.append(office.Text(paragraph.strip("\n")))
    return blocks


def _chapters(draft: DraftRecord) -> list[tuple[str, list[office.Block]]]:
    chapters: list[tuple[str, list[office.Block]]] = []
    for block in _blocks(draft.text):
        if isinstance(block, office.Heading) and block.level == 2:
            chapters.append((block.text, [block]))
            continue
        if not chapters:
            chapters.append((draft.title, [office.Heading(1, draft.title)]))
        chapters[-1][1].append(block)
    return chapters or [(draft.title, [office.Heading(1, draft.title)])]
