"""Errors that a reader can meet. Each carries its data as attributes, and its message says what to do.

LecternError
├── DocumentError(filename)
│   ├── DocumentUnreadable(filename, reason)
│   ├── DocumentEmpty(filename)
│   ├── DocumentTooLarge(filename, size, limit)
│   ├── DocumentTypeUnknown(filename, known)
│   ├── DocumentEncrypted(filename)
│   ├── DocumentDamaged(filename, reason)
│   ├── DocumentWithoutText(filename, pages, looked)
│   ├── DocumentNotText(filename)
│   ├── EncodingWrong(filename, encoding, position)
│   ├── EncodingUnknown(filename, encoding)
│   ├── EncodingPointless(filename)
│   └── ParserFailed(filename, reason)
├── NotFound(id)
│   ├── DocumentNotFound(id)
│   ├── ThreadNotFound(id)
│   ├── TurnNotFound(id)
│   ├── JobNotFound(id)
│   └── NoteNotFound(id)
├── LibraryError
│   ├── LibraryDamaged(path, reason)
│   ├── LibraryTooNew(version)
│   ├── LibraryBusy(seconds)
│   ├── LibraryFull(path)
│   ├── LibraryNotWritable(path)
│   ├── BackupDamaged(path, reason)
│   ├── OriginalDamaged(filename, reason)
│   ├── BackupExists(path)
│   └── HomeNotEmpty(path, found)
├── RoomExceeded(needed, limit, reason, documents)
├── SettingInvalid(name, value, reason)
├── TagInvalid(name, longest)
├── ChaptersInvalid(reason)
├── RenewalInvalid(reason)
├── SourceRefused(address, reason)
├── SourceFailed(address, reason)
├── RangeInvalid(start, end, characters)
├── ColourUnknown(name, known)
├── PlaceInvalid(place)
├── QuestionsBad(path, reason)
├── QuestionEmpty()
└── NothingChosen()

Every argument goes to ``Exception.__init__`` in order, so that each error pickles (parser process to parent).
"""

from __future__ import annotations

from app.errors.base import (
    LecternError,
)
from app.errors.documents import (
    DocumentDamaged,
    DocumentEmpty,
    DocumentEncrypted,
    DocumentError,
    DocumentNotText,
    DocumentTooLarge,
    DocumentTypeUnknown,
    DocumentUnreadable,
    DocumentWithoutText,
    EncodingPointless,
    EncodingUnknown,
    EncodingWrong,
    ParserFailed,
)
from app.errors.library import (
    BackupDamaged,
    BackupExists,
    DocumentNotFound,
    HomeNotEmpty,
    JobNotFound,
    LibraryBusy,
    LibraryDamaged,
    LibraryError,
    LibraryFull,
    LibraryNotWritable,
    LibraryTooNew,
    NoteNotFound,
    NotFound,
    OriginalDamaged,
    ThreadNotFound,
    TurnNotFound,
)
from app.errors.requests import (
    ChaptersInvalid,
    ColourUnknown,
    NothingChosen,
    PlaceInvalid,
    QuestionEmpty,
    QuestionsBad,
    RangeInvalid,
    RenewalInvalid,
    RoomExceeded,
    SettingInvalid,
    SourceFailed,
    SourceRefused,
    TagInvalid,
)

__all__ = [
    "BackupDamaged",
    "BackupExists",
    "ChaptersInvalid",
    "ColourUnknown",
    "DocumentDamaged",
    "DocumentEmpty",
    "DocumentEncrypted",
    "DocumentError",
    "DocumentNotFound",
    "DocumentNotText",
    "DocumentTooLarge",
    "DocumentTypeUnknown",
    "DocumentUnreadable",
    "DocumentWithoutText",
    "EncodingPointless",
    "EncodingUnknown",
    "EncodingWrong",
    "HomeNotEmpty",
    "JobNotFound",
    "LecternError",
    "LibraryBusy",
    "LibraryDamaged",
    "LibraryError",
    "LibraryFull",
    "LibraryNotWritable",
    "LibraryTooNew",
    "NotFound",
    "NoteNotFound",
    "NothingChosen",
    "OriginalDamaged",
    "ParserFailed",
    "PlaceInvalid",
    "QuestionEmpty",
    "QuestionsBad",
    "RangeInvalid",
    "RenewalInvalid",
    "RoomExceeded",
    "SettingInvalid",
    "SourceFailed",
    "SourceRefused",
    "TagInvalid",
    "ThreadNotFound",
    "TurnNotFound",
]
