"""Which models a machine with a graphics card could run, and how long a context it holds."""

from __future__ import annotations

import pytest

from app.reading.plan import _memory_limit
from app.reading.surroundings import ON_CARD, Offer, Surroundings
from engine.catalogue import find
from engine.machine import Gpu, Machine, fits
from engine.protocol import ModelInfo

MODEL = ModelInfo(
    name="m", title="M", source="", folder="", family="qwen2", parameters=10**9, licence="", window=1, limit=1,
    chunk_size=2, local_size=1, kv_bytes=10**5, dtype="bfloat16", device="cuda", identity="", tokenizer="", small=False,
)  # fmt: skip


def around(card: float, memory: float) -> Surroundings:
    """Sizes in GB."""
    card, memory = int(card * 1e9), int(memory * 1e9)
    machine = Machine(
        cores=4, memory_total=memory, memory_available=memory, disk_free=10**13,
        gpus=(Gpu(name="G", memory_total=card, memory_free=card),),
    )  # fmt: skip
    entry = find("qwen3-4b-2507")
    assert entry is not None
    offer = Offer(entry=entry, fit=fits(entry, machine, 50_000), tokens=50_000, recommended=False)
    return Surroundings(machine=machine, offers=(offer,))


def test_a_context_that_does_not_fit_the_card_is_counted_on_the_machines_memory() -> None:
    small = around(8, 64)
    # a part of keys and values lies on the card, beside the weights
    room = (8e9 * 0.85 - 2e9) / ON_CARD / 1e5
    assert _memory_limit(MODEL, small.memory_for(MODEL)) == pytest.approx(room, abs=2)
    # the machine has less
    assert _memory_limit(MODEL, around(8, 32).memory_for(MODEL)) == pytest.approx(32e9 * 0.85 / 1e5, abs=2)
    # the card alone holds more than the machine beside it
    assert around(80, 32).memory_for(MODEL) == 80 * 10**9
    assert _memory_limit(MODEL, around(2, 32).memory_for(MODEL)) == 0


def test_what_is_slower_is_said() -> None:
    (offer,) = around(16, 64).offers
    assert offer.fit.on_card is not None
    told = f"fits on the GPU, up to {offer.fit.on_card:,} tokens, or {offer.fit.most:,}, those beyond with their keys"
    assert offer.why.startswith(told) and "reading and answers are slower" in offer.why
    (offer,) = around(141, 64).offers
    assert offer.why == f"fits on the GPU, up to {offer.fit.most:,} tokens"
