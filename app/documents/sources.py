"""A web address or an arXiv number to a file: fetched once, when a person asks for it, and never anything beside it.

A machine that fetches what it is told can be sent to what only it can reach. So: http and https only; every address
that a name resolves to must be a public one; the connection goes to the very address that was checked, so that a name
cannot change its mind in between (DNS rebinding); every redirect passes the same checks; no proxy, no cookie, no
credentials.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from app.documents.formats import SUFFIXES
from app.documents.parse import FILE_LIMIT
from app.errors import SourceFailed, SourceRefused

REDIRECTS = 5
CONNECT_S = 15.0
READ_S = 30.0  # between two pieces
TOTAL_S = 600.0
LONGEST = 2_000  # characters of an address

_CHUNK = 64 * 1024
_ARXIV = re.compile(r"(?:arxiv:\s*|https?://(?:www\.|export\.)?arxiv\.org/(?:abs|pdf)/)", re.IGNORECASE)
_ARXIV_ID = re.compile(r"(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(v\d+)?(?:\.pdf)?/?", re.IGNORECASE)
_TYPES = {
    "application/pdf": ".pdf",
    "application/epub+zip": ".epub",
    "application/x-mobipocket-ebook": ".mobi",
    "application/vnd.amazon.ebook": ".azw3",
    "application/vnd.amazon.mobi8-ebook": ".azw3",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.comicbook+zip": ".cbz",
    "application/rtf": ".rtf",
    "text/rtf": ".rtf",
    "text/html": ".html",
    "application/xhtml+xml": ".xhtml",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/plain": ".txt",
}
# types that say nothing: then the name of the file does
_VAGUE = ("", "application/octet-stream", "binary/octet-stream", "application/zip", "application/force-download")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 behind NAT64

Resolve = Callable[[str, int], list[str]]
Allow = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file with the name it should be known by; ``arxiv``: its number, if it came from there."""

    path: Path
    filename: str
    address: str
    arxiv: str | None = None


def is_address(text: str) -> bool:
    """Whether this is no file's name but a web address or an arXiv number."""
    return bool(re.match(r"(?:https?://|arxiv:)", text.strip(), re.IGNORECASE))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet: not this machine, its network, a link or a group."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast and not found.is_reserved and not found.is_unspecified


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. Raises OSError."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def where(text: str) -> tuple[str, str | None]:
    """The address to fetch and the arXiv number it stands for. Raises SourceRefused."""
    text = text.strip()
    if found := _ARXIV.match(text):
        number = _ARXIV_ID.fullmatch(text[found.end() :].partition("#")[0].partition("?")[0])
        if number is not None:
            return f"https://arxiv.org/pdf/{number[1]}{number[2] or ''}", number[1].lower()
        if text[: found.end()].lower().startswith("arxiv:"):
            raise SourceRefused(text, "an arXiv number looks like arXiv:1706.03762")
    return text, None


@contextmanager
def fetch(
    text: str,
    folder: Path,
    *,
    resolve: Resolve = resolve,
    allow: Allow = is_public,
    limit: int = FILE_LIMIT,
    total_s: float = TOTAL_S,
    told: Callable[[int, int | None], None] | None = None,
    context: ssl.SSLContext | None = None,
) -> Iterator[Fetched]:
    """The file behind an address, in ``folder`` for as long as the block lasts.

    limit: bytes; told: called with bytes that came and bytes to come, None if nobody says. Raises SourceRefused for
    what is not fetched, SourceFailed for what cannot be.
    """
    address, arxiv = where(text)
    path = folder / f"source-{time.time_ns():x}"
    end = time.monotonic() + total_s
    try:
        with path.open("xb") as file:
            final, headers = _follow(address, file, resolve, allow, limit, end, told, context)
        name = f"arXiv {arxiv.replace('/', '-')}.pdf" if arxiv else _filename(final, headers, address)
        yield Fetched(path=path, filename=name, address=final, arxiv=arxiv)
    finally:
        path.unlink(missing_ok=True)


def _follow(
    address: str,
    file: IO[bytes],
    resolve: Resolve,
    allow: Allow,
    limit: int,
    end: float,
    told: Callable[[int, int | None], None] | None,
    context: ssl.SSLContext | None,
) -> tuple[str, Message]:
    first = address
    for _ in range(REDIRECTS + 1):
        connection, target = _connection(address, resolve, allow, context)
        try:
            connection.request("GET", target, headers=_HEADERS)
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308):
                onward = urljoin(address, response.headers.get("Location") or "")
                if urlsplit(address).scheme == "https" and urlsplit(onward).scheme == "http":
                    raise SourceRefused(first, "it leads from https to http")
                address = onward
                continue
            if response.status != 200:
                raise SourceFailed(first, f"the server answers {response.status} {response.reason}".strip())
            _suffix(address, response.headers, first)  # refused before it is fetched
            _copy(response, file, first, limit, end, told)
            return address, response.headers
        except (OSError, http.client.HTTPException) as error:
            raise SourceFailed(first, _reason(error)) from None
        finally:
            connection.close()
    raise SourceRefused(first, f"it leads on more than {REDIRECTS} times")


_HEADERS = {
    "User-Agent": "Lectern/0.1 (a reading assistant; fetches what its reader names)",
    "Accept": "application/pdf, application/epub+zip, text/html, text/plain, */*;q=0.5",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def _connection(
    address: str, resolve: Resolve, allow: Allow, context: ssl.SSLContext | None
) -> tuple[http.client.HTTPConnection, str]:
    """A connection to one checked address of the host, and what to ask it for."""
    if len(address) > LONGEST or any(character.isspace() or not character.isprintable() for character in address):
        raise SourceRefused(address[:100], "it is too long, or holds spaces")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
        # names of other scripts are asked for in ASCII
        host = host if ":" in host else host.encode("idna").decode()
    except (ValueError, UnicodeError):
        raise SourceRefused(address, "it is no address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SourceRefused(address, "only http and https are fetched")
    if parts.username is not None or parts.password is not None:
        raise SourceRefused(address, "it holds a name or a password")
    try:
        found = resolve(host, port)
    except (OSError, UnicodeError):
        raise SourceFailed(address, f"there is no {host}") from None
    # one that is not public makes all of them suspect
    if not found or not all(allow(one) for one in found):
        raise SourceRefused(address, f"{host} is not on the open internet")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(parts.query, safe='/?%:@!$&()*+,;=~-._')}" if parts.query else ""
    )
    if parts.scheme == "https":
        secure = context or ssl.create_default_context()
        return _Secure(host, port, found, secure), target
    return _Plain(host, port, found), target


class _Plain(http.client.HTTPConnection):
    """Connects to addresses that were checked; only its Host header knows the name."""

    def __init__(self, host: str, port: int, addresses: list[str]) -> None:
        super().__init__(host, port, timeout=CONNECT_S)
        self._addresses = addresses

    def connect(self) -> None:
        self.sock = _connected(self._addresses, self.port)


class _Secure(http.client.HTTPSConnection):
    def __init__(self, host: str, port: int, addresses: list[str], context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=CONNECT_S, context=context)
        self._addresses, self._secure = addresses, context

    def connect(self) -> None:
        plain = _connected(self._addresses, self.port)
        try:
            self.sock = self._secure.wrap_socket(plain, server_hostname=self.host)
        except OSError:
            plain.close()
            raise


def _connected(addresses: list[str], port: int) -> socket.socket:
    last: OSError = OSError("no address")
    for address in addresses[:4]:
        try:
            made = socket.create_connection((address, port), timeout=CONNECT_S)
            made.settimeout(READ_S)
            return made
        except OSError as error:
            last = error
    raise last


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    first: str,
    limit: int,
    end: float,
    told: Callable[[int, int | None], None] | None,
) -> None:
    if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
        raise SourceFailed(first, "the server packs what it was asked to send unpacked")
    whole = response.headers.get("Content-Length", "")
    expected = int(whole) if whole.isascii() and whole.isdigit() else None
    if expected is not None and expected > limit:
        raise SourceRefused(first, f"it has {expected / 2**20:,.0f} MB, more than the {limit / 2**20:,.0f} MB taken")
    size = 0
    while chunk := response.read(_CHUNK):
        size += len(chunk)
        if size > limit:
            raise SourceRefused(first, f"it has more than {limit / 2**20:,.0f} MB")
        if time.monotonic() > end:
            raise SourceFailed(first, "it takes too long")
        file.write(chunk)
        if told is not None:
            told(size, expected)
    if expected is not None and size < expected:
        raise SourceFailed(first, "it broke off before its end")


def _suffix(address: str, headers: Message, first: str) -> str:
    """The suffix by which the file is read: of its type, else of its name."""
    kind = headers.get_content_type() if headers.get("Content-Type") else ""
    named = PurePosixPath(_named(address, headers)).suffix.lower()
    if kind in _TYPES and not (kind == "text/plain" and named in SUFFIXES):
        return _TYPES[kind]
    if named in SUFFIXES and (kind in _VAGUE or kind == "text/plain" or kind not in _TYPES):
        return named
    raise SourceRefused(first, f"it is of a type that Lectern cannot read ({kind or 'unknown'})")


def _filename(address: str, headers: Message, first: str) -> str:
    suffix = _suffix(address, headers, first)
    stem = PurePosixPath(_named(address, headers)).name
    if PurePosixPath(stem).suffix.lower() in SUFFIXES:
        stem = PurePosixPath(stem).stem
    return (stem[:120].strip(" .") or (urlsplit(address).hostname or "page")) + suffix


def _named(address: str, headers: Message) -> str:
    """What the server calls the file, else the last part of its address; the last part of a path only."""
    given: Any = None
    with suppress(LookupError, ValueError, TypeError):
        given = headers.get_filename()
    name = str(given) if given else unquote(urlsplit(address).path)
    return PurePosixPath(name.replace("\\", "/")).name


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate cannot be trusted"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
