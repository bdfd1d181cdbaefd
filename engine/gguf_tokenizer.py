"""The tokenizer inside a GGUF file -> the files that a Hugging Face checkpoint has. Byte-level BPE only.

A GGUF file keeps vocabulary and merges but names its pre-tokenizer only; the rules below are those of the original
tokenizers. A name that is not here is refused: a guess would split text otherwise than the model learned it.
"""

from __future__ import annotations

from typing import Any

from engine.errors import CheckpointDamaged, CheckpointUnsupported

# token types of the format
_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 2, 3, 4, 5

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def _byte_level(use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": use_regex}


def _split(pattern: str) -> list[dict[str, Any]]:
    return [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
        _byte_level(False),
    ]


# name in the file -> (pre-tokenizers, NFC before them, whole words found in the vocabulary skip the merges)
_RULES: dict[str, tuple[list[dict[str, Any]], bool, bool]] = {
    "qwen2": (_split(_QWEN2), True, False),
    "deepseek-r1-qwen": (_split(_QWEN2), True, False),
    "llama-bpe": (_split(_LLAMA3), False, True),
    "smollm": ([{"type": "Digits", "individual_digits": True}, _byte_level(True)], False, False),
    "gpt-2": ([_byte_level(True)], False, False),
}

# all of these end a token between a letter or digit and a mark of punctuation or a line's end, without looking further
KNOWN_PRETOKENIZERS: list[list[dict[str, Any]]] = [
    [{key: value for key, value in step.items() if key != "trim_offsets"} for step in steps]
    for steps, _, _ in _RULES.values()
]


def tokenizer_files(fields: dict[str, Any], name: str, *, window: int) -> dict[str, dict[str, Any]]:
    """tokenizer.json, tokenizer_config.json and generation_config.json as values for JSON.

    fields: the file's metadata. Raises CheckpointUnsupported, CheckpointDamaged.
    """
    kind, rule = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")
    if kind != "gpt2" or rule not in _RULES:
        raise CheckpointUnsupported(name, f"its tokenizer is {kind}/{rule}; use the original folder of safetensors")
    try:
        tokens: list[str] = fields["tokenizer.ggml.tokens"]
        types: list[int] = fields["tokenizer.ggml.token_type"]
        merges = [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]]
    except KeyError as error:
        raise CheckpointDamaged(name, f"its metadata lack {error}") from error
    if len(tokens) != len(types) or any(len(merge) != 2 for merge in merges):
        raise CheckpointDamaged(name, "its vocabulary is inconsistent")
    steps, nfc, ignore_merges = _RULES[str(rule)]
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": types[index] != _USER_DEFINED,
        }
        for index, token in enumerate(tokens)
        if types[index] in (_UNKNOWN, _CONTROL, _USER_DEFINED)
    ]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if nfc else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": _byte_level(False),
        "decoder": _byte_level(False),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": ignore_merges,
            # the added ones too: tokenizers gives an added token that is not in here the next free id, whatever it says
            "vocab": {token: index for index, token in enumerate(tokens) if types[index] != _UNUSED},
            "merges": merges,
        },
    }

    def token(role: str) -> str | None:
        index = fields.get(f"tokenizer.ggml.{role}_token_id")
        return tokens[index] if isinstance(index, int) and 0 <= index < len(tokens) else None

    ends = [fields.get(f"tokenizer.ggml.{role}_token_id") for role in ("eos", "eot")]
    ends.append(next((item["id"] for item in added if item["content"] == "<|endoftext|>"), None))
    generation: dict[str, Any] = {"eos_token_id": list(dict.fromkeys(end for end in ends if isinstance(end, int)))}
    for role in ("bos", "pad"):
        if isinstance(index := fields.get(f"tokenizer.ggml.{'padding' if role == 'pad' else role}_token_id"), int):
            generation[f"{role}_token_id"] = index
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": bool(fields.get("tokenizer.ggml.add_bos_token", False)),
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "pad_token": token("padding"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": window,
        "chat_template": fields.get("tokenizer.chat_template"),
    }
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": settings, "generation_config.json": generation}
