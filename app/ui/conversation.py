"""A conversation: its turns, and the answer being written, followed by cursor from where the page stands.

Asking only puts a job in the queue. What the page shows is read from the library's events, so that a closed tab, a
second one and a restart all find the same answer going on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.errors import LecternError
from app.ui.markup import render
from app.ui.panel import Payload, panel

if TYPE_CHECKING:
    from app.library.records import TurnRecord
    from app.reading.desk import Desk

# seconds between two updates of the answer: 15 a second
PACE = 1 / 15


def build_transcript() -> gr.HTML:
    return panel("transcript")


def build_live() -> gr.HTML:
    return panel("live")


def blank() -> Payload:
    """No conversation open: a new one begins with the next question."""
    return {"thread": None, "turns": []}


def transcript(desk: Desk, owner: str, thread_id: int, titles: Mapping[int, str]) -> Payload:
    """Every turn of a conversation, answers as safe HTML. Raises ThreadNotFound."""
    thread, turns = desk.thread(owner, thread_id)
    running = desk.running(owner, thread_id) is not None
    return {
        "thread": thread.id,
        "title": thread.title,
        "updated": thread.updated,
        "documents": list(thread.document_ids),
        "books": [titles[one] for one in thread.document_ids if one in titles],
        "turns": [_turn(turn, running=running and turn is turns[-1]) for turn in turns],
    }


def _turn(turn: TurnRecord, *, running: bool) -> Payload:
    answer = "" if running else turn.answer or ""
    return {
        "id": turn.id,
        "question": turn.question,
        "answer": answer,
        "html": render(answer) if answer else "",
        "finish": turn.finish,
        "running": running,
        "model": turn.model,
        "tokens": turn.tokens or {},
        "seconds": turn.seconds or {},
        "error": None if running else turn.error,
    }


def idle(thread_id: int | None, *, refused: bool = False) -> Payload:
    return {"active": False, "thread": thread_id, "refused": refused, "at": time.time()}


def waiting(thread_id: int, job_id: int) -> Payload:
    return {"active": True, "thread": thread_id, "job": job_id, "phase": "waiting", "html": "", "progress": None}


def follow(desk: Desk, owner: str, thread_id: int, job_id: int) -> Iterator[Payload]:
    """The answer as it grows, from its first event on; ends when the job does."""
    said = waiting(thread_id, job_id)
    text = ""
    sent = 0.0
    try:
        for event in desk.follow(owner, job_id):
            if event.kind == "delta":
                text += str(event.payload.get("text", ""))
                said = {**said, "phase": "answering", "progress": None}
            elif event.kind == "progress":
                said = {**said, "phase": "reading", "progress": _progress(event.payload)}
            elif event.kind == "loading":
                detail = event.payload.get("text")
                said = {**said, "phase": "loading", "progress": _progress(event.payload), "detail": detail}
            elif event.kind == "restart":
                # the engine begins this answer again: what was written of it is void
                text, said = "", waiting(thread_id, job_id)
            elif event.kind == "end":
                return
            now = time.monotonic()
            if now - sent >= PACE or event.kind == "restart":
                sent = now
                yield {**said, "html": render(text) if text else "", "at": time.time()}
    except LecternError:
        # the job was cleared away: what it wrote is in the turn
        return


def _progress(payload: dict[str, Any]) -> Payload:
    return {key: payload.get(key) for key in ("done", "total", "tokens_per_second", "seconds_left")}
