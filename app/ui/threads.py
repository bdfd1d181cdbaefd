"""The history: conversations to open again, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import gradio as gr

from app.ui.panel import Payload, digest, panel

if TYPE_CHECKING:
    from app.reading.desk import Desk

EVENTS = ("open", "begin", "rename", "remove")
TITLE_LIMIT = 200


def build() -> gr.HTML:
    return panel("threads", events=EVENTS)


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
