"""Where compiled code is kept: never what was compiled from other sources."""

from __future__ import annotations

from pathlib import Path

import pytest

# where there is no Numba, nothing is compiled
jit = pytest.importorskip("kernels.jit")


def test_another_source_anywhere_is_another_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text("a = 1\n")
    second.write_text("b = 1\n")
    before = jit.fingerprint([first, second])
    assert jit.fingerprint([second, first]) == before
    second.write_text("b = 2\n")
    assert jit.fingerprint([first, second]) != before


def test_a_package_that_cannot_be_written_keeps_it_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jit.folder().parent == jit.HERE / "__pycache__"
    monkeypatch.setattr(jit.os, "access", lambda *_: False)
    assert jit.folder().is_relative_to(Path.home() / ".cache" / "lectern")


def test_what_is_compiled_lies_there() -> None:
    from kernels.tiles.attend import attend

    assert str(jit.folder()) in attend._cache.cache_path
