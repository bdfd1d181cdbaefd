"""PDF through PyMuPDF: what is refused, what it says of itself, its chapters. Imported in parser processes only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, groupby, islice, takewhile
from pathlib import Path

from app.documents import cover, gutenberg, headings, language, naming, pdf_lines, pdf_text
from app.documents import metadata as facts
from app.documents.canonical import Heading, assemble, one_line
from app.documents.model import Document, Format
from app.documents.mupdf import pymupdf
from app.documents.pdf_lines import Line, PageLines
from app.documents.pdf_text import PdfBlock
from app.errors import DocumentDamaged, DocumentEmpty, DocumentEncrypted, DocumentWithoutText

_TAIL = 4096  # bytes at the end in which a whole file says %%EOF
_CUT_OFF = "it breaks off before its end"
_FEWEST = 30  # letters on a page that count as text: a stamp or a page number does not
_SECTION = re.compile(r"(?P<number>\d{1,2}(?:\.\d{1,2}){0,3})\.?\s+(?P<title>[^\W\d_].{1,100})")
_APPENDIX = re.compile(r"(?:Appendix\s+)?[A-H][.:]?\s+[A-Z].{2,80}")
_SECTION_NAMES = (
    "abstract introduction background relatedwork conclusion conclusions references bibliography acknowledgements "
    "acknowledgments acknowledgement acknowledgment appendix appendices discussion summary"
)
# an index error: mending a file may change how many pages it has
_ERRORS = (pymupdf.mupdf.FzErrorBase, RuntimeError, ValueError, IndexError)
_NAMED = frozenset(_SECTION_NAMES.split())


def parse(path: Path, filename: str) -> Document:
    """Raises DocumentDamaged, DocumentEncrypted, DocumentWithoutText, DocumentEmpty."""
    with open_document(path, filename) as document:
        try:
            pages = pdf_lines.read(document)
            outline = document.get_toc(simple=True)
            _refuse_without_text(document, pages, filename)
        except _ERRORS as error:
            raise DocumentDamaged(filename, one_line(str(error))) from None
        first_pages = _front(document)
        picture = cover.of_page(document)
        metadata = said_of_itself(document)
    return build(pages, outline, metadata, first_pages, picture, filename)


def said_of_itself(document: pymupdf.Document) -> dict[str, str]:
    return {key: str(value) for key, value in (document.metadata or {}).items() if value}


def build(
    pages: Sequence[PageLines],
    outline: Sequence[Sequence[object]],
    metadata: dict[str, str],
    first_pages: str,
    picture: bytes,
    filename: str,
    format: Format = "pdf",
) -> Document:
    """The document of lines in reading order. Raises DocumentEmpty."""
    frame = gutenberg.find_frame([line.text for page in pages for line in page.lines])
    pages = _within(pages, frame)
    blocks = pdf_text.paragraphs(pages)
    if not blocks:
        raise DocumentEmpty(filename)
    title, authors = _naming(pages, metadata)
    text = "\n\n".join(block.text for block in blocks)
    identifiers = facts.identifiers(f"{metadata.get('subject', '')}\n{metadata.get('keywords', '')}\n{first_pages}")
    found = assemble(
        blocks,
        _from_outline(outline, blocks) or _from_text(blocks, pdf_lines.body_size(pages)),
        title=naming.tidy_title(frame.title) or title or naming.title_from_filename(filename),
        authors=frame.authors or authors,
        language=language.from_tag(frame.language) or language.guess(text),
        format=format,
        page_count=len(pages),
    )
    return replace(found, year=facts.year(first_pages, identifiers), identifiers=identifiers, cover=picture)


def _front(document: pymupdf.Document) -> str:
    """The first two pages with their margins: stamps and running feet name the paper and its year."""
    try:
        shown = [document[number].get_text("text") for number in range(min(2, document.page_count))]
    except _ERRORS:
        return ""
    return "\n".join(text[: facts.FRONT * 2] for text in shown)


def open_document(path: Path, filename: str) -> pymupdf.Document:
    """The file, checked to be whole. Raises DocumentDamaged, DocumentEncrypted."""
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL))
        ends = b"%%EOF" in file.read()
    try:
        document = pymupdf.open(path, filetype="pdf")
    except _ERRORS:
        raise DocumentDamaged(filename, "its structure cannot be read" if ends else _CUT_OFF) from None
    if document.needs_pass:
        document.close()
        raise DocumentEncrypted(filename)
    # MuPDF mends what it can; of a file that was cut off it would silently give the first part
    if document.is_repaired and not ends:
        document.close()
        raise DocumentDamaged(filename, _CUT_OFF)
    try:
        pages = document.page_count
    except _ERRORS as error:
        document.close()
        raise DocumentDamaged(filename, one_line(str(error))) from None
    if pages == 0:
        document.close()
        raise DocumentDamaged(filename, "it has no pages")
    return document


def _refuse_without_text(document: pymupdf.Document, pages: Sequence[PageLines], filename: str) -> None:
    """Scans, and fonts that do not say which letters their shapes are: only a recognizer can read either."""
    letters = [sum(c.isalnum() for line in page.lines for c in line.text) for page in pages]
    unknown = sum(line.text.count("\ufffd") for page in pages for line in page.lines)
    if unknown * 2 > sum(letters):
        raise DocumentWithoutText(filename, len(pages))
    written = sum(count >= _FEWEST for count in letters)
    if written * 10 >= len(pages) and sum(letters) >= _FEWEST:
        return
    shown = [document[n] for n in range(min(len(document), 10))]
    if any(page.get_images() or page.get_drawings() for page in shown):
        raise DocumentWithoutText(filename, len(pages))
    if not sum(letters):
        raise (
            DocumentDamaged(filename, "nothing is left of its text")
            if document.is_repaired
            else DocumentEmpty(filename)
        )


def _within(pages: Sequence[PageLines], frame: gutenberg.Frame) -> list[PageLines]:
    """The pages with those lines only that lie inside the frame, all lines being counted through."""
    kept = []
    position = 0
    for page in pages:
        lines = tuple(line for n, line in enumerate(page.lines, position) if frame.holds(n))
        kept.append(replace(page, lines=lines))
        position += len(page.lines)
    return kept


def _naming(pages: Sequence[PageLines], metadata: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    """Title and authors: of the metadata if the first pages print them, else of the first page's largest type."""
    front = [line for page in pages[:3] for line in page.lines if line.text]
    printed = headings.key(" ".join(line.text for line in front))
    claimed = naming.tidy_title(
        re.sub(r"^Microsoft Word - |\.(?:docx?|pdf|tex|dvi|indd|qxd)$", "", metadata.get("title", ""))
    )
    lead, below = _largest(pages)
    title = claimed if claimed and (headings.key(claimed) in printed or not lead) else lead or claimed
    written = metadata.get("author", "")
    names = tuple(name for name in naming.split_authors(written) if not naming.is_filler(name))
    if names and all(headings.key(name) in printed for name in names):
        return title, names
    found = _authors_below(below, front)
    claimed_name = names if names and all(naming.looks_like_name(name) for name in names) else ()
    return title, found or claimed_name


def _largest(pages: Sequence[PageLines]) -> tuple[str, list[Line]]:
    """What is set in the largest type on the first page with text, and the lines after it; "" if none stands out."""
    page = next((page for page in pages[:5] if any(line.text for line in page.lines)), None)
    if page is None:
        return "", []
    lines = [line for line in page.lines if line.text]
    upper = [line for line in lines if line.y0 < 0.6 * page.height and sum(map(str.isalpha, line.text)) > 2]
    if not upper:
        return "", lines
    size = max(line.size for line in upper)
    body = pdf_lines.body_size(pages)
    first = next(n for n, line in enumerate(lines) if line.size == size)
    last = first
    while last + 1 < len(lines) and abs(lines[last + 1].size - size) < 0.5:
        last += 1
    title = naming.tidy_title(" ".join(line.text for line in lines[first : last + 1]))
    stands_out = size > 1.15 * body and len(title) <= 200
    return (title, lines[last + 1 :]) if stands_out else ("", lines)


def _authors_below(lines: Sequence[Line], front: Sequence[Line]) -> tuple[str, ...]:
    """The names between the title and the text: lines of one size are read together, since lists of names wrap."""
    for line in front[:60]:
        if (match := re.fullmatch(r"by\s+(\S.{2,80})", line.text, re.IGNORECASE)) and naming.names_in(match[1]):
            return naming.names_in(match[1])
    above = takewhile(lambda line: headings.key(line.text) not in _NAMED, lines[:20])
    groups = groupby(above, key=lambda line: (round(line.size * 2), line.bold))
    return next((names for _, group in islice(groups, 3) if (names := _names_of(list(group)))), ())


def _names_of(group: Sequence[Line]) -> tuple[str, ...]:
    # the longest run of lines from the first that holds nothing but names
    for size in range(len(group), 0, -1):
        text = " ".join(line.text for line in group[:size])
        if found := naming.names_in(text):
            return tuple(dict.fromkeys(found))
    return ()


def _from_outline(outline: Sequence[Sequence[object]], blocks: Sequence[PdfBlock]) -> list[Heading]:
    """The outline's entries, each at the paragraph of its page that says the same, else at the page's first."""
    by_page: dict[int, list[int]] = {}
    for index, block in enumerate(blocks):
        for number in {number for number, _ in block.lines}:
            by_page.setdefault(number, []).append(index)
    marks: list[Heading] = []
    after = 0
    for level, title, page in ((int(str(e[0])), naming.tidy_title(str(e[1])), int(str(e[2]))) for e in outline):
        candidates = [index for index in by_page.get(page, []) if index >= after]
        if not title or page < 1:
            continue
        wanted = headings.key(title)
        said = [index for index in candidates if _says(blocks[index].text, wanted)]
        first = [index for index in candidates if blocks[index].lines[0][0] == page]
        # a page of pictures only: what comes after it
        later = (index for index in range(after, len(blocks)) if blocks[index].lines[0][0] >= page)
        place = next(chain(said, first, candidates, later), None)
        if place is not None:
            marks.append(Heading(index=place, title=title, level=max(level, 1)))
            after = place
    return marks if len(marks) > 1 else []


def _says(text: str, wanted: str) -> bool:
    """Whether a paragraph begins with a heading's key, with or without its number."""
    said, bare = headings.key(text[:300]), headings.key(re.sub(r"^(?:[\d.]+|[A-Z]\.?)\s+", "", text[:300]))
    short = len(text) < 150
    return bool(wanted) and (
        said.startswith(wanted) or (short and (bare == wanted or (len(bare) > 3 and wanted.endswith(bare))))
    )


def _from_text(blocks: Sequence[PdfBlock], body: float) -> list[Heading]:
    """Chapters of a book by their names, sections of a paper by their numbers and type, else whatever is set large."""
    named = headings.find([block.text if block.role == "body" else "" for block in blocks], bare=False)
    sections = _sections(blocks, body)
    if len(named) > 1 and len(named) >= len(sections) // 3:
        return named
    return sections or _large(blocks, body)


def _stands_out(block: PdfBlock, body: float) -> bool:
    return (
        block.role == "body"
        and len(block.text) <= 140
        and block.text.count("\n") < 3
        and (block.size > 1.08 * body or block.bold)
    )


def _sections(blocks: Sequence[PdfBlock], body: float) -> list[Heading]:
    marks: list[Heading] = []
    last = 0
    for index, block in enumerate(blocks):
        if not _stands_out(block, body):
            continue
        title = one_line(block.text)
        if match := _SECTION.fullmatch(title):
            first = int(match["number"].split(".")[0])
            if last <= first <= last + 1:
                last = first
                marks.append(Heading(index=index, title=title, level=match["number"].count(".") + 1))
        elif headings.key(title) in _NAMED or (last > 2 and _APPENDIX.fullmatch(title)):
            marks.append(Heading(index=index, title=title, level=1))
    return marks if last > 1 else []


def _large(blocks: Sequence[PdfBlock], body: float) -> list[Heading]:
    """Lines set clearly larger than the text: the two largest sizes that come more than once, after the title."""
    large = [(n, block) for n, block in enumerate(blocks) if block.size > 1.15 * body and _stands_out(block, body)]
    sizes = sorted({round(block.size) for _, block in large}, reverse=True)
    sizes = [size for size in sizes if sum(round(block.size) == size for _, block in large) > 1][:2]
    marks = [
        Heading(index=n, title=naming.tidy_title(block.text), level=sizes.index(round(block.size)) + 1)
        for n, block in large
        if round(block.size) in sizes
    ]
    return marks if len(marks) <= len(blocks) // 2 else []
