"""XHTML and HTML markup to paragraphs, and where in them each anchor stands. Knows nothing of EPUB's package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import html5

from lxml import etree

from app.documents.canonical import clean, one_line
from app.documents.numerals import to_roman

_EPUB_TYPE = "{http://www.idpf.org/2007/ops}type"
_BLOCK_NAMES = (
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main nav ol p pre section summary table tbody tfoot thead ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_SKIPPED_NAMES = (
    "audio base button canvas embed head iframe input link meta noscript object rp rt script select style svg template "
    "textarea title video"
)
_SKIPPED = frozenset(_SKIPPED_NAMES.split())
# what repeats the contents of the book or the numbers of a printed page
_REPEATING_TYPES = "toc landmarks page-list loi lot pagebreak doc-toc doc-pagebreak doc-pagelist"
_NOT_TEXT = frozenset(_REPEATING_TYPES.split())
_ENTITY = re.compile(rb"&([A-Za-z][A-Za-z0-9]*);")
_LEVELS = {f"h{level}": level for level in range(1, 7)}
_XML_ENTITIES = frozenset((b"amp", b"lt", b"gt", b"quot", b"apos"))
# a paragraph that has a number of its own: "1. ", "(2)", "[3]", "4 ", "(iv)"
_NUMBERED = re.compile(r"[(\[]?[0-9]{1,3}(?:[.)\]:、．]|\s)|[(\[][a-zA-Z]{1,4}[)\]]")
_SPACES = re.compile("[ \t\n\r\f]+")


class NotMarkup(ValueError):
    """Neither XML nor HTML could be made of the bytes."""


@dataclass(slots=True)
class Flow:
    """Paragraphs of one file.

    anchors: id -> number of the paragraph it stands in or before. headings: (number of a paragraph, level 1 to 6).
    """

    paragraphs: list[str] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    headings: list[tuple[int, int]] = field(default_factory=list)


def parse_tree(data: bytes) -> etree._Element:
    """The root of a file. External entities, networks and huge trees stay off; broken markup is mended.

    Named entities of HTML become characters; those that a file defines itself are dropped (they may be bombs).
    Raises NotMarkup.
    """
    if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        data = _ENTITY.sub(_expand, data)
    options = {"no_network": True, "huge_tree": False, "recover": True, "remove_comments": True, "remove_pis": True}
    root = None
    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, load_dtd=False, **options))
        if root is None or len(root) == 0:
            root = etree.fromstring(data, etree.HTMLParser(**options))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotMarkup(str(error)) from error
    if root is None:
        raise NotMarkup("no element")
    return root


def parse_html(text: str) -> etree._Element:
    """The root of a web page. Nothing is fetched, broken markup is mended. Raises NotMarkup."""
    # the text is decoded already: a declaration of another encoding must not count
    data = re.sub(r"^\s*<\?xml[^>]*\?>", "", text).encode("utf-8", "replace")
    options = {"no_network": True, "huge_tree": False, "remove_comments": True, "remove_pis": True}
    try:
        root = etree.fromstring(data, etree.HTMLParser(encoding="utf-8", recover=True, **options))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotMarkup(str(error)) from error
    if root is None:
        raise NotMarkup("no element")
    return root


def _expand(match: re.Match[bytes]) -> bytes:
    if match[1] in _XML_ENTITIES:
        return match[0]
    text = html5.get(match[1].decode() + ";")
    return "".join(f"&#{ord(c)};" for c in text).encode() if text else match[0]


def local_name(element: etree._Element) -> str:
    """The name of an element without its namespace; "" for comments, instructions and entities."""
    # not by QName, which refuses names that HTML is full of: <o:p>
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""


def flow(root: etree._Element) -> Flow:
    """The paragraphs of a tree in document order, items of numbered lists with their numbers.

    Ruby readings, page numbers and contents lists are left out.
    """
    writer = _Writer()
    stack: list[tuple[etree._Element, Iterator[etree._Element], str]] = []
    element: etree._Element | None = root
    # a stack of its own: markup nests deeper than Python recurses
    while element is not None or stack:
        if element is not None:
            name = local_name(element)
            if name in _BLOCKS:
                writer.finish()
            writer.anchor(element.get("id"))
            if name == "a":
                writer.anchor(element.get("name"))
            if not name or name in _SKIPPED or _is_no_text(element):
                writer.add(element.tail)
                element = None
                if not stack:
                    break
            else:
                writer.enter(name, element)
                writer.add(element.text)
                stack.append((element, iter(element), name))
        parent, children, name = stack[-1]
        element = next(children, None)
        if element is None:
            stack.pop()
            writer.leave(name)
            if stack:
                writer.add(parent.tail)
    writer.finish()
    return writer.flow


def _is_no_text(element: etree._Element) -> bool:
    kinds = f"{element.get(_EPUB_TYPE) or ''} {element.get('role') or ''}".split()
    return not _NOT_TEXT.isdisjoint(kinds) or element.get("hidden") is not None


class _Writer:
    """Collects the text between block elements into paragraphs."""

    def __init__(self) -> None:
        self.flow = Flow()
        self._pieces: list[str] = []
        self._heading = 0
        self._pre = 0
        # of the lists around: what the next item's number is, the step to the one after it, how it is written
        self._lists: list[tuple[int, int, str] | None] = []
        self._mark = ""

    def anchor(self, name: str | None) -> None:
        if name:
            self.flow.anchors.setdefault(name, len(self.flow.paragraphs))

    def add(self, text: str | None) -> None:
        if text:
            self._pieces.append(text if self._pre else _SPACES.sub(" ", text))

    def enter(self, name: str, element: etree._Element) -> None:
        if name in ("ol", "ul"):
            self._lists.append(_numbering(element) if name == "ol" else None)
        elif name == "li":
            self._item(element)
        elif name in _LEVELS:
            self._heading = _LEVELS[name]
        elif name == "pre":
            self._pre += 1
        elif name in ("br", "tr"):
            self._pieces.append("\n")
        elif name in ("td", "th") and self._pieces and self._pieces[-1].strip():
            self._pieces.append(" | ")

    def leave(self, name: str) -> None:
        if name in _BLOCKS:
            self.finish()
        if name in _LEVELS:
            self._heading = 0
        elif name == "pre":
            self._pre -= 1
        elif name == "li":
            self._mark = ""
        elif name in ("ol", "ul"):
            self._lists.pop()

    def finish(self) -> None:
        """End the paragraph."""
        lines = clean("".join(self._pieces)).split("\n")
        self._pieces.clear()
        lines = [line.expandtabs(4).rstrip() if self._pre else one_line(line) for line in lines]
        group: list[str] = []
        # blank lines part the paragraphs of preformatted text, and mean nothing elsewhere
        for line in [*lines, None]:
            if line and line.strip(" \u3000"):
                group.append(line)
            elif group and (line is None or self._pre):
                self._paragraph("\n".join(group))
                group = []

    def _item(self, element: etree._Element) -> None:
        self._mark = ""
        if not self._lists or self._lists[-1] is None:
            return
        number, step, kind = self._lists[-1]
        number = _whole(element.get("value"), number)
        self._lists[-1] = (number + step, step, kind)
        self._mark = f"{_written(number, kind)}. "

    def _paragraph(self, text: str) -> None:
        if self._heading:
            self.flow.headings.append((len(self.flow.paragraphs), self._heading))
        # many a list that a style sheet shows without numbers has them in its text
        mark, self._mark = self._mark, ""
        self.flow.paragraphs.append(text if _NUMBERED.match(text) else mark + text)


def _numbering(element: etree._Element) -> tuple[int, int, str]:
    """Of an ``ol``, as ``_Writer`` keeps it."""
    back = element.get("reversed") is not None
    items = sum(local_name(child) == "li" for child in element) if back else 1
    return _whole(element.get("start"), items), -1 if back else 1, element.get("type") or "1"


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,6}", text.strip()) else otherwise


def _written(number: int, kind: str) -> str:
    if kind in ("i", "I"):
        return to_roman(number) if kind == "i" else to_roman(number).upper()
    if kind in ("a", "A") and 1 <= number <= 26:
        return chr(ord(kind) + number - 1)
    return str(number)
