"""config.json and the headers of safetensors -> what the engine must know of a model. Loads no weights, no torch."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from engine.catalogue import Shape
from engine.errors import CheckpointDamaged, CheckpointUnsupported
from engine.protocol import PAGE_TOKENS, ModelInfo
from engine.tokenizer import tokenizer_name

IDENTITY = 1
"""Raised when the same weights, tokenizer, dtype and DCA numbers would give other keys and values."""

DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
FAMILIES = ("llama", "qwen2", "qwen3")

# rotations that depend on the position alone: DCA composes them
_ROPES = ("default", "linear", "llama3", "yarn")
# notes of the library that wrote the file; they change nothing that is computed
_NOTES = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "architectures", "pad_token_id")


def describe_folder(
    folder: Path,
    *,
    name: str,
    title: str,
    source: str,
    licence: str,
    weights: str,
    dtype: str,
    device: str,
    small: bool | None = None,
    chunk_size: int | None = None,
    local_size: int | None = None,
    limit: int | None = None,
    temperature: Literal["none", "yarn"] = "none",
) -> ModelInfo:
    """Describe the checkpoint in ``folder``.

    weights: hash of its safetensors files; dtype: the one that keys and values will have.
    The DCA numbers are the given ones, else those of ``dual_chunk_attention_config``, else the trained window with an
    eighth of it local, rounded so that chunk_size - local_size is a multiple of a page. Raises CheckpointUnsupported,
    CheckpointDamaged.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype}")
    config = read_config(folder)
    refusal = _refusal(config)
    if refusal:
        raise CheckpointUnsupported(name, refusal)
    heads = _number(folder, config, "num_attention_heads")
    layers = _number(folder, config, "num_hidden_layers")
    kv_heads = _number(folder, config, "num_key_value_heads", heads)
    head_dim = _number(folder, config, "head_dim", _number(folder, config, "hidden_size") // heads)
    window, own_limit, chunk_size, local_size = _reach(folder, name, config, chunk_size, local_size)
    tokenizer = tokenizer_name(folder)
    computed = {key: value for key, value in config.items() if key not in _NOTES}
    identity = {
        "format": IDENTITY,
        "weights": weights,
        "config": computed,
        "tokenizer": tokenizer,
        "dtype": dtype,
        "chunk_size": chunk_size,
        "local_size": local_size,
        "temperature": temperature,
    }
    parameters = count_parameters(folder)
    return ModelInfo(
        name=name,
        title=title,
        source=source,
        folder=str(folder),
        family=config["model_type"],
        parameters=parameters,
        licence=licence,
        window=window,
        limit=limit or own_limit,
        chunk_size=chunk_size,
        local_size=local_size,
        kv_bytes=2 * layers * kv_heads * head_dim * DTYPES[dtype],
        dtype=dtype,
        device=device,
        identity=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        tokenizer=tokenizer,
        temperature=temperature,
        small=parameters < 1_000_000_000 if small is None else small,
    )


def read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointDamaged(str(path), "it is missing") from None
    except ValueError as error:
        raise CheckpointDamaged(str(path), f"not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointDamaged(str(path), "not a JSON object")
    return config


def rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary settings, whether written by transformers 5 (``rope_parameters``) or before it (``rope_scaling``)."""
    found = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    found["rope_type"] = found.get("rope_type") or found.get("type") or "default"
    found.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    return found


def _refusal(config: Mapping[str, Any]) -> str | None:
    """Why a model cannot be used, or None."""
    family = str(config.get("model_type"))
    if config.get("kv_lora_rank") or family.startswith("deepseek"):
        return f"its attention is latent (MLA), model type {family}"
    experts = ("num_experts", "num_local_experts", "n_routed_experts")
    if "moe" in family or any(config.get(key) for key in experts):
        return f"it is a mixture of experts, model type {family}"
    if family not in FAMILIES:
        return f"its model type is {family}"
    if config.get("quantization_config"):
        return "its weights are quantized; take the original ones"
    sliding = [kind for kind in config.get("layer_types") or [] if kind != "full_attention"]
    late = int(config.get("max_window_layers") or 0) < int(config.get("num_hidden_layers") or 0)
    if sliding or (not config.get("layer_types") and config.get("use_sliding_window") and late):
        return f"{len(sliding) or 'some'} of its layers attend through a sliding window"
    settings = rope(config)
    if settings["rope_type"] not in _ROPES:
        return f"its RoPE is of type {settings['rope_type']}, which changes with the length of the text"
    part = settings.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    if part not in (None, 1.0):
        return "it rotates only a part of each head"
    return None


def shape_of(folder: Path) -> Shape:
    """The numbers of the checkpoint in ``folder``. Raises CheckpointDamaged."""
    config = read_config(folder)
    heads = _number(folder, config, "num_attention_heads")
    hidden = _number(folder, config, "hidden_size")
    return Shape(
        family=config["model_type"],
        layers=_number(folder, config, "num_hidden_layers"),
        hidden=hidden,
        intermediate=_number(folder, config, "intermediate_size"),
        heads=heads,
        kv_heads=_number(folder, config, "num_key_value_heads", heads),
        head_dim=_number(folder, config, "head_dim", hidden // heads),
        vocabulary=_number(folder, config, "vocab_size"),
        tied=bool(config.get("tie_word_embeddings")),
    )


def _number(folder: Path, config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    value = default if value is None else value
    if not isinstance(value, int) or value <= 0:
        raise CheckpointDamaged(str(folder / "config.json"), f"{key} is {value!r}")
    return value


def _reach(
    folder: Path, name: str, config: Mapping[str, Any], chunk_size: int | None, local_size: int | None
) -> tuple[int, int, int, int]:
    """(window, limit, chunk_size, local_size)."""
    most = _number(folder, config, "max_position_embeddings")
    own = config.get("dual_chunk_attention_config") or {}
    window = int(own.get("original_max_position_embeddings") or (own and own.get("chunk_size")) or most)
    limit = most if most > window else 4 * window
    if chunk_size is None and local_size is None and own:
        chunk_size, local_size = int(own["chunk_size"]), int(own["local_size"])
    elif chunk_size is None and local_size is None:
        chunk_size = window
        chunk_len = (window - window // 8) // PAGE_TOKENS * PAGE_TOKENS
        if chunk_len == 0:
            raise CheckpointUnsupported(name, f"it was trained to {window:,} tokens only, less than a page")
        local_size = chunk_size - chunk_len
    chunk_size = window if chunk_size is None else chunk_size
    local_size = chunk_size // 8 if local_size is None else local_size
    if not 0 < local_size < chunk_size <= window:
        raise CheckpointUnsupported(
            name, f"chunk_size {chunk_size:,} and local_size {local_size:,} do not fit a window of {window:,} tokens"
        )
    return window, limit, chunk_size, local_size


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: those its index names, else model.safetensors."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return [folder / "model.safetensors"]
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointDamaged(str(index), f"not an index: {error}") from error
    if any(Path(name).name != name for name in names):
        raise CheckpointDamaged(str(index), "it names files outside its folder")
    return [folder / name for name in names]


def count_parameters(folder: Path) -> int:
    """Numbers in the weights, from the headers. Raises CheckpointDamaged if a file is missing or cut short."""
    total = 0
    for path in weight_files(folder):
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                if length > 100_000_000:
                    raise ValueError("its header is too long")
                header = json.loads(file.read(length))
            size = path.stat().st_size
        except FileNotFoundError:
            raise CheckpointDamaged(str(path), "it is missing") from None
        except (struct.error, ValueError) as error:
            raise CheckpointDamaged(str(path), f"not a safetensors file: {error}") from error
        tensors = [value for key, value in header.items() if key != "__metadata__"]
        end = max((tensor["data_offsets"][1] for tensor in tensors), default=0)
        if size != 8 + length + end:
            raise CheckpointDamaged(str(path), f"it has {size:,} bytes, not {8 + length + end:,}")
        total += sum(math.prod(tensor["shape"]) for tensor in tensors)
    return total


def combine(hashes: Mapping[str, str]) -> str:
    """One hash of all safetensors files among ``hashes`` (file name -> SHA-256); other files do not count."""
    lines = [f"{name} {hashes[name]}\n" for name in sorted(hashes) if name.endswith(".safetensors")]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
