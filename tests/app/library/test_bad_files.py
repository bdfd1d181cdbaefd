"""Files that mean harm or are beyond measure, taken in like any other: a clear error or a sound document, no request,
nothing outside the library."""

from __future__ import annotations

import socket
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from app.documents.mupdf import pymupdf
from app.documents.parse import parse_file
from app.errors import DocumentDamaged, DocumentError
from app.library.store import Library
from tests.app.documents import kindle
from tests.app.documents.conftest import CONTAINER, xhtml

HTML = "<h1>One</h1><p>Words &amp; more.</p>"
EVIL = (
    "<script>alert(1)</script><img src='http://127.0.0.1:9/x.png' onerror='alert(1)'><iframe src='file:///etc/passwd'>"
    "</iframe><object data='http://127.0.0.1:9/o'></object><link rel=stylesheet href='http://127.0.0.1:9/s.css'>"
    "<p onclick='alert(1)'>Plain words.</p><svg onload='alert(1)'><text>drawn</text></svg>"
)


@pytest.fixture(autouse=True)
def nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a request was sent, or a program started")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


def epub(path: Path, files: dict[str, str | bytes], href: str = "a.xhtml") -> Path:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>T'
        f'</dc:title></metadata><manifest><item id="a" href="{href}" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/></spine></package>'
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ({"META-INF/container.xml": CONTAINER, "OPS/package.opf": package} | files).items():
            archive.writestr(name, content)
    return path


def bomb_epub(path: Path) -> Path:
    return epub(path, {"OPS/a.xhtml": b"<html><body><p>" + b"a" * (400 * 2**20) + b"</p></body></html>"})


def climbing_epub(path: Path) -> Path:
    outside = {
        "../../../climbed.xhtml": xhtml(HTML),
        "/etc/climbed": "x",
        "OPS/../../up.xhtml": "x",
        "OPS/a.xhtml": xhtml(HTML),
    }
    return epub(path, outside)


def climbing_reference(path: Path) -> Path:
    return epub(path, {"OPS/a.xhtml": xhtml(HTML)}, href="../../../../etc/passwd")


def entities(path: Path) -> Path:
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    head = f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}<!ENTITY own SYSTEM "file:///etc/passwd">]>'
    return epub(path, {"OPS/a.xhtml": xhtml("<p>Words &l9; &own;</p>", head)})


def active_pdf(path: Path) -> Path:
    with pymupdf.open() as document:
        page = document.new_page()
        page.insert_text((72, 90), "A page of more than thirty letters, with a link and a script.")
        page.insert_link({"kind": pymupdf.LINK_LAUNCH, "from": page.rect, "file": "/etc/passwd"})
        page.insert_link({"kind": pymupdf.LINK_URI, "from": page.rect, "uri": "http://127.0.0.1:9/x"})
        action = document.get_new_xref()
        document.update_object(action, "<< /S /JavaScript /JS (app.launchURL\\('http://127.0.0.1:9/'\\)) >>")
        document.xref_set_key(document.pdf_catalog(), "OpenAction", f"{action} 0 R")
        document.save(path)
    return path


def html(path: Path) -> Path:
    path.write_text(f"<title>{EVIL}</title>{EVIL}")
    return path


def evil_epub(path: Path) -> Path:
    return epub(path, {"OPS/a.xhtml": xhtml(EVIL)})


def mobi(path: Path) -> Path:
    return kindle.mobi(path, f"<html><body>{EVIL}</body></html>".encode(), title=EVIL[:90])


def markdown(path: Path) -> Path:
    path.write_text(f"# ${{alert(1)}} {{{{x}}}}\n\n{EVIL}\n\n![p](http://127.0.0.1:9/p.png) [l](javascript:alert(1))\n")
    return path


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


CASES: list[tuple[Callable[[Path], Path], str, bool]] = [
    (bomb_epub, "bomb.epub", False),
    (climbing_epub, "climbing.epub", True),
    (climbing_reference, "reference.epub", False),
    (entities, "entities.epub", True),
    (active_pdf, "active.pdf", True),
    (html, "page.html", True),
    (evil_epub, "evil.epub", True),
    (mobi, "evil.mobi", True),
    (markdown, "evil.md", True),
]


@pytest.mark.parametrize(("make", "name", "taken"), CASES, ids=[name for _, name, _ in CASES])
def test_it_is_refused_or_read_and_harms_nothing(
    tmp_path: Path, make: Callable[[Path], Path], name: str, taken: bool
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = make(outside / name)
    home = outside / "home"
    before = tree(outside)
    with Library(home, parse=parse_file) as library:
        owner = library.owner()
        if taken:
            record = library.add_document(owner, path, name).document
            text = library.text(record.text_sha256)
            assert "root:" not in text and "haha" not in text
            # what would run in a page stands in the text as words, or not at all
            assert "drawn" not in text or name.endswith(".md")
        else:
            with pytest.raises(DocumentError) as caught:
                library.add_document(owner, path, name)
            assert name in str(caught.value)
            assert library.documents(owner) == []
        assert library.check() == []
        assert list(library.files.incoming.iterdir()) == []
    assert {one for one in tree(outside) if not one.startswith("home")} == before


@pytest.mark.parametrize(
    "name",
    [
        "../../../climbed.txt", "..\\..\\climbed.txt", "/etc/climbed.txt", "C:\\Windows\\climbed.txt", "a\nb\r\n.txt",
        "\x1b[31mred\x1b[0m.txt", "红" * 85 + ".txt", "红楼梦" * 85 + ".txt", "a" * 4000 + ".txt", "con.txt", ".txt.txt",
        "\u202etxt.exe.txt", "x\0y.txt", "\ud800.txt", "<script>alert(1)</script>.txt", "${alert(1)}.txt", "  .txt",
    ],
    ids=range(17),
)  # fmt: skip
def test_a_name_is_a_name(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    source = outside / "source"
    source.write_text("A book of a few words.\n")
    with Library(outside / "home", parse=parse_file) as library:
        owner = library.owner()
        try:
            record = library.add_document(owner, source, name).document
        except DocumentError as error:
            assert str(error)
        else:
            assert "/" not in record.filename and "\\" not in record.filename and "\n" not in record.filename
            assert len(record.filename) <= 255 and record.title.strip()
            stored = library.file_path(record)
            assert stored.is_relative_to(library.files.root) and stored.name == f"{record.sha256}.txt"
        assert library.refuse(owner, name, "no").filename.isprintable()
    assert {path.name for path in outside.iterdir()} == {"source", "home"}


def many_pages(path: Path, count: int) -> Path:
    """A PDF of so many pages, each with a line; written by hand, as PyMuPDF takes minutes for it."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for number in range(1, count + 1):
        content = f"BT /F 12 Tf 72 700 Td (The words of more than thirty letters on page {number}.) Tj ET"
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
        kids.append(len(objects) + 1)
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F 3 0 R >> >> "
            f"/Contents {len(objects)} 0 R >>"
        )
    objects[1] = f"<< /Type /Pages /Count {count} /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] >>"
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += f"trailer << /Root 1 0 R /Size {len(objects) + 1} >>\nstartxref\n{table}\n%%EOF\n".encode()
    path.write_bytes(bytes(out))
    return path


@pytest.mark.slow
def test_a_pdf_of_20000_pages(tmp_path: Path) -> None:
    document = parse_file(many_pages(tmp_path / "many.pdf", 20_000), "many.pdf")
    document.check()
    assert len(document.pages) == 20_000
    last = document.pages[-1]
    assert "on page 20000." in document.text[last.start : last.end]


def test_a_pdf_that_claims_more_pages_than_it_has(tmp_path: Path) -> None:
    path = many_pages(tmp_path / "many.pdf", 3)
    path.write_bytes(path.read_bytes().replace(b"/Count 3", b"/Count 2000000000"))
    try:
        document = parse_file(path, "many.pdf")
    except DocumentDamaged:
        return
    assert len(document.pages) == 3
