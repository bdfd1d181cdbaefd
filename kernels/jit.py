"""Numba's ``njit``, with a cache on disk that knows which sources it was compiled from.

Numba compiles a function again when its own file has changed, not when a file has that it calls into: after an update
it would go on with what was inlined from the old one. So what is compiled lies in a folder named after all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from numba import njit
from numba.core import config

__all__ = ["njit"]

HERE = Path(__file__).parent


def fingerprint(sources: Iterable[Path]) -> str:
    """Of the bytes of files; their order and where they lie do not matter."""
    return sha256(b"".join(sorted(sha256(path.read_bytes()).digest() for path in sources))).hexdigest()[:16]


def folder() -> Path:
    """Beside these files, or in the user's cache where a program is installed for all."""
    beside = HERE / "__pycache__"
    writable = os.access(beside if beside.exists() else HERE, os.W_OK)
    parent = beside if writable else Path("~/.cache/lectern").expanduser()
    return parent / f"compiled-{fingerprint(HERE.rglob('*.py'))}"


# what a person set stays
if not config.CACHE_DIR:
    config.CACHE_DIR = str(folder())
