"""The folder kernels/ has the name of a package that transformers probes for: it must stay harmless."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_package_holds_a_docstring_only() -> None:
    body = ast.parse((ROOT / "kernels" / "__init__.py").read_text("utf-8")).body
    assert len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


def test_transformers_does_not_take_it_for_the_hub_package() -> None:
    """In a process of its own, from the checkout, where the folder shadows any installed package."""
    code = (
        "import kernels; assert kernels.__doc__.startswith('Numerical');"
        "from transformers.utils import is_kernels_available; assert not is_kernels_available();"
        "from transformers import Qwen2ForCausalLM, LlamaForCausalLM, Qwen3ForCausalLM"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_the_version_stays_out_of_the_range_that_transformers_looks_for() -> None:
    try:
        ours = version("lectern")
    except PackageNotFoundError:
        pytest.skip("Lectern is not installed here")
    assert not ours.startswith(("0.18", "0.19"))


def test_the_hub_package_is_not_installed() -> None:
    with pytest.raises(PackageNotFoundError):
        version("kernels")
