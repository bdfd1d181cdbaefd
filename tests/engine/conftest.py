"""Checkpoints for engine tests: tiny random ones made here, and the small real one where a source has it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou read.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

SAMPLE = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do.\n"
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want.\n"
    "滿紙荒唐言，一把辛酸淚。都云作者癡，誰解其中味？\n"
    "def read(book: str) -> list[int]:\n    return [ord(letter) for letter in book]  # 0123456789\n"
)

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_tokenizer(folder: Path, vocab_size: int) -> None:
    """A byte-level BPE tokenizer like Qwen's, trained on SAMPLE; specials are ids 0, 1, 2."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([SAMPLE] * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "add_bos_token": False,
        "chat_template": CHATML,
        "model_max_length": 4096,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0], "pad_token_id": 0}), "utf-8")


def make_checkpoint(folder: Path, family: str, *, seed: int = 0, **settings: Any) -> Path:
    """Write a random ``family`` ("llama", "qwen2", "qwen3") checkpoint in float32 into ``folder`` and return it.

    ``settings`` override the config. Weights have unit gain, biases and norms are random too, so that a forgotten bias,
    norm or rotation changes the logits by far more than a tolerance.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

    configs: dict[str, tuple[Any, Any]] = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    }
    config_class, model_class = configs[family]
    values: dict[str, Any] = {
        "vocab_size": 384,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": family == "qwen2",
        "eos_token_id": 2,
        "bos_token_id": None,
        "pad_token_id": 0,
    } | settings
    config = config_class(**values)
    generator = torch.Generator().manual_seed(seed)
    model = model_class(config).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1.0 + 0.1 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(noise * parameter.shape[-1] ** -0.5)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    write_tokenizer(folder, min(config.vocab_size, 384))
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``tiny_checkpoint(family, *, seed=0, **config)`` makes a random checkpoint once and returns its folder."""
    made: dict[str, Path] = {}

    def factory(family: str, *, seed: int = 0, **settings: Any) -> Path:
        key = json.dumps([family, seed, settings], sort_keys=True, default=str)
        if key not in made:
            made[key] = make_checkpoint(tmp_path_factory.mktemp(family), family, seed=seed, **settings)
        return made[key]

    return factory


# the names of a Hugging Face checkpoint in a GGUF file
_GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    folder: Path,
    target: Path,
    *,
    quantization: str = "F32",
    second_output: str | None = None,
    fields: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
) -> Path:
    """Write the checkpoint in ``folder`` as GGUF, the way llama.cpp's converter does.

    quantization: of the matrices; second_output: also write the tied embedding as an output matrix, so quantized;
    fields: metadata added or changed; without: tensors left out.
    """
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text("utf-8"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    family = config["model_type"]
    writer = gguf.GGUFWriter(target, family)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    tokens = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
    added = {token["content"] for token in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_types([3 if token in added else 1 for token, _ in tokens])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(2)
    writer.add_chat_template(settings["chat_template"])
    for key, value in (fields or {}).items():
        if isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_uint32(key, value)

    def put(name: str, values: Any, kind: str) -> None:
        if values.ndim == 1:
            kind = "F32"
        chosen = gguf.GGMLQuantizationType[kind]
        data = values if kind == "F32" else gguf.quantize(values, chosen)
        writer.add_tensor(name, np.ascontiguousarray(data), raw_dtype=chosen)

    for name, values in load_file(folder / "model.safetensors").items():
        stem, _, kind = name.rpartition(".")
        if stem.startswith("model.layers."):
            _, _, layer, part = stem.split(".", 3)
            new = f"blk.{layer}.{_GGUF_NAMES[part]}.{kind}"
        else:
            new = f"{_GGUF_NAMES[stem]}.{kind}"
        if family == "llama" and new.endswith(("attn_q.weight", "attn_k.weight")):
            heads = config["num_attention_heads" if "attn_q" in new else "num_key_value_heads"]
            halves = values.reshape(heads, 2, values.shape[0] // heads // 2, values.shape[1])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        if new not in without:
            put(new, values, quantization)
        if new == "token_embd.weight" and second_output:
            put("output.weight", values, second_output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


@pytest.fixture(scope="session")
def make_gguf() -> Callable[..., Path]:
    """``make_gguf(folder, target, ...)`` writes a checkpoint as a GGUF file; see write_gguf."""
    return write_gguf


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What of the hub's protocol its client needs, from files in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.lfs: dict[str, str] = {}
        self.asked: list[str] = []
        # where the parts that were asked for began
        self.spans: list[int] = []
        self.status = 200
        # bytes a second; and after how many bytes the line is dead. Both None as a rule
        self.pace: int | None = None
        self.broken: int | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *parts: object) -> None:
                pass

            def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.send(body)

            def send(self, body: bytes) -> None:
                step = len(body) if hub.pace is None else max(1, hub.pace // 20)
                for start in range(0, len(body), max(1, step)):
                    if hub.broken is not None:
                        hub.broken -= step
                        if hub.broken <= 0:
                            self.close_connection = True
                            return
                    with contextlib.suppress(ConnectionError):  # who asked has gone
                        self.wfile.write(body[start : start + step])
                    if hub.pace is not None:
                        time.sleep(step / hub.pace)

            def do_GET(self) -> None:
                if hub.broken is not None and hub.broken <= 0:
                    self.close_connection = True
                    return
                path = unquote(urlsplit(self.path).path)
                hub.asked.append(f"{self.command} {path}")
                if hub.status != 200 or not path.startswith(("/someone/", "/api/models/someone/")):
                    status, error = (hub.status, "GatedRepo") if hub.status != 200 else (404, "RepoNotFound")
                    self.answer(status, b"{}", {"X-Error-Code": error, "X-Error-Message": error})
                elif path.startswith("/api/"):
                    kind = {"Content-Type": "application/json"}
                    self.answer(200, json.dumps(hub.tree() if "/tree/" in path else hub.info()).encode(), kind)
                else:
                    name = path.split(f"/resolve/{COMMIT}/")[1]
                    body = hub.files[name]
                    headers = {"ETag": f'"{hub.hash(name)}"', "X-Repo-Commit": COMMIT}
                    span = self.headers.get("Range")
                    if span:
                        first, last = span.removeprefix("bytes=").split("-")
                        hub.spans.append(int(first))
                        headers["Content-Range"] = f"bytes {first}-{last or len(body) - 1}/{len(body)}"
                        self.answer(206, body[int(first) : int(last) + 1 if last else None], headers)
                    else:
                        self.answer(200, body, headers)

            do_HEAD = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def hash(self, name: str) -> str:
        return self.lfs.get(name) or hashlib.sha256(self.files[name]).hexdigest()

    def large(self, name: str) -> bool:
        return name.endswith((".safetensors", ".gguf", ".bin"))

    def info(self) -> dict[str, Any]:
        siblings = []
        for name, data in self.files.items():
            facts: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": "b" * 40}
            if self.large(name):
                facts["lfs"] = {"sha256": self.hash(name), "size": len(data), "pointerSize": 100}
            siblings.append(facts)
        card = {"license": "mit"}
        return {"id": "someone/tiny", "sha": COMMIT, "siblings": siblings, "cardData": card, "tags": []}

    def tree(self) -> list[dict[str, Any]]:
        found = []
        for name, data in self.files.items():
            facts: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": "b" * 40}
            if self.large(name):
                facts["lfs"] = {"oid": self.hash(name), "size": len(data), "pointerSize": 100}
            found.append(facts)
        return found

    def serve(self, folder: Path) -> None:
        self.files |= {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine: set its ``files``, read what was ``asked``."""
    made = Hub()
    monkeypatch.setenv("HF_ENDPOINT", made.address)
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


def _real(name: str) -> Path:
    from platformdirs import user_cache_path

    from engine.checkpoint import resolve
    from engine.errors import CheckpointNotFound

    cache = Path(os.environ.get("LECTERN_CACHE") or user_cache_path("lectern"))
    try:
        return Path(resolve(name, cache=cache).folder)
    except CheckpointNotFound as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of SmolLM2-135M-Instruct, converted; skips where no source answers."""
    return _real("smollm2-135m")


@pytest.fixture(scope="session")
def default_model() -> Path:
    """The folder of the embedded default, Qwen2.5-Coder-0.5B-Instruct; skips where no source answers."""
    return _real("qwen2.5-coder-0.5b")
