"""This machine, and which models it could run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.reading.plan import MEMORY_SHARE, duration, weight_bytes
from engine import machine
from engine.catalogue import CATALOGUE, Entry
from engine.machine import MEANS_SHARE, WORKSPACE_LAYERS, Fit, Machine
from engine.protocol import ModelInfo

# of keys and values in the machine's memory, what lies on the card: of sixteen layers, and deeper models need less
ON_CARD = WORKSPACE_LAYERS / 16 + MEANS_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model of the catalogue on this machine, with a context of ``tokens``: a short novel, or all it can hold."""

    entry: Entry
    fit: Fit
    tokens: int
    recommended: bool

    @property
    def why(self) -> str:
        """What binds it, in words and numbers."""
        where = "the GPU" if self.fit.device == "cuda" else "the CPU"
        if self.fit.fits:
            time = "" if self.fit.seconds is None else f"; {self.tokens:,} take about {duration(self.fit.seconds)}"
            most, on_card = self.fit.most, self.fit.on_card
            if on_card is not None and on_card < most:
                slower = "those beyond with their keys in the machine's memory, where reading and answers are slower"
                return f"fits on {where}, up to {on_card:,} tokens, or {most:,}, {slower}{time}"
            return f"fits on {where}, up to {most:,} tokens{time}"
        if self.fit.bound == "range":
            return f"it holds {self.fit.available:,} tokens; {self.fit.needed:,} are needed"
        what = {"gpu memory": "GPU memory", "memory": "memory", "disk": "free disk"}[self.fit.bound]
        return f"needs {_gigabytes(self.fit.needed)} of {what}; this machine has {_gigabytes(self.fit.available)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    machine: Machine
    offers: tuple[Offer, ...]

    @property
    def best(self) -> Offer | None:
        """The most able model that is worth running here."""
        return max((one for one in self.offers if one.recommended), key=lambda one: one.entry.parameters, default=None)

    def memory_for(self, model: ModelInfo) -> int:
        """Bytes in which this model's weights, keys and values must find place."""
        if not (model.device.startswith("cuda") and self.machine.gpus):
            return self.machine.memory_total
        card, weights = max(gpu.memory_total for gpu in self.machine.gpus), weight_bytes(model)
        # keys and values may lie in the machine's memory, but for a part of them
        left = max(0.0, card * MEMORY_SHARE - weights) / ON_CARD
        beside = min(left, self.machine.memory_total * MEMORY_SHARE)
        return max(card, int((beside + weights) / MEMORY_SHARE))


def look(home: Path) -> Surroundings:
    """Milliseconds without a GPU; with one, its driver is asked."""
    found = machine.look(home)
    recommended = machine.recommend(found)
    offers = []
    for entry in CATALOGUE:
        tokens = min(machine.BOOK_TOKENS, entry.limit)
        fit = machine.fits(entry, found, tokens)
        offers.append(Offer(entry=entry, fit=fit, tokens=tokens, recommended=entry.name in recommended))
    return Surroundings(machine=found, offers=tuple(offers))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
