"""Answering, token by token: ``python -m tests.bench.decode --tokens 512 8192 16384``.

``--random Qwen2.5-7B`` measures random weights of that shape (``tests.bench.random_weights``), for a GPU.

After a text of so many tokens the next ones are fed as they stand in it (teacher-forced): by what people get (keys are
chosen in a long context), with all keys, and by transformers' modules in full precision. Prints a row of JSON a length:
tokens a second and losses (nats) of each, and the ceiling, which is one pass over the weights and all keys and values at
the rate of a large sum.
"""

from __future__ import annotations

import tempfile
import time
from array import array
from pathlib import Path
from threading import Event as Flag

import torch

from engine.kvcache import KVCache
from engine.model import LanguageModel
from engine.row import RowForward
from tests.bench import random_weights, rows, setup

WARM = 4


def measure(name: str, tokens: int, text: Path, steps: int, *, with_modules: bool) -> dict[str, object]:
    # as people have it: kept, with the mean keys that choosing needs, and opened again
    with tempfile.TemporaryDirectory() as folder:
        session = setup.Session(setup.config(setup.describe(name), Path(folder)))
        ids = setup.text_ids(session.tokenizer, text, tokens + steps + 1)
        model, pages, _ = session.load()
        prompt = setup.one_segment(ids[:tokens])
        session.read(prompt, lambda _: None, Flag())
        cache, _, _ = pages.open(prompt, leave=0, arena=lambda _: None)
        cache.touch()
        return _after(model, cache, ids, tokens, steps, with_modules=with_modules)


def _after(
    model: LanguageModel, cache: KVCache, ids: array[int], tokens: int, steps: int, *, with_modules: bool
) -> dict[str, object]:
    from tests.bench.read_rate import read_rate

    weights = model.layer_parameters + model.model.lm_head.weight.numel()
    pass_bytes = weights + tokens * model.shape.token_bytes  # int8 weights
    wanted = torch.tensor(ids[tokens + 1 : tokens + steps + 1])

    chosen = model.row_forward
    exact = RowForward(model.model, model.shape, model.heads, model.dual_chunk, int8=chosen.int8)

    def run(row: RowForward | None) -> tuple[float, float]:
        """None for transformers' modules."""
        room = min(steps, model.dual_chunk.border_after(cache.end) - cache.end)
        cache.append(model.shape.allocate(cache.end, room))
        logits, begun = [], 0.0
        for step in range(room):
            if step == WARM:
                begun = time.perf_counter()
            token = ids[tokens + step]
            cache.extents[-1].length += 1
            if row is None:
                logits.append(model.logits(model.hidden(array("i", [token]), cache.end - 1, cache))[0])
            else:
                logits.append(row(token, cache))
        seconds = time.perf_counter() - begun
        cache.drop_last()
        loss = torch.nn.functional.cross_entropy(torch.stack(logits), wanted[:room])
        return (room - WARM) / seconds, float(loss)

    ways = {"policy": chosen, "exact": exact} | ({"modules": None} if with_modules else {})
    found = {name: run(row) for name, row in ways.items()}
    return {
        "tokens_per_second": found["policy"][0],
        "ceiling_tokens_per_second": read_rate() / pass_bytes,
        "rates": {name: rate for name, (rate, _) in found.items()},
        "loss": {name: loss for name, (_, loss) in found.items()},
        "steps": steps,
    }


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[512, 8192])
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--no-modules", action="store_true", help="leave transformers' modules out: they are slow")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object (it always is)")
    random_weights.arguments(parser)
    parser.add_argument("--policy", nargs="+", default=["default", "dense"], help="with --random")
    given = parser.parse_args()
    if given.random:
        random_weights.run("decode", given)
        return
    for model in given.model:
        for tokens in given.tokens:
            found = measure(model, tokens, given.text, given.steps, with_modules=not given.no_modules)
            rows.record("decode", {"model": model, "tokens": tokens, "text": given.text.name, **found})


if __name__ == "__main__":
    main()
