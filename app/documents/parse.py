"""A file to a Document, in this process. ``sandbox`` does the same in a process of its own."""

from __future__ import annotations

import stat
from pathlib import Path, PurePath

from app.documents.model import Document, Format
from app.errors import (
    DocumentDamaged,
    DocumentEmpty,
    DocumentNotText,
    DocumentTooLarge,
    DocumentTypeUnknown,
    DocumentUnreadable,
)

PARSER_VERSION = 2  # goes up whenever the same file would give another text
FILE_LIMIT = 200 * 2**20  # bytes
SUFFIXES: dict[str, Format] = {
    ".txt": "txt",
    ".text": "txt",
    ".md": "md",
    ".markdown": "md",
    ".pdf": "pdf",
    ".epub": "epub",
}

_HEAD = 4096
_PDF_HEAD = 1024  # bytes within which "%PDF-" may stand


def refuse_at_the_door(path: Path, filename: str) -> Format:
    """The format of a file, from its suffix and its first bytes: fast, whatever its size.

    filename: the name its reader knows; its suffix counts, ``path`` may be called anything.
    Raises DocumentTypeUnknown, DocumentUnreadable, DocumentEmpty, DocumentTooLarge, DocumentDamaged, DocumentNotText.
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
    if format == "epub" and not head.startswith(b"PK\x03\x04"):
        raise DocumentDamaged(filename, "it is no EPUB: not a ZIP archive")
    if format == "pdf" and b"%PDF-" not in head[:_PDF_HEAD]:
        raise DocumentDamaged(filename, "it is no PDF: its first bytes do not say so")
    if format in ("txt", "md"):
        _refuse_binary(head, filename)
    return format


def _refuse_binary(head: bytes, filename: str) -> None:
    # the module is small; the formats' own are imported only where they are needed
    from app.documents import encoding

    try:
        encoding.refuse_binary(head)
    except encoding.NotText:
        raise DocumentNotText(filename) from None


def parse_file(path: Path, filename: str) -> Document:
    """Read one file whole. Raises the errors of ``refuse_at_the_door``, DocumentEncrypted, DocumentWithoutText.

    Parsers of PDF and EPUB are large programs fed with strangers' data: call this in a process that may die.
    """
    format = refuse_at_the_door(path, filename)
    # each format's parser is imported here, so that whoever only asks for a format loads none of them
    if format == "pdf":
        from app.documents import pdf

        document = pdf.parse(path, filename)
    elif format == "epub":
        from app.documents import epub

        document = epub.parse(path, filename)
    elif format == "md":
        from app.documents import markdown

        document = markdown.parse(path.read_bytes(), filename)
    else:
        from app.documents import plain

        document = plain.parse(path.read_bytes(), filename)
    from app.documents import metadata

    document = metadata.complete(document)
    document.check()
    return document
