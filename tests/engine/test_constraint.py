from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine import schema
from engine.config import EngineConfig
from engine.constraint import Constraint
from engine.errors import SchemaTooLong
from engine.local import LocalEngine
from engine.protocol import Delta, Done, Event, Prompt, Sampling, Segment
from engine.session import Session
from engine.tokenizer import Tokenizer

PASSAGES = [
    "Alice was beginning to get very tired of sitting by her sister on the bank (and of having nothing to do).",
    'She said "so", twice.\\ And 第二天一早，王熙凤往“宁国府”中来了。',
    "Yes!",
]
SCHEMA = {
    "passages": PASSAGES,
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 60},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 30,
            "items": {
                "type": "object",
                "properties": {
                    "at": {"type": "integer", "minimum": 1, "maximum": 143},
                    "quote": {"type": "string", "quoted": True, "minLength": 12, "maxLength": 40},
                    "name": {"type": "string", "quoted": "name", "minLength": 2, "maxLength": 12},
                    "mood": {"enum": ["glad", "sad", "愁"]},
                    "text": {"type": "string", "maxLength": 200},
                },
            },
        },
    },
}
TEXT = json.dumps(SCHEMA)
NODE = schema.parse(TEXT)


def walk(folder: Path, size: int, limit: int, rng: random.Random, pick: str = "any") -> bytes:
    """An answer of tokens drawn blindly from those allowed."""
    made = Constraint(TEXT, folder, size, limit)
    said, count = b"", 0
    while not made.finished:
        allowed = np.flatnonzero(made.allowed())
        token = int(rng.choice(allowed)) if pick == "any" else int(allowed[-1])
        said += made._tokens.decode_bytes([made.take(token)])
        count += 1
        assert count <= limit
    return said


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint("qwen2")


def test_blind_choices_give_valid_structure_at_every_budget(folder: Path) -> None:
    least = len(Constraint(TEXT, folder, 384, 10_000)._ending())
    for seed in range(60):
        rng = random.Random(seed)
        value = json.loads(walk(folder, 384, rng.randint(least, 4 * least), rng, "any" if seed % 3 else "last"))
        assert schema.fault(NODE, value) is None


def test_the_tightest_budget_still_holds_one_item(folder: Path) -> None:
    least = len(Constraint(TEXT, folder, 384, 10_000)._ending())
    value = json.loads(walk(folder, 384, least, random.Random(0)))
    assert len(value["items"]) == 1
    with pytest.raises(SchemaTooLong) as caught:
        Constraint(TEXT, folder, 384, least - 1)
    assert (caught.value.needed, caught.value.limit) == (least, least - 1)


@pytest.mark.parametrize(("temperature", "family"), [(0.0, "qwen2"), (0.8, "llama"), (3.0, "qwen2")])
def test_random_weights_give_valid_structure(
    tiny_checkpoint: Callable[..., Path], temperature: float, family: str
) -> None:
    folder = tiny_checkpoint(family)
    config = EngineConfig(
        folder=folder, readings=None, identity="t", chunk_size=4096, local_size=512, limit=4096, dtype="float32",
        device="cpu",
    )  # fmt: skip
    session = Session(config)
    prompt = Prompt(segments=(Segment(name="opening", ids=Tokenizer(folder).encode(["Alice was tired."])[0].ids),))
    for seed in range(2):
        told: list[Event] = []
        sampling = Sampling(temperature=temperature, seed=seed, max_tokens=200, schema=TEXT, stop=('"',))
        done = session.generate(prompt, sampling, told.append, threading.Event())
        text = "".join(one.text for one in told if isinstance(one, Delta))
        assert schema.fault(NODE, json.loads(text)) is None
        assert done.finish == "stop" and done.answered <= 200


def test_in_the_engines_own_process(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    engine = LocalEngine(str(tiny_checkpoint("qwen2")), cache=tmp_path, readings=None)
    try:
        prompt = Prompt(segments=(Segment(name="opening", ids=engine.encode(["Alice was tired."])[0].ids),))
        events = list(engine.generate(prompt, Sampling(max_tokens=220, schema=TEXT, seed=1)))
        assert schema.fault(NODE, json.loads("".join(one.text for one in events if isinstance(one, Delta)))) is None
        assert isinstance(events[-1], Done) and events[-1].finish == "stop"
        with pytest.raises(SchemaTooLong):
            list(engine.generate(prompt, Sampling(max_tokens=5, schema=TEXT)))
        # and the process lives on
        assert isinstance(list(engine.generate(prompt, Sampling(max_tokens=2)))[-1], Done)
    finally:
        engine.close()


def test_the_small_models_tokenizer(smollm2: Path) -> None:
    for seed in range(5):
        value = json.loads(walk(smollm2, 49152, 160, random.Random(seed)))
        assert schema.fault(NODE, value) is None


def test_the_default_models_tokenizer(default_model: Path) -> None:
    for seed in range(5):
        value = json.loads(walk(default_model, 151936, 160, random.Random(seed)))
        assert schema.fault(NODE, value) is None


def test_a_whole_book_can_be_quoted(folder: Path) -> None:
    sentences = [f"Sentence {n} says that the lamp {n * 7919 % 9973} was lit at dusk by nobody." for n in range(6000)]
    quote = {"type": "string", "quoted": True, "minLength": 16, "maxLength": 60}
    made = Constraint(json.dumps({"passages": sentences, **quote}), folder, 384, 200)
    said, rng = b"", random.Random(5)
    while not made.finished:
        said += made._tokens.decode_bytes([made.take(int(rng.choice(np.flatnonzero(made.allowed()))))])
    assert any(json.loads(said) in one for one in sentences)
