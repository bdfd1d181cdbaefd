from __future__ import annotations

import re

import pytest

from app import errors
from app.errors import LecternError
from app.reading.making import errors as making
from app.reading.writing import errors as writing
from app.ui.strings import LANGUAGES, sayings, tables
from app.ui.theme import ASSETS, SCRIPTS
from engine import errors as engine

SCRIPT = "\n".join((ASSETS / "js" / name).read_text(encoding="utf-8") for name in SCRIPTS)
# keys put together at run time, by their beginnings
FAMILIES = (
    "shelf.",
    "welcome.",
    "live.status.",
    "context.bound.",
    "error.",
    "note.",
    "questions.",
    "quote.",
    "export.",
    "settings.",
    "keys.",
    "book.",
    "mode.",
    "reader.",
    "artefacts.",
    "writing.",
)


def placeholders(text: str) -> list[str]:
    return sorted(set(re.findall(r"\{(\w+)\}", text)))


def test_every_language_says_everything() -> None:
    english = {key for key in tables()["en"] if not key.endswith(".one")}
    for language in LANGUAGES:
        assert {key for key in tables()[language] if not key.endswith(".one")} == english, language


def test_values_have_their_places_in_every_language() -> None:
    english = tables()["en"]
    for language in LANGUAGES:
        for key, text in tables()[language].items():
            assert text.strip(), (language, key)
            assert placeholders(text) == placeholders(english[key.removesuffix(".one")]), (language, key)


def test_keys_are_sorted_so_that_translators_find_them() -> None:
    for language in LANGUAGES:
        assert list(tables()[language]) == sorted(tables()[language])


def test_every_key_that_a_script_names_exists() -> None:
    named = set(re.findall(r"""\bt\(\s*["']([\w.]+)["']""", SCRIPT))
    named |= set(re.findall(r"""key: ["']([\w.]+)["']""", SCRIPT))
    for condition in re.findall(r"\bt\(([^()]*\?[^()]*)\)", SCRIPT):
        named |= {key for key in re.findall(r"""["']([\w.]+)["']""", condition) if "." in key}
    assert len(named) > 60
    assert named - set(tables()["en"]) == {key for key in named if key.endswith(".")}


def test_no_key_is_left_over() -> None:
    for key in tables()["en"]:
        stem = key.removesuffix(".one")
        assert f'"{stem}"' in SCRIPT or stem.startswith(FAMILIES), key


def test_an_error_with_words_of_its_own_exists() -> None:
    names = {cls.__name__ for cls in _below(LecternError)} | {"Unexpected"}
    for key in tables()["en"]:
        if key.startswith("error."):
            assert key.removeprefix("error.") in names, key


def test_no_text_stands_in_a_script() -> None:
    # what h(...) would show: two words in quotes that are no class, selector or path
    for line in SCRIPT.splitlines():
        code = re.sub(r"//.*", "", line)
        for text in re.findall(r'h\("\w+", \{[^}]*\}, "([^"]+)"\)', code):
            assert text == "Lectern", line


SAID = [
    errors.DocumentUnreadable("a.pdf", "Permission denied"),
    errors.DocumentEmpty("a.pdf"),
    errors.DocumentTooLarge("a.pdf", 3 * 2**30, 2**30),
    errors.DocumentTypeUnknown("a.xyz", ["TXT", "PDF"]),
    errors.DocumentEncrypted("a.pdf"),
    errors.DocumentDamaged("a.pdf", "it breaks off before its end"),
    errors.DocumentWithoutText("a.pdf", 1),
    errors.DocumentWithoutText("a.pdf", 1200),
    errors.DocumentWithoutText("a.pdf", 12, True),
    errors.DocumentWithoutText("a.djvu", 12),
    errors.DocumentNotText("a.txt"),
    errors.EncodingWrong("a.txt", "gb18030", 1200),
    errors.EncodingPointless("a.pdf"),
    errors.ParserFailed("a.pdf", "reading it took longer than 60 seconds"),
    errors.SourceRefused("http://a", "it is not public"),
    errors.SourceFailed("http://a", "404"),
    errors.TagInvalid("a" * 61, 60),
    errors.BackupDamaged("/a", "it has no manifest"),
    errors.OriginalDamaged("a.txt", "it is missing from the library"),
    *(
        errors.RoomExceeded(900_000, 32_768, reason, books)
        for reason in ("model", "memory", "disk", "budget")
        for books in ([], [("A", 900_000)], [("A", 880_000), ("B", 20_000)], [("A", 450_000), ("B", 450_000)])
    ),
    engine.CheckpointNotFound("a", ["the hub"]),
    engine.CheckpointNotFetched("a", [], "the connection to the hub failed (ReadTimeout: too slow)"),
    engine.CheckpointNotFetched("a", [], "the connection broke off before model.safetensors was whole"),
    engine.CheckpointUnsupported("a", "it is no language model"),
    engine.CheckpointDamaged("/a", "cut"),
    engine.ContextTooLong(9, 3),
    engine.StorageFull(9, 3),
    engine.ReadingsFull(9, 3, 4),
    engine.NumericalFailure(3, 5, 9),
    engine.OutOfMemory(),
    engine.OutOfMemory(10**9, 10**8, 128),
    engine.KeysDoNotFit(9, 8, 7, 6, 5),
    engine.KeysDoNotFit(9, 8, 7, 6, None),
    engine.WorkerDied(-9),
    engine.EngineFailure("no"),
    making.TemplateInvalid("a", "/items", "no"),
    making.TemplateInvalid("a", "", "no"),
    making.TemplateTaken("a"),
    making.InputInvalid("a", "no"),
    making.NothingToMake("a", ["B"]),
    making.ContentInvalid("no"),
    making.StepFailed("no"),
    *(writing.TaskIncomplete("a", missing) for missing in writing.TaskIncomplete.WORDS),
    writing.RangeChanged(),
    writing.NothingWritten("no"),
]


@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
def test_what_the_program_says_of_an_error_is_known_by_its_words(error: Exception) -> None:
    for language in LANGUAGES:
        if language != "en":
            assert re.search("[\u4e00-\u9fff]", said(str(error), language)), str(error)


def said(text: str, language: str) -> str:
    """As Lectern.said of assets/js/core.js, which a browser test holds to the same."""
    for form, to in sayings()[language].items():
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[\\s\\S]+?)", re.escape(form))
        if found := re.fullmatch(pattern, text, re.IGNORECASE):
            return re.sub(r"\{(\w+)\}", lambda name: said(found[name[1]], language), to)
    return text


def test_sayings_have_their_values_in_every_language() -> None:
    for table in sayings().values():
        for form, to in table.items():
            assert set(placeholders(to)) <= set(placeholders(form)), form


def _below(cls: type) -> set[type]:
    return {cls}.union(*(_below(sub) for sub in cls.__subclasses__()))
