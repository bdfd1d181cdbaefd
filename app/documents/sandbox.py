"""A file to a Document in a child process of its own, so that a parser's crash is a refused file and nothing more.

The child is forked by a process that has the parsers loaded (``forkserver``); where there is no fork, it is a fresh
``python -c``, rather than a multiprocessing child: that would import the parent's main module again (``app.py``,
pytest, a notebook), and with it whatever that imports. It gets the parent's ``sys.path``, a limit on its address
space where the system has one, and a time; it sends its result as a pickle, of which the parent accepts only documents
and their errors.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.documents import forkserver
from app.documents.model import Document
from app.documents.parse import parse_file, preload
from app.errors import DocumentError, ParserFailed

TIMEOUT_S = 600.0
MEMORY_BYTES = 4 * 2**30

FORKS = hasattr(os, "fork")
_ALONE = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from app.documents import sandbox; sandbox.work(pickle.load(sys.stdin.buffer), __import__('os').dup(1))"
)
_MODULES = ("app.documents.model", "app.errors.documents")


def parse_in_process(
    path: Path,
    filename: str,
    *,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
    parse: Callable[..., Document] = parse_file,
    **arguments: Any,
) -> Document:
    """``parse(path, filename, **arguments)`` in a child of its own.

    parse: a module's function, found again in the child by its name. Raises what ``parse`` raises of DocumentError;
    a crash, too much time (seconds) or memory (bytes of address space, on Linux) and any other error are ParserFailed.
    """
    result = call(parse, path, filename, timeout_s=timeout_s, memory_bytes=memory_bytes, **arguments)
    if not isinstance(result, Document):
        raise ParserFailed(filename, str(result))
    return result


def call(
    function: Callable[..., Any],
    path: Path,
    filename: str,
    *,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
    **arguments: Any,
) -> Any:
    """``function(path, filename, **arguments)`` in a child of its own, found again there by its name.

    Raises as ``parse_in_process`` does. What comes back is a Document, or made of Python's own simple types.
    """
    request = {
        "path": str(path),
        "filename": filename,
        "module": function.__module__,
        "function": function.__qualname__,
        "arguments": arguments,
        "memory_bytes": memory_bytes,
        "cpu_seconds": math.ceil(timeout_s) + 5,
    }
    status, output, errors = forkserver.call(request, timeout_s) if FORKS else _alone(request, timeout_s)
    if status == forkserver.TIMED_OUT:
        raise ParserFailed(filename, f"reading it took longer than {timeout_s:g} seconds")
    if status != 0:
        raise ParserFailed(filename, _death(status, errors))
    try:
        result = _Results(io.BytesIO(output)).load()
    except Exception as error:
        raise ParserFailed(filename, f"the parser sent what cannot be read ({type(error).__name__})") from None
    if isinstance(result, DocumentError):
        raise result
    if isinstance(result, str):
        raise ParserFailed(filename, result)
    return result


def _alone(request: dict[str, Any], timeout_s: float) -> tuple[int, bytes, bytes]:
    """As ``forkserver.call``, by a Python of its own."""
    child = subprocess.Popen(
        [sys.executable, "-c", _ALONE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    with child:
        try:
            output, errors = child.communicate(pickle.dumps(sys.path) + pickle.dumps(request), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return forkserver.TIMED_OUT, b"", b""
        finally:
            # whatever ends the wait, Ctrl-C included, no child is left behind
            child.kill()
    return child.returncode, output, errors


def _death(code: int, errors: bytes) -> str:
    """Why a child ended without a result."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the parser crashed ({signal.Signals(-code).name})"
    last = errors.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
    return f"the parser crashed (exit status {code}{': ' + last if last else ''})"


class _Results(pickle.Unpickler):
    """Accepts documents, their parts and errors: a parser that was taken over cannot have other code run here."""

    def find_class(self, module: str, name: str) -> Any:
        if module not in _MODULES or not name.isidentifier() or not name[0].isupper():
            raise pickle.UnpicklingError(f"{module}.{name} is not accepted")
        return getattr(importlib.import_module(module), name)


def load(request: dict[str, Any]) -> None:
    """Import what a request will need: a forked child has it then."""
    importlib.import_module(request["module"])
    preload(request["filename"])


def work(request: dict[str, Any], answers: int) -> None:
    """The child: write the Document, the DocumentError or a reason (str) to the descriptor ``answers``, and end."""
    output = os.fdopen(answers, "wb")
    # what a parser prints must not end up in the result
    os.dup2(2, 1)
    _limit(request["memory_bytes"], request["cpu_seconds"])
    try:
        function = getattr(importlib.import_module(request["module"]), request["function"])
        answer = pickle.dumps(function(Path(request["path"]), request["filename"], **request["arguments"]))
    except MemoryError:
        answer = pickle.dumps(f"reading it needed more than {request['memory_bytes'] / 2**30:.1f} GB of memory")
    except DocumentError as error:
        answer = pickle.dumps(error)
    except Exception as error:
        answer = pickle.dumps(f"the parser failed ({type(error).__name__}: {error})")
    with output:
        output.write(answer)
    # the answer is out: a library that falls over while it is being unloaded spoils nothing
    os._exit(0)


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Bound what this process may take. The time of its processor is for a child whose parent was killed."""
    try:
        import resource
    except ImportError:  # Windows has no such limits: the timeout remains
        return
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, cpu_seconds)]
    if sys.platform == "linux":
        limits.append((resource.RLIMIT_AS, memory_bytes))
    for kind, wanted in limits:
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, hard))
