"""The command line: argv -> settings -> a command of ``commands``, and its exit status.

0 done · 1 refused or failed, the reason on stderr · 2 wrong usage · 130 interrupted. Imports nothing heavy: the
processes that Lectern starts import its main module again.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from app.errors import LecternError, SettingInvalid
from app.making_options import making_commands
from engine.errors import EngineError

if TYPE_CHECKING:
    from app.settings import Settings

LOG_BYTES = 2**20
LOG_FILES = 3
# of `refine`: what engine.sparsity.refine can measure
LEAST_TOKENS, LEAST_KEYS = 3072, 128
INTERRUPTED = 130
TERMINATED = 143

SAMPLING = {
    "temperature": (float, "0 always takes the likeliest word; default 0.7"),
    "top_p": (float, "choose among the likeliest words that make up this share; 1 is off"),
    "top_k": (int, "choose among so many words; 0 is off"),
    "min_p": (float, "leave out words less likely than this share of the likeliest; 0 is off"),
    "repetition_penalty": (float, "above 1 makes words that were said less likely"),
    "max_tokens": (int, "the longest answer, in tokens"),
    "seed": (int, "the same seed gives the same answer"),
}


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends what a Ctrl-C would end, with an exit status of its own."""


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a book's title must not end the program on a terminal that cannot show it
            stream.reconfigure(errors="replace")
    try:
        with _sigterm():
            return _run(options)
    except SettingInvalid as error:
        _parser().error(str(error))
    except (LecternError, EngineError) as error:
        return _fail(str(error))
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has gone: nothing is left to say, not even when the interpreter flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def _run(options: argparse.Namespace) -> int:
    # imported late: a wrong option is told at once
    from app import commands
    from app.settings import Settings

    given = {name: getattr(options, name, None) for name in ("home", "model", "host", "port")}
    settings = Settings.load({name: value for name, value in given.items() if value is not None})
    _log_to_file(settings)
    return commands.COMMANDS[options.command or "serve"](settings, options)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Exits with 2, and says why, where the arguments make no sense."""
    parser = _parser()
    options = parser.parse_args(_spread_documents(arguments))
    options.json = getattr(options, "json", False)
    _check(parser, options)
    return options


def _parser() -> argparse.ArgumentParser:
    # the same options before and after the command: a default of either must not overwrite what the other was given
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--json", action="store_true", help="print one value as JSON on one line, last on stdout")
    common.add_argument("--home", metavar="DIR", help="where everything is stored (LECTERN_HOME)")
    common.add_argument(
        "--model", metavar="NAME", help="a model of `lectern model`, a folder or a hub id (LECTERN_MODEL)"
    )
    parser = argparse.ArgumentParser(
        prog="lectern",
        description="A reading assistant that reads whole books with you.",
        parents=[common],
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, help: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=help, parents=[common], allow_abbrev=False)

    serve = command("serve", "Serve the page in a browser (the default).")
    serve.add_argument("--host", help="address to listen on (LECTERN_HOST)")
    serve.add_argument("--port", help="port to listen on (LECTERN_PORT)")
    add = command("add", "Put files, or what stands at an address, on the shelf; they wait to be read.")
    add.add_argument("files", nargs="+", metavar="FILE|URL|arXiv:ID", help="a file, a web address, an arXiv number")
    add.add_argument(
        "--encoding", metavar="NAME", help="of text files whose content tells the wrong one: gb18030, big5, …"
    )
    command("list", "List the shelf.")
    edit = command("edit", "Correct what the shelf says of a document; nothing is read again.")
    edit.add_argument("document", metavar="DOC", type=_id)
    edit.add_argument("--title", type=_said)
    edit.add_argument("--newer", metavar="DOC", type=_id, help="its later state, another document: takes its place")
    edit.add_argument("--author", action="append", dest="authors", metavar="NAME", type=_said, help="can be repeated")
    edit.add_argument("--year", type=_year, help="of publication")
    edit.add_argument("--language", type=_language, metavar="CODE", help="such as en or zh")
    edit.add_argument(
        "--identifier",
        action="append",
        dest="identifiers",
        metavar="ID",
        type=_identifier,
        help="an ISBN, DOI or arXiv id",
    )
    edit.add_argument(
        "--encoding", metavar="NAME", help="read a text file again in this encoding: a new document takes its place"
    )
    read = command("read", "Read documents now, all that are not read yet if none is named.")
    read.add_argument("documents", nargs="*", metavar="DOC", type=_id)
    ask = command("ask", "Ask about documents, or go on with a conversation.")
    ask.add_argument("question")
    ask.add_argument(
        "--doc", action="append", metavar="DOC", dest="documents", type=_id, help="one or several ids of `lectern list`"
    )
    ask.add_argument("--thread", metavar="ID", type=_id, help="go on with this conversation")
    ask.add_argument(
        "--upto",
        action="append",
        metavar="PLACE",
        type=_said,
        help="answer only from the text before this chapter, offset or share (40%%); of several documents DOC:PLACE",
    )
    ask.add_argument(
        "--mode",
        choices=["whole", "reread", "auto"],
        default="auto",
        help="answer from the whole text, from passages found in it, or (the default) from passages where the whole is "
        "more than the model was trained on",
    )
    ask.add_argument(
        "--quick",
        action="store_true",
        default=None,
        help="take each document as it was read alone; nothing is read again, but they have not seen one another",
    )
    for name, (kind, text) in SAMPLING.items():
        metavar = "N" if kind is int else "X"
        ask.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, type=kind, help=text)
    ask.add_argument("--stop", action="append", metavar="TEXT", help="end the answer before this text; can be repeated")
    threads = command("threads", "List the conversations, or show one.")
    threads.add_argument("thread", nargs="?", metavar="ID", type=_id)
    _library_commands(command)
    making_commands(command, _id, _said)
    _note_commands(command)
    command("model", "Say which model answers, and what fits this machine.")
    refine = command("refine", "Measure how many keys each head of the model needs, and have it read with those.")
    refine.add_argument("--text", required=True, metavar="FILE", type=Path, help="a long text like those to be read")
    refine.add_argument("--tokens", type=int, default=16384, metavar="N", help="how much of it; default 16384")
    refine.add_argument("--average", type=int, default=1600, metavar="N", help="keys a head on average; default 1600")
    calibrate = command("calibrate", "Find the heads of the model that look for what a question asks.")
    calibrate.add_argument(
        "--questions",
        required=True,
        metavar="FILE",
        type=Path,
        help='JSON: [{"document": id, "question": text, "anchors": [words of the place that answers it]}, …]',
    )
    readings = command("readings", "List what is kept of all that was read; pin it, check it, make it smaller.")
    readings.add_argument("action", nargs="?", choices=["list", "pin", "unpin", "check", "compact"], default="list")
    readings.add_argument("documents", nargs="*", metavar="DOC", type=_id, help="of `pin`: never evict these")
    readings.add_argument("--repair", action="store_true", help="remove what is bad, so that it is read again")
    return parser


def _note_commands(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    notes = command("notes", "List notes and highlights.")
    notes.add_argument("document", nargs="?", metavar="DOC", type=_id)
    export = command("export-notes", "Write notes and highlights as Markdown, for Word, as CSV for Anki, or as JSON.")
    export.add_argument("documents", nargs="*", metavar="DOC", type=_id)
    export.add_argument("--format", choices=["md", "docx", "anki", "json"], default="md", help="default md")
    export.add_argument("--out", metavar="FILE", type=Path, help="default: stdout")
    upto = command("upto", "Say up to where you have read a document: nothing behind that is told.")
    upto.add_argument("document", metavar="DOC", type=_id)
    upto.add_argument("place", nargs="?", metavar="PLACE", type=_said, help="a chapter, an offset or a share (40%%)")
    upto.add_argument("--clear", action="store_true", help="all of it may be told again")


def _library_commands(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    chapters = command("chapters", "Show the chapters of a document, correct them, choose which are read.")
    chapters.add_argument("document", metavar="DOC", type=_id)
    chapters.add_argument("--set", metavar="FILE", help="a list as --json prints it; - reads stdin")
    chapters.add_argument("--rename", action="append", metavar="N=TITLE", help="can be repeated")
    chapters.add_argument("--leave-out", action="extend", nargs="+", metavar="N", type=_id, help="do not read these")
    chapters.add_argument("--include", action="extend", nargs="+", metavar="N", type=_id, help="read these")
    chapters.add_argument("--drop", action="extend", nargs="+", metavar="N", type=_id, help="these are no chapters")
    chapters.add_argument("--reset", action="store_true", help="as they were found")
    search = command("search", "Find words in the full text of the shelf, and count them.")
    search.add_argument("query")
    search.add_argument("--doc", action="append", metavar="DOC", dest="documents", type=_id, help="only in these")
    search.add_argument("--limit", type=_id, default=20, metavar="N", help="places shown at most; default 20")
    export = command("export", "Write a conversation to a file.")
    export.add_argument("thread", metavar="THREAD", type=_id)
    export.add_argument(
        "--format", choices=["md", "docx", "json", "svg", "png"], default="md", help="svg, png: where answers looked"
    )
    export.add_argument("--output", metavar="FILE", help="instead of one named after the conversation; - is stdout")
    tag = command("tag", "Put documents into collections, and take them out.")
    tag.add_argument("documents", nargs="+", metavar="DOC", type=_id)
    tag.add_argument("--add", action="append", metavar="NAME", help="can be repeated")
    tag.add_argument("--remove", action="append", metavar="NAME", help="can be repeated")
    remove = command("remove", "Take documents from the shelf; for 30 days they can be brought back.")
    remove.add_argument("documents", nargs="+", metavar="DOC", type=_id)
    restored = command("restore-document", "Bring removed documents back; list them if none is named.")
    restored.add_argument("documents", nargs="*", metavar="DOC", type=_id)
    backup = command("backup", "Write the library, without what was read, to one file; others may go on using it.")
    backup.add_argument("file", metavar="FILE", type=Path)
    restore = command("restore", "Make an empty home of a backup.")
    restore.add_argument("file", metavar="FILE", type=Path)
    folder = command("import", "Put every file of a known type below a folder on the shelf.")
    folder.add_argument("folder", metavar="DIR", type=Path)
    folder.add_argument("--workers", metavar="N", type=_id, help="files parsed at a time; default one a core")
    folder.add_argument("--again", action="store_true", help="try those once more that were refused before")


def _id(text: str) -> int:
    number = int(text)
    # what a row's id can be
    if not 0 < number < 2**63:
        raise ValueError
    return number


_id.__name__ = "id"


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


_said.__name__ = "text"


def _year(text: str) -> int:
    year = int(text)
    if not 1 <= year <= 2199:
        raise ValueError
    return year


_year.__name__ = "year"


def _language(text: str) -> str:
    from app.documents.language import from_tag

    if (code := from_tag(text)) is None:
        raise ValueError
    return code


_language.__name__ = "language"


def _identifier(text: str) -> str:
    from app.documents.metadata import named

    found = named([text])
    if len(found) != 1:
        raise ValueError
    return found[0]


_identifier.__name__ = "identifier"


def _spread_documents(arguments: Sequence[str]) -> list[str]:
    """``--doc 1 2 "question"`` as ``--doc 1 --doc 2 "question"``: a list of ids ends where the numbers end."""
    spread: list[str] = []
    ids = False
    for place, argument in enumerate(arguments):
        if argument == "--":
            return [*spread, *arguments[place:]]
        number = argument.isascii() and argument.isdigit()
        if ids and number and spread[-1] != "--doc":
            spread.append("--doc")
        ids = argument == "--doc" or argument.startswith("--doc=") or (ids and number)
        spread.append(argument)
    return spread


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What argparse cannot say: exits with 2."""
    if options.command == "refine" and (options.tokens < LEAST_TOKENS or options.average < LEAST_KEYS):
        parser.error(f"--tokens must be at least {LEAST_TOKENS}, --average at least {LEAST_KEYS}")
    given = ("title", "authors", "year", "language", "identifiers", "encoding", "newer")
    if options.command == "edit" and not any(getattr(options, name) for name in given):
        parser.error("say what to correct: --title, --author, --year, --language, --identifier, --encoding or --newer")
    if options.command == "readings" and (options.action in ("pin", "unpin")) != bool(options.documents):
        parser.error("`readings pin` and `readings unpin` take the ids of documents, the others none")
    if options.command == "readings" and options.repair and options.action != "check":
        parser.error("--repair goes with `readings check`")
    if options.command == "make" and sum(map(bool, (options.template, options.go_on, options.again))) != 1:
        parser.error("say what to make: a TEMPLATE with --doc, --go-on ID or --again ID")
    if options.command == "templates" and (options.copy or options.remove) and not options.template:
        parser.error("--copy and --remove need a TEMPLATE")
    if options.command != "ask":
        return
    if options.documents is None and options.thread is None:
        parser.error("ask about documents (--doc) or go on with a conversation (--thread)")
    if options.documents is not None and options.thread is not None:
        parser.error("a conversation keeps its documents: give --doc or --thread, not both")
    try:
        sampling(options)
    except ValueError as error:
        parser.error(str(error))


def sampling(options: argparse.Namespace) -> Any:
    """The engine's ``Sampling`` of the options given. Raises ValueError."""
    from engine.protocol import Sampling

    given = {name: getattr(options, name) for name in SAMPLING if getattr(options, name) is not None}
    return Sampling(**given, stop=tuple(text for text in options.stop or () if text))


def _fail(reason: str) -> int:
    print(f"lectern: {reason}", file=sys.stderr)
    return 1


class _sigterm:
    """Within, SIGTERM raises Terminated."""

    def __enter__(self) -> None:
        try:
            self._before: Any = signal.signal(signal.SIGTERM, self._raise)
        except ValueError:  # not the main thread
            self._before = None

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    @staticmethod
    def _raise(*_: object) -> NoReturn:
        raise Terminated


def _log_to_file(settings: Settings) -> None:
    """To the home only, and only what our own parts say: never a text, a question or an answer."""
    settings.logs.mkdir(mode=0o700, exist_ok=True)
    handler = RotatingFileHandler(
        settings.logs / "lectern.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    # a full disk must not stop a reading
    logging.raiseExceptions = False
    for name in ("app", "engine"):
        logger = logging.getLogger(name)
        logger.setLevel(settings.log_level.upper())
        for old in logger.handlers:
            old.close()
        logger.handlers = [handler]
        logger.propagate = False


if __name__ == "__main__":
    sys.exit(main())
