"""The formats that Lectern reads: the one list of suffixes, names and first bytes. Imports no parser."""

from __future__ import annotations

from dataclasses import dataclass

from app.documents.model import Format

_ZIP = (b"PK\x03\x04",)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatInfo:
    """label: what people call it. heads: what the file begins with, one of them, () if that is not told so.

    text: whether the bytes are text in an encoding that may be guessed wrongly, and so may be given.
    """

    format: Format
    label: str
    suffixes: tuple[str, ...]
    heads: tuple[bytes, ...] = ()
    text: bool = False


FORMATS = (
    FormatInfo(format="txt", label="TXT", suffixes=(".txt", ".text"), text=True),
    FormatInfo(format="md", label="Markdown", suffixes=(".md", ".markdown"), text=True),
    FormatInfo(format="pdf", label="PDF", suffixes=(".pdf",)),
    FormatInfo(format="epub", label="EPUB", suffixes=(".epub",), heads=_ZIP),
    FormatInfo(format="mobi", label="MOBI", suffixes=(".mobi", ".azw3", ".azw", ".prc")),
    FormatInfo(format="html", label="HTML", suffixes=(".html", ".htm", ".xhtml"), text=True),
    FormatInfo(format="docx", label="DOCX", suffixes=(".docx",), heads=_ZIP),
    FormatInfo(format="odt", label="ODT", suffixes=(".odt",), heads=_ZIP),
    FormatInfo(format="rtf", label="RTF", suffixes=(".rtf",), heads=(b"{\\rtf", b"\xef\xbb\xbf{\\rtf")),
    FormatInfo(format="fb2", label="FB2", suffixes=(".fb2",)),
    FormatInfo(format="csv", label="CSV", suffixes=(".csv", ".tsv"), text=True),
    FormatInfo(format="xlsx", label="XLSX", suffixes=(".xlsx",), heads=_ZIP),
    FormatInfo(format="cbz", label="CBZ", suffixes=(".cbz",), heads=_ZIP),
)
BY_FORMAT = {info.format: info for info in FORMATS}
SUFFIXES: dict[str, Format] = {suffix: info.format for info in FORMATS for suffix in info.suffixes}
LABELS = " · ".join(info.label for info in FORMATS)
# what may be pictures of pages, for a recognizer to read
SCANS = ("pdf", "cbz")
