"""Feeds each parser's entry with broken files, guided by coverage: ``python -m tests.bench.fuzz [FORMAT…]``.

    --seconds 600      for each format, in a process of its own
    --file-seconds 60  for one file; more on a busy machine, as they are told by the clock

A file must become a sound Document or a DocumentError; anything else (another exception, a crash, too much time for
one file, 4 GB) is a finding. Appends a row for each format: files tried, edges covered, what was found. Needs atheris,
which is no dependency: ``pip install "lectern[fuzz]"``.

ZIP formats are fuzzed inside: the bytes are cut into the files of the archive, or else their checksums would refuse
nearly everything. One file in eight is taken as it is.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from app.documents.formats import FORMATS
from tests.bench import rows

SUFFIX = {info.format: info.suffixes[0] for info in FORMATS}
SHARED = rows.ROOT.parent / "shared"
CUT = b"\xff\x00CUT\x00\xff"  # between the files of an archive
LONGEST = 20_000  # bytes of a file
NAMES = {
    "epub": ("META-INF/container.xml", "OPS/package.opf", "OPS/nav.xhtml", "OPS/toc.ncx", "OPS/a.xhtml"),
    "docx": ("word/document.xml", "word/styles.xml", "word/footnotes.xml", "docProps/core.xml"),
    "odt": ("content.xml", "styles.xml", "meta.xml"),
    "xlsx": (
        "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/sharedStrings.xml", "xl/styles.xml",
        "xl/worksheets/sheet1.xml", "docProps/core.xml",
    ),
    "cbz": ("1.png", "2.jpg"),
}  # fmt: skip


def file_of(format: str, data: bytes) -> bytes:
    """The file that a run of bytes stands for."""
    names = NAMES.get(format)
    if names is None or (data[:1] or b"\0")[0] % 8 == 0:
        return data[1:] if names else data
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, part in zip(names, data[1:].split(CUT), strict=False):
            archive.writestr(name, part)
    return stream.getvalue()


def parse(format: str, data: bytes, folder: Path) -> None:
    """What is tested: a Document or a DocumentError, and nothing else."""
    from app.documents import parse_file, scans
    from app.errors import DocumentError

    path = folder / "file"
    path.write_bytes(file_of(format, data))
    name = "file" + SUFFIX[format]  # type: ignore[index]
    with contextlib.suppress(DocumentError):
        document = parse_file(path, name)
        document.check()
        document.text.encode()
    if format == "cbz":
        with contextlib.suppress(DocumentError):
            count = min(scans.count(path, name), 20)
            scans.assemble(path, name, scans.look(path, name, range(1, count + 1), ("eng",)))


def seeds(format: str) -> list[bytes]:
    """The beginnings of real files of this format, and small whole ones."""
    found = [b"\x01"]
    for path in sorted(SHARED.glob("*/*")):
        if path.suffix in next(info.suffixes for info in FORMATS if info.format == format):
            found.append(path.read_bytes()[:LONGEST])
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    parts = [archive.read(n)[:4000] for n in archive.namelist() if n.endswith(("ml", "opf", "ncx"))]
                found.append(b"\x01" + CUT.join(parts[:5]))
    return found + [data for make in _SMALL.get(format, ()) for data in make()]


def _kindle() -> list[bytes]:
    from tests.app.documents import kindle

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        text = b"<html><body><h1>One</h1><p>light &amp; more light</p></body></html>"
        shell = [(b"S", [(1, (1,)), (6, (0, 12))])]
        piece = [(b"0", [(6, (0, 40))])]
        phrases = [(b"<p>light</p>", True), (bytes((255, 255)), False)]
        return [
            kindle.mobi(path, text, compression=1, contents=[("One", 1, [12]), ("Two", 1, [30])]).read_bytes(),
            kindle.mobi(path, text, compression=2, trailing=b"?\x82", record_size=20).read_bytes(),
            kindle.mobi(path, b"\xff\xfe", compression=17480, codes=kindle.huffman(phrases)).read_bytes(),
            kindle.mobi(
                path, text, version=8, contents=[("One", 6, [0, 3])], skeletons=shell, fragments=piece
            ).read_bytes(),
        ]


def _pdf() -> list[bytes]:
    from app.documents.mupdf import pymupdf

    with pymupdf.open() as document:
        for n in range(2):
            page = document.new_page()
            page.insert_text((72, 90), f"Chapter {n + 1}\nIt was a lamp of more than thirty letters.")
        document.set_toc([[1, "One", 1], [1, "Two", 2]])
        return [document.tobytes(), document.tobytes(deflate=True, garbage=4)]


def _markup() -> list[bytes]:
    from tests.app.documents import conftest

    opf = (
        b'<package><metadata><title>T</title></metadata><manifest><item id="a" href="a.xhtml" '
        b'media-type="application/xhtml+xml"/><item id="n" href="nav.xhtml" properties="nav"/></manifest>'
        b'<spine><itemref idref="a"/></spine></package>'
    )
    nav = b'<html xmlns:epub="http://www.idpf.org/2007/ops"><nav epub:type="toc"><ol><li><a href="a.xhtml#x">A</a></li></ol></nav></html>'
    return [
        b"\x01" + CUT.join((conftest.CONTAINER.encode(), opf, nav, b"", b"<html><h1 id='x'>A</h1><p>b&amp;</p></html>"))
    ]


def _png() -> list[bytes]:
    from app.documents.mupdf import pymupdf

    shown = pymupdf.Pixmap(pymupdf.csGRAY, pymupdf.IRect(0, 0, 8, 8))
    shown.clear_with(200)
    return [b"\x01" + CUT.join((shown.tobytes("png"), shown.tobytes("jpeg")))]


_W = b'<w:document xmlns:w="w"><w:body><w:p><w:pPr><w:pStyle w:val="1"/></w:pPr><w:r><w:t>A</w:t></w:r></w:p></w:body></w:document>'
_SMALL: dict[str, tuple[Callable[[], list[bytes]], ...]] = {
    "mobi": (_kindle,),
    "pdf": (_pdf,),
    "epub": (_markup,),
    "cbz": (_png,),
    "docx": (lambda: [b"\x01" + CUT.join((_W, b"<styles/>", b"<footnotes/>", b"<core><title>t</title></core>"))],),
    "odt": (
        lambda: [
            b"\x01"
            + CUT.join((b'<d><text><h text:outline-level="1" xmlns:text="t">A</h><p>b<s/>c</p></text></d>', b"<s/>"))
        ],
    ),
    "xlsx": (
        lambda: [
            b"\x01"
            + CUT.join(
                (
                    b'<workbook><sheets><sheet name="S" r:id="r0" xmlns:r="r"/></sheets></workbook>',
                    b'<R><Relationship Id="r0" Target="worksheets/sheet1.xml"/></R>',
                    b"<sst><si><t>x</t></si></sst>",
                    b'<styleSheet><cellXfs><xf numFmtId="14"/></cellXfs></styleSheet>',
                    b'<worksheet><sheetData><row><c r="A1" t="s"><v>0</v></c><c r="B1" s="0"><v>1</v></c></row></sheetData></worksheet>',
                )
            )
        ],
    ),
    "rtf": (lambda: [rb"{\rtf1\ansi\ansicpg1252{\info{\title T}}{\pard\s1 One\par}{\pard \'e9 \u233? two\par}}"],),
    "fb2": (
        lambda: [
            b"<FictionBook><description><title-info><book-title>T</book-title><author><last-name>A</last-name></author>"
            b"</title-info></description><body><section><title><p>One</p></title><p>b</p></section></body></FictionBook>"
        ],
    ),
    "csv": (lambda: [b"City,Inhabitants\nParis,2\nRome,3\n", 'a;b\n"x\ny";\u6f22\n'.encode("gb18030")],),
    "md": (lambda: [b"# One\n\nText *a* [b](c)\n\n## Two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx\n```\n"],),
    "html": (lambda: [b"<meta charset=gbk><title>T</title><h1>One</h1><p>a<o:p>b</o:p><table><tr><td>1<td>2</table>"],),
}


def fuzz(format: str, seconds: int, file_seconds: int, folder: Path) -> None:
    """The child: never returns."""
    import atheris

    with atheris.instrument_imports(include=["app.documents"]):
        from app.documents import ocr, parse_file  # noqa: F401

        for module in ("pdf", "scans", "mobi", "epub", "docx", "odt", "rtf", "fb2", "tables", "plain", "html"):
            __import__(f"app.documents.{module}")
    # the recognizer is another program's: what is tested is how its pictures are made
    ocr.languages = lambda: ("eng",)  # type: ignore[assignment]
    ocr.lines = lambda picture, names: []  # type: ignore[assignment]
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds(format)):
        (corpus / f"{number:03}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}", f"-timeout={file_seconds}", "-rss_limit_mb=4096", f"-max_len={LONGEST * 2}",
        "-print_final_stats=1", f"-artifact_prefix={folder}/", "-verbosity=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: parse(format, data, folder))
    atheris.Fuzz()


def run(format: str, seconds: int, file_seconds: int, keep: Path | None) -> dict[str, object]:
    """One row."""
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.bench.fuzz", format, "--inside", name]
        command += ["--seconds", str(seconds), "--file-seconds", str(file_seconds)]
        told = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=rows.ROOT).stderr
        took = time.monotonic() - began
        found = [path for path in Path(name).iterdir() if re.match("crash-|timeout-|oom-|leak-|slow-unit-", path.name)]
        bad = [path for path in found if not path.name.startswith("slow-unit-")]
        if keep is not None:
            for path in found:
                (keep / f"{format}-{path.name}").write_bytes(path.read_bytes())
    executed = re.search(r"number_of_executed_units: (\d+)", told)
    edges = re.findall(r"cov: (\d+)", told)
    last = [line for line in told.splitlines() if line.strip()]
    reason = next((line for line in last if re.match(r"[\w.]*(?:Error|Exception|Warning)\b|SUMMARY", line.strip())), "")
    return {
        "format": format,
        "seconds": round(took),
        "files": int(executed[1]) if executed else None,
        "edges": int(edges[-1]) if edges else None,
        "found": []
        if not bad and executed
        else [f"{path.name}: {reason}" for path in bad] or [f"it ended: {last[-3:]}"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", help=f"of {', '.join(SUFFIX)}; all")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--file-seconds", type=int, default=60)
    parser.add_argument("--keep", type=Path, help="a folder for the files that something was found in")
    parser.add_argument("--record", action="store_true", help="append the rows to tests/bench/results/fuzz.jsonl")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        fuzz(options.formats[0], options.seconds, options.file_seconds, options.inside)
    for format in options.formats or SUFFIX:
        row = run(format, options.seconds, options.file_seconds, options.keep)
        print(row if not options.record else rows.record("fuzz", row), flush=True)


if __name__ == "__main__":
    main()
