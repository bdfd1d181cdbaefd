"""DOCX, ODT and XLSX files of a few lines, written by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
CORE = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title><dc:creator>{author}</dc:creator>'
    "<dc:language>en-GB</dc:language></cp:coreProperties>"
)
OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
ODF = f'xmlns:office="{OASIS}office:1.0" xmlns:text="{OASIS}text:1.0" xmlns:table="{OASIS}table:1.0"'


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def paragraph(text: str, style: str = "") -> str:
    style = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{style}<w:r><w:t>{text}</w:t></w:r></w:p>"


def docx(path: Path, body: str, extra: Mapping[str, str | bytes] | None = None) -> Path:
    styles = (
        f'<w:styles {W}><w:style w:styleId="Title"><w:name w:val="Title"/></w:style>'
        '<w:style w:styleId="1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:styleId="2"><w:name w:val="heading 2"/></w:style>'
        '<w:style w:styleId="Own"><w:name w:val="Mine"/><w:basedOn w:val="1"/></w:style></w:styles>'
    )
    files = {
        "[Content_Types].xml": "<Types/>",
        "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": styles,
        "docProps/core.xml": CORE.format(title="Of Lamps", author="Ada Stone"),
    }
    return write_zip(path, files | dict(extra or {}))


def odt(path: Path, body: str, extra: Mapping[str, str | bytes] | None = None) -> Path:
    files = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": f"<office:document-content {ODF}><office:body><office:text>{body}</office:text></office:body>"
        "</office:document-content>",
        "meta.xml": f'<office:document-meta {ODF} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta>'
        "<dc:title>Of Lamps</dc:title><dc:creator>Ada Stone</dc:creator></office:meta></office:document-meta>",
    }
    return write_zip(path, files | dict(extra or {}))


def xlsx(path: Path, sheets: Mapping[str, str], strings: str = "", styles: str = "") -> Path:
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    names = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets))
    links = "".join(f'<Relationship Id="r{n}" Target="worksheets/s{n}.xml"/>' for n in range(len(sheets)))
    files = {
        "xl/workbook.xml": f'<workbook xmlns:r="{rel}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"<Relationships>{links}</Relationships>",
        "xl/sharedStrings.xml": f"<sst>{strings}</sst>",
        "xl/styles.xml": f"<styleSheet>{styles}</styleSheet>",
    }
    files |= {
        f"xl/worksheets/s{n}.xml": f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
        for n, rows in enumerate(sheets.values())
    }
    return write_zip(path, files)
