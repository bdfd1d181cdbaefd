"""engine/gguf.py and engine/gguf_tokenizer.py: a converted file computes and splits text as the original does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import gguf
from engine.errors import CheckpointDamaged, CheckpointUnsupported

FAMILIES = ["llama", "qwen2", "qwen3"]
Make = Callable[..., Path]


def logits(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.arange(3, 51).unsqueeze(0)
    with torch.no_grad():
        return model(ids).logits


def header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        found: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_is_converted_exactly(family: str, tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path) -> None:
    origin = tiny_checkpoint(family)
    gguf.convert(make_gguf(origin, tmp_path / "x.gguf"), tmp_path / "out")
    assert logits(tmp_path / "out").equal(logits(origin))


@pytest.mark.parametrize("family", FAMILIES)
def test_quantized_weights_become_bfloat16(family: str, tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path) -> None:
    origin = tiny_checkpoint(family)
    gguf.convert(make_gguf(origin, tmp_path / "x.gguf", quantization="Q8_0"), tmp_path / "out")
    kinds = {item["dtype"] for name, item in header(tmp_path / "out/model.safetensors").items() if name[0] != "_"}
    assert kinds == {"BF16"}
    # eight bits keep the logits, of unit spread, within a tenth; a wrong permutation is off by one
    assert (logits(tmp_path / "out") - logits(origin)).abs().mean() < 0.1


def test_bfloat16_is_rounded_to_the_nearest_even() -> None:
    import numpy as np
    import torch

    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    values[:3] = [1.00390625, 1.01171875, 0.0]  # two ties and nothing
    wanted = torch.from_numpy(values).bfloat16().view(torch.int16).numpy().tobytes()
    assert gguf._stored(values, "BF16") == wanted


def test_rows_are_read_in_blocks_with_the_same_result(
    tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_gguf(tiny_checkpoint("llama"), tmp_path / "x.gguf", quantization="Q8_0")
    seen: list[tuple[int, int]] = []
    whole = gguf.convert(source, tmp_path / "whole")
    monkeypatch.setattr(gguf, "ROWS", 7)
    assert gguf.convert(source, tmp_path / "blocks", report=lambda done, total: seen.append((done, total))) == whole
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]


def test_a_tied_embedding_is_stored_once_from_the_finer_copy(
    tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    origin = tiny_checkpoint("qwen2")
    source = make_gguf(origin, tmp_path / "x.gguf", quantization="Q4_0", second_output="Q8_0")
    gguf.convert(source, tmp_path / "out")
    weights = load_file(tmp_path / "out/model.safetensors")
    assert "lm_head.weight" not in weights
    assert json.loads((tmp_path / "out/config.json").read_text())["tie_word_embeddings"] is True
    wanted = load_file(origin / "model.safetensors")["model.embed_tokens.weight"]
    error = torch.linalg.norm(weights["model.embed_tokens.weight"].float() - wanted) / torch.linalg.norm(wanted)
    assert error < 0.01  # four bits would leave 0.08


def test_another_output_matrix_stays_apart(tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path) -> None:
    gguf.convert(make_gguf(tiny_checkpoint("qwen3"), tmp_path / "x.gguf", quantization="Q8_0"), tmp_path / "out")
    assert "lm_head.weight" in header(tmp_path / "out/model.safetensors")
    assert json.loads((tmp_path / "out/config.json").read_text())["tie_word_embeddings"] is False


def test_config_says_what_the_original_says(tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path) -> None:
    origin = tiny_checkpoint("llama", rope_parameters={"rope_type": "default", "rope_theta": 100000.0})
    gguf.convert(make_gguf(origin, tmp_path / "x.gguf"), tmp_path / "out")
    old = json.loads((origin / "config.json").read_text())
    new = json.loads((tmp_path / "out/config.json").read_text())
    same = ["model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
    same += ["num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_parameters", "dtype"]
    assert {key: new[key] for key in same} == {key: old[key] for key in same}
    assert new["eos_token_id"] == [2, 0]


def test_the_tokenizer_splits_alike_and_keeps_the_ids_of_specials(
    tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    origin = tiny_checkpoint("qwen2")
    gguf.convert(make_gguf(origin, tmp_path / "x.gguf"), tmp_path / "out")
    old = Tokenizer.from_file(str(origin / "tokenizer.json"))
    new = Tokenizer.from_file(str(tmp_path / "out/tokenizer.json"))
    text = "<|im_start|>Alice's 1234 words,\n\n  草枕 e\u0301🙂\t<|im_end|><|endoftext|>"
    assert new.encode(text).ids == old.encode(text).ids
    assert [new.token_to_id(token) for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"general.architecture": "gemma3"}, "architecture is gemma3"),
        ({"qwen2.rope.scaling.type": "yarn"}, "scales RoPE"),
        ({"qwen2.expert_count": 8}, "mixture of experts"),
        ({"qwen2.attention.sliding_window": 4096}, "sliding"),
        ({"qwen2.rope.dimension_count": 8}, "part of each head"),
        ({"tokenizer.ggml.pre": "falcon"}, "gpt2/falcon"),
        ({"tokenizer.ggml.model": "llama"}, "llama/qwen2"),
    ],
)
def test_what_would_compute_otherwise_is_refused(
    fields: dict[str, Any], reason: str, tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path
) -> None:
    import gguf as library

    # the writer refuses to set a key twice: change it in place
    def set_field(self: Any, key: str, value: Any, kind: Any, *rest: Any) -> None:
        self.kv_data[0][key] = library.GGUFValue(value=value, type=kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library.GGUFWriter, "add_key_value", set_field)
        source = make_gguf(tiny_checkpoint("qwen2"), tmp_path / "x.gguf", fields=fields)
    with pytest.raises(CheckpointUnsupported, match=reason):
        gguf.convert(source, tmp_path / "out")


def test_a_missing_tensor_is_damage(tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path) -> None:
    source = make_gguf(tiny_checkpoint("qwen2"), tmp_path / "x.gguf", without=("blk.1.ffn_up.weight",))
    with pytest.raises(CheckpointDamaged, match=r"layers\.1\.mlp\.up_proj"):
        gguf.convert(source, tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.99])
def test_a_file_cut_short_is_damage(keep: float, tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path) -> None:
    data = make_gguf(tiny_checkpoint("qwen2"), tmp_path / "x.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(CheckpointDamaged):
        gguf.convert(cut, tmp_path / "out")


def test_numbers_that_are_not_finite_are_damage(tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    origin = tiny_checkpoint("qwen2", seed=7)
    weights = load_file(origin / "model.safetensors")
    weights["model.norm.weight"][3] = torch.nan
    save_file(weights, origin / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointDamaged, match="not finite"):
        gguf.convert(make_gguf(origin, tmp_path / "x.gguf"), tmp_path / "out")


def test_the_command_speaks_json(
    tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_gguf(tiny_checkpoint("qwen2"), tmp_path / "x.gguf")
    assert gguf.main([str(source), str(tmp_path / "out")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["finished"] is True and lines[-2]["done"] == lines[-2]["total"]
    source.write_bytes(b"GGUF, or so it says")
    assert gguf.main([str(source), str(tmp_path / "out")]) == 3
    assert "damaged" in json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_small_model_is_what_it_was(smollm2: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from engine.tokenizer import Tokenizer

    config = json.loads((smollm2 / "config.json").read_text())
    assert config["max_position_embeddings"] == 8192 and config["rope_parameters"]["rope_theta"] == 100000.0
    assert config["tie_word_embeddings"] is True and config["eos_token_id"] == [2, 0]
    tokenizer = Tokenizer(smollm2)
    # digits stand alone, two line ends before a digit stay together: the rules of the original tokenizer
    assert [tokenizer.decode([i]) for i in tokenizer.encode(["at 1984\n\n1."])[0].ids] == [
        "at", " ", "1", "9", "8", "4", "\n\n", "1", ".",
    ]  # fmt: skip
    frame = tokenizer.frame("You answer questions.")
    question, beginning = tokenizer.encode(["What is the capital of France?", "The capital of France is"])
    ids = [*frame.opening, *question.ids, *frame.to_answer, *beginning.ids]
    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
    with torch.no_grad():
        best = int(model(torch.tensor([ids]), logits_to_keep=1).logits.argmax())
    assert tokenizer.decode([best]) == " Paris"


def test_the_default_model_is_what_it_was(default_model: Path) -> None:
    from engine.tokenizer import Tokenizer

    config = json.loads((default_model / "config.json").read_text())
    assert config["max_position_embeddings"] == 32768 and config["rope_parameters"]["rope_theta"] == 1000000.0
    assert config["tie_word_embeddings"] is True and config["eos_token_id"] == [151645, 151643]
    assert "lm_head.weight" not in header(default_model / "model.safetensors")
    # ids that Qwen's own tokenizer gives
    tokenizer = Tokenizer(default_model)
    assert list(tokenizer.encode(["Hello, world!"])[0].ids) == [9707, 11, 1879, 0]
    assert list(tokenizer.encode(["你好"])[0].ids) == [108386]
    # the original composes accents first (NFC); transformers' reading of the GGUF file does not
    assert tokenizer.encode(["e\u0301"])[0].ids == tokenizer.encode(["é"])[0].ids
