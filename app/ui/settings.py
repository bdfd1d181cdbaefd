"""The settings: what the machine can run, how answers are sampled, what is kept, and what is said to nobody.

How the page looks, and how answers are sampled, is kept in the browser; what concerns the machine, in the home.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.errors import LecternError, SettingInvalid
from app.settings import DEFAULT_SHARE, POLICIES
from app.ui import model
from app.ui.backups import Backups
from app.ui.notes import trouble
from app.ui.panel import Payload, panel
from app.ui.seat import Seat
from engine import checkpoint
from engine.errors import EngineError
from engine.protocol import Sampling

if TYPE_CHECKING:
    from app.reading.desk import Desk
    from app.reading.surroundings import Offer

# of kept readings: the largest, so that a library of a thousand books does not fill the panel
ROWS = 200
NAMES = {field.name for field in fields(Sampling)} - {"stop"}
WHOLE = ("top_k", "max_tokens", "seed")


def build(desk: Desk, backups: Backups, *, space: bool) -> gr.HTML:
    # Gradio marks server functions with an attribute, which a bound method cannot have, and hands them one value
    def look(said: Any) -> Payload:
        return show(desk, said if isinstance(said, dict) else {}, space=space)

    def storage(said: Any) -> Payload:
        return kept(desk, said if isinstance(said, dict) else {}, space=space)

    def change(said: Any) -> Payload:
        return choose(desk, said if isinstance(said, dict) else {}, space=space)

    def backup(said: Any) -> Payload:
        return back_up(backups, said if isinstance(said, dict) else {}, space=space)

    return panel("settings", server=[look, storage, change, backup])


def sampling(said: Any) -> Sampling:
    """What the browser keeps; what is not said stays the default. Raises SettingInvalid."""
    given = {name: value for name, value in said.items() if name in NAMES} if isinstance(said, dict) else {}
    numbers = {
        name: value for name, value in given.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }
    try:
        # JSON knows no difference between 40 and 40.0
        return Sampling(**{name: (int if name in WHOLE else float)(value) for name, value in numbers.items()})  # type: ignore[arg-type]
    except (ValueError, OverflowError) as error:
        raise SettingInvalid("sampling", numbers, str(error)) from None


def defaults() -> Payload:
    return {name: value for name, value in asdict(Sampling()).items() if name in NAMES}


def show(desk: Desk, said: Payload, *, space: bool) -> Payload:
    """What can be told at once: said {"visitor"}."""
    owner = Seat.read(said).owner(space=space)
    if owner is None:
        return {}
    settings, around = desk.settings, desk.machine()
    return {
        # a shared demonstration has one model for everybody
        "fixed": space,
        "model": settings.model,
        "now": model.show(desk),
        "offers": [_offer(one, settings.model, settings.cache) for one in around.offers],
        "policy": settings.policy,
        "policies": list(POLICIES),
        # a share of the disk, which is the default, is told as what it comes to
        "budget": settings.readings_budget if isinstance(settings.readings_budget, int) else None,
        "limit": desk.storage.space().limit,
        "home": None if space else str(settings.home),
        "cache": None if space else str(settings.cache),
    }


def kept(desk: Desk, said: Payload, *, space: bool) -> Payload:
    """Sizes on disk and what is kept of readings, with its recall; reads every file's header."""
    owner = Seat.read(said).owner(space=space)
    if owner is None or space:
        return {}
    settings = desk.settings
    try:
        rows = desk.kept(owner)["rows"]
        disk = shutil.disk_usage(settings.home)
    except (LecternError, EngineError, OSError) as error:
        return {"note": trouble(error)}
    return {
        "rows": rows[:ROWS],
        "sizes": {
            "readings": _size(settings.readings.rglob("*")),
            "files": _size((settings.home / "files").rglob("*")),
            "library": _size(settings.home.glob("library.db*")),
            "models": _size(settings.cache.rglob("*")),
        },
        "free": disk.free,
        "disk": disk.total,
    }


def back_up(backups: Backups, said: Payload, *, space: bool) -> Payload:
    """Said {"visitor", "act"?: make, stop or drop}; how it stands then."""
    if space or Seat.read(said).owner(space=space) is None:
        return {}
    act = {"make": backups.make, "stop": backups.stop, "drop": backups.drop}.get(str(said.get("act")))
    try:
        if act is not None:
            act()
        return backups.show()
    except Exception as error:
        return {"note": trouble(error)}


def choose(desk: Desk, said: Payload, *, space: bool) -> Payload:
    """Said {"visitor", and any of "model", "policy", "budget"}; the settings as they are afterwards."""
    if space or Seat.read(said).owner(space=space) is None:
        return {}
    values: dict[str, Any] = {name: said[name] for name in ("model", "policy") if isinstance(said.get(name), str)}
    if "budget" in said:
        values["readings_budget"] = f"{DEFAULT_SHARE:.0%}" if said["budget"] is None else str(said["budget"])
    try:
        desk.choose(**values)
    except Exception as error:
        return {**show(desk, said, space=space), "note": trouble(error)}
    return show(desk, said, space=space)


def _offer(offer: Offer, current: str, cache: Path) -> Payload:
    entry, fit = offer.entry, offer.fit
    return {
        "name": entry.name,
        "title": entry.title,
        "current": entry.name == current,
        "here": checkpoint.at_hand(entry.name, cache=cache),
        "recommended": offer.recommended,
        "fits": fit.fits,
        "bound": fit.bound,
        "needed": fit.needed,
        "available": fit.available,
        "most": min(fit.most, entry.limit),
        "on_card": fit.on_card,
        "seconds": None if fit.seconds is None else round(fit.seconds),
        "window": entry.window,
        "parameters": entry.parameters,
        "download": entry.download_bytes,
        "memory": entry.weight_bytes,
        "licence": entry.licence,
        "languages": list(entry.languages),
    }


def _size(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        try:
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_size
        except OSError:
            continue
    return total
