"""What voids a reading, and what does not: the identity of a page, and how it came about."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from engine import pages
from engine.config import EngineConfig
from engine.describe import combine, describe_folder
from engine.keptfile import Header, read_header
from engine.modelstore import hashed
from engine.protocol import Prompt, Segment
from engine.session import Session
from tests.engine.conftest import make_checkpoint
from tests.engine.reference import random_ids

WHOLE = Prompt(
    segments=(Segment(name="opening", ids=random_ids(20, seed=1)), Segment(name="a", ids=random_ids(4000, seed=2)))
)


class Reader:
    """Reads ``WHOLE`` over one folder of kept pages, as the application would have it read."""

    def __init__(self, folder: Path, readings: Path) -> None:
        self.folder, self.readings = folder, readings

    def __call__(self, *, folder: Path | None = None, describe: dict[str, Any] | None = None, **config: Any) -> int:
        """Tokens that were found kept."""
        given = folder or self.folder
        weights = combine({"model.safetensors": hashed(given / "model.safetensors", lambda *_: None)})
        facts = {"name": "tiny", "title": "tiny", "source": "", "licence": "", "dtype": "float32", "device": "cpu"}
        info = describe_folder(given, weights=weights, **(facts | (describe or {})))
        session = Session(
            EngineConfig(
                folder=given, readings=self.readings, identity=info.identity, chunk_size=info.chunk_size,
                local_size=info.local_size, limit=info.limit, dtype=info.dtype, device="cpu",  # type: ignore[arg-type]
                temperature=info.temperature, **config,
            )
        )  # fmt: skip
        return session.read(WHOLE, lambda _: None, Flag()).reused

    def headers(self) -> list[Header]:
        return [read_header(path) for path in self.readings.rglob("*.kv")]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    folder = make_checkpoint(tmp_path / "tiny", "llama", max_position_embeddings=8192)
    found = Reader(folder, tmp_path / "readings")
    assert found(chunk_tokens=1024) == 0
    assert found(chunk_tokens=1024) == WHOLE.tokens
    return found


def changed(folder: Path, change: Callable[[Path], None]) -> Path:
    copy = folder.with_name("changed")
    shutil.copytree(folder, copy)
    change(copy)
    return copy


def retokenized(folder: Path) -> None:
    path = folder / "tokenizer.json"
    said = json.loads(path.read_text("utf-8"))
    said["model"]["merges"] = said["model"]["merges"][:-1]
    path.write_text(json.dumps(said), "utf-8")


def test_other_weights_or_another_tokenizer_reuse_nothing(read: Reader, tmp_path: Path) -> None:
    assert read(folder=make_checkpoint(tmp_path / "other", "llama", seed=1, max_position_embeddings=8192)) == 0
    assert read(folder=changed(read.folder, retokenized)) == 0


@pytest.mark.parametrize(
    "describe",
    [{"dtype": "bfloat16"}, {"chunk_size": 4096, "local_size": 1024}, {"local_size": 2048, "chunk_size": 8192},
     {"temperature": "yarn"}],
    ids=["dtype", "chunk", "local", "temperature"],
)  # fmt: skip
def test_another_dtype_dca_or_temperature_reuses_nothing(read: Reader, describe: dict[str, Any]) -> None:
    assert read(describe=describe) == 0
    # and what there was is found again
    assert read() == WHOLE.tokens


def test_another_policy_plan_storage_or_version_reuses_all_and_says_how_it_was_read(
    read: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "VERSION", "9.9")
    assert read(policy="block", chunk_tokens=2048) == WHOLE.tokens
    assert read(policy="vertical_slash", storage="int8") == WHOLE.tokens
    said = [header.provenance for header in read.headers()]
    assert {one["policy"] for one in said} == {"dense"} and "9.9" not in {one["version"] for one in said}
    assert {one.get("kept_as") for one in said} == {None, "int8"}
    # what is read from now on says so
    for path in read.readings.rglob("*.kv"):
        if read_header(path).start >= 2048:
            path.unlink()
    assert 0 < read(policy="block", chunk_tokens=2048) < WHOLE.tokens
    policies = {header.start: header.provenance["policy"] for header in read.headers()}
    assert policies[1024] == "dense" and "block" in policies.values()
    assert "9.9" in {header.provenance["version"] for header in read.headers()}
