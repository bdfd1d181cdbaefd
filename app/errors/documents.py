"""What can be wrong with a file."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors.base import LecternError


class DocumentError(LecternError):
    """A file that cannot become a document; ``filename`` is the name its reader knows."""

    def __init__(self, filename: str, *details: object) -> None:
        super().__init__(filename, *details)
        self.filename = filename


class DocumentUnreadable(DocumentError):
    """The file is not there, or may not be read."""

    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(filename, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"“{self.filename}” cannot be opened ({self.reason}). Check its name and that you may read it."


class DocumentEmpty(DocumentError):
    def __str__(self) -> str:
        return f"“{self.filename}” is empty. Check that it was saved or downloaded completely, then add it again."


class DocumentTooLarge(DocumentError):
    """Both numbers count bytes."""

    def __init__(self, filename: str, size: int, limit: int) -> None:
        super().__init__(filename, size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"“{self.filename}” has {_megabytes(self.size)}; Lectern takes files up to {_megabytes(self.limit)}. "
            "Split it, or save it without its pictures."
        )


class DocumentTypeUnknown(DocumentError):
    """``known`` are the suffixes that Lectern reads."""

    def __init__(self, filename: str, known: Sequence[str]) -> None:
        super().__init__(filename, tuple(known))
        self.known = tuple(known)

    def __str__(self) -> str:
        return (
            f"“{self.filename}” is of a type that Lectern cannot read. "
            f"It reads {', '.join(self.known)}: save the document as one of these."
        )


class DocumentEncrypted(DocumentError):
    def __str__(self) -> str:
        return (
            f"“{self.filename}” is locked: it is encrypted or copy-protected. "
            "Save a copy that opens without a password and add that."
        )


class DocumentDamaged(DocumentError):
    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(filename, reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"“{self.filename}” is damaged or incomplete ({self.reason}). "
            "Download it again, or open it in its own program and save a fresh copy."
        )


class DocumentWithoutText(DocumentError):
    """Pictures of pages only; ``pages`` is their number, ``looked``: a recognizer looked at them and found none."""

    def __init__(self, filename: str, pages: int, looked: bool = False) -> None:
        super().__init__(filename, pages, looked)
        self.pages = pages
        self.looked = looked

    def __str__(self) -> str:
        pages = "page is a picture" if self.pages == 1 else f"{self.pages:,} pages are pictures"
        if self.looked:
            return (
                f"“{self.filename}” holds no text: its {pages}, and Tesseract recognized no words in them. "
                "Install the data of its language for Tesseract, or add a sharper scan."
            )
        if not self.filename.lower().endswith((".pdf", ".cbz")):
            return (
                f"“{self.filename}” holds no text: its {pages}. "
                "Save it as a PDF, run that through text recognition (OCR, for example ocrmypdf) and add the result."
            )
        return (
            f"“{self.filename}” holds no text: its {pages}. Install Tesseract (apt install tesseract-ocr, for "
            "Chinese tesseract-ocr-chi-sim too), restart Lectern and add it again; or add the result of another OCR "
            "program."
        )


class DocumentNotText(DocumentError):
    """A binary file under the name of a text."""

    def __str__(self) -> str:
        return (
            f"“{self.filename}” is not a text file, whatever its name says. "
            "Give it the suffix of its real type, or save it as plain text."
        )


class EncodingWrong(DocumentError):
    """The bytes cannot be read in the encoding that was named; ``position`` is the first that cannot."""

    def __init__(self, filename: str, encoding: str, position: int) -> None:
        super().__init__(filename, encoding, position)
        self.encoding = encoding
        self.position = position

    def __str__(self) -> str:
        return (
            f"“{self.filename}” is not in {self.encoding}: its byte {self.position:,} has no meaning there. "
            "Name another encoding, or none to have it told by the content."
        )


class EncodingUnknown(DocumentError):
    def __init__(self, filename: str, encoding: str) -> None:
        super().__init__(filename, encoding)
        self.encoding = encoding

    def __str__(self) -> str:
        return (
            f"“{self.filename}” cannot be read as {self.encoding!r}: no encoding of that name is known. "
            "Some that are: utf-8, utf-16, gb18030, big5, shift-jis, euc-jp, euc-kr, cp1252, cp1251."
        )


class EncodingPointless(DocumentError):
    """An encoding was named for a file that says itself how it is to be read."""

    def __str__(self) -> str:
        return f"“{self.filename}” is no plain text: it needs no encoding. Add it without one."


class ParserFailed(DocumentError):
    """The parser crashed, or took too long or too much memory."""

    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(filename, reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"“{self.filename}” could not be read: {self.reason}. "
            "Try another format of the same book, or save it anew in its own program."
        )


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MB"
