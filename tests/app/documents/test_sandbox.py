from __future__ import annotations

import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from app.documents import forkserver, parse_file, sandbox
from app.documents.model import Document
from app.documents.sandbox import _Results, parse_in_process
from app.errors import DocumentEmpty, DocumentEncrypted, ParserFailed
from tests.app.documents.pages import LONG, joined, prose

ROOT = Path(__file__).resolve().parents[3]
PARSERS = """
import ctypes, os, sys, time
from app.documents import parse_file
from app.errors import DocumentEncrypted

def aborts(path, filename):
    os.abort()

def reads_null(path, filename):
    ctypes.string_at(0)

def exits(path, filename):
    print("parser says goodbye", file=sys.stderr)
    sys.stderr.flush()
    os._exit(7)

def hangs(path, filename):
    time.sleep(600)

def devours(path, filename):
    return bytearray(16 * 2**30)

def raises(path, filename):
    raise RuntimeError("inner trouble")

def locked(path, filename):
    raise DocumentEncrypted(filename)

def chatters(path, filename):
    print("on stdout", flush=True)
    os.write(1, b"more")
    return parse_file(path, filename)

def tells_modules(path, filename):
    document = parse_file(path, filename)
    raise RuntimeError(",".join(sys.modules))

MARKS = []

def tells_process(path, filename):
    MARKS.append(1)
    raise RuntimeError(f"{os.getpid()} {os.getppid()} {len(MARKS)}")

def leaves_a_mark(path, filename):
    mark = path.parent / "half"
    mark.write_text(str(os.getpid()))
    mark.rename(path.parent / "pid")
    time.sleep(600)

class Evil:
    def __reduce__(self):
        return os.system, ("touch " + os.environ["EVIL_MARK"],)

def evil(path, filename):
    return Evil()

def wrong(path, filename):
    return 12
"""
Parse = Callable[[Path, str], Document]


@pytest.fixture
def parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Parse]:
    """A parser that misbehaves, by its name; its module is found by the child as it is here."""
    (tmp_path / "misbehaving.py").write_text(PARSERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "misbehaving", raising=False)
    import misbehaving

    # what is in the environment now, a server that began before does not see
    forkserver.end_idle()
    return lambda name: getattr(misbehaving, name)


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "stored-under-its-hash"
    path.write_text("A short note about a lamp.")
    return path


def test_it_gives_what_the_parser_gives(note: Path) -> None:
    assert parse_in_process(note, "note.txt") == parse_file(note, "note.txt")


def test_a_pdf_is_read_without_its_parser_in_this_process(make_pdf: Callable[..., Path]) -> None:
    path = make_pdf([prose(72, 100, LONG)])
    code = (
        "import sys; from pathlib import Path; from app.documents import parse_in_process; "
        f"print(parse_in_process(Path({str(path)!r}), 'x.pdf').text); "
        "loaded = {'pymupdf', 'lxml', 'torch', 'gradio', 'multiprocessing'} & set(sys.modules); assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, joined(LONG)), done.stderr


def test_the_child_loads_no_torch_and_no_gradio(parser: Callable[[str], Parse], make_pdf: Callable[..., Path]) -> None:
    with pytest.raises(ParserFailed) as caught:
        parse_in_process(make_pdf([prose(72, 100, LONG)]), "x.pdf", parse=parser("tells_modules"))
    modules = set(caught.value.reason.replace("(", ",").replace(")", ",").replace(" ", ",").split(","))
    assert "pymupdf" in modules
    assert not modules & {"torch", "gradio", "onnxruntime", "transformers", "sqlite_utils"}


def test_the_main_module_of_the_parent_is_not_run_again(tmp_path: Path, note: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        "from pathlib import Path\nprint('main runs')\nfrom app.documents import parse_in_process\n"
        f"print(parse_in_process(Path({str(note)!r}), 'note.txt').text)\n"  # no guard of __main__
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split("\n")[:2] == ["main runs", "A short note about a lamp."], done.stderr


def test_errors_of_documents_come_through(parser: Callable[[str], Parse], note: Path, tmp_path: Path) -> None:
    with pytest.raises(DocumentEncrypted) as caught:
        parse_in_process(note, "note.txt", parse=parser("locked"))
    assert caught.value.filename == "note.txt"
    (tmp_path / "empty").touch()
    with pytest.raises(DocumentEmpty):
        parse_in_process(tmp_path / "empty", "empty.txt")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("aborts", "SIGABRT"), ("reads_null", "SIGSEGV"), ("exits", "exit status 7: parser says goodbye")],
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals end processes on POSIX only")
def test_a_crash_is_a_failed_document(parser: Callable[[str], Parse], note: Path, name: str, reason: str) -> None:
    with pytest.raises(ParserFailed) as caught:
        parse_in_process(note, "note.txt", parse=parser(name))
    assert reason in caught.value.reason
    assert "note.txt" in str(caught.value)


def test_too_much_time(parser: Callable[[str], Parse], note: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ParserFailed, match=r"longer than 0\.5 seconds"):
        parse_in_process(note, "note.txt", timeout_s=0.5, parse=parser("hangs"))
    assert time.monotonic() - began < 20


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_too_much_memory(parser: Callable[[str], Parse], note: Path) -> None:
    with pytest.raises(ParserFailed, match=r"more than 0\.5 GB of memory"):
        parse_in_process(note, "note.txt", memory_bytes=2**29, parse=parser("devours"))


def test_any_other_error_is_told(parser: Callable[[str], Parse], note: Path) -> None:
    with pytest.raises(ParserFailed, match="RuntimeError: inner trouble"):
        parse_in_process(note, "note.txt", parse=parser("raises"))
    with pytest.raises(ParserFailed):
        parse_in_process(note, "note.txt", parse=parser("wrong"))


def test_what_a_parser_prints_does_not_spoil_the_result(parser: Callable[[str], Parse], note: Path) -> None:
    assert parse_in_process(note, "note.txt", parse=parser("chatters")).text == "A short note about a lamp."


def test_a_parser_that_was_taken_over_runs_nothing_here(
    parser: Callable[[str], Parse], note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setenv("EVIL_MARK", str(mark))
    with pytest.raises(ParserFailed, match="cannot be read"):
        parse_in_process(note, "note.txt", parse=parser("evil"))
    assert not mark.exists()


def test_a_fork_a_file_and_none_of_it_is_left(parser: Callable[[str], Parse], note: Path) -> None:
    with pytest.raises(ParserFailed) as first:
        parse_in_process(note, "note.txt", parse=parser("tells_process"))
    with pytest.raises(ParserFailed) as second:
        parse_in_process(note, "note.txt", parse=parser("tells_process"))
    # another process, of the same parent, and nothing that the first one left in its memory
    (pid, parent, marks), (other, same, none) = (re.findall(r"\d+", one.value.reason) for one in (first, second))
    assert pid != other and parent == same and (marks, none) == ("1", "1")


@pytest.mark.skipif(not sandbox.FORKS, reason="without a fork every file has a Python of its own anyway")
def test_a_server_that_ended_is_replaced(note: Path) -> None:
    parse_in_process(note, "note.txt")
    server = forkserver._idle[-1]
    server._process.kill()
    server._process.wait()
    assert parse_in_process(note, "note.txt").text == "A short note about a lamp."
    assert server not in forkserver._idle


def runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(not sandbox.FORKS, reason="there is no server without a fork")
def test_a_client_that_leaves_ends_the_child(parser: Callable[[str], Parse], note: Path, tmp_path: Path) -> None:
    parser("leaves_a_mark")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import misbehaving; from pathlib import Path; "
        "from app.documents import parse_in_process; "
        f"parse_in_process(Path({str(note)!r}), 'note.txt', parse=misbehaving.leaves_a_mark)"
    )
    client = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    mark = tmp_path / "pid"
    deadline = time.monotonic() + 30
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    client.kill()
    client.wait()
    child = int(mark.read_text())
    while runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_same_without_a_fork(parser: Callable[[str], Parse], note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "FORKS", False)
    assert parse_in_process(note, "note.txt", parse=parser("chatters")).text == "A short note about a lamp."
    for name, reason in (("exits", "status 7: parser says goodbye"), ("raises", "inner trouble")):
        with pytest.raises(ParserFailed, match=reason):
            parse_in_process(note, "note.txt", parse=parser(name))
    with pytest.raises(ParserFailed, match="longer than"):
        parse_in_process(note, "note.txt", timeout_s=0.5, parse=parser("hangs"))


def test_names_below_the_accepted_modules_are_refused() -> None:
    import io

    for module, name in (
        ("app.errors.documents", "Sequence.__init__"),
        ("app.errors.documents", "annotations"),
        ("builtins", "eval"),
    ):
        data = (
            b"\x80\x04\x8c"
            + bytes([len(module)])
            + module.encode()
            + b"\x8c"
            + bytes([len(name)])
            + name.encode()
            + b"\x93."
        )
        with pytest.raises(pickle.UnpicklingError):
            _Results(io.BytesIO(data)).load()
