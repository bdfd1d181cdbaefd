"""The context line: what a question would be answered from, and whether that fits, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from app.errors import LecternError
from app.reading.rereading import measured
from app.ui import model
from app.ui.notes import trouble
from app.ui.panel import Payload, digest, panel
from app.ui.seat import Seat
from engine.errors import EngineError
from engine.protocol import PAGE_TOKENS

if TYPE_CHECKING:
    from app.reading.desk import Desk
    from app.reading.plan import Plan

EVENTS = ("ask", "stop")


def build() -> gr.HTML:
    return panel("composer", events=EVENTS)


def show(desk: Desk, owner: str, seat: Seat) -> Payload:
    """``chosen`` names the books that the numbers are about: the reader may have chosen others meanwhile."""
    if not seat.chosen:
        return {"chosen": []}
    said: Payload = {"chosen": list(seat.chosen), "quick": seat.quick}
    if not model.ready(desk):
        # the line about the model says how far it is
        return {**said, "waiting": True}
    try:
        plan = desk.room(owner, seat.chosen, thread_id=_thread(desk, owner, seat), quick=seat.quick)
    except (LecternError, EngineError) as error:
        return {**said, "error": trouble(error)}
    info = desk.model()
    read = {id for id, one in desk.library.readings(desk.owner_id(owner), info.identity).items() if one.complete}
    return {
        **said,
        "fits": plan.fits,
        "tokens": plan.tokens,
        "needed": plan.needed,
        "limit": plan.limit,
        "bound": plan.bound,
        "window": plan.window,
        # by tokens: positions that are skipped between books are nobody's concern
        "beyond": plan.tokens > plan.window,
        # what "automatic" does with a question that is not about the whole
        "passages": plan.needed >= measured(info).from_tokens,
        "kept": plan.kept,
        "to_read": plan.to_read,
        # the question itself is always still to be read
        "ready": plan.to_read < PAGE_TOKENS,
        "seconds_left": plan.seconds_left,
        # bytes of keys and values; of memory where that sets a limit, else of the disk
        "memory": plan.tokens * info.kv_bytes,
        "documents": [
            {
                "id": part.id,
                "title": part.title,
                "tokens": part.tokens,
                "memory": part.tokens * info.kv_bytes,
                "read": part.id in read,
            }
            for part in plan.documents
        ],
        "leave_out": [] if plan.fits else leave_out(plan),
    }


def leave_out(plan: Plan) -> list[list[int]]:
    """Ways to make it fit, each the ids of documents to leave out: any one that is enough, the smallest first, else
    the largest ones together. Empty for a single document."""
    excess = plan.needed - plan.limit
    by_size = sorted(plan.documents, key=lambda part: part.tokens)
    if len(by_size) < 2:
        return []
    alone = [[part.id] for part in by_size if part.tokens >= excess]
    if alone:
        return alone
    taken: list[int] = []
    for part in reversed(by_size[1:]):
        taken.append(part.id)
        excess -= part.tokens
        if excess <= 0:
            return [taken]
    return []


def _thread(desk: Desk, owner: str, seat: Seat) -> int | None:
    """The open conversation, if the books chosen are its own; other books begin another one."""
    if seat.thread is None:
        return None
    try:
        thread, _ = desk.thread(owner, seat.thread)
    except LecternError:
        return None
    return thread.id if set(thread.document_ids) == set(seat.chosen) else None


def stamp(shelf: Payload, seat: Seat, about: Payload) -> str:
    """Changes when the context line may: with the choice, with what was read of it, with the model."""
    chosen = set(seat.chosen)
    states = [
        (item["id"], item["state"], item["tokens"], item.get("upto")) for item in shelf["items"] if item["id"] in chosen
    ]
    said = {"chosen": list(seat.chosen), "thread": seat.thread, "states": states, "model": about.get("title")}
    said["quick"] = seat.quick
    return str(digest(said)["digest"])
