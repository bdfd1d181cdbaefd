"""What a policy loses against dense attention: ``python -m tests.bench.fidelity --tokens 16384 --policy default``.

loss: mean cross-entropy (nats) of the second half of the text, each token predicted from all before it; last: of its last
2,048 tokens; recall: as the gauge measured it over the whole reading. copying: 32 passages of 64 random tokens spread
over the text, each repeated at the end with its first 16 tokens given; mean loss of the other 48, with the standard
error over passages.
"""

from __future__ import annotations

import random
import time
from array import array
from pathlib import Path

import torch
from torch import Tensor

from engine import prefill
from engine.kvcache import Arena, KVCache
from engine.model import LanguageModel
from engine.sparsity import BLOCK
from tests.bench import rows, setup

LAST = 2048
PASSAGES, PASSAGE, GIVEN = 32, 64, 16


def losses(model: LanguageModel, ids: array[int], begin: int, chunk_tokens: int) -> Tensor:
    """Cross-entropy of tokens begin + 1 .. end, each from all before it, read in the engine's own chunks."""
    cache = KVCache(model.shape, Arena(model.shape, len(ids), BLOCK))
    found: list[Tensor] = []
    start, rest = 0, ids
    while rest:
        chunk = prefill.next_chunk(start, rest, model.dual_chunk, chunk_tokens)
        cache.append(cache.allocate(start, len(chunk.ids)))
        hidden = model.hidden(chunk.ids, start, cache)
        if len(cache.extents) > 1 and prefill.together(model.dual_chunk, *cache.extents[-2:]):
            cache.join_last()
        wanted = torch.tensor(ids[start + 1 : start + len(chunk.ids) + 1])
        for row in range(max(0, begin - start) // 512 * 512, len(wanted), 512):
            logits = model.logits(hidden[row : row + 512])
            part = wanted[row : row + 512]
            found.append(torch.nn.functional.cross_entropy(logits[: len(part)], part, reduction="none"))
        start, rest = start + len(chunk.ids), rest[len(chunk.ids) :]
    every = torch.cat(found)
    return every[len(every) - (len(ids) - 1 - begin) :]


def copying_ids(ids: array[int], vocabulary: int) -> array[int]:
    """``ids`` with the passages laid over its first part and repeated, one after another, at the end."""
    generator = random.Random(7)
    passages = [[generator.randrange(1000, vocabulary) for _ in range(PASSAGE)] for _ in range(PASSAGES)]
    end = len(ids) - PASSAGES * PASSAGE
    text = list(ids[:end])
    for number, passage in enumerate(passages):
        place = int((number + 0.5) / PASSAGES * (end - PASSAGE))
        text[place : place + PASSAGE] = passage
    order = list(range(PASSAGES))
    generator.shuffle(order)
    return array("i", text + [token for number in order for token in passages[number]])


def copying(model: LanguageModel, ids: array[int], chunk_tokens: int) -> dict[str, float]:
    vocabulary = min(int(model.model.config.vocab_size), 32000)
    text = copying_ids(ids, vocabulary)
    begin = len(text) - PASSAGES * PASSAGE - 1
    each = losses(model, text, begin, chunk_tokens).view(PASSAGES, PASSAGE)[:, GIVEN:].mean(1)
    return {"loss": float(each.mean()), "error": float(each.std() / PASSAGES**0.5)}


def measure(model: str, tokens: int, text: Path, policy: str, *, copies: bool) -> dict[str, object]:
    session = setup.Session(setup.config(setup.describe(model), None, policy=policy))
    ids = setup.text_ids(session.tokenizer, text, tokens)
    language_model, _, _ = session.load()
    chunk_tokens = session.config.prefill_tokens
    begun = time.perf_counter()
    half = losses(language_model, ids, tokens // 2, chunk_tokens)
    recall = language_model.gauge.take()
    return {
        "loss": float(half.mean()),
        "last": float(half[-LAST:].mean()),
        "recall": None if recall is None else {"mean": recall.mean, "low": recall.low},
        "copying": copying(language_model, ids, chunk_tokens) if copies else None,
        "seconds": time.perf_counter() - begun,
    }


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[16384])
    parser.add_argument("--policy", nargs="+", default=["default"])
    parser.add_argument("--no-copying", action="store_true", help="measure the losses of the text only")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object (it always is)")
    given = parser.parse_args()
    for model in given.model:
        for tokens in given.tokens:
            dense = measure(model, tokens, given.text, "dense", copies=not given.no_copying)
            for policy in given.policy:
                found = measure(model, tokens, given.text, policy, copies=not given.no_copying)
                row: dict[str, object] = {"model": model, "tokens": tokens, "policy": policy, "text": given.text.name}
                for name in ("loss", "last", "copying"):
                    row[name] = {"dense": dense[name], "policy": found[name]}
                rows.record("fidelity", row | {"recall": found["recall"]})


if __name__ == "__main__":
    main()
