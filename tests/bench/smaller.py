"""What keeping a reading as int8 loses and saves: ``python -m tests.bench.smaller --tokens 8192``.

A text is read and kept, and its last 1,024 tokens are told again behind it, as a question is: once with the pages as they
were kept, once after ``engine.compact`` made them int8. prose: the text goes on; copying: passages of random tokens laid
into it are repeated (``tests.bench.fidelity``). For both, loss: mean cross-entropy (nats) exact and int8, and divergence:
mean KL divergence of the next token's distribution. bytes_a_token: on disk, exact and int8; compact_s: making it smaller;
decode_ms: of a token behind it, exact and int8, the median of 32.
"""

from __future__ import annotations

import tempfile
import time
from array import array
from pathlib import Path
from statistics import median
from threading import Event as Flag
from typing import Any

import torch

from engine import prefill
from engine.compact import compact_file
from engine.decode import grow_tail
from engine.protocol import Prompt, Segment
from tests.bench import fidelity, rows, setup
from tests.bench.setup import Session

AFTER, STEPS = 1024, 32


def told(session: Session, text: array[int], after: array[int]) -> tuple[torch.Tensor, float]:
    """Log-probabilities of each next token of ``after``, read behind what is kept; seconds a token decoded there."""
    model, pages, _ = session.load()
    prompt = Prompt(segments=(Segment(name="text", ids=text),))
    cache, found, _ = pages.open(prompt, leave=0)
    assert found == len(text)
    cache.touch()
    start, states = cache.end, []
    while after:
        chunk = prefill.next_chunk(start, after, model.dual_chunk, 512)
        states.append(model.hidden(chunk.ids, start, _appended(cache, start, len(chunk.ids))))
        start, after = start + len(chunk.ids), after[len(chunk.ids) :]
    hidden = torch.cat(states)
    logits = torch.cat([model.logits(hidden[row : row + 256]) for row in range(0, len(hidden), 256)])
    times, tails = [], []  # type: ignore[var-annotated]
    for _ in range(STEPS):
        grow_tail(model, cache, tails)
        begun = time.perf_counter()
        model.step(7, cache)
        times.append(time.perf_counter() - begun)
    return logits.log_softmax(-1), median(times)


def _appended(cache: Any, start: int, length: int) -> Any:
    cache.append(cache.allocate(start, length))
    return cache


def measure(model: str, tokens: int, text: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        session = setup.Session(setup.config(setup.describe(model), Path(folder)))
        language_model, pages, _ = session.load()
        _ = language_model.row_forward
        ids = setup.text_ids(session.tokenizer, text, tokens + AFTER)
        vocabulary = min(int(language_model.model.config.vocab_size), 32000)
        # the passages are repeated at the end of what they are laid into
        copies = fidelity.copying_ids(ids[: tokens + fidelity.PASSAGES * fidelity.PASSAGE], vocabulary)
        before = copies[: len(copies) - fidelity.PASSAGES * fidelity.PASSAGE]
        after = {"prose": ids[len(before) : len(before) + AFTER], "copying": copies[len(before) :][:AFTER]}
        session.read(setup.one_segment(before), lambda _: None, Flag())
        paths = sorted(Path(folder).rglob("*.kv"))
        row: dict[str, Any] = {"model": model, "tokens": len(before), "text": text.name}
        exact = {name: told(session, before, part) for name, part in after.items()}
        sizes = [sum(path.stat().st_size for path in paths)]
        begun = time.perf_counter()
        for path in paths:
            compact_file(path)
        row["compact_s"] = time.perf_counter() - begun
        sizes.append(sum(path.stat().st_size for path in paths))
        pages._open.clear()
        small = {name: told(session, before, part) for name, part in after.items()}
        row["bytes_a_token"] = dict(zip(("exact", "int8"), (size / len(before) for size in sizes), strict=True))
        for name, part in after.items():
            wanted = torch.tensor(part[1:])
            losses = [float(torch.nn.functional.nll_loss(one[name][0][:-1], wanted)) for one in (exact, small)]
            first, second = exact[name][0], small[name][0]
            apart = float((first.exp() * (first - second)).sum(-1).mean())
            row[name] = {"exact": losses[0], "int8": losses[1], "divergence": apart}
        row["decode_ms"] = {"exact": 1e3 * exact["prose"][1], "int8": 1e3 * small["prose"][1]}
        return row


def main() -> None:
    given = setup.arguments(__doc__ or "", tokens=[8192]).parse_args()
    for model in given.model:
        for tokens in given.tokens:
            rows.record("smaller", measure(model, tokens, given.text))


if __name__ == "__main__":
    main()
