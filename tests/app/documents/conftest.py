"""Files for the tests of the parsers, all made by code."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/package.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
METADATA = "<dc:title>The Lamp</dc:title><dc:creator>Ada Stone</dc:creator><dc:language>en-GB</dc:language>"


def xhtml(body: str, head: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<html xmlns="http://www.w3.org/1999/xhtml" '
        f'xmlns:epub="http://www.idpf.org/2007/ops"><head><title>x</title></head><body>{body}</body></html>'
    )


@pytest.fixture
def make_epub(tmp_path: Path) -> Callable[..., Path]:
    """Writes an EPUB of the given chapters (name -> XHTML body); ``extra`` files replace or join the usual ones."""

    def make(
        chapters: Mapping[str, str],
        *,
        metadata: str = METADATA,
        nav: str | None = None,
        ncx: str | None = None,
        extra: Mapping[str, str | bytes] | None = None,
        spine: Sequence[str] | None = None,
    ) -> Path:
        items = [
            f'<item id="{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(chapters)
        ]
        order = "".join(f'<itemref idref="{list(chapters).index(name)}"/>' for name in (spine or list(chapters)))
        files: dict[str, str | bytes] = {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER}
        if nav is not None:
            items.append('<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>')
            order = '<itemref idref="nav"/>' + order
            files["OPS/nav.xhtml"] = xhtml(f'<nav epub:type="toc"><h2>Contents</h2>{nav}</nav>')
        if ncx is not None:
            items.append('<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
            files["OPS/toc.ncx"] = f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{ncx}</navMap></ncx>'
        toc = ' toc="ncx"' if ncx else ""
        files["OPS/package.opf"] = (
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:opf="http://www.idpf.org/2007/opf">{metadata}</metadata>'
            f"<manifest>{''.join(items)}</manifest><spine{toc}>{order}</spine></package>"
        )
        files |= {f"OPS/{name}": xhtml(body) for name, body in chapters.items()}
        files |= extra or {}
        path = tmp_path / "book.epub"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return make


@pytest.fixture
def make_pdf(tmp_path: Path) -> Callable[..., Path]:
    """Writes a PDF of pages, each a list of (x, y, text, size) with the baseline's place in points."""
    from app.documents.mupdf import pymupdf

    def make(
        pages: Sequence[Sequence[tuple[float, float, str, float]]],
        *,
        font: str = "helv",
        name: str = "paper.pdf",
        metadata: Mapping[str, str] | None = None,
        outline: Sequence[tuple[int, str, int]] = (),
        **save: object,
    ) -> Path:
        path = tmp_path / name
        with pymupdf.open() as document:
            for lines in pages:
                page = document.new_page(width=612, height=792)
                for x, y, text, size in lines:
                    page.insert_text((x, y), text, fontsize=size, fontname=font)
            if metadata:
                document.set_metadata(dict(metadata))
            if outline:
                document.set_toc([list(entry) for entry in outline])
            document.save(path, **save)
        return path

    return make
