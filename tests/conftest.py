"""Fixtures shared by all tests."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

# a machine that runs the tests of the kernels alone need not have it
with suppress(ImportError):
    from hypothesis import settings

    # a busy machine takes longer for an example, and is no failure
    settings.register_profile("lectern", deadline=None)
    settings.load_profile("lectern")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real documents beside the checkout; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared folder with real books beside this checkout")
    return SHARED
