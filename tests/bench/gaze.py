"""What telling where the model looks costs a decoded token: ``python -m tests.bench.gaze``.

Tokens are decoded in turn without it, with the shipped heads and with all heads, over keys and values of random numbers:
how long a token takes does not depend on them. The ratio is that of the quickest tokens, since whatever else the machine
does only makes one slower; the medians stand beside it. ``ms`` is of a token that is watched, ``added`` over all tokens.
"""

from __future__ import annotations

import statistics
import time
from array import array

import torch

from engine.gaze import GazeHeads, Gazer, blocks_of
from engine.kvcache import KVCache
from engine.model import LanguageModel
from engine.pages import mean_keys
from engine.protocol import Prompt, Segment
from tests.bench import rows, setup

CHUNK = 2048


def filled(model: LanguageModel, tokens: int) -> KVCache:
    cache = KVCache(model.shape)
    while cache.end < tokens:
        extent = model.shape.allocate(cache.end, CHUNK, CHUNK)
        extent.data.normal_()
        extent.means = mean_keys(extent.data)
        cache.append(extent)
    cache.append(model.shape.allocate(cache.end, 1024))
    return cache


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[8192, 16384])
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    for name in given.model:
        info = setup.describe(name)
        model = LanguageModel(setup.config(info, None))
        for tokens in given.tokens:
            cache = filled(model, tokens)
            prompt = Prompt(
                segments=(
                    Segment(name="o", ids=array("i", [1])),
                    Segment(name="t", ids=array("i", [1]) * (tokens - 1024)),
                )
            )
            shipped = model.gaze_heads
            everything = GazeHeads.all(model.shape.layers, model.heads)
            gazers = {
                "without": None,
                "shipped heads": Gazer(shipped, prompt),
                "all heads": Gazer(everything, prompt, torch.zeros(blocks_of(prompt.end))),
            }
            seconds: dict[str, list[float]] = {kind: [] for kind in gazers}
            for number in range(given.rounds + 2):
                for kind, gazer in gazers.items():
                    begun = time.perf_counter()
                    model.step(7, cache, gazer)
                    if gazer is not None:
                        gazer.take()
                    # the first ones compile and warm up
                    if number > 1:
                        seconds[kind].append(time.perf_counter() - begun)
            base = seconds["without"]
            rows.record(
                "gaze",
                {
                    "model": name,
                    "tokens": tokens,
                    "heads": int((shipped.weights > 0).sum()),
                    "measured": shipped.measured,
                    "ms": {kind: round(1000 * min(found), 3) for kind, found in seconds.items()},
                    "ms_median": {kind: round(1000 * statistics.median(found), 3) for kind, found in seconds.items()},
                    # of the tokens of an answer only some are watched
                    "every": {kind: gazer.every for kind, gazer in gazers.items() if gazer is not None},
                    "added": {
                        kind: round((min(found) / min(base) - 1) / gazer.every, 4)
                        for kind, found in seconds.items()
                        if (gazer := gazers[kind]) is not None
                    },
                    "rounds": given.rounds,
                },
            )


if __name__ == "__main__":
    main()
