"""Reading, answering, answering again, and again after a restart: ``python -m tests.bench.engine``.

Each length of each model runs in processes of its own: one reads and answers twice, a second one answers after the
"restart". Prints one row of JSON a length. The ceiling is the linear layers' operations at the rate of one large matrix
product. ``--policy`` says how keys are chosen.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from threading import Event as Flag

from engine.protocol import Prompt, Sampling, Segment
from tests.bench import rows, setup

DECODED = 64


def ceiling() -> float:
    """Floating-point operations a second of one large bfloat16 matrix product here."""
    import torch

    left, right = (torch.randn(2048, 2048, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(10):
        begun = time.perf_counter()
        left @ right
        best = max(best, 2 * 2048**3 / (time.perf_counter() - begun))
    return best


def run(model: str, tokens: int, text: Path, readings: Path, policy: str, *, restarted: bool) -> dict[str, float]:
    """The figures of one process."""
    info = setup.describe(model)
    session = setup.Session(setup.config(info, readings, policy=policy))
    ids = setup.text_ids(session.tokenizer, text, tokens)
    greedy = Sampling(temperature=0.0, max_tokens=DECODED)
    begun = time.perf_counter()
    language_model, _, _ = session.load()
    figures: dict[str, float] = {"load_s": time.perf_counter() - begun}

    def ask(question: str) -> tuple[float, float]:
        turn = session.tokenizer.encode([question])[0].ids
        prompt = Prompt(segments=(Segment(name="text", ids=ids), Segment(name="turn", ids=turn)))
        done = session.generate(prompt, greedy, lambda _: None, Flag())
        return done.seconds_first_token, (done.answered - 1) / max(done.seconds_decode, 1e-9)

    if restarted:
        figures["first_token_after_restart_s"], _ = ask("\n\nWhere does it take place?")
        return figures
    # what the linear layers alone would allow: attention comes on top, and is what a policy saves
    figures["ceiling_prefill_tokens_per_s"] = ceiling() / (2.0 * language_model.layer_parameters)
    prompt = setup.one_segment(array("i", ids))
    done = session.read(prompt, lambda _: None, Flag())
    figures["prefill_tokens_per_s"] = tokens / done.seconds_prefill
    figures["prefill_s"] = done.seconds_prefill
    figures["peak_bytes"] = setup.peak_bytes()
    _, figures["decode_tokens_per_s"] = ask("\n\nWho is this about?")
    figures["first_token_second_question_s"], _ = ask("\n\nWhen does it happen?")
    return figures


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[2048, 8192, 16384, 32768])
    parser.add_argument("--one", type=Path, help="measure in this process, keeping pages in this folder")
    parser.add_argument("--policy", default="default")
    parser.add_argument("--restarted", action="store_true")
    given = parser.parse_args()
    if given.one is not None:
        print(
            json.dumps(
                run(given.model[0], given.tokens[0], given.text, given.one, given.policy, restarted=given.restarted)
            )
        )
        return
    for model in given.model:
        for tokens in given.tokens:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "tests.bench.engine", "--one", folder]
                command += ["--model", model, "--tokens", str(tokens), "--text", str(given.text)]
                command += ["--policy", given.policy]
                figures: dict[str, float] = {}
                for extra in ([], ["--restarted"]):
                    ran = subprocess.run([*command, *extra], check=True, capture_output=True, text=True)
                    figures |= {"load_s": 0.0} | json.loads(ran.stdout.splitlines()[-1])
            rows.record(
                "engine", {"model": model, "tokens": tokens, "policy": given.policy, "text": given.text.name, **figures}
            )


if __name__ == "__main__":
    main()
