"""Kernels compiled for cards that are not there, as the calls that would launch them compile them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

# bytes of shared memory that a block may use, by compute capability: what sm_80 gets must fit sm_86, 89 and 120 too
SHARED = {80: 99 * 1024, 90: 227 * 1024}


class Compiled(NamedTuple):
    """What one kernel takes of a card. shared, stack: bytes, of a block and of a thread; a stack holds spills."""

    name: str
    arch: int
    shared: int
    registers: int
    stack: int
    warps: int
    ptx: str


@contextmanager
def ahead(arch: int) -> Iterator[list[Compiled]]:
    """Within it, calls compile their kernels for ``arch`` (80, 90) and launch nothing; yields what was compiled."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    class Absent:
        """A driver that knows its card and nothing else. Kernels are kept by device: each card is one."""

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", arch, 32)

        def get_current_device(self) -> int:
            return arch

        def get_current_stream(self, device: int) -> int:
            return 0

    found: list[Compiled] = []
    before, run = driver._active, JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **given: Any) -> Any:
        kernel = run(self, *args, grid=grid, warmup=True, **given)
        found.append(_measured(kernel, arch))
        return kernel

    driver.set_active(Absent())
    JITFunction.run = compile_only
    try:
        yield found
    finally:
        driver._active, JITFunction.run = before, run


def _measured(kernel: Any, arch: int) -> Compiled:
    from triton import knobs

    with TemporaryDirectory() as folder:
        binary = Path(folder) / "kernel.cubin"
        binary.write_bytes(kernel.asm["cubin"])
        told = subprocess.run(
            [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(binary)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    use = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", told))
    about = kernel.metadata
    return Compiled(
        about.name, arch, about.shared, int(use["REG"]), int(use["STACK"]) + int(use["LOCAL"]),
        about.num_warps, kernel.asm["ptx"],
    )  # fmt: skip
