from __future__ import annotations

import re

from app.errors import LecternError
from app.ui.strings import LANGUAGES, tables
from app.ui.theme import ASSETS, SCRIPTS

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


def _below(cls: type) -> set[type]:
    return {cls}.union(*(_below(sub) for sub in cls.__subclasses__()))
