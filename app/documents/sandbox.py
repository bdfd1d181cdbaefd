"""A file to a Document in a fresh child process, so that a parser's crash is a refused file and nothing more.

The child is a plain ``python -c`` rather than a multiprocessing child: that would import the parent's main module
again (``app.py``, pytest, a notebook), and with it whatever that imports. It gets the parent's ``sys.path``, a limit on
its address space where the system has one, and a time; it sends its result as a pickle, of which the parent accepts
only documents and their errors.
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

from app.documents.model import Document
from app.documents.parse import parse_file
from app.errors import DocumentError, ParserFailed

TIMEOUT_S = 600.0
MEMORY_BYTES = 4 * 2**30

_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from app.documents import sandbox; sandbox.serve()"
)
_MODULES = ("app.documents.model", "app.errors.documents")


def parse_in_process(
    path: Path,
    filename: str,
    *,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
    parse: Callable[[Path, str], Document] = parse_file,
) -> Document:
    """``parse(path, filename)`` in a child of its own.

    parse: a module's function, found again in the child by its name. Raises what ``parse`` raises of DocumentError;
    a crash, too much time (seconds) or memory (bytes of address space, on Linux) and any other error are ParserFailed.
    """
    result = call(parse, path, filename, timeout_s=timeout_s, memory_bytes=memory_bytes)
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
    child = subprocess.Popen(
        [sys.executable, "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    with child:
        try:
            output, errors = child.communicate(pickle.dumps(sys.path) + pickle.dumps(request), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise ParserFailed(filename, f"reading it took longer than {timeout_s:g} seconds") from None
        finally:
            # whatever ends the wait, Ctrl-C included, no child is left behind
            child.kill()
    if child.returncode != 0:
        raise ParserFailed(filename, _death(child.returncode, errors))
    try:
        result = _Results(io.BytesIO(output)).load()
    except Exception as error:
        raise ParserFailed(filename, f"the parser sent what cannot be read ({type(error).__name__})") from None
    if isinstance(result, DocumentError):
        raise result
    if isinstance(result, str):
        raise ParserFailed(filename, result)
    return result


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


def serve() -> None:
    """The child: read a request from stdin, write the Document, the DocumentError or a reason (str) to stdout."""
    request = pickle.load(sys.stdin.buffer)
    # what a parser prints must not end up in the result
    output = os.fdopen(os.dup(1), "wb")
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
