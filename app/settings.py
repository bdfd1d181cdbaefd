"""What can be set, from the command line, else the environment, else what was chosen on the page
(``home/settings.json``), else a default. The only reader of ``os.environ``.

The home holds ``library.db`` and ``files/`` (the library's), ``readings/`` (the engine's kept pages), ``engine.lock``
and ``logs/``. The models lie in a cache of their own, which homes share.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from app.errors import LibraryNotWritable, SettingInvalid
from app.library.files import private_folder

DEFAULT_MODEL = "qwen2.5-coder-0.5b"
DTYPES = ("auto", "float32", "bfloat16", "float16")
# a page or two of the largest models
LEAST_BUDGET = 100 * 10**6
POLICIES = ("auto", "dense", "block", "vertical_slash")
# of what the disk would have free without kept readings
DEFAULT_SHARE = 0.5
LOG_LEVELS = ("debug", "info", "warning", "error")

FILE = "settings.json"

# every setting and the variable that sets it
VARIABLES = {
    "home": "LECTERN_HOME",
    "cache": "LECTERN_CACHE",
    "model": "LECTERN_MODEL",
    "host": "LECTERN_HOST",
    "port": "LECTERN_PORT",
    "dtype": "LECTERN_DTYPE",
    "device": "LECTERN_DEVICE",
    "log_level": "LECTERN_LOG_LEVEL",
    "language": "LECTERN_LANGUAGE",
    "readings_budget": "LECTERN_READINGS_BUDGET",
    "policy": "LECTERN_POLICY",
    "welcome": "LECTERN_WELCOME",
    "readings_storage": "LECTERN_READINGS_STORAGE",
    "read_ahead": "LECTERN_READ_AHEAD",
    "gpu_memory": "LECTERN_GPU_MEMORY",
}
# what the page may set, and keeps in the home
CHOSEN = ("model", "readings_budget", "policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """home, cache: absolute folders; model: a name of the catalogue, a folder or a hub id; port: 0 takes a free one;
    space: running as a Hugging Face Space; language: of the interface, "auto" follows the browser; readings_budget:
    bytes that kept readings may take, or, up to 1, their share of what the disk has free without them, None for all;
    readings_storage: "exact", or "int8" for half the size; read_ahead: "on" reads what was dropped before it is asked
    about, "off" only what somebody asks for; policy: how a long text is read, "auto" for the model's own; welcome:
    whether a new shelf begins with the welcome book; gpu_memory: bytes that keys and values may take of a GPU's memory,
    None for what is free: those of a longer context lie in the machine's."""

    home: Path
    cache: Path
    model: str
    host: str
    port: int
    space: bool
    dtype: str
    device: str
    log_level: str
    language: str
    readings_budget: int | float | None
    readings_storage: str = "exact"
    read_ahead: str = "on"
    policy: str = "auto"
    welcome: bool = True
    gpu_memory: int | None = None

    @classmethod
    def load(
        cls, argv_overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> Settings:
        """Settings by their names from the command line (None: not given), over the environment, over the defaults.

        Makes the home, readable by its owner only. Raises SettingInvalid, naming the option or the variable.
        """
        environ = os.environ if environ is None else environ
        overrides = dict(argv_overrides or {})
        for name in overrides:
            if name not in VARIABLES:
                raise SettingInvalid(
                    _option(name), overrides[name], f"there is no such setting{_like(name, VARIABLES)}"
                )
        for variable, value in environ.items():
            if variable.startswith("LECTERN_") and variable not in VARIABLES.values():
                raise SettingInvalid(
                    variable, value, f"there is no such setting{_like(variable, list(VARIABLES.values()))}"
                )
        space = bool(environ.get("SPACE_ID"))
        defaults: dict[str, Callable[[], Any]] = {
            "home": lambda: platformdirs.user_data_path("lectern", appauthor=False),
            "cache": lambda: platformdirs.user_cache_path("lectern", appauthor=False),
            "model": lambda: DEFAULT_MODEL,
            # a Space is reached through its proxy, a person's machine by that person only
            "host": lambda: "0.0.0.0" if space else "127.0.0.1",
            "port": lambda: 7860,
            "dtype": lambda: "auto",
            "device": lambda: "auto",
            "log_level": lambda: "info",
            "language": lambda: "auto",
            "readings_budget": lambda: f"{DEFAULT_SHARE:.0%}",
            "readings_storage": lambda: "exact",
            "read_ahead": lambda: "on",
            "policy": lambda: "auto",
            "welcome": lambda: "on",
            "gpu_memory": lambda: "auto",
        }
        chosen: dict[str, Any] = {}
        values: dict[str, Any] = {}
        sources: dict[str, tuple[str, Any]] = {}
        for name, variable in VARIABLES.items():
            if overrides.get(name) is not None:
                source, value = _option(name), overrides[name]
            elif environ.get(variable):
                source, value = variable, environ[variable]
            elif name in chosen:
                source, value = f"{name} in {FILE}", chosen[name]
            else:
                source, value = _option(name), defaults[name]()
            sources[name] = (source, value)
            try:
                values[name] = _CHECKS[name](value)
            except ValueError as error:
                raise SettingInvalid(source, value, str(error)) from None
            if name == "home":
                chosen = _read(values["home"] / FILE)
        try:
            private_folder(values["home"])
        except LibraryNotWritable as error:
            reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else None
            raise SettingInvalid(*sources["home"], f"the folder cannot be made or entered ({reason})") from error
        return cls(**values, space=space)

    def choose(self, **values: Any) -> Settings:
        """These settings with others of ``CHOSEN``, kept for the next start. Raises SettingInvalid."""
        checked: dict[str, Any] = {}
        for name, value in values.items():
            try:
                checked[name] = _CHECKS[name](value)
            except ValueError as error:
                raise SettingInvalid(name, value, str(error)) from None
        path = self.home / FILE
        kept = _read(path) | {name: value for name, value in values.items() if name in CHOSEN}
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")
        beside.replace(path)
        return replace(self, **checked)

    @property
    def readings(self) -> Path:
        """Where the engine keeps the pages of what it read."""
        return self.home / "readings"

    @property
    def engine(self) -> dict[str, Any]:
        """What an engine of this machine is made with, besides its model's name."""
        size = self.readings_budget
        kept = {"readings": self.readings, "storage": self.readings_storage}
        kept |= {"readings_share": size} if isinstance(size, float) else {"readings_limit": size}
        kept |= {"policy": None if self.policy == "auto" else self.policy}
        made = {"cache": self.cache, "dtype": self.dtype, "device": self.device, "device_memory": self.gpu_memory}
        return made | kept

    @property
    def engine_lock(self) -> Path:
        """Held by the one process that works the queue."""
        return self.home / "engine.lock"

    @property
    def logs(self) -> Path:
        return self.home / "logs"


def _read(path: Path) -> dict[str, Any]:
    """What the page kept; only names that it may set. Raises SettingInvalid for a file that cannot be understood."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        # not there; a home that cannot be entered is told as such
        return {}
    except ValueError as error:
        raise SettingInvalid(str(path), "", "it cannot be read; delete it to begin with the defaults") from error
    return {name: said[name] for name in CHOSEN if name in said} if isinstance(said, dict) else {}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _like(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _folder(value: Any) -> Path:
    if not str(value).strip() or "\0" in str(value):
        raise ValueError("name a folder")
    try:
        path = Path(value).expanduser().absolute()
    except RuntimeError:
        raise ValueError("there is no such user's home") from None
    if path.exists() and not path.is_dir():
        raise ValueError("it is a file, not a folder")
    return path


def _port(value: Any) -> int:
    try:
        port = int(value)
    except (TypeError, ValueError):
        raise ValueError("a port is a number") from None
    if not 0 <= port <= 65535:
        raise ValueError("a port lies in 0..65535")
    return port


def _text(value: Any) -> str:
    text = str(value).strip()
    if not text or any(not character.isprintable() for character in text):
        raise ValueError("it is empty or not printable")
    return text


def _host(value: Any) -> str:
    host = _text(value)
    if re.search(r"[\s/]", host):
        raise ValueError("name a host or an address, without http:// and without a port")
    return host


def _one_of(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        choice = str(value).strip().lower()
        if choice not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}")
        return choice

    return check


def _device(value: Any) -> str:
    device = str(value).strip().lower()
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", device):
        raise ValueError("choose auto, cpu, cuda, cuda:0, cuda:1, …, xpu or mps")
    return device


def _language(value: Any) -> str:
    language = str(value).strip()
    if not re.fullmatch(r"auto|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", language):
        raise ValueError("choose auto or the code of a language, such as en or zh-CN")
    return language


def _budget(value: Any) -> int | float | None:
    """Bytes, of "20 GB" or a plain number; a share of the disk, of "50%"."""
    text = str(value).strip().upper()
    if text == "NONE":
        return None
    if share := re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%", text):
        if not 0 < float(share[1]) <= 100:
            raise ValueError("a share of the disk lies in 1%..100%")
        return float(share[1]) / 100
    size = _size(text)
    if size is None or size < LEAST_BUDGET:
        raise ValueError(
            f"give a size of at least {LEAST_BUDGET // 10**6} MB, such as 20GB, a share such as 50%, or none"
        )
    return size


def _size(text: str) -> int | None:
    """Bytes, of "20 GB" or a plain number; None for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    return int(float(found[1]) * 1000 ** " KMGT".index(found[2] or " ")) if found else None


def _memory(value: Any) -> int | None:
    text = str(value).strip()
    if text.lower() == "auto":
        return None
    size = _size(text)
    if size is None:
        raise ValueError("give a size, such as 12GB, or auto")
    return size


def _switch(value: Any) -> bool:
    said = str(value).strip().lower()
    if said not in ("on", "off"):
        raise ValueError("choose on or off")
    return said == "on"


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "home": _folder,
    "cache": _folder,
    "model": _text,
    "host": _host,
    "port": _port,
    "dtype": _one_of(*DTYPES),
    "device": _device,
    "log_level": _one_of(*LOG_LEVELS),
    "language": _language,
    "readings_budget": _budget,
    "policy": _one_of(*POLICIES),
    "welcome": _switch,
    "readings_storage": _one_of("exact", "int8"),
    "read_ahead": _one_of("on", "off"),
    "gpu_memory": _memory,
}
