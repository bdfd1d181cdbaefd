"""The work of the writing desk: a task's prompts, its answers as continuations to choose from.

opening · the draft up to the place (kept like a book: the next task begins where this one's reading ended) · its last
tokens, what is known (style, bible, passages) and asked. So a continuation begins after the words that are new.
"""

from __future__ import annotations

import re
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from app.errors import DocumentNotFound
from app.library.drafts import DraftRecord
from app.library.records import JobRecord
from app.library.values import to_json
from app.reading import prompt as prompts
from app.reading.folding import bare
from app.reading.making.items import parsed
from app.reading.making.template import AT
from app.reading.making.units import units
from app.reading.work import Ended, Orders, Telling, engine_of, told
from app.reading.writing.differences import differences
from app.reading.writing.errors import NothingWritten
from app.reading.writing.tasks import Task, task
from engine.protocol import PAGE_TOKENS, Delta, Done, Engine, Prompt, Sampling, Segment

if TYPE_CHECKING:
    from app.reading.desk import Desk

# of the trained window; beyond it the oldest pages of a draft are left out, many at a time, so that what is kept
# of the rest is found again
SHARE = 0.6
STEP_TOKENS = 4 * PAGE_TOKENS
# at a draft's end: they are others when it goes on, since a full stop and the line after it may be one token
OPEN_TOKENS = 3
# of what says nothing new
DRAWS = 3
LEAST_OLD = 24
_LABEL = re.compile(
    r"\A\s*(?:(?:the |this |new |a )*(?:passage|continuation|version|dialogue|scene|description)"
    r"|(?:这一段|新的?段落|续文|改写|对话|描写))\s*[:：]\s*",
    re.IGNORECASE,
)
# some words, or characters of a script without spaces, again and again
_CIRCLE = re.compile(r"((?:\b\S+\s+){1,8}?)\1{3,}|([^\x00-\u2e7f]{1,12}?)\2{5,}")
# chapters of an outline, scenes of a chapter
HEADINGS = {"outline": "#", "chapter": "##"}


def write(desk: Desk, job: JobRecord, telling: Telling, orders: Orders) -> Ended:
    """Do the task that the job names, in so many versions."""
    telling.restarted()
    said = job.payload
    draft = desk.drafts.get(job.owner_id, int(said["draft"]))
    what = task(str(said["task"]))
    engine = engine_of(desk, str(said["model"]), telling, orders)
    orders.over(engine)
    written = len(desk.drafts.options(job.owner_id, draft.id, job.id))
    ended: Ended | None = None
    for number in range(written, int(said["versions"])):
        orders.check()
        telling.step({"draft": draft.id, "version": number + 1, "of": said["versions"], "task": what.id})
        for draw in range(DRAWS):
            done, text = _one(desk, engine, draft, what, said, number, draw, telling, job.owner_id)
            if done.finish == "stopped":
                return Ended.of(done)
            text = text if said.get("schema") else tidied(text)
            if not _is_old(text, draft, what, said):
                break
            telling.restarted()
        ended = Ended.of(done)
        _keep(desk, draft, job, what, text)
    return ended or Ended(state="done", finish="stop")


def tidied(text: str) -> str:
    """Without the words that a small model puts before what it was asked for, and without its circles."""
    return _CIRCLE.sub(lambda found: found[1] or found[2], _LABEL.sub("", text, count=1))


def _is_old(text: str, draft: DraftRecord, what: Task, said: dict[str, Any]) -> bool:
    """Whether nothing is new in what was written for a passage, or behind it."""
    if said.get("schema"):
        return False
    old, new = draft.text[: said["end"]], bare(text).text
    if what.needs == "selection":
        return new == bare(old[said["start"] :]).text
    return what.needs == "nothing" and len(new) >= LEAST_OLD and new in bare(old).text


def _keep(desk: Desk, draft: DraftRecord, job: JobRecord, what: Task, text: str) -> None:
    said = job.payload
    items: list[dict[str, Any]] = []
    if said.get("schema"):
        items = [_resolved(one, said) for one in parsed(text, said["schema"])] if _has_items(text) else []
        if what.id == "bible":
            # of several sentences that say the same the first counts
            items = list({entry_key(one): one for one in reversed(items)}.values())[::-1]
        if what.id == "check":
            items = [*compared(desk, draft, said), *items]
        text = _listed(what, items)
    elif not text.strip():
        raise NothingWritten("the model ended at once")
    desk.drafts.add_option(draft, job.id, what.id, said["start"], said["end"], text.strip("\n"), items)
    if what.id == "style":
        desk.drafts.change(job.owner_id, draft.id, style=text)
    if what.id == "bible":
        known = {entry_key(one) for one in draft.bible}
        fresh = [one for one in items if entry_key(one) not in known]
        desk.drafts.change(job.owner_id, draft.id, bible=[*draft.bible, *fresh])


def entry_key(one: dict[str, Any]) -> tuple[str, ...]:
    """What an entry of the bible is known by."""
    return one["kind"], bare(one["name"]).text, bare(one["fact"]).text


def compared(desk: Desk, draft: DraftRecord, said: dict[str, Any]) -> list[dict[str, Any]]:
    """Where words of the draft's sentences differ from the bible's, or from those of the books beside it, as far as
    their owner has read them."""
    shown = said.get("shown") or []
    known: list[dict[str, Any]] = [one for one in said.get("known") or [] if "bible" in one]
    documents = []
    for id in draft.document_ids:
        with suppress(DocumentNotFound):
            documents.append(desk.library.document(draft.owner_id, id))
    guards = desk.allowed(draft.owner_id, documents) if documents else {}
    for document in documents:
        text = desk.library.text(document.text_sha256)
        found = units(text, desk.library.paragraphs(document.id), desk.library.chapters(document.id))
        where = {"document": document.id, "title": document.title or document.filename}
        guard = guards.get(document.id, len(text))
        known += [
            {**where, "start": one.start, "end": one.end, "text": text[one.start : one.end]}
            for one in found
            if one.end <= guard
        ]
    made = differences([one["text"] for one in shown], (one["text"] for one in known))
    return [
        {"why": f"“{one.here}” – “{one.there}”", "place": shown[one.draft], "known": known[one.known]} for one in made
    ]


def _listed(what: Task, items: list[dict[str, Any]]) -> str:
    """Items as text: of an outline headings, each with what happens under it, to be written out."""
    if what.id in HEADINGS:
        return "\n\n".join(f"{HEADINGS[what.id]} {one['title']}\n\n{one['happens']}" for one in items)
    return "\n".join(" – ".join(str(one[name]) for name in _shown(one)) for one in items)


def _has_items(text: str) -> bool:
    return '"items": []' not in text


def _shown(item: dict[str, Any]) -> list[str]:
    return [name for name in item if name not in ("place", "known", "source")]


def _resolved(item: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Numbers of sentences as their places: ``place`` in the draft, ``source`` or ``known`` of what is known."""
    made = {name: value for name, value in item.items() if name not in (AT, "against")}
    shown, known = said.get("shown") or [], said.get("known") or []
    if AT in item and 0 < item[AT] <= len(shown):
        made["place"] = shown[item[AT] - 1]
    if "against" in item and 0 < item["against"] <= len(known):
        made["known"] = known[item["against"] - 1]
    return made


def _one(
    desk: Desk,
    engine: Engine,
    draft: DraftRecord,
    what: Task,
    said: dict[str, Any],
    number: int,
    draw: int,
    telling: Telling,
    owner_id: int,
) -> tuple[Done, str]:
    frame = engine.frame(prompts.SYSTEM)
    sampling = Sampling(
        temperature=0.3 if said.get("schema") else 0.8,
        repetition_penalty=1.1,
        max_tokens=int(said["tokens"]),
        seed=1000 * int(said.get("seed", 0)) + number + 100 * draw,
        schema=to_json(said["schema"]) if said.get("schema") else None,
    )
    segments = [prompts.opening_segment(frame)]
    text = draft.text[: said["end"]]
    asked = prompts.conversation_ids(engine, frame, [], str(said["asked"]))
    # a check and a bible have their sentences in the question, a style its passages
    if text.strip() and not said.get("shown") and what.needs != "passages":
        segment, end = draft_segment(engine, draft, text)
        segments.append(segment)
        asked = end + asked
    segments.append(Segment(name="conversation", ids=asked))
    prompt = Prompt(segments=tuple(segments))
    desk.space(engine, owner_id).make_way(prompt, sampling)
    written: list[str] = []
    for event in told(engine.generate(prompt, sampling), telling):
        if isinstance(event, Delta):
            written.append(event.text)
        elif isinstance(event, Done):
            return event, "".join(written)
    raise AssertionError("an engine's work ends with Done or an error")


def draft_segment(engine: Engine, draft: DraftRecord, text: str) -> tuple[Segment, array[int]]:
    """The draft's words, the last ones where it is longer than the model reads well; and what of them, and of what
    ends a document, comes after it. So the segment of a draft that grew begins with the one of before, as a whole."""
    ids = engine.encode([text])[0].ids
    room = int(engine.model.window * SHARE)
    if len(ids) > room:
        cut = -(-(len(ids) - room) // STEP_TOKENS) * STEP_TOKENS
        ids = ids[cut:]
    header, closing = engine.encode([prompts.header_text(draft.title, ()), prompts.CLOSING])
    stable = max(0, len(ids) - OPEN_TOKENS)
    return Segment(name=f"draft:{draft.id}", ids=header.ids + ids[:stable]), ids[stable:] + closing.ids
