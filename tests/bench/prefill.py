"""Reading a text, by policy: ``python -m tests.bench.prefill --tokens 16384 --policy default dense``.

``--random Qwen2.5-7B`` measures random weights of that shape (``tests.bench.random_weights``), for a GPU.

Every reading runs in a process of its own, without keeping pages. Prints the ceiling first (the linear
layers alone, at the rate of one large matrix product), then one JSON object a row.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from threading import Event as Flag

from engine import prefill
from engine.pages import Pages
from engine.protocol import Progress
from tests.bench import random_weights, rows, setup
from tests.bench.engine import ceiling


def measure(model: str, tokens: int, text: Path, policy: str) -> dict[str, object]:
    """The figures of this process."""
    session = setup.Session(setup.config(setup.describe(model), None, policy=policy))
    ids = setup.text_ids(session.tokenizer, text, tokens)
    language_model, _, _ = session.load()
    operations = 2.0 * language_model.layer_parameters * tokens
    least = operations / ceiling()
    print(f"ceiling: {least:.1f} s for the linear layers alone, attention not counted", flush=True)
    estimates: list[float] = []

    def told(progress: Progress) -> None:
        if progress.seconds_left is not None and progress.done > tokens // 8 and not estimates:
            estimates.append(time.perf_counter() - begun + progress.seconds_left)

    begun = time.perf_counter()
    prefill.read(
        language_model,
        Pages(language_model.shape, None),
        setup.one_segment(ids),
        limit=1 << 22,
        chunk_tokens=session.config.prefill_tokens,
        cancel=Flag(),
        emit=told,
        need_last=False,
    )
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "ceiling_linear_seconds": least,
        "estimated_seconds_after_an_eighth": estimates[0] if estimates else None,
        "peak_bytes": setup.peak_bytes(),
        "anonymous_bytes_at_the_end": setup.anonymous_bytes(),
    }


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[8192, 16384])
    parser.add_argument("--policy", nargs="+", default=["default"])
    parser.add_argument("--runs", type=int, default=1, help="rows a setting")
    parser.add_argument("--here", action="store_true", help="measure in this process")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object (it always is)")
    random_weights.arguments(parser)
    given = parser.parse_args()
    if given.random:
        random_weights.run("prefill", given)
        return
    if given.here:
        print(json.dumps(measure(given.model[0], given.tokens[0], given.text, given.policy[0])))
        return
    for model in given.model:
        for tokens in given.tokens:
            for policy in given.policy * given.runs:
                command = [sys.executable, "-m", "tests.bench.prefill", "--here", "--text", str(given.text)]
                command += ["--model", model, "--tokens", str(tokens), "--policy", policy]
                ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                *said, last = ran.stdout.splitlines()
                print(*said, sep="\n")
                row = {"model": model, "tokens": tokens, "policy": policy, "text": given.text.name}
                rows.record("prefill", row | json.loads(last))


if __name__ == "__main__":
    main()
