"""One GGUF file -> a folder of config.json, tokenizer files and model.safetensors. Knows no catalogue and no network.

The file is read by rows, dequantized with numpy and written as it goes, so that memory stays a few hundred megabytes
whatever the size of the model. Quantized weights become bfloat16; float16 and float32 ones keep their format.
An output matrix that is the embedding quantized otherwise is stored once, from the finer of the two.

``python -m engine.gguf SOURCE TARGET`` does it in a process of its own, whose memory goes back to the system; it prints
lines of JSON: ``{"done": bytes, "total": bytes}``, at last ``{"finished": true, "weights": SHA-256}``,
``{"unsupported": reason}`` or ``{"damaged": reason}``.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CheckpointDamaged, CheckpointUnsupported
from engine.gguf_tokenizer import tokenizer_files

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from gguf import GGUFReader, ReaderTensor

CONVERTER = 1
"""Raised when the same source would convert to other bytes; part of the manifest."""

ROWS = 4096
"""Rows dequantized at a time."""

FAMILIES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}

Report = Callable[[int, int], None]


def convert(source: Path, target: Path, *, report: Report | None = None) -> str:
    """Convert the GGUF file ``source`` into the folder ``target`` (made here); return the SHA-256 of the weights.

    report(done, total) counts bytes of safetensors written. Raises CheckpointDamaged, CheckpointUnsupported.
    """
    reader = _open(source)
    fields = _Fields(reader, source)
    family = fields.text("general.architecture")
    if family not in FAMILIES:
        raise CheckpointUnsupported(source.name, f"its architecture is {family}")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config = _config(fields, family, tensors)
    target.mkdir(parents=True, exist_ok=True)
    for name, value in tokenizer_files(fields.values, source.name, window=config["max_position_embeddings"]).items():
        if name == "generation_config.json":
            config["eos_token_id"] = value["eos_token_id"]
            config["bos_token_id"] = value.get("bos_token_id")
        (target / name).write_text(json.dumps(value, ensure_ascii=False, indent=2), "utf-8")
    (target / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    return _write(source, target / "model.safetensors", config, tensors, report or (lambda done, total: None))


def _open(source: Path) -> GGUFReader:
    # imported here: the reader pulls in numpy, and only a conversion needs it
    from gguf import GGUFReader

    try:
        return GGUFReader(source)
    except OSError:
        raise
    except Exception as error:  # the reader raises whatever a wrong offset leads to
        raise CheckpointDamaged(str(source), f"not a readable GGUF file: {error}") from error


class _Fields:
    """The metadata of a GGUF file. A key that is missing means a damaged file, unless a default is given."""

    def __init__(self, reader: GGUFReader, source: Path) -> None:
        self.source = source
        try:
            self.values: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
        except Exception as error:
            raise CheckpointDamaged(str(source), f"unreadable metadata: {error}") from error

    def get(self, key: str, default: Any = None) -> Any:
        value = self.values.get(key, default)
        if value is None:
            raise CheckpointDamaged(str(self.source), f"its metadata lack {key}")
        return value

    def text(self, key: str) -> str:
        return str(self.get(key))

    def number(self, key: str, default: int | None = None) -> int:
        value = self.get(key, default)
        if not isinstance(value, int):
            raise CheckpointUnsupported(self.source.name, f"{key} is {value!r}, not one whole number")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        import numpy as np

        # stored as float32: the shortest decimal that means the same gives 1e-06 back
        return float(str(np.float32(self.get(key, default))))


def _config(fields: _Fields, family: str, tensors: dict[str, ReaderTensor]) -> dict[str, Any]:
    def refuse(reason: str) -> CheckpointUnsupported:
        return CheckpointUnsupported(fields.source.name, reason)

    scaling = str(fields.values.get(f"{family}.rope.scaling.type", "none"))
    if scaling != "none" or "rope_freqs.weight" in tensors:
        raise refuse("its GGUF file scales RoPE; use the original folder of safetensors")
    if fields.values.get(f"{family}.expert_count"):
        raise refuse("it is a mixture of experts")
    if fields.values.get(f"{family}.attention.sliding_window"):
        raise refuse("it has sliding-window layers")
    for name in ("token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight"):
        if name not in tensors:
            raise CheckpointDamaged(str(fields.source), f"it has no tensor {name}")
    heads = fields.number(f"{family}.attention.head_count")
    hidden = fields.number(f"{family}.embedding_length")
    head_dim = fields.number(f"{family}.attention.key_length", hidden // heads)
    if fields.number(f"{family}.rope.dimension_count", head_dim) != head_dim:
        raise refuse("it rotates only a part of each head")
    config: dict[str, Any] = {
        "architectures": [FAMILIES[family]],
        "model_type": family,
        "vocab_size": int(tensors["token_embd.weight"].shape[1]),
        "hidden_size": hidden,
        "intermediate_size": fields.number(f"{family}.feed_forward_length"),
        "num_hidden_layers": fields.number(f"{family}.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": fields.number(f"{family}.attention.head_count_kv", heads),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": fields.number(f"{family}.context_length"),
        "rms_norm_eps": fields.real(f"{family}.attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_type": "default", "rope_theta": fields.real(f"{family}.rope.freq_base", 10000.0)},
        "attention_dropout": 0.0,
        "tie_word_embeddings": _tied(tensors),
        "dtype": {"F32": "float32", "F16": "float16"}.get(tensors["blk.0.attn_q.weight"].tensor_type.name, "bfloat16"),
    }
    if family == "llama":
        config |= {"attention_bias": "blk.0.attn_q.bias" in tensors, "mlp_bias": "blk.0.ffn_up.bias" in tensors}
    else:
        config |= {"use_sliding_window": False, "sliding_window": None}
    if family == "qwen3":
        config["attention_bias"] = "blk.0.attn_q.bias" in tensors
    return config


def _tied(tensors: dict[str, ReaderTensor]) -> bool:
    """Whether the output matrix is absent, or the embedding once more in another quantization.

    Two quantizations of one matrix differ by 4 to 8 % of its norm, two matrices by more than 100 %.
    """
    import numpy as np

    output, embedding = tensors.get("output.weight"), tensors["token_embd.weight"]
    if output is None:
        return True
    if tuple(output.shape) != tuple(embedding.shape):
        return False
    rows = np.linspace(0, embedding.shape[1] - 1, 512).astype(np.int64)
    a, b = _floats(output, rows), _floats(embedding, rows)
    return bool(np.linalg.norm(a - b) < 0.15 * np.linalg.norm(a))


def _target_name(name: str) -> str | None:
    stem, _, kind = name.rpartition(".")
    if kind in ("weight", "bias"):
        if stem in _TOP:
            return f"{_TOP[stem]}.{kind}"
        block = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
        if block and block[2] in _BLOCK:
            return f"model.layers.{block[1]}.{_BLOCK[block[2]]}.{kind}"
    return None


def _plan(source: Path, config: dict[str, Any], tensors: dict[str, ReaderTensor]) -> dict[str, ReaderTensor]:
    """Which GGUF tensor becomes which tensor of the checkpoint."""
    chosen = {name: tensor for name, tensor in tensors.items() if name != "rope_freqs.weight"}
    if config["tie_word_embeddings"] and "output.weight" in chosen:
        output = chosen.pop("output.weight")
        if output.n_bytes > chosen["token_embd.weight"].n_bytes:
            chosen["token_embd.weight"] = output
    plan: dict[str, ReaderTensor] = {}
    for name, tensor in chosen.items():
        target = _target_name(name)
        if target is None:
            raise CheckpointUnsupported(source.name, f"it has a tensor {name} that its family does not know")
        plan[target] = tensor
    for layer in range(config["num_hidden_layers"]):
        for part in _BLOCK.values():
            wanted = f"model.layers.{layer}.{part}.weight"
            if wanted not in plan and (config["model_type"] == "qwen3" or not part.endswith(("q_norm", "k_norm"))):
                raise CheckpointDamaged(str(source), f"the weights of {wanted} are missing")
    return plan


def _rows_of(target: str, rows: int, config: dict[str, Any]) -> npt.NDArray[np.int64]:
    """The order of rows. Llama's GGUF interleaves the two halves of each rotated pair: undo it."""
    import numpy as np

    order = np.arange(rows, dtype=np.int64)
    if config["model_type"] == "llama" and re.search(r"self_attn\.[qk]_proj\.", target):
        heads = config["num_attention_heads" if "q_proj" in target else "num_key_value_heads"]
        order = order.reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)
    return order


def _floats(tensor: ReaderTensor, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    from gguf import dequantize

    result: npt.NDArray[np.float32] = dequantize(tensor.data[rows], tensor.tensor_type).astype("float32", copy=False)
    return result


def _stored(values: npt.NDArray[np.float32], dtype: str) -> bytes:
    import numpy as np

    if dtype == "F32":
        return values.astype("<f4").tobytes()
    if dtype == "F16":
        return values.astype("<f2").tobytes()
    bits = values.astype("<f4").view("<u4")
    # to the nearest, ties to even
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype("<u2").tobytes()


def _write(source: Path, target: Path, config: dict[str, Any], tensors: dict[str, ReaderTensor], report: Report) -> str:
    """Write the safetensors file row block by row block and return its SHA-256."""
    import numpy as np

    plan = _plan(source, config, tensors)
    dtype = {"float32": "F32", "float16": "F16"}.get(config["dtype"], "BF16")
    size = 4 if dtype == "F32" else 2
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in plan.items():
        shape = [int(length) for length in reversed(tensor.shape)]
        start, end = end, end + size * int(tensor.n_elements)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    done = 0
    with target.open("wb") as file:

        def put(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        put(struct.pack("<Q", len(text)))
        put(text)
        for name, tensor in plan.items():
            order = _rows_of(name, int(tensor.shape[-1]), config)
            for block in _blocks(order):
                try:
                    values = _floats(tensor, block)
                except (NotImplementedError, ValueError, IndexError) as error:
                    reason = f"{tensor.name} in format {tensor.tensor_type.name} cannot be read: {error}"
                    raise CheckpointUnsupported(source.name, reason) from error
                if not np.isfinite(values).all():
                    raise CheckpointDamaged(str(source), f"{tensor.name} holds numbers that are not finite")
                put(_stored(values, dtype))
                done += size * values.size
                report(done, end)
    return digest.hexdigest()


def _blocks(order: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(order), ROWS):
        yield order[start : start + ROWS]


def main(argv: list[str] | None = None) -> int:
    """Convert and print progress as lines of JSON. Exit status 0, or 3 with the reason in the last line."""
    parser = argparse.ArgumentParser(prog="python -m engine.gguf", description="Convert a GGUF file.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(argv)

    def say(**line: Any) -> None:
        print(json.dumps(line), flush=True)

    percent = -1

    def report(done: int, total: int) -> None:
        nonlocal percent
        if (now := 100 * done // max(total, 1)) != percent:
            percent = now
            say(done=done, total=total)

    try:
        weights = convert(options.source, options.target, report=report)
    except CheckpointUnsupported as error:
        say(unsupported=error.reason)
        return 3
    except CheckpointDamaged as error:
        say(damaged=error.reason)
        return 3
    say(finished=True, weights=weights)
    return 0


if __name__ == "__main__":
    sys.exit(main())
