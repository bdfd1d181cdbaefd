"""CSV and XLSX: each row a paragraph that names its columns, each sheet a chapter."""

from __future__ import annotations

import csv
import datetime
import io
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lxml import etree

from app.documents import encoding as encodings
from app.documents import language, naming
from app.documents.archive import Archive
from app.documents.canonical import Block, Heading, assemble, clean, one_line
from app.documents.docx_lists import attribute
from app.documents.model import Document
from app.documents.xhtml import local_name
from app.errors import DocumentDamaged, DocumentEmpty, DocumentNotText

_DELIMITERS = ",;\t|"
_NUMBER = re.compile(r"[-+]?[\d.,\s]*\d[%\s]*(?:[eE][-+]?\d+)?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*")
_COLUMN = re.compile(r"[A-Z]{1,3}")
_COLUMNS = 16_384  # of a sheet
_BUILT_IN_DATES = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))


def parse_csv(data: bytes, filename: str, *, encoding: str | None = None) -> Document:
    """Raises DocumentNotText, DocumentEmpty, DocumentDamaged, EncodingWrong."""
    try:
        text = encodings.decode(data, encoding, filename)
    except encodings.NotText:
        raise DocumentNotText(filename) from None
    lines = text.splitlines()[:200]
    delimiter = "\t" if filename.lower().endswith(".tsv") else _delimiter(lines)
    try:
        rows = [[_cell(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)]
    except csv.Error as error:
        raise DocumentDamaged(filename, f"its rows cannot be told apart: {error}") from None
    return _document([("", rows)], filename, "", (), "csv")


def parse_xlsx(path: Path, filename: str) -> Document:
    """Raises DocumentDamaged, DocumentEncrypted, DocumentEmpty."""
    with path.open("rb") as stream:
        archive = Archive(stream, filename, "XLSX")
        workbook = archive.tree("xl/workbook.xml")
        links = archive.tree("xl/_rels/workbook.xml.rels")
        if workbook is None or links is None:
            raise DocumentDamaged(filename, "it is no XLSX: xl/workbook.xml is missing")
        strings = _strings(archive.tree("xl/sharedStrings.xml"))
        dates = _date_styles(archive.tree("xl/styles.xml"))
        old_epoch = any(local_name(e) == "workbookpr" and attribute(e, "date1904") in ("1", "true") for e in workbook)
        targets = {e.get("Id"): e.get("Target", "") for e in links}
        sheets = []
        for sheet in (e for e in workbook.iter() if local_name(e) == "sheet"):
            target = targets.get(attribute(sheet, "id"), "")
            name = posixpath.normpath(posixpath.join("xl", target)) if target[:1] != "/" else target[1:]
            root = archive.tree(name)
            if root is not None:
                sheets.append((sheet.get("name", ""), list(_rows(root, strings, dates, old_epoch))))
        core = archive.tree("docProps/core.xml")
    fields = {} if core is None else {local_name(e): clean("".join(e.itertext())).strip() for e in core}
    creator = fields.get("creator", "")
    authors = () if naming.is_filler(creator) or creator == "openpyxl" else naming.split_authors(creator)
    return _document(sheets, filename, naming.tidy_title(fields.get("title")), authors, "xlsx")


def row_text(header: Sequence[str], row: Sequence[str]) -> str:
    """``City: Paris | Inhabitants: 2,1``; without a header the cells only. Empty cells are left out."""
    cells = []
    for place, value in enumerate(row):
        name = header[place] if place < len(header) else ""
        if value:
            cells.append(f"{name}: {value}" if name else value)
    return " | ".join(cells)


def _document(
    sheets: Sequence[tuple[str, list[list[str]]]], filename: str, title: str, authors: tuple[str, ...], format: str
) -> Document:
    blocks: list[str] = []
    marks: list[Heading] = []
    for name, whole in sheets:
        rows = [row for row in whole if any(row)]
        if not rows:
            continue
        if name := naming.tidy_title(name):
            marks.append(Heading(index=len(blocks), title=name, level=1))
            blocks.append(name)
        header = rows[0] if _is_header(rows) else []
        blocks.extend(text for row in rows[1 if header else 0 :] if (text := row_text(header, row)))
        if header and len(rows) == 1:
            blocks.append(row_text([], header))
    if not blocks:
        raise DocumentEmpty(filename)
    return assemble(
        [Block(block) for block in blocks],
        marks,
        title=title or naming.title_from_filename(filename),
        authors=authors,
        language=language.guess("\n".join(blocks)),
        format="csv" if format == "csv" else "xlsx",
    )


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """The first row names the columns: a word in each that holds anything, no two alike, no numbers."""
    first = [cell for cell in rows[0] if cell]
    width = max(sum(map(bool, row)) for row in rows[:50])
    words = all(not _NUMBER.fullmatch(cell) and len(cell) <= 100 for cell in first)
    return len(rows) > 1 and words and len(set(first)) == len(first) and len(first) * 2 > width


def _delimiter(lines: Sequence[str]) -> str:
    """What parts the most lines into the same number of cells, more than one."""
    best, most = ",", 0.0
    for delimiter in _DELIMITERS:
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        usual = max(set(counts), key=counts.count, default=1)
        worth = counts.count(usual) / len(counts) * (1 + min(usual, 20) / 100) if usual > 1 else 0.0
        if worth > most:
            best, most = delimiter, worth
    return best


def _cell(text: str) -> str:
    return one_line(clean(text).replace("\n", " ").expandtabs(1))


def _strings(root: etree._Element | None) -> list[str]:
    return [] if root is None else [_inner(item) for item in root if local_name(item) == "si"]


def _inner(item: etree._Element) -> str:
    """The text of a cell; readings of Japanese words (``rPh``) are left out."""
    parts = []
    for element in item.iter():
        above = element.getparent()
        if local_name(element) == "t" and (above is None or local_name(above) != "rph"):
            parts.append(element.text or "")
    return _cell("".join(parts))


def _number(text: str) -> int | None:
    """A number as tables write it, None for anything else: "²" is a digit to Python too."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _date_styles(root: etree._Element | None) -> frozenset[int]:
    """The numbers of the cell styles that show a number as a date."""
    if root is None:
        return frozenset()
    formats = {
        _number(attribute(e, "numFmtId")) or 0: re.sub(r"\"[^\"]*\"|\[[^\]]*\]|\\.", "", attribute(e, "formatCode"))
        for e in root.iter()
        if local_name(e) == "numfmt"
    }
    styles = [e for group in root if local_name(group) == "cellxfs" for e in group]
    ids = [_number(attribute(e, "numFmtId")) or 0 for e in styles]
    return frozenset(n for n, id in enumerate(ids) if id in _BUILT_IN_DATES or re.search("[yd]", formats.get(id, "")))


def _rows(root: etree._Element, strings: Sequence[str], dates: frozenset[int], old_epoch: bool) -> Iterator[list[str]]:
    for row in (e for e in root.iter() if local_name(e) == "row"):
        cells: list[str] = []
        for cell in (e for e in row if local_name(e) == "c"):
            place = _place(cell.get("r", "")) if cell.get("r") else len(cells)
            if place >= _COLUMNS:
                continue
            cells.extend([""] * (place + 1 - len(cells)))
            cells[place] = _value(cell, strings, dates, old_epoch)
        yield cells


def _place(reference: str) -> int:
    match = _COLUMN.match(reference.upper())
    number = 0
    for letter in match[0] if match else "A":
        number = number * 26 + ord(letter) - 64
    return number - 1


def _value(cell: etree._Element, strings: Sequence[str], dates: frozenset[int], old_epoch: bool) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _inner(cell)
    value = next((e.text or "" for e in cell if local_name(e) == "v"), "")
    if kind == "s":
        return strings[int(value)] if _number(value) is not None and int(value) < len(strings) else ""
    if kind == "b":
        return "yes" if value == "1" else "no"
    style = cell.get("s", "0")
    if kind == "n" and value and _number(style) in dates:
        return _date(value, old_epoch)
    if kind == "n" and "." in value:
        try:
            return f"{float(value):.15g}"
        except ValueError:
            return _cell(value)
    return _cell(value)


def _date(value: str, old_epoch: bool) -> str:
    """A serial number of days as ISO 8601."""
    try:
        days = float(value)
        # the table's own calendar has a 29 February 1900
        start = datetime.datetime(1904, 1, 1) if old_epoch else datetime.datetime(1899, 12, 30 if days >= 60 else 31)
        moment = start + datetime.timedelta(seconds=round(days * 86_400))
    except (ValueError, OverflowError):
        return _cell(value)
    if 0 <= days < 1:
        return moment.strftime("%H:%M:%S")
    return moment.strftime("%Y-%m-%d" if moment.time() == datetime.time() else "%Y-%m-%d %H:%M:%S")
