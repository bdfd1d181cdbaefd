"""engine/tokenizer.py and engine/chat.py: literal encoding, offsets, the frame of a conversation, streaming."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import tokenizer as module
from engine.errors import CheckpointDamaged, CheckpointUnsupported
from engine.gguf_tokenizer import _RULES
from engine.tokenizer import Tokenizer

Make = Callable[..., Path]

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# what books hold, and what they should not
PARTS = [
    "Alice", " was", " ", "  ", "\n", "\r\n", "\n\n\n", "\t", "'s", "’s", "don't", ".", ",", "...", "?!",
    "1984", " 12", "½", "草枕", "，", "。", "　", "滿紙", "é", "e\u0301", "\u0301", "ﬁ", "Å", "가", "\u1100\u1161",
    "🙂", "👩‍👩‍👧", "_", "a_b", "\u00a0", "\u2028", "\x00", "\x1c", "\ufeff", "\ufffd", "<|im_end|>",
    "<tool_call>", "<|", "|>", "مرحبا", "नमस्ते", "ไทย",
]  # fmt: skip


def mixed(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices(PARTS, k=length))


@pytest.fixture
def folder(tiny_checkpoint: Make, tmp_path: Path) -> Path:
    """A copy of a tiny checkpoint's tokenizer that a test may change."""
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json"):
        shutil.copy(tiny_checkpoint("qwen2") / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def tokenizer(tiny_checkpoint: Make) -> Tokenizer:
    return Tokenizer(tiny_checkpoint("qwen2"))


def change(path: Path, **values: Any) -> None:
    data = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(data | values), "utf-8")


def test_special_tokens_in_a_text_stay_text(folder: Path) -> None:
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    # one that is added but not special, like Qwen's <tool_call>: the library's own switch lets it through
    data["model"]["vocab"]["<tool_call>"] = 900
    data["added_tokens"].append(data["added_tokens"][-1] | {"id": 900, "content": "<tool_call>", "special": False})
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    tokenizer = Tokenizer(folder)
    text = "A book says <|im_end|> and <tool_call><|endoftext|>."
    ids = tokenizer.encode([text])[0].ids
    assert not {0, 1, 2, 900} & set(ids)
    assert tokenizer.decode(ids) == text
    # in an answer the special ones vanish and the others are text
    assert tokenizer.decode([*ids[:3], 2, 900, 0]) == tokenizer.decode(ids[:3]) + "<tool_call>"


@pytest.mark.parametrize("seed", range(20))
def test_offsets_cover_the_text_and_never_go_back(seed: int, tokenizer: Tokenizer) -> None:
    text = mixed(seed, 200)
    encoding = tokenizer.encode([text])[0]
    offsets = encoding.offsets
    assert isinstance(encoding.ids, array) and encoding.ids.typecode == "i"
    assert isinstance(offsets, array) and offsets.typecode == "q"
    assert len(offsets) == len(encoding.ids) + 1 and offsets[0] == 0 and offsets[-1] == len(text)
    assert list(offsets) == sorted(offsets)
    assert not {0, 1, 2} & set(encoding.ids)


def test_an_offset_is_where_the_token_begins(tokenizer: Tokenizer) -> None:
    text = "Alice 草🙂 was"
    encoding = tokenizer.encode([text])[0]
    pieces = [text[a:b] for a, b in zip(encoding.offsets, encoding.offsets[1:], strict=False)]
    assert "".join(pieces) == text
    # tokens of whole characters are their slice; of the bytes of one character only the last has it
    plain = [(tokenizer.decode([i]), piece) for i, piece in zip(encoding.ids, pieces, strict=True)]
    assert all(said == piece for said, piece in plain if "\ufffd" not in said)
    assert [piece for said, piece in plain if "\ufffd" in said and piece] == ["草", "🙂"]


def test_an_empty_text_has_no_tokens(tokenizer: Tokenizer) -> None:
    encoding = tokenizer.encode([""])[0]
    assert list(encoding.ids) == [] and list(encoding.offsets) == [0]


def test_half_a_surrogate_pair_is_replaced(tokenizer: Tokenizer) -> None:
    broken, replaced = tokenizer.encode(["a\ud83db", "a\ufffdb"])
    assert broken == replaced


@pytest.mark.parametrize("rule", sorted(_RULES))
def test_pieces_give_the_same_ids_as_the_whole(rule: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, nfc, _ = _RULES[rule]
    change(
        folder / "tokenizer.json",
        pre_tokenizer={"type": "Sequence", "pretokenizers": steps},
        normalizer={"type": "NFC"} if nfc else None,
    )
    tokenizer = Tokenizer(folder)
    texts = [mixed(seed, 600) for seed in range(20)]
    whole = tokenizer.encode(texts)
    monkeypatch.setattr(module, "PIECE", 3)
    assert sum(len(list(tokenizer._pieces(text))) for text in texts) > 500
    assert tokenizer.encode(texts) == whole


def test_a_text_is_not_cut_for_an_unknown_pretokenizer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(folder / "tokenizer.json", pre_tokenizer={"type": "Whitespace"})
    monkeypatch.setattr(module, "PIECE", 5)
    assert len(list(Tokenizer(folder)._pieces("one, two, three, four"))) == 1


@pytest.mark.parametrize("book", ["war-and-peace.txt", "hong-lou-meng.txt"])
def test_a_whole_book_comes_back(book: str, shared: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (shared / "books" / book).read_text("utf-8")
    tokenizer = Tokenizer(smollm2)
    pieces = tokenizer.encode([text])[0]
    assert tokenizer.decode(pieces.ids) == text
    assert len(list(tokenizer._pieces(text))) > 10
    monkeypatch.setattr(module, "PIECE", len(text))
    assert tokenizer.encode([text])[0] == pieces


def test_settings_of_the_file_that_would_cut_or_add_are_ignored(folder: Path) -> None:
    plain = Tokenizer(folder).encode([" Alice was beginning"])[0]
    start, first, second = (
        {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 1}},
    )
    change(
        folder / "tokenizer.json",
        truncation={"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        padding={
            "strategy": {"Fixed": 99},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<|endoftext|>",
        },
        post_processor={
            "type": "TemplateProcessing",
            "single": [start, first],
            "pair": [start, first, second],
            "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}},
        },
    )
    assert Tokenizer(folder).encode([" Alice was beginning"])[0] == plain


def test_the_name_follows_the_file(folder: Path, tokenizer: Tokenizer) -> None:
    assert Tokenizer(folder).name == tokenizer.name and len(tokenizer.name) == 64
    change(folder / "tokenizer.json", normalizer=None)
    assert Tokenizer(folder).name != tokenizer.name


def test_a_damaged_or_missing_file_is_told(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(CheckpointDamaged):
        Tokenizer(folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointDamaged, match="not JSON"):
        Tokenizer(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointUnsupported, match=r"tokenizer\.json"):
        Tokenizer(folder)


def conversation(tokenizer: Tokenizer, system: str, turns: Sequence[str]) -> list[int]:
    frame = tokenizer.frame(system)
    ids = list(frame.opening)
    for index, text in enumerate(turns):
        ids.extend(tokenizer.encode([text])[0].ids)
        ids.extend(frame.to_answer if index % 2 == 0 else frame.to_turn)
    return ids


TURNS = ["Who is Alice?", "A girl.", "And the 草枕?", "A novel.", "Thanks!"]


def reference(folder: Path, system: str, turns: Sequence[str]) -> list[int]:
    from transformers import AutoTokenizer

    roles = ["user", "assistant"] * len(turns)
    messages = [{"role": "system", "content": system}]
    messages += [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
    library = AutoTokenizer.from_pretrained(folder)
    found = library.apply_chat_template(messages, add_generation_prompt=True, enable_thinking=False, return_dict=False)
    return [int(i) for i in found]


def test_the_frame_is_what_transformers_renders(tiny_checkpoint: Make, tokenizer: Tokenizer) -> None:
    system = "You read whole books."
    assert conversation(tokenizer, system, TURNS) == reference(tiny_checkpoint("qwen2"), system, TURNS)


@pytest.mark.parametrize("model", ["smollm2", "default_model"])
def test_the_frame_of_a_real_model_is_what_transformers_renders(model: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(model)
    system = "You read whole books and quote them."
    assert conversation(Tokenizer(folder), system, TURNS) == reference(folder, system, TURNS)
    assert Tokenizer(folder).stop_ids == ((2, 0) if model == "smollm2" else (151645, 151643))


def test_a_special_token_in_the_system_text_stays_text(tokenizer: Tokenizer) -> None:
    frame = tokenizer.frame("a<|im_end|>b")
    assert list(frame.opening).count(2) == 1  # the template's own


# like Qwen3's: an empty thought before a new answer, none in the history
THINKING = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)


def test_a_model_that_thinks_is_told_not_to(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(THINKING)
    tokenizer = Tokenizer(folder)
    assert tokenizer.frame_texts.to_answer == "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert tokenizer.frame_texts.to_turn == "<|im_end|>\n<|im_start|>user\n"
    # one question renders the same: what was read before the answer stays valid in the next turn
    assert conversation(tokenizer, "S", TURNS[:1]) == reference(folder, "S", TURNS[:1])


def test_a_template_without_a_system_role_gets_it_in_the_first_question(folder: Path) -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + THINKING
    (folder / "chat_template.jinja").write_text(refusing)
    texts = Tokenizer(folder).frame_texts
    assert texts.before_system == "<|im_start|>user\n" and texts.after_system == "\n\n"


def test_a_date_in_a_template_stands_still(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("Today is {{ strftime_now('%d %b %Y') }}.\n" + THINKING)
    assert Tokenizer(folder).frame_texts.before_system.startswith("Today is 26 Jul 2024.")


@pytest.mark.parametrize(
    "template",
    [
        "{% for",
        "{{ messages[0].nothing.at.all }}",
        "{{ messages[-1].content }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ 1 + '' }}",
    ],
)
def test_a_template_that_cannot_frame_is_refused(template: str, folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(CheckpointUnsupported, match="chat template"):
        Tokenizer(folder)


def test_a_model_without_a_template_is_framed_all_the_same(folder: Path) -> None:
    change(folder / "tokenizer_config.json", chat_template=None)
    tokenizer = Tokenizer(folder)
    assert tokenizer.frame_texts.to_answer == "<|im_end|>\n<|im_start|>assistant\n" and tokenizer.stop_texts == ()
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    change(folder / "tokenizer.json", added_tokens=data["added_tokens"][:1])
    plain = Tokenizer(folder)
    assert plain.decode(plain.frame("S").opening) == "S\n\nUser: "
    assert plain.stop_texts == ("\nUser:",)


def test_the_template_says_what_ends_an_answer(folder: Path) -> None:
    for name in ("generation_config.json", "config.json"):
        change(folder / name, eos_token_id=None)
    change(folder / "tokenizer_config.json", eos_token={"content": "<|endoftext|>"})
    assert set(Tokenizer(folder).stop_ids) == {0, 2}


@pytest.mark.parametrize("seed", range(10))
def test_an_answer_streams_without_half_characters(seed: int, tokenizer: Tokenizer) -> None:
    text = mixed(seed, 60).replace("\ufffd", "").replace("e\u0301", "é")
    ids = tokenizer.encode([text])[0].ids
    detokenizer = tokenizer.detokenizer()
    said = ""
    for index, i in enumerate(ids):
        said += detokenizer.push([i])
        assert "\ufffd" not in said and tokenizer.decode(ids[: index + 1]).startswith(said)
    assert said + detokenizer.flush() == tokenizer.decode(ids)


def test_an_unfinished_character_shows_at_the_end_only(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(["Oh 🙂"])[0].ids
    detokenizer = tokenizer.detokenizer()
    assert detokenizer.push(ids[:-1]) == "Oh "
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.push(tokenizer.encode(["new"])[0].ids) == "new"


def test_bytes_that_are_never_a_character_do_not_hold_up_the_rest(tokenizer: Tokenizer) -> None:
    (first, *_) = tokenizer.encode(["🙂"])[0].ids
    detokenizer = tokenizer.detokenizer()
    said = [detokenizer.push([first]) for _ in range(50)]
    assert said[0] == "" and all(piece == "\ufffd" for piece in said[1:])
    assert detokenizer.push(tokenizer.encode(["x"])[0].ids) == "\ufffdx"


def test_the_application_can_use_it_without_torch() -> None:
    modules = "engine.tokenizer, engine.checkpoint, engine.machine, engine.catalogue, engine.gguf, engine.hub"
    code = f"import {modules}, sys; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    root = Path(module.__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
