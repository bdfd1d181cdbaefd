"""Small books of our own, made where a test wants them: a tale as text, a handbook as EPUB, a letter as PDF."""

from __future__ import annotations

import zipfile
from pathlib import Path

from app.documents.mupdf import pymupdf
from engine.catalogue import find

YEARS = (
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "last",
)
WEATHER = ("a grey sea and no wind", "fog from the north", "gulls on every stone", "a black swell and rain")
STONES = ("blue", "green", "red")


def tale(*, chapters: int = 3, title: str = "The Lighthouse of Marrow Point") -> str:
    """About 450 tokens a chapter."""
    parts = [f"{title}\n\nby Ada Quill\n\n"]
    for chapter in range(1, chapters + 1):
        parts.append(f"\n\nCHAPTER {chapter}\n\n")
        parts += [
            f"In the {year} year of chapter {chapter} the keeper, old Tobias Wren, wrote of {WEATHER[(place + chapter) % 4]}. "
            f"The brass key lay under the {STONES[(place * chapter) % 3]} stone, and the lamp burned till morning.\n\n"
            for place, year in enumerate(YEARS)
        ]
    return "".join(parts)


def chapters_beyond(model: str) -> int:
    """How many chapters of a tale are more than a model of the catalogue can hold."""
    entry = find(model)
    assert entry is not None
    return entry.limit * 6 // 5 // 450


def write_tale(path: Path, *, chapters: int = 3, title: str = "The Lighthouse of Marrow Point") -> Path:
    path.write_text(tale(chapters=chapters, title=title), encoding="utf-8")
    return path


def write_epub(path: Path, *, title: str = "A Handbook for Keepers", author: str = "Tobias Wren") -> Path:
    """Two short chapters, about 300 tokens."""
    chapters = {
        "one": (
            "Of the lamp",
            "Trim the wick at dusk, and never at noon. Oil is kept in the copper can by the stair. ",
        ),
        "two": ("Of the fog", "Ring the bell twice in every minute, and count the ships that answer it. "),
    }
    items = "".join(f'<item id="{key}" href="{key}.xhtml" media-type="application/xhtml+xml"/>' for key in chapters)
    spine = "".join(f'<itemref idref="{key}"/>' for key in chapters)
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">lectern-handbook</dc:identifier>'
        f"<dc:title>{title}</dc:title><dc:creator>{author}</dc:creator><dc:language>en</dc:language></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
        '<rootfiles><rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr("META-INF/container.xml", container)
        book.writestr("book.opf", package)
        for key, (heading, line) in chapters.items():
            body = f"<h1>{heading}</h1>" + f"<p>{line * 4}</p>" * 2
            book.writestr(
                f"{key}.xhtml",
                f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>{heading}</title></head><body>{body}</body></html>',
            )
    return path


def write_broken_pdf(path: Path) -> Path:
    path.write_bytes(b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\n")
    return path


CHINESE = (
    "第{n}章 灯塔\n\n守塔人老王每天黄昏点灯，黎明熄灯。铜钥匙压在门边的青石下面，只有他和女儿小满知道。\n\n"
    "这一年的冬天来得很早，海面上起了大雾，渔船三天没有回来。小满敲了一夜的钟，天亮时听见远处有人应答。\n\n"
)


def write_letter(path: Path, *, pages: int = 3) -> Path:
    """A PDF of a few pages, some lines on each."""
    with pymupdf.open() as made:
        for number in range(1, pages + 1):
            page = made.new_page(width=420, height=595)
            lines = [
                f"Letter {number}, from the lighthouse.",
                *(
                    f"On day {day} of week {number} the lamp was trimmed and the {STONES[day % 3]} stone was turned."
                    for day in range(1, 7)
                ),
            ]
            page.insert_textbox(pymupdf.Rect(50, 60, 370, 540), "\n".join(lines), fontsize=13)
        made.save(path)
    return path


def write_chinese(path: Path, *, chapters: int = 8) -> Path:
    body = "".join(CHINESE.format(n=n) for n in "一二三四五六七八九十"[:chapters])
    path.write_text(f"海角灯塔\n\n作者：林知远\n\n{body}", encoding="utf-8")
    return path
