"""The history: conversations to open again, the newest first; finding one by its words, taking one out as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.ui import download
from app.ui.notes import trouble
from app.ui.panel import Payload, digest, panel
from app.ui.seat import Seat

if TYPE_CHECKING:
    from app.reading.desk import Desk

EVENTS = ("open", "begin", "rename", "remove", "restore")
TITLE_LIMIT = 200


# of a search: what a box of one line can show
QUERY_LIMIT = 200


def build(desk: Desk, *, space: bool) -> gr.HTML:
    # Gradio marks server functions with an attribute, which a bound method cannot have, and hands them one value
    def find(said: Any) -> Payload:
        return search(desk, said if isinstance(said, dict) else {}, space=space)

    def export(said: Any) -> Payload:
        return download.conversation(desk, said if isinstance(said, dict) else {}, space=space)

    return panel("threads", events=EVENTS, server=[find, export])


def search(desk: Desk, said: Payload, *, space: bool) -> Payload:
    """Said {"visitor", "query"}; {"query", "hits"}, each with its thread, turn and snippet in three parts."""
    owner, query = Seat.read(said).owner(space=space), str(said.get("query", ""))[:QUERY_LIMIT].strip()
    if owner is None or not query:
        return {"query": query, "hits": []}
    try:
        hits = desk.find_threads(owner, query)
    except Exception as error:
        return {"query": query, "hits": [], "note": trouble(error)}
    return {
        "query": query,
        "hits": [
            {"id": hit.thread.id, "title": hit.thread.title, "turn": hit.turn_id, "snippet": list(hit.snippet)}
            for hit in hits
        ],
    }


def show(desk: Desk, owner: str, titles: Mapping[int, str]) -> Payload:
    """titles: of the books on the shelf, by id."""
    waiting = desk.jobs.list(desk.owner_id(owner), states=("waiting", "running"), kind="ask")
    answering = {job.thread_id for job in waiting}
    return digest(
        {
            "threads": [
                {
                    "id": thread.id,
                    "title": thread.title,
                    "updated": thread.updated,
                    "books": [titles[one] for one in thread.document_ids if one in titles],
                    "running": thread.id in answering,
                }
                for thread in desk.threads(owner)
            ]
        }
    )
