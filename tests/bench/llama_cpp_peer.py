"""One measurement of llama.cpp, run by ``tests.bench.peers`` in an environment that has llama-cpp-python and no Lectern.

Arguments: the GGUF file, threads, "plain" or nothing. Standard input: {"ids", "tokens"}; the first ``tokens`` ids are
read, the others fed one by one. "plain" is without llama.cpp's extra buffers (repacked and AMX weights): with AMX some
builds of it end in a segmentation fault at the first batch (ggml-org/llama.cpp, issue 20824). Prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import time


def main() -> None:
    import llama_cpp
    from llama_cpp import Llama

    threads = int(sys.argv[2])
    if "plain" in sys.argv[3:]:
        usual = llama_cpp.llama_model_default_params

        def without() -> llama_cpp.llama_model_params:
            made = usual()
            made.use_extra_bufts = False
            return made

        llama_cpp.llama_cpp.llama_model_default_params = llama_cpp.llama_model_default_params = without
    given = json.load(sys.stdin)
    ids, tokens = given["ids"], given["tokens"]
    model = Llama(
        sys.argv[1],
        n_ctx=-(-(len(ids) + 8) // 256) * 256,
        n_batch=2048,
        n_ubatch=512,
        n_threads=threads,
        n_threads_batch=threads,
        flash_attn=True,
        verbose=False,
    )
    model.eval(list(reversed(ids[: min(512, tokens)])))
    model.reset()
    begun = time.perf_counter()
    model.eval(ids[:tokens])
    seconds = time.perf_counter() - begun
    begun = time.perf_counter()
    state = model.save_state()
    saved = time.perf_counter() - begun
    begun = time.perf_counter()
    model.load_state(state)
    loaded = time.perf_counter() - begun
    spent = []
    for token in ids[tokens:]:
        begun = time.perf_counter()
        model.eval([token])
        spent.append(time.perf_counter() - begun)
    found = {
        "prefill": tokens / seconds,
        "decode": 1 / statistics.median(spent),
        "save_s": saved,
        "load_s": loaded,
        "bytes": state.llama_state_size,
        "plain": "plain" in sys.argv[3:],
        "version": llama_cpp.__version__,
        "built": llama_cpp.llama_print_system_info().decode().strip(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
