"""Facts of the project's own files that nothing else would notice to be wrong."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
README = (ROOT / "README.md").read_text("utf-8")


def test_a_space_installs_what_the_project_depends_on() -> None:
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == PROJECT["project"]["dependencies"]


def test_every_dependency_is_pinned() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    for requirement in [*PROJECT["project"]["dependencies"], *(one for extra in extras for one in extra)]:
        assert "==" in requirement, requirement


def test_the_front_matter_of_the_readme_is_a_spaces() -> None:
    front = re.match(r"---\n(.*?)\n---\n", README, re.DOTALL)
    assert front is not None
    values = dict(line.split(": ", 1) for line in front.group(1).splitlines() if ": " in line)
    assert values["sdk"] == "gradio" and values["app_file"] == "app.py"
    assert f"gradio=={values['sdk_version']}" in PROJECT["project"]["dependencies"]
    assert re.fullmatch(r'"3\.\d+"', values["python_version"])


def test_every_picture_and_file_the_readme_names_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_app_py_only_calls_the_command_line() -> None:
    text = (ROOT / "app.py").read_text("utf-8")
    assert "app.cli" in text and len(text.splitlines()) < 15
    assert (ROOT / "app" / "__init__.py").exists()


def test_there_is_no_package_file_under_tests() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_no_module_is_far_over_four_hundred_lines() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    long = {
        name: count for name in tracked.split() if (count := len((ROOT / name).read_text("utf-8").splitlines())) > 420
    }
    assert not long
