"""Plain text: lines to paragraphs, whatever convention the file follows.

Three conventions occur: hard-wrapped lines with blank lines between paragraphs (Project Gutenberg), hard-wrapped lines
without blank lines whose paragraphs begin indented, and one long line a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from app.documents import encoding as encodings
from app.documents import gutenberg, headings, language, naming
from app.documents.canonical import Block, assemble, clean, is_wide, join_lines, one_line, wide_share
from app.documents.model import Document
from app.errors import DocumentEmpty, DocumentNotText

_BOOK_TITLE = re.compile(
    r"[　\s]*《([^》]{1,60})》[　\s]*(?:作者[:：]?|[\[【(（].{1,2}[\]】)）])?[　\s]*(\S{0,20})[　\s]*(?:著|撰)?"
)
_HAN_FIELD = re.compile(r"[　\s]*(书名|書名|作者)[:：][　\s]*(\S.{0,60})")
_BY = re.compile(r"(?:by|par|von|de)\s+(\S.{1,80})", re.IGNORECASE)
_INDENT = re.compile("[ 　]*")


def parse(data: bytes, filename: str, *, encoding: str | None = None) -> Document:
    """``encoding`` None tells it by the content. Raises DocumentNotText, DocumentEmpty, EncodingWrong."""
    text = read(data, filename, encoding)
    lines = text.split("\n")
    frame = gutenberg.find_frame(lines)
    blocks = paragraphs([line for n, line in enumerate(lines) if frame.holds(n)])
    if not blocks:
        raise DocumentEmpty(filename)
    title, authors = _title(blocks)
    title = naming.tidy_title(frame.title) or title
    body = "\n\n".join(blocks)
    return assemble(
        [Block(block) for block in blocks],
        headings.find(blocks, contents_too=True),
        title=title or naming.title_from_filename(filename),
        authors=frame.authors or authors,
        language=language.from_tag(frame.language) or language.guess(body),
        format="txt",
    )


def read(data: bytes, filename: str, encoding: str | None = None) -> str:
    """The clean text of a file. Raises DocumentNotText, DocumentEmpty."""
    try:
        text = clean(encodings.decode(data, encoding, filename))
    except encodings.NotText:
        raise DocumentNotText(filename) from None
    if not text.strip(" \t\n　"):
        raise DocumentEmpty(filename)
    return text


def paragraphs(lines: Sequence[str]) -> list[str]:
    """Paragraphs of a text; wrapped lines are joined, lines of verse and lists keep their breaks."""
    lines = [line.expandtabs(4).rstrip(" 　") for line in lines]
    cell = 2 if wide_share("".join(lines[:4000])) > 0.4 else 1  # columns that a character takes
    groups = list(_groups(lines))
    width, wrapped = _wrap_width(groups, cell)
    blank = sum(not line for line in lines)
    dense = len(lines) > 20 and blank * 20 < len(lines)
    result: list[str] = []
    for group in groups:
        for part in _split_headings(group, width, cell):
            if len(part) == 1:
                result.append(one_line(part[0]))
            elif not wrapped and (dense or any(len(line) * cell > 120 for line in part)):
                result.extend(one_line(line) for line in part)
            elif dense:
                result.extend(_dense(part, width, cell))
            elif _is_prose(part, width, cell):
                result.append(_join(part))
            else:
                result.append(_keep(part))
    return [block for block in result if block]


def _groups(lines: Sequence[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for line in lines:
        if line:
            group.append(line)
        elif group:
            yield group
            group = []
    if group:
        yield group


def _wrap_width(groups: Sequence[Sequence[str]], cell: int) -> tuple[int, bool]:
    """The column at which the file breaks its lines, and whether it does at all."""
    widths = sorted(len(line) * cell for group in groups for line in group[:-1])
    if not widths:
        return 80, False
    everything = sorted(len(line) * cell for group in groups for line in group)
    if everything[int(len(everything) * 0.95)] > 200:
        return 80, False
    return max(widths[int(len(widths) * 0.95)], 40), True


def _split_headings(group: list[str], width: int, cell: int) -> Iterator[list[str]]:
    """A heading that the text follows without a blank line becomes a paragraph of its own."""
    if len(group) == 1:
        yield group
        return
    following = [*group[1:], ""]
    # a full line goes on in the next: it only begins like a heading
    marked = [
        n
        for n, (line, after) in enumerate(zip(group, following, strict=True))
        if len(line) <= 100
        and headings.match(line.strip(" 　"))
        and (not after or _reach(line, after, cell) < width * 0.9)
    ]
    # several marks with next to nothing between them are a table of contents: it stays in one piece
    if not marked or (len(marked) > 2 and len(group) < 4 * len(marked)):
        yield group
        return
    # "CHAPTER I." and its title on the next line stay together
    if marked == [0] and len(group) <= 3 and all(len(line) * cell < width * 0.9 for line in group):
        yield [" ".join(line.strip(" 　") for line in group)]
        return
    start = 0
    for n in marked:
        if n > start:
            yield group[start:n]
        yield [group[n]]
        start = n + 1
    if start < len(group):
        yield group[start:]


def _is_prose(lines: Sequence[str], width: int, cell: int) -> bool:
    """Whether the breaks between these lines are only there because the line was full."""
    breaks = len(lines) - 1
    own = max(map(len, lines)) * cell
    reach = [_reach(line, after, cell) for line, after in pairwise(lines)]
    if cell == 2:
        return sum(r >= width * 0.9 for r in reach) * 2 >= breaks
    full = sum(r >= width * 0.9 for r in reach)
    lower = sum(_opens_lower(line) for line in lines[1:])
    if full * 2 >= breaks:
        return lower > 0 or breaks < 3 or full == breaks
    # a quotation set narrower than the rest: every line is full by its own measure
    return lower * 2 >= breaks and own >= 30 and all(r > own for r in reach)


def _reach(line: str, after: str, cell: int) -> int:
    """The column that a line would have reached with the first word of the next."""
    word = 1 if cell == 2 else len(after.split(maxsplit=1)[0]) + 1
    return (len(line) + word) * cell


def _opens_lower(line: str) -> bool:
    letter = line.lstrip(" \"'“‘(_*—-")[:1]
    return letter.islower() or letter.isdigit()


def _join(lines: Sequence[str]) -> str:
    parts: list[str] = []
    last = ""
    for line in lines:
        line = one_line(line)
        parts += (join_lines(last, line), line)
        last = line
    return "".join(parts)


def _keep(lines: Sequence[str]) -> str:
    """Lines as they stand, without the indentation that all of them share."""
    shared = min(len(_indent(line)) for line in lines)
    return "\n".join(line[shared:] for line in lines)


def _indent(line: str) -> str:
    return _INDENT.match(line)[0]  # type: ignore[index]  # it matches everything


def _dense(lines: Sequence[str], width: int, cell: int) -> Iterator[str]:
    """Paragraphs of wrapped lines without blank lines: an indented line or one after a short line begins one."""
    usual = min(len(_indent(line)) for line in lines)
    group: list[str] = []
    for line in lines:
        if group:
            short = _reach(group[-1], line, cell) < width * 0.9
            indented = len(_indent(line)) > usual
            if short or indented:
                yield _join(group)
                group = []
        group.append(line)
    if group:
        yield _join(group)


def _title(blocks: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Title and authors as the first lines give them; "" and () if they are no title page."""
    title = ""
    authors: tuple[str, ...] = ()
    for block in blocks[:8]:
        for line in block.split("\n"):
            if match := _HAN_FIELD.fullmatch(line):
                if match[1] == "作者":
                    authors = authors or naming.split_authors(match[2])
                else:
                    title = title or match[2].strip("《》 　")
            elif not title and (match := _BOOK_TITLE.fullmatch(line)):
                title, authors = match[1], naming.split_authors(match[2]) if match[2] else ()
    if title:
        return naming.tidy_title(title), authors
    first = blocks[0]
    wide = is_wide(first[0])
    if len(first) > (30 if wide else 100) or "\n" in first or headings.match(first) or first[0] in "-*=[":
        return "", ()
    # a title page: a short line that ends like no sentence, and a text after it
    if len(blocks) < 2 or first[-1] in '.,;:!?。，；：！？…”"' or not any(c.isalpha() for c in first):
        return "", ()
    if match := _BY.fullmatch(blocks[1].strip()):
        return naming.tidy_title(first), naming.split_authors(match[1])
    return naming.tidy_title(first), ()
