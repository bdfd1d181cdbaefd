"""The line that always says which model answers, what it is worth, and what this machine could run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from app.errors import LecternError
from app.reading.engines import ModelNotReady
from app.ui.panel import Payload, digest, panel
from engine.errors import EngineError

if TYPE_CHECKING:
    from app.reading.desk import Desk
    from app.reading.surroundings import Offer


def build() -> gr.HTML:
    return panel("model")


def ready(desk: Desk) -> bool:
    """Whether the model can be asked at once. Never fetches it: whoever works the queue does."""
    return desk.engines.ready(desk.settings.model) is not None


def show(desk: Desk) -> Payload:
    """Never waits: a model that is being fetched says how far it is, one that cannot be had says why."""
    name = desk.settings.model
    if not ready(desk):
        problem = desk.engines.problem(name)
        if problem is not None:
            return digest({"name": name, "problem": str(problem)})
        try:
            desk.model()
        except ModelNotReady as error:
            return digest({"name": name, "preparing": {"text": error.text, "done": error.done, "total": error.total}})
        except (EngineError, LecternError) as error:
            return digest({"name": name, "problem": str(error)})
    info = desk.model()
    around = desk.machine()
    best = around.best
    return digest(
        {
            "name": info.name,
            "title": info.title,
            "small": info.small,
            "window": info.window,
            "limit": info.limit,
            "parameters": info.parameters,
            "licence": info.licence,
            "source": info.source,
            "device": info.device,
            "dtype": info.dtype,
            "machine": {
                "cores": around.machine.cores,
                "memory": around.machine.memory_total,
                "gpus": [gpu.name for gpu in around.machine.gpus],
            },
            "better": best.entry.title if best is not None and best.entry.parameters > info.parameters * 1.2 else None,
            "offers": [_offer(one, current=info.name) for one in around.offers if one.fit.fits],
        }
    )


def _offer(offer: Offer, *, current: str) -> Payload:
    return {
        "name": offer.entry.name,
        "title": offer.entry.title,
        "current": offer.entry.name == current,
        "most": min(offer.fit.most, offer.entry.limit),
        "download": offer.entry.download_bytes,
        # to read a short novel, where that can be told
        "seconds": None if offer.fit.seconds is None else round(offer.fit.seconds),
    }
