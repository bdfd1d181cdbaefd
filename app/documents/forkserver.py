"""A process that has the parsers loaded and forks a child for every file, so that a file costs a fork, not a Python.

A child has one file and limits of its own, and is gone with it: what a bad file does to its parser, the next file
never meets. The server itself never opens a file. It forks with a single thread, which is what makes forking safe.

Frames, lengths as 8 bytes: the client sends a pickled request; the server answers ACCEPTED at once, and at the end the
child's exit status (4 bytes, signed; -N: by signal N; TIMED_OUT), its output, and the end of what it said on stderr.
A client that closes its pipe has its child killed. For POSIX; ``sandbox`` starts a Python a file elsewhere.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

ACCEPTED = b"\x06"
TIMED_OUT = 256  # no exit status is above 255
IDLE_S = 60.0  # a server holds some 60 MB
_STDERR_BYTES = 4096
_CHUNK = 1 << 16
_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer.raw); "
    "from app.documents import forkserver; forkserver.serve()"
)


class ServerGone(Exception):
    """The server ended before it took the request: another one may take it."""


class Server:
    """The client's end: one request at a time."""

    def __init__(self) -> None:
        self.found_by = list(sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._send(pickle.dumps(self.found_by))

    def call(self, request: dict[str, Any], timeout_s: float) -> tuple[int, bytes, bytes]:
        """Exit status, output and the end of stderr of the child. Raises ServerGone."""
        try:
            data = pickle.dumps({**request, "timeout_s": timeout_s})
            self._send(struct.pack(">Q", len(data)) + data)
        except OSError:
            raise ServerGone from None
        if self._read(1) != ACCEPTED:
            raise ServerGone
        try:
            (status,) = struct.unpack(">i", self._read(4))
            output, errors = (self._read(struct.unpack(">Q", self._read(8))[0]) for _ in range(2))
        except struct.error:
            # it was killed with its child, most likely for memory
            code = self._process.wait()
            return (code if code < 0 else -signal.SIGKILL), b"", b""
        return status, output, errors

    def close(self) -> None:
        """End it, and the child that it may have."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    def __del__(self) -> None:
        # one that nobody asks any more ends when its pipe closes; it is not left to the system to find out
        with contextlib.suppress(AttributeError, OSError):
            if self._process.returncode is None:
                self.close()

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._stdin.write(view) :]

    def _read(self, size: int) -> bytes:
        """Fewer bytes where the server has ended."""
        parts, left = [], size
        while left:
            part = self._stdout.read(min(left, _CHUNK))
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


_idle: list[Server] = []
_lock = threading.Lock()


def call(request: dict[str, Any], timeout_s: float) -> tuple[int, bytes, bytes]:
    """As ``Server.call``, by a server that is idle or by a new one; any number of threads may call."""
    while True:
        with _lock:
            # one that would find other modules than this process does is left to end by itself
            server = next((one for one in reversed(_idle) if one.found_by == sys.path), None)
            if server is not None:
                _idle.remove(server)
        fresh = server is None
        server = server or Server()
        try:
            answer = server.call(request, timeout_s)
        except ServerGone:
            server.close()
            if fresh:
                # it cannot even start: no second one would
                return 1, b"", b"the parsers' process does not start"
            continue
        except BaseException:
            # whatever ends the wait, Ctrl-C included, no child is left behind
            server.close()
            raise
        with _lock:
            _idle.append(server)
        return answer


def end_idle() -> None:
    """End the servers that have nothing to do; they end by themselves a minute later."""
    with _lock:
        ending, _idle[:] = list(_idle), []
    for server in ending:
        server.close()


atexit.register(end_idle)
if hasattr(os, "register_at_fork"):
    # a forked child of ours must not talk to its parent's servers
    os.register_at_fork(after_in_child=_idle.clear)


def serve() -> None:
    """The server: take requests from stdin until it is closed, or nothing came for a minute."""
    from app.documents import sandbox

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    # what anything prints must not end up in an answer
    os.dup2(2, 1)
    while select.select([requests], [], [], IDLE_S)[0]:
        head = _exactly(requests, 8)
        data = _exactly(requests, struct.unpack(">Q", head)[0]) if len(head) == 8 else b""
        if not data:
            break
        request = pickle.loads(data)
        os.write(answers, ACCEPTED)
        # loaded once, here, for all that come after
        with contextlib.suppress(Exception):
            sandbox.load(request)
        found = _fork(request, requests, answers, sandbox.work)
        if found is None:
            break
        status, output, errors = found
        _all(answers, struct.pack(">iQ", status, len(output)) + output + struct.pack(">Q", len(errors)) + errors)
    os._exit(0)


def _fork(
    request: dict[str, Any], requests: int, answers: int, work: Callable[[dict[str, Any], int], None]
) -> tuple[int, bytes, bytes] | None:
    """Status, output and end of stderr of a child that does it; None: the client is gone."""
    told, tell = os.pipe()
    said, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for one in (told, said, requests, answers):
                os.close(one)
            os.dup2(say, 1)
            os.dup2(say, 2)
            os.close(say)
            # Ctrl-C ends a child, and so tells its client
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            work(request, tell)
        finally:
            os._exit(1)
    os.close(tell)
    os.close(say)
    output, errors = bytearray(), bytearray()
    deadline = time.monotonic() + request["timeout_s"]
    watched = [told, said, requests]
    try:
        while told in watched:
            left = deadline - time.monotonic()
            if left <= 0:
                _kill(child)
                return TIMED_OUT, b"", bytes(errors)
            for one in select.select(watched, [], [], left)[0]:
                data = os.read(one, _CHUNK)
                if one == requests:
                    # nobody sends a second request before the first is answered: this is the end
                    _kill(child)
                    return None
                if not data:
                    watched.remove(one)
                elif one == told:
                    output += data
                else:
                    errors[:] = (errors + data)[-_STDERR_BYTES:]
        status = _ended(child, deadline)
        if said in watched and select.select([said], [], [], 0)[0]:
            errors[:] = (errors + os.read(said, _CHUNK))[-_STDERR_BYTES:]
        return status, bytes(output), bytes(errors)
    finally:
        os.close(told)
        os.close(said)


def _ended(child: int, deadline: float) -> int:
    """The status of a child that has closed its end: it is over in a moment, or hangs while it falls over."""
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    _kill(child)
    return TIMED_OUT


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _exactly(descriptor: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        data = os.read(descriptor, min(_CHUNK, size - len(parts)))
        if not data:
            break
        parts += data
    return bytes(parts)


def _all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
