"""A file to a Document, in this process. ``sandbox`` does the same in a process of its own."""

from __future__ import annotations

import stat
from importlib import import_module
from pathlib import Path, PurePath
from typing import Literal

from app.documents.formats import BY_FORMAT, SUFFIXES
from app.documents.model import Document, Format
from app.errors import (
    DocumentDamaged,
    DocumentEmpty,
    DocumentEncrypted,
    DocumentNotText,
    DocumentTooLarge,
    DocumentTypeUnknown,
    DocumentUnreadable,
    EncodingPointless,
)

PARSER_VERSION = 4  # goes up whenever the same file would give another text
FILE_LIMIT = 200 * 2**20  # bytes

_HEAD = 4096
_OFFICE_LOCKED = b"\xd0\xcf\x11\xe0"  # Office puts an encrypted document into a file of this kind
_PALM_KIND, _PALM_KINDS = 60, (b"BOOKMOBI", b"TEXtREAd")
# Topaz and KFX: kinds of Kindle's that only locked books come in
_KINDLE_LOCKED = (b"TPZ", b"\xeaDRMION", b"CONT\x02")
_PDF_HEAD = 1024  # bytes within which "%PDF-" may stand


def refuse_at_the_door(path: Path, filename: str) -> Format:
    """The format of a file, from its suffix and its first bytes: fast, whatever its size.

    filename: the name its reader knows; its suffix counts, ``path`` may be called anything.
    Raises DocumentTypeUnknown, DocumentUnreadable, DocumentEmpty, DocumentTooLarge, DocumentDamaged,
    DocumentEncrypted, DocumentNotText.
    """
    suffix = PurePath(filename).suffix.lower()
    if suffix not in SUFFIXES:
        raise DocumentTypeUnknown(filename, tuple(SUFFIXES))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DocumentUnreadable(filename, "it is a folder" if path.is_dir() else "it is no ordinary file")
        if status.st_size == 0:
            raise DocumentEmpty(filename)
        if status.st_size > FILE_LIMIT:
            raise DocumentTooLarge(filename, status.st_size, FILE_LIMIT)
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise DocumentUnreadable(filename, error.strerror or type(error).__name__) from None
    format = SUFFIXES[suffix]
    info = BY_FORMAT[format]
    if info.heads and not head.startswith(info.heads):
        if head.startswith(_OFFICE_LOCKED) and format in ("docx", "xlsx"):
            raise DocumentEncrypted(filename)
        what = "not a ZIP archive" if b"PK\x03\x04" in info.heads else "its first bytes do not say so"
        raise DocumentDamaged(filename, f"it is no {info.label}: {what}")
    if format == "pdf" and b"%PDF-" not in head[:_PDF_HEAD]:
        raise DocumentDamaged(filename, "it is no PDF: its first bytes do not say so")
    if format == "mobi" and head[_PALM_KIND : _PALM_KIND + 8] not in _PALM_KINDS:
        if head.startswith(_KINDLE_LOCKED):
            raise DocumentEncrypted(filename)
        raise DocumentDamaged(filename, "it is no MOBI: its first bytes do not say so")
    if info.text:
        _refuse_binary(head, filename)
    return format


def refuse_encoding(path: Path, filename: str) -> Format:
    """As ``refuse_at_the_door``, for a file whose encoding is named: EncodingPointless for what is no text."""
    format = refuse_at_the_door(path, filename)
    if not BY_FORMAT[format].text:
        raise EncodingPointless(filename)
    return format


def _refuse_binary(head: bytes, filename: str) -> None:
    # the module is small; the formats' own are imported only where they are needed
    from app.documents import encoding

    try:
        encoding.refuse_binary(head)
    except encoding.NotText:
        raise DocumentNotText(filename) from None


def parse_file(path: Path, filename: str, *, encoding: str | None = None) -> Document:
    """Read one file whole.

    encoding: of a text, where its content tells the wrong one. Raises the errors of ``refuse_at_the_door``,
    DocumentEncrypted, DocumentWithoutText, EncodingWrong, EncodingUnknown; EncodingPointless for what is no text.
    Parsers are large programs fed with strangers' data: call this in a process that may die.
    """
    format = refuse_at_the_door(path, filename) if encoding is None else refuse_encoding(path, filename)
    from app.documents import metadata

    document = metadata.complete(_parse(format, path, filename, encoding))
    document.check()
    return document


# each format's parser is imported when it is needed, so that whoever only asks for a format loads none of them; what
# takes a file gets its path or its bytes, and the encoding where its format is text
_PARSERS: dict[Format, tuple[str, str, Literal["path", "bytes", "text"]]] = {
    "pdf": ("pdf", "parse", "path"),
    "epub": ("epub", "parse", "path"),
    "mobi": ("mobi", "parse", "path"),
    "cbz": ("scans", "refuse_comic", "path"),
    "md": ("markdown", "parse", "text"),
    "html": ("html", "parse", "text"),
    "docx": ("docx", "parse", "path"),
    "odt": ("odt", "parse", "path"),
    "rtf": ("rtf", "parse", "bytes"),
    "fb2": ("fb2", "parse", "bytes"),
    "csv": ("tables", "parse_csv", "text"),
    "xlsx": ("tables", "parse_xlsx", "path"),
    "txt": ("plain", "parse", "text"),
}


def preload(filename: str) -> None:
    """Import what a file of this name will be parsed with."""
    format = SUFFIXES.get(PurePath(filename).suffix.lower())
    import_module("app.documents.metadata")
    if format is not None:
        import_module(f"app.documents.{_PARSERS[format][0]}")


def _parse(format: Format, path: Path, filename: str, encoding: str | None) -> Document:
    module, function, takes = _PARSERS[format]
    parse = getattr(import_module(f"app.documents.{module}"), function)
    source = path if takes == "path" else path.read_bytes()
    return parse(source, filename, encoding=encoding) if takes == "text" else parse(source, filename)
