"""A conversation: its turns, and the answer being written, followed by cursor from where the page stands.

Asking only puts a job in the queue. What the page shows is read from the library's events, so that a closed tab, a
second one and a restart all find the same answer going on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.ui.markup import render
from app.ui.notes import trouble
from app.ui.panel import Payload, panel
from app.ui.seat import Seat

if TYPE_CHECKING:
    from app.library.records import EventRecord, TurnRecord
    from app.reading.desk import Desk

# characters of an answer under way that are rendered anew at every word
SETTLE = 1200
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.M)
_GOES_ON = re.compile(r"\s|[-*+>|]|\d+[.)]")
LIVE_EVENTS = ("follow", "commit")
TRANSCRIPT_EVENTS = ("branch",)


def build_transcript(desk: Desk, *, space: bool) -> gr.HTML:
    # Gradio marks server functions with an attribute, which a bound method cannot have, and hands them one value
    def check(said: Any) -> Payload:
        return checked(desk, said if isinstance(said, dict) else {}, space=space)

    return panel("transcript", events=TRANSCRIPT_EVENTS, server=[check])


def checked(desk: Desk, said: Payload, *, space: bool) -> Payload:
    """Every sentence of an answer looked for in the texts: said {"visitor", "thread", "turn"}, returns "quotes" and the
    "html" in which they are marked."""
    owner, turn_id = Seat.read(said).owner(space=space), said.get("turn")
    thread_id = Seat.read(said).thread
    if owner is None or thread_id is None or not isinstance(turn_id, int):
        return {}
    try:
        thread, turns = desk.thread(owner, thread_id)
        guards = desk.guards(owner, thread.document_ids)
        answer = next((one.answer for one in turns if one.id == turn_id), None) or ""
        found = [within(asdict(one), guards) for one in desk.sentences(owner, thread_id, turn_id)]
    except Exception as error:
        return {"note": trouble(error)}
    return {"html": render(answer, found), "quotes": found}


def build_live() -> gr.HTML:
    """A panel apart: gradio copies the values of all panels that an event may change at every word it tells."""
    return panel("live", events=LIVE_EVENTS)


def blank() -> Payload:
    """No conversation open: a new one begins with the next question."""
    return {"thread": None, "turns": []}


def transcript(desk: Desk, owner: str, thread_id: int, titles: Mapping[int, str]) -> Payload:
    """Every turn of a conversation, answers as safe HTML. Raises ThreadNotFound."""
    thread, turns = desk.quoted(owner, thread_id)
    running = desk.running(owner, thread_id) is not None
    beside = desk.beside(owner, thread_id)
    guards = desk.guards(owner, thread.document_ids)
    return {
        "thread": thread.id,
        "title": thread.title,
        "updated": thread.updated,
        "documents": list(thread.document_ids),
        "quick": desk.was_quick(desk.owner_id(owner), thread_id),
        "books": [titles[one] for one in thread.document_ids if one in titles],
        "turns": [
            {**_turn(turn, guards, running=running and turn is turns[-1]), "beside": list(beside.get(turn.id, ()))}
            for turn in turns
        ],
    }


def within(quote: Payload, guards: Mapping[int, int]) -> Payload:
    """A quotation without what its reader has not read yet: its passage, if that lies behind the guard ("ahead"), or
    the words after it."""
    upto, place = guards.get(quote.get("document") or 0), quote.get("place")
    if upto is None or not place:
        return quote
    if place[1] > upto:
        nothing = {"place": None, "page": None, "chapter": None, "found": None, "difference": [], "passage": []}
        return {**quote, **nothing, "ahead": True}
    passage = [list(piece) for piece in quote.get("passage") or []]
    if passage and not passage[-1][1]:
        passage[-1][0] = passage[-1][0][: upto - place[1]]
    return {**quote, "passage": passage}


def _turn(turn: TurnRecord, guards: Mapping[int, int], *, running: bool) -> Payload:
    answer = "" if running else turn.answer or ""
    quotes = [within(one, guards) for one in (turn.quotes or {}).get("quotes", [])] if answer else []
    return {
        "id": turn.id,
        "question": turn.question,
        "answer": answer,
        "html": render(answer, quotes) if answer else "",
        "quotes": quotes,
        "reading": turn.reading if answer else None,
        "gaze": _gaze(turn) if answer else None,
        "finish": turn.finish,
        "running": running,
        "model": turn.model,
        "tokens": turn.tokens or {},
        "seconds": turn.seconds or {},
        "error": None if running else turn.error,
    }


def _gaze(turn: TurnRecord) -> Payload | None:
    """As it is kept, each sentence with its words: the browser counts in other units than the library does."""
    if not turn.gaze:
        return None
    sentences = [{**one, "text": turn.answer[one["start"] : one["stop"]]} for one in turn.gaze["sentences"]]
    return {**turn.gaze, "sentences": sentences}


def idle(thread_id: int | None, *, refused: bool = False) -> Payload:
    return {"active": False, "thread": thread_id, "refused": refused, "at": time.time()}


def waiting(thread_id: int, job_id: int) -> Payload:
    """An answer is under way: the browser asks to follow it."""
    return {"active": True, "follow": True, "thread": thread_id, "job": job_id, "phase": "waiting", "at": time.time()}


def follow(desk: Desk, owner: str, thread_id: int, job_id: int) -> Iterator[Payload]:
    """The answer as it grows, "ended" at last. Whoever works the queue tells at most 15 events a second.

    What was told before is shown at once, so that a page that is loaded in the middle does not begin with nothing.
    Raises JobNotFound, also for a job that was cleared away.
    """
    desk.jobs.get(desk.owner_id(owner), job_id)
    state = _Growing(thread_id, job_id)
    told = desk.jobs.events(job_id)
    for event in told:
        state.hear(event)
    yield state.show()
    for event in desk.follow(owner, job_id, after=told[-1].id if told else 0):
        state.hear(event)
        yield state.show()


class _Growing:
    """An answer so far, made of a job's events. Paragraphs that will not change any more are rendered once and told as
    "settled", so that a long answer costs no more a word than a short one."""

    def __init__(self, thread_id: int, job_id: int) -> None:
        self._said = self._first = {**waiting(thread_id, job_id), "follow": False}
        self._begin()

    def _begin(self) -> None:
        self._text, self._settled, self._at = "", "", 0

    def hear(self, event: EventRecord) -> None:
        payload = event.payload
        if event.kind == "delta":
            self._text += str(payload.get("text", ""))
            self._said = {**self._said, "phase": "answering", "progress": None}
        elif event.kind == "progress":
            self._said = {**self._said, "phase": "reading", "progress": _progress(payload)}
        elif event.kind == "loading":
            detail = payload.get("text")
            self._said = {**self._said, "phase": "loading", "progress": _progress(payload), "detail": detail}
        elif event.kind == "gaze":
            self._said = {**self._said, "gaze": payload}
        elif event.kind == "restart":
            # the engine begins this answer again: what was written of it is void
            self._said = self._first
            self._begin()
        elif event.kind == "end":
            self._said = {**self._said, "phase": "ended", "progress": None}

    def _cut(self) -> int | None:
        """Where the last paragraph begins that what comes can still change; None where that is not worth while."""
        at = len(self._text) - 1 if len(self._text) - self._at > SETTLE else 0
        while (at := self._text.rfind("\n\n", self._at, at)) > self._at:
            # not within a list or a fence: what comes may belong to it
            if not _GOES_ON.match(self._text, at + 2) and not len(_FENCE.findall(self._text, self._at, at)) % 2:
                return at + 2
        return None

    def show(self) -> Payload:
        cut = self._cut()
        self._settled += render(self._text[self._at : cut]) if cut else ""
        self._at = cut or self._at
        tail = self._text[self._at :]
        return {**self._said, "settled": self._settled, "html": render(tail) if tail else "", "at": time.time()}


def _progress(payload: dict[str, Any]) -> Payload:
    return {key: payload.get(key) for key in ("done", "total", "tokens_per_second", "seconds_left")}
