from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernels.interpreter import Interpreter


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    """Calls a function of ``kernels`` in a process where Triton is interpreted."""
    made = Interpreter()
    yield made
    made.close()
