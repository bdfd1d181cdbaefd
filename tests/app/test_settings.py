"""Settings: the command line over the environment over defaults; a bad value names itself; the home is private."""

from __future__ import annotations

import dataclasses
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

import app
from app.errors import SettingInvalid
from app.settings import DEFAULT_MODEL, VARIABLES, Settings

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes of files exist on POSIX only")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_defaults(tmp_path: Path) -> None:
    settings = Settings.load({"home": tmp_path / "home"}, {})
    assert settings == Settings(
        home=tmp_path / "home",
        cache=settings.cache,
        model=DEFAULT_MODEL,
        host="127.0.0.1",
        port=7860,
        space=False,
        dtype="auto",
        device="auto",
        log_level="info",
        language="auto",
        readings_budget=0.5,
        readings_storage="exact",
        read_ahead="on",
    )
    assert settings.cache.is_absolute() and "lectern" in settings.cache.parts


def test_the_default_home_is_the_platforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda name, appauthor: tmp_path / "share" / name)
    assert Settings.load({}, {}).home == tmp_path / "share" / "lectern"
    assert (tmp_path / "share" / "lectern").is_dir()


GIVEN = {
    "home": ("a", "b"),
    "cache": ("c", "d"),
    "model": ("smollm2-135m", "Qwen/Qwen2.5-7B-Instruct-1M"),
    "host": ("0.0.0.0", "::1"),
    "port": ("8000", 9000),
    "dtype": ("float32", "bfloat16"),
    "device": ("cpu", "cuda:1"),
    "log_level": ("DEBUG", "error"),
    "language": ("de", "zh-CN"),
    "readings_budget": ("300000000", 500_000_000),
    "readings_storage": ("int8", "exact"),
    "read_ahead": ("off", "on"),
    "gpu_memory": ("300000000", 500_000_000),
}


@pytest.mark.parametrize("name", GIVEN)
def test_the_command_line_wins_over_the_environment(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    in_environment, on_line = GIVEN[name]
    base = {"home": "elsewhere"} if name != "home" else {}
    first = Settings.load(base, {VARIABLES[name]: str(in_environment)})
    second = Settings.load({**base, name: on_line}, {VARIABLES[name]: str(in_environment)})

    def expected(value: Any) -> Any:
        if name in ("home", "cache"):
            return tmp_path / str(value)
        return (
            int(value)
            if name in ("port", "readings_budget", "gpu_memory")
            else value.lower()
            if name == "log_level"
            else value
        )

    assert getattr(first, name) == expected(in_environment)
    assert getattr(second, name) == expected(on_line)


def test_what_is_not_given_is_none_or_empty(tmp_path: Path) -> None:
    settings = Settings.load(
        {"home": tmp_path, "port": None, "model": None}, {"LECTERN_PORT": "", "LECTERN_MODEL": "x"}
    )
    assert (settings.port, settings.model) == (7860, "x")


def test_every_setting_has_its_variable() -> None:
    assert set(VARIABLES) | {"space"} == {field.name for field in dataclasses.fields(Settings)}
    assert all(variable == f"LECTERN_{name.upper()}" for name, variable in VARIABLES.items())


@pytest.mark.parametrize(
    ("said", "size"), [("20GB", 20 * 10**9), ("1.5 t", 15 * 10**11), ("100mb", 10**8), ("none", None), ("30 %", 0.3)]
)
def test_sizes(tmp_path: Path, said: str, size: float | None) -> None:
    assert Settings.load({"home": tmp_path}, {"LECTERN_READINGS_BUDGET": said}).readings_budget == size


@pytest.mark.parametrize(("said", "size"), [("auto", None), ("12 gb", 12 * 10**9), ("0", 0)])
def test_how_much_of_a_gpu(tmp_path: Path, said: str, size: int | None) -> None:
    settings = Settings.load({"home": tmp_path}, {"LECTERN_GPU_MEMORY": said})
    assert settings.gpu_memory == settings.engine["device_memory"] == size
    with pytest.raises(SettingInvalid, match="such as 12GB"):
        Settings.load({"home": tmp_path}, {"LECTERN_GPU_MEMORY": "much"})


def test_a_space_is_reached_from_outside(tmp_path: Path) -> None:
    settings = Settings.load({"home": tmp_path}, {"SPACE_ID": "somebody/lectern"})
    assert settings.space and settings.host == "0.0.0.0"
    assert Settings.load({"home": tmp_path, "host": "127.0.0.1"}, {"SPACE_ID": "a/b"}).host == "127.0.0.1"


BAD = [
    ("port", "http", "number"),
    ("port", "65536", "0..65535"),
    ("port", "-1", "0..65535"),
    ("host", "http://127.0.0.1", "without http://"),
    ("host", "  ", "empty"),
    ("model", "\n", "empty"),
    ("dtype", "int8", "auto, float32, bfloat16, float16"),
    ("device", "gpu", "cuda"),
    ("log_level", "loud", "debug, info"),
    ("language", "english please", "en or zh-CN"),
    ("readings_budget", "much", "such as 20GB"),
    ("readings_budget", "10", "at least 100 MB"),
    ("readings_budget", "0%", "1%..100%"),
    ("readings_budget", "120%", "1%..100%"),
    ("readings_storage", "int4", "exact, int8"),
    ("read_ahead", "maybe", "on, off"),
    ("home", " ", "name a folder"),
    ("home", "a\0b", "name a folder"),
]


@pytest.mark.parametrize(("name", "value", "hint"), BAD)
@pytest.mark.parametrize("source", ["environment", "line"])
def test_a_bad_value_names_itself_and_what_is_good(
    name: str, value: str, hint: str, source: str, tmp_path: Path
) -> None:
    base: dict[str, Any] = {"home": tmp_path} if name != "home" else {}
    with pytest.raises(SettingInvalid) as caught:
        if source == "line":
            Settings.load({**base, name: value}, {})
        else:
            Settings.load(base, {VARIABLES[name]: value})
    assert caught.value.name == (VARIABLES[name] if source == "environment" else "--" + name.replace("_", "-"))
    assert caught.value.value == value
    assert hint in str(caught.value)


def test_a_setting_that_does_not_exist_is_not_dropped_in_silence(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="did you mean LECTERN_MODEL"):
        Settings.load({"home": tmp_path}, {"LECTERN_MODLE": "x"})
    with pytest.raises(SettingInvalid, match=r"--prot.*did you mean port"):
        Settings.load({"home": tmp_path, "prot": 1}, {})
    assert Settings.load({"home": tmp_path}, {"PATH": "/bin", "OTHER_HOME": "x"}).home == tmp_path


@posix
def test_the_home_is_made_private(tmp_path: Path) -> None:
    settings = Settings.load({"home": tmp_path / "deep" / "home"}, {})
    assert _mode(settings.home) == 0o700
    open_home = tmp_path / "empty"
    open_home.mkdir(mode=0o755)
    assert _mode(Settings.load({"home": open_home}, {}).home) == 0o700


@posix
def test_a_folder_of_other_things_keeps_its_mode(tmp_path: Path) -> None:
    shared_folder = tmp_path / "documents"
    shared_folder.mkdir()
    shared_folder.chmod(0o755)
    (shared_folder / "letter.txt").write_text("dear")
    Settings.load({"home": shared_folder}, {})
    assert _mode(shared_folder) == 0o755


def test_a_home_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingInvalid, match=r"LECTERN_HOME.*a file, not a folder"):
        Settings.load({}, {"LECTERN_HOME": str(tmp_path / "file")})
    with pytest.raises(SettingInvalid, match=r"--home.*cannot be made"):
        Settings.load({"home": tmp_path / "file" / "below"}, {})


def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Settings.load({"home": "~/lectern"}, {}).home == tmp_path / "lectern"


def test_the_layout_of_the_home(tmp_path: Path) -> None:
    settings = Settings.load({"home": tmp_path}, {})
    assert settings.readings == tmp_path / "readings"
    assert settings.engine_lock == tmp_path / "engine.lock"
    assert settings.logs == tmp_path / "logs"


def test_nothing_else_in_the_application_reads_the_environment() -> None:
    assert app.__file__ is not None
    root = Path(app.__file__).parent
    # setting a variable for a library that reads it is no reading, nor is handing all of them to a program
    reading = re.compile(r"getenv\(|\benviron\b(?!\[[^\]]+\] = | \| \{)")
    readers = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if reading.search(path.read_text(encoding="utf-8"))
    ]
    assert readers == ["settings.py"]
