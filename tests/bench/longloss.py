"""Loss beyond the trained window: ``python -m tests.bench.longloss --attention dca rope yarn --policy dense``.

dca: Dual Chunk Attention; yarn: with YaRN's temperature on top; rope: plain RoPE.
"""

from __future__ import annotations

import time
from array import array
from pathlib import Path
from threading import Event as Flag

import torch

from engine import prefill
from engine.model import LanguageModel
from engine.pages import Pages
from tests.bench import rows, setup

LAST = 2048


def last_loss(model: LanguageModel, ids: array[int], last: int = LAST) -> float:
    """Mean cross-entropy (nats) of the last ``last`` tokens, each predicted from all before it."""
    reading = prefill.read(
        model,
        Pages(model.shape, None),
        setup.one_segment(ids[: -last - 1]),
        limit=1 << 20,
        chunk_tokens=2048,
        cancel=Flag(),
        emit=lambda _: None,
        need_last=True,
    )
    losses = []
    start, rest = len(ids) - last - 1, ids[-last - 1 : -1]
    while rest:
        chunk = prefill.next_chunk(start, rest, model.dual_chunk, 1024)
        extent = model.shape.allocate(chunk.start, len(chunk.ids), len(chunk.ids))
        reading.cache.append(extent)
        logits = model.logits(model.hidden(chunk.ids, chunk.start, reading.cache))
        wanted = torch.tensor(ids[start + 1 : start + 1 + len(chunk.ids)])
        losses.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="none"))
        start, rest = start + len(chunk.ids), rest[len(chunk.ids) :]
    return float(torch.cat(losses).mean())


def measure(
    model: str, tokens: int, text: Path, *, attention: str, policy: str = "dense", dtype: str = "auto"
) -> dict[str, object]:
    info = setup.describe(model, dtype=dtype)
    # plain RoPE is a chunk that never ends
    settings: dict[str, int] = {"chunk_size": 1 << 21, "local_size": 1 << 10} if attention == "rope" else {}
    config = setup.config(info, None, policy=policy, temperature="yarn" if attention == "yarn" else "none", **settings)
    session = setup.Session(config)
    ids = setup.text_ids(session.tokenizer, text, tokens)
    language_model, _, _ = session.load()
    begun = time.perf_counter()
    loss = last_loss(language_model, ids)
    return {"loss": loss, "seconds": time.perf_counter() - begun, "attention": attention, "policy": policy}


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[16384])
    parser.add_argument("--attention", nargs="+", choices=["dca", "rope", "yarn"], default=["dca", "rope"])
    # dense: what Dual Chunk Attention itself does
    parser.add_argument("--policy", default="dense")
    parser.set_defaults(model=["smollm2-135m"])
    given = parser.parse_args()
    for model in given.model:
        for tokens in given.tokens:
            for attention in given.attention:
                row = measure(model, tokens, given.text, attention=attention, policy=given.policy)
                rows.record(
                    "longloss", {"model": model, "tokens": tokens, "text": given.text.name, "last": LAST, **row}
                )


if __name__ == "__main__":
    main()
