"""A ZIP of documents, read without unpacking it to disk: each file and all together up to a limit."""

from __future__ import annotations

import zipfile
import zlib
from typing import BinaryIO

from lxml import etree

from app.documents import xhtml
from app.errors import DocumentDamaged, DocumentEncrypted

FILE_LIMIT = 32 * 2**20  # bytes of one file, unpacked
TOTAL_LIMIT = 256 * 2**20  # of all that are read
ENTRY_LIMIT = 20_000


class Archive:
    """The files of a ZIP by their names. ``kind`` is what it should be, for messages.

    Raises DocumentDamaged, DocumentEncrypted.
    """

    def __init__(self, stream: BinaryIO, filename: str, kind: str) -> None:
        self._filename = filename
        self._left = TOTAL_LIMIT
        try:
            self._zip = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise DocumentDamaged(filename, f"it is no {kind}: {str(error).rstrip('.').lower()}") from None
        if len(self._zip.filelist) > ENTRY_LIMIT:
            raise DocumentDamaged(filename, f"it holds more than {ENTRY_LIMIT:,} files")
        self._names: dict[str, str] = {}
        for name in self._zip.namelist():
            self._names.setdefault(name.lower(), name)
            # names that are UTF-8 without saying so
            try:
                self._names.setdefault(name.encode("cp437").decode("utf-8").lower(), name)
            except UnicodeError:
                continue

    @property
    def names(self) -> list[str]:
        return self._zip.namelist()

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None if there is none of that name."""
        stored = self._names.get(name.lower())
        if stored is None:
            return None
        info = self._zip.getinfo(stored)
        if info.flag_bits & 1:
            raise DocumentEncrypted(self._filename)
        limit = min(FILE_LIMIT, self._left)
        try:
            # the sizes in the archive's own list may lie: count what comes out
            with self._zip.open(info) as file:
                data = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
            raise DocumentDamaged(self._filename, f"{name}: {str(error) or type(error).__name__}") from None
        if len(data) > limit:
            raise DocumentDamaged(self._filename, f"{name} unpacks to more than {limit / 2**20:,.0f} MB")
        self._left -= len(data)
        return data

    def tree(self, name: str) -> etree._Element | None:
        """The root of a markup file, None if there is none or nothing can be made of it."""
        data = self.read(name)
        if data is None or not data.strip():
            return None
        try:
            return xhtml.parse_tree(data)
        except xhtml.NotMarkup:
            return None
