"""Checkpoints for engine tests: tiny random ones made here, and the small real one where a source has it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou read.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

SAMPLE = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do.\n"
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.\n"
    "滿紙荒唐言，一把辛酸淚。都云作者癡，誰解其中味？\n"
    "def read(book: str) -> list[int]:\n    return [ord(letter) for letter in book]  # 0123456789\n"
)

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_tokenizer(folder: Path, vocab_size: int) -> None:
    """A byte-level BPE tokenizer like Qwen's, trained on SAMPLE; specials are ids 0, 1, 2."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
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
    """``tiny_checkpoint(family, *, seed=0, **config)`` makes a random checkpoint once a session and returns its folder."""
    made: dict[str, Path] = {}

    def factory(family: str, *, seed: int = 0, **settings: Any) -> Path:
        key = json.dumps([family, seed, settings], sort_keys=True, default=str)
        if key not in made:
            made[key] = make_checkpoint(tmp_path_factory.mktemp(family), family, seed=seed, **settings)
        return made[key]

    return factory


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
