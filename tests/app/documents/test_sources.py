from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.documents import sources
from app.errors import SourceFailed, SourceRefused

Answer = tuple[int, dict[str, str], bytes]
HTML = {"Content-Type": "text/html; charset=utf-8"}


class Site:
    """A server on this machine, under the name book.example. answers: path -> status, headers, body."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[http.server.BaseHTTPRequestHandler], None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, dict(self.headers)))
                answer = site.answers.get(self.path, (404, {}, b""))
                if callable(answer):
                    answer(self)
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path: str, host: str = "book.example") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


def here(host: str, port: int) -> list[str]:
    """Every name leads to this machine, those that say so by themselves keep their address."""
    return ["127.0.0.1"] if host.endswith(".example") else [host]


def only_example(address: str) -> bool:
    return address == "127.0.0.1"


def fetch(site: Site, address: str, folder: Path, **options: Any) -> tuple[str, bytes, str]:
    with sources.fetch(address, folder, **({"resolve": here, "allow": only_example} | options)) as found:
        told = found.filename, found.path.read_bytes(), found.address
    assert list(folder.iterdir()) == []
    return told


def test_a_page_is_fetched_once_and_nothing_beside_it(site: Site, tmp_path: Path) -> None:
    body = b"<title>T</title><img src=/picture.png><script src=/s.js></script><p>Words</p>"
    site.answers["/a%20book"] = (200, HTML, body)
    name, data, _ = fetch(site, site.url("/a%20book"), tmp_path)
    assert (name, data) == ("a book.html", body)
    assert [path for path, _ in site.asked] == ["/a%20book"]
    headers = site.asked[0][1]
    assert headers["Host"] == f"book.example:{site.port}"
    assert not {"Cookie", "Authorization", "Referer"} & set(headers)


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/paper", {"Content-Type": "application/pdf"}, "paper.pdf"),
        ("/x/book.epub", {"Content-Type": "application/octet-stream"}, "book.epub"),
        ("/download?id=3", {"Content-Type": "application/epub+zip", "Content-Disposition": 'attachment; filename="../../é.epub"'}, "é.epub"),
        ("/notes.md", {"Content-Type": "text/plain"}, "notes.md"),
        ("/", HTML, "book.example.html"),
    ],
)  # fmt: skip
def test_its_name_and_type(site: Site, tmp_path: Path, path: str, headers: dict[str, str], name: str) -> None:
    encoded = {key: value.encode("utf-8").decode("latin-1") for key, value in headers.items()}
    site.answers[path] = (200, encoded, b"x")
    found = fetch(site, site.url(path), tmp_path)[0]
    assert found.encode("latin-1", "ignore").decode("utf-8", "ignore") == name or found == name


@pytest.mark.parametrize("kind", ["image/png", "application/x-msdownload", "application/octet-stream"])
def test_what_lectern_cannot_read_is_not_fetched(site: Site, tmp_path: Path, kind: str) -> None:
    site.answers["/file"] = (200, {"Content-Type": kind}, b"x" * 100)
    with pytest.raises(SourceRefused, match="type"):
        fetch(site, site.url("/file"), tmp_path)


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd", "ftp://book.example/a.txt", "gopher://book.example", "http:///a", "http://user@book.example/",
        "http://user:secret@book.example/", "https://book.example:99999/", "http://[::1", "http://a b.example/", "x" * 3000,
        "http://book.example/a\r\nHost: other", "data:text/html,x", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_what_is_no_address(site: Site, tmp_path: Path, address: str) -> None:
    with pytest.raises(SourceRefused):
        fetch(site, address, tmp_path)
    assert site.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "not an address",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not sources.is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_that_are_public(address: str) -> None:
    assert sources.is_public(address)


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["1.1.1.1", "192.168.0.1"], []]
)
def test_a_name_that_leads_inside_is_refused(site: Site, tmp_path: Path, found: list[str]) -> None:
    with pytest.raises(SourceRefused, match="open internet"):
        fetch(site, site.url("/"), tmp_path, resolve=lambda host, port: found, allow=sources.is_public)
    assert site.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1", "[::1]"])
def test_every_way_to_write_this_machine(site: Site, tmp_path: Path, host: str) -> None:
    with pytest.raises((SourceRefused, SourceFailed)), sources.fetch(f"http://{host}:{site.port}/", tmp_path):
        pass
    assert site.asked == []


def test_a_name_is_asked_for_once_so_that_it_cannot_change_its_mind(site: Site, tmp_path: Path) -> None:
    site.answers["/"] = (200, HTML, b"<p>x")
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    assert (
        fetch(site, site.url("/", "rebinding.test"), tmp_path, resolve=lambda host, port: next(answers))[1] == b"<p>x"
    )
    assert next(answers) == ["10.0.0.1"], "the name was asked for again"


def test_redirects_pass_the_same_checks(site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = (302, {"Location": "/b"}, b"")
    site.answers["/b"] = (301, {"Location": site.url("/c", "other.example")}, b"")
    site.answers["/c"] = (200, HTML, b"<p>c")
    assert fetch(site, site.url("/a"), tmp_path)[1:] == (b"<p>c", site.url("/c", "other.example"))
    for inside in ("http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "//10.1.1.1/x"):
        site.answers["/a"] = (302, {"Location": inside}, b"")
        with pytest.raises(SourceRefused):
            fetch(site, site.url("/a"), tmp_path)


def test_a_ring_of_redirects(site: Site, tmp_path: Path) -> None:
    site.answers["/a"] = (302, {"Location": "/a"}, b"")
    with pytest.raises(SourceRefused, match="leads on"):
        fetch(site, site.url("/a"), tmp_path)
    assert len(site.asked) == sources.REDIRECTS + 1


def test_what_is_too_large(site: Site, tmp_path: Path) -> None:
    site.answers["/said"] = (200, HTML, b"x" * 3000)
    with pytest.raises(SourceRefused, match="MB"):
        fetch(site, site.url("/said"), tmp_path, limit=2000)

    def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.end_headers()
        for _ in range(10_000):
            try:
                handler.wfile.write(b"x" * 1000)
            except OSError:
                return

    site.answers["/unsaid"] = endless
    with pytest.raises(SourceRefused, match="more than"):
        fetch(site, site.url("/unsaid"), tmp_path, limit=100_000)


def test_what_breaks_off_or_is_slow(site: Site, tmp_path: Path) -> None:
    site.answers["/"] = (200, HTML | {"Content-Length": "500"}, b"x" * 100)
    with pytest.raises(SourceFailed):
        fetch(site, site.url("/"), tmp_path)

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.end_headers()
        for _ in range(100):
            try:
                handler.wfile.write(b"x" * 70_000)
                time.sleep(0.02)
            except OSError:
                return

    site.answers["/drip"] = drip
    with pytest.raises(SourceFailed, match="too long"):
        fetch(site, site.url("/drip"), tmp_path, total_s=0.2)


@pytest.mark.parametrize("status", [403, 404, 500, 206, 204])
def test_what_the_server_refuses(site: Site, tmp_path: Path, status: int) -> None:
    site.answers["/"] = (status, HTML, b"")
    with pytest.raises(SourceFailed, match=str(status)):
        fetch(site, site.url("/"), tmp_path)


def test_nobody_answers(site: Site, tmp_path: Path) -> None:
    site.server.shutdown()
    site.server.server_close()
    with pytest.raises(SourceFailed):
        fetch(site, site.url("/"), tmp_path)

    def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(SourceFailed, match=r"there is no book\.example"):
        fetch(site, site.url("/"), tmp_path, resolve=unknown)


@pytest.mark.parametrize(
    ("text", "address", "number"),
    [
        ("arXiv:1706.03762", "https://arxiv.org/pdf/1706.03762", "1706.03762"),
        ("arxiv: 1706.03762v5", "https://arxiv.org/pdf/1706.03762v5", "1706.03762"),
        ("https://arxiv.org/abs/1706.03762v1", "https://arxiv.org/pdf/1706.03762v1", "1706.03762"),
        ("http://www.arxiv.org/pdf/1706.03762.pdf", "https://arxiv.org/pdf/1706.03762", "1706.03762"),
        ("arXiv:hep-th/9901001", "https://arxiv.org/pdf/hep-th/9901001", "hep-th/9901001"),
        ("https://arxiv.org/list/cs.CL/new", "https://arxiv.org/list/cs.CL/new", None),
        ("https://example.org/arXiv:1", "https://example.org/arXiv:1", None),
    ],
)
def test_numbers_of_arxiv(text: str, address: str, number: str | None) -> None:
    assert sources.is_address(text)
    assert sources.where(text) == (address, number)


def test_what_is_no_number_of_arxiv() -> None:
    with pytest.raises(SourceRefused, match=r"1706\.03762"):
        sources.where("arxiv:../../x")


@pytest.mark.parametrize("name", ["book.txt", "/tmp/a.pdf", "C:\\a.pdf", "httpbook.txt", "arxiv.pdf"])
def test_names_of_files(name: str) -> None:
    assert not sources.is_address(name)
