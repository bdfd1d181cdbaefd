"""A text whose encoding a person names, as UTF-8: kept so, whoever reads it again needs no name of an encoding."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.documents import encoding as encodings
from app.documents import parse


@contextmanager
def utf8_copy(path: Path, encoding: str | None) -> Iterator[Path]:
    """A file for as long as the block lasts: ``path`` itself without an encoding, else its text in UTF-8.

    Raises the errors of ``parse.refuse_encoding`` and ``encoding.to_utf8``.
    """
    if encoding is None:
        yield path
        return
    parse.refuse_encoding(path, path.name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "text"
        copy.write_bytes(encodings.to_utf8(path, path.name, encoding))
        yield copy
