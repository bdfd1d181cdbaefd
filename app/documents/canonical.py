"""From pieces of text to a Document: cleaning, joining and counting offsets. Knows no file format."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.documents import matter
from app.documents.model import Chapter, Document, Format, Kind, Page, Paragraph

_NEWLINE = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f]")
# invisible and of no meaning to a reader: controls, soft hyphens, zero-width spaces, joiners of words, bidi
# embeddings (they could turn the order of what surrounds a quote), interlinear marks, tags, noncharacters.
# U+200C and U+200D stay: Persian, Indic scripts and emoji are spelled with them.
_NOTHING = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f\ud800-\udfff]"
)
# signs as they are drawn in vertical lines: files of vertical books hold them, nobody writes or looks for them
_UPRIGHT = str.maketrans(
    "︐︑︒︓︔︕︖︗︘︙︰︱︲︳︵︶︷︸︹︺︻︼︽︾︿﹀﹁﹂﹃﹄﹇﹈",
    "，、。：；！？〖〗…‥—–＿（）｛｝〔〕【】《》〈〉「」『』［］",
)
_VERTICAL = re.compile("[︐-︙︰-﹈]")
# half-width katakana, a voiced one being two of them: what old terminals could show
_HALF_KANA = re.compile("[\uff66-\uff9f]+")
_RUN = re.compile(r"[ \t\n]+")
_WIDE = re.compile(
    r"[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U00020000-\U0003ffff]"
)


@dataclass(slots=True)
class Block:
    """One paragraph on its way into a document.

    text: clean, maybe of several lines. pages: (offset into text, page number) wherever a page begins in it.
    """

    text: str
    pages: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A chapter begins at the block ``index``; one past the last block is allowed (an empty chapter).

    kind: None lets the title and the place tell (``matter``).
    """

    index: int
    title: str
    level: int
    kind: Kind | None = None


def clean(text: str) -> str:
    """NFC, newlines as ``\\n``, every other white space as a plain one, nothing invisible. Keeps U+3000 and tabs.

    Signs of vertical lines become those of horizontal ones, half-width katakana the usual ones.
    """
    text = _NEWLINE.sub("\n", text)
    if not text.isascii():
        text = _SPACE.sub(" ", text)
        text = usual_signs(text)
    return unicodedata.normalize("NFC", _NOTHING.sub("", text))


def usual_signs(text: str) -> str:
    """Signs of vertical lines as those of horizontal ones, half-width katakana as the usual ones."""
    if _VERTICAL.search(text):
        text = text.translate(_UPRIGHT)
    return _HALF_KANA.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)


def one_line(text: str) -> str:
    """A text on one line, runs of white space as one space: for titles, names and flowing paragraphs."""
    if "  " in text or "\n" in text or "\t" in text:
        text = _RUN.sub(" ", text)
    return text.strip(" \u3000")


def wide_share(text: str) -> float:
    """The share of wide characters (Chinese, Japanese, Korean) among all that are not white space."""
    visible = sum(map(len, text.split()))
    return len(_WIDE.findall(text)) / visible if visible else 0.0


def is_wide(character: str) -> bool:
    return _WIDE.match(character) is not None


def join_lines(first: str, second: str) -> str:
    """What stands between two lines of one paragraph: nothing in Chinese and Japanese or after a dash, else a space."""
    if not first or not second:
        return ""
    if is_wide(first[-1]) and is_wide(second[0]) and not ("\uac00" <= first[-1] <= "\ud7a3"):
        return ""
    if first[-1] in "—―" or first.endswith("--") or second[0] in "—―" or second.startswith("--"):
        return ""
    # a text wraps after a hyphen of its own ("well-" / "known"); printed hyphenation is undone by pdf.py
    if first[-1] in "-‐" and first[-2:-1].isalpha() and second[0].isalpha():
        return ""
    return " "


def assemble(
    blocks: Sequence[Block],
    headings: Sequence[Heading],
    *,
    title: str,
    authors: tuple[str, ...],
    language: str | None,
    format: Format,
    page_count: int = 0,
) -> Document:
    """Join the blocks into one text and turn every index into offsets. Blank blocks fall out.

    A heading whose block is blank begins at the next block that is not. Pages are numbered 1..page_count; a page
    that no block mentions is empty. Raises ValueError if no block holds text.
    """
    # whatever a file calls a heading, one without a title is none
    headings = [heading for heading in headings if heading.title.strip()]
    parts: list[str] = []
    paragraphs: list[Paragraph] = []
    starts: list[int] = []  # of each block, in the text
    page_starts: dict[int, int] = {}
    position = 0
    for block in blocks:
        starts.append(position)
        text = block.text.rstrip().lstrip("\n")
        shift = len(block.text.rstrip()) - len(text)
        if not text.strip():
            continue
        for offset, number in block.pages:
            page_starts.setdefault(number, position + min(max(offset - shift, 0), len(text)))
        parts.append(text)
        paragraphs.append(Paragraph(start=position, end=position + len(text)))
        position += len(text) + 2
    text = "\n\n".join(parts)
    starts.append(len(text))
    begins = [min(starts[heading.index], len(text)) for heading in headings]
    ends = [*begins, len(text)][1:]
    places = [(h.title, h.level, start / max(len(text), 1), h.kind) for h, start in zip(headings, begins, strict=True)]
    kinds = matter.kinds(places)
    return Document(
        title=title,
        authors=authors,
        language=language,
        format=format,
        text=text,
        chapters=tuple(
            Chapter(title=heading.title, level=heading.level, start=start, end=end, kind=kind)
            for heading, start, end, kind in zip(headings, begins, ends, kinds, strict=True)
        ),
        paragraphs=tuple(paragraphs),
        pages=_pages(page_starts, page_count, len(text)),
    )


def _pages(page_starts: dict[int, int], page_count: int, size: int) -> tuple[Page, ...]:
    """Pages without gaps: each ends where the next begins, the first begins at 0, one without text is empty."""
    begins: list[int] = []
    following = size
    for number in range(page_count, 0, -1):
        following = min(page_starts.get(number, following), following)
        begins.append(following)
    if not begins:
        return ()
    begins.reverse()
    first = min(page_starts, default=1)
    begins[:first] = [0] * first
    ends = [*begins[1:], size]
    return tuple(
        Page(number=number, start=start, end=end)
        for number, (start, end) in enumerate(zip(begins, ends, strict=True), 1)
    )
