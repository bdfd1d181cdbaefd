"""Triton's interpreter: kernels run without a GPU, in a process that was started for them.

Triton decides when it is first imported whether what it decorates is compiled or interpreted, so the process that runs
the tests, where kernels are compiled ahead of time, cannot also interpret them.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch


def _prepare() -> None:
    # torch fills fresh memory with NaN, or the largest integer: what a kernel left unwritten fails the comparison
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)


def _call(module: str, name: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    return getattr(importlib.import_module(module), name)(*args, **given)


class Interpreter:
    """``interpreter(function, *args, **given)`` is ``function(*args, impl="triton", **given)``, interpreted.

    Tensors among ``args`` and ``given`` are copied: the function cannot write into them.
    """

    def __init__(self) -> None:
        before = os.environ.get("TRITON_INTERPRET")
        os.environ["TRITON_INTERPRET"] = "1"
        try:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_prepare)
            self._pool.submit(os.getpid).result()
        finally:
            if before is None:
                del os.environ["TRITON_INTERPRET"]
            else:
                os.environ["TRITON_INTERPRET"] = before

    def __call__(self, function: Callable[..., Any], *args: Any, **given: Any) -> Any:
        task = self._pool.submit(_call, function.__module__, function.__name__, args, {"impl": "triton"} | given)
        return task.result()

    def close(self) -> None:
        self._pool.shutdown()
