"""Markdown: its own headings are the chapters, its markup stays as it is written.

Only what has no meaning to a reader goes: front matter (read for title and authors), comments, picture data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from app.documents import headings, language, naming, plain
from app.documents.canonical import Block, Heading, assemble, join_lines, one_line
from app.documents.model import Document
from app.errors import DocumentEmpty

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ ]+(.*?))?(?:[ ]+#+)?[ ]*")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ ]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_KEPT = re.compile(r"\s*(?:[-*+•]\s|\d{1,9}[.)]\s|>|\||:?-{2,}|\[[^\]]+\]:|<)|    ")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)")
_FIELD = re.compile(r"(title|authors?|lang|language)\s*:\s*(.*)", re.IGNORECASE)


def parse(data: bytes, filename: str, *, encoding: str | None = None) -> Document:
    """``encoding`` None tells it by the content. Raises DocumentNotText, DocumentEmpty, EncodingWrong."""
    lines = plain.read(data, filename, encoding).expandtabs(4).split("\n")
    fields, lines = _front_matter(lines)
    blocks, marks = _blocks(lines)
    if not blocks:
        raise DocumentEmpty(filename)
    title, marks = _title(fields, marks)
    return assemble(
        [Block(block) for block in blocks],
        marks or headings.find(blocks),
        title=title or naming.title_from_filename(filename),
        authors=tuple(name for field in fields.get("author", []) for name in naming.split_authors(field)),
        language=language.from_tag("".join(fields.get("lang", []))) or language.guess("\n\n".join(blocks)),
        format="md",
    )


def _front_matter(lines: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The fields of a YAML head, a list of values each, and the lines after it."""
    fields: dict[str, list[str]] = {}
    if not lines or lines[0].strip() != "---":
        return fields, lines
    end = next((n for n, line in enumerate(lines[1:200], 1) if line.strip() in ("---", "...")), None)
    # between two rules may stand any text: front matter is "name: value"
    if end is None or not any(re.match(r"[\w-]+\s*:", line) for line in lines[1:end]):
        return fields, lines
    name = ""
    for line in lines[1:end]:
        if match := _FIELD.match(line):
            name = {"authors": "author", "language": "lang"}.get(match[1].lower(), match[1].lower())
            values = [match[2]] if not match[2].startswith("[") else match[2].strip("[] ").split(",")
            fields[name] = [value.strip(" \"'") for value in values if value.strip(" \"'")]
        elif name and (item := re.match(r"\s+(?:-\s*)?(?:name:\s*)?(\S.*)|-\s+(\S.*)", line)):
            fields[name].append((item[1] or item[2]).strip(" \"'"))
        else:
            name = ""
    return fields, lines[end + 1 :]


def _blocks(lines: Sequence[str]) -> tuple[list[str], list[Heading]]:
    blocks: list[str] = []
    marks: list[Heading] = []
    group: list[str] = []
    fence = ""

    def flush() -> None:
        if group:
            blocks.extend(block for block in _paragraph(group) if block)
            group.clear()

    for line in _without_pictures(lines):
        if fence:
            group.append(line)
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                blocks.extend(part for part in re.split(r"\n\s*\n", "\n".join(group)) if part.strip())
                group.clear()
        elif match := _FENCE.match(line):
            flush()
            fence = match[1]
            group.append(line)
        elif not line.strip():
            flush()
        elif match := _ATX.fullmatch(line):
            flush()
            if title := one_line(match[2] or ""):
                marks.append(Heading(index=len(blocks), title=_bare(title), level=len(match[1])))
                blocks.append(title)
        elif group and (match := _SETEXT.fullmatch(line)) and not _KEPT.match(group[-1]):
            title = one_line(" ".join(group))
            group.clear()
            marks.append(Heading(index=len(blocks), title=_bare(title), level=1 if match[1][0] == "=" else 2))
            blocks.append(title)
        else:
            group.append(line)
    if fence:
        blocks.extend(part for part in re.split(r"\n\s*\n", "\n".join(group)) if part.strip())
    else:
        flush()
    return blocks, marks


def _without_pictures(lines: Sequence[str]) -> list[str]:
    text = _COMMENT.sub("", "\n".join(lines))
    return _IMAGE.sub(lambda match: match[1], text).split("\n")


def _paragraph(group: Sequence[str]) -> list[str]:
    """Lines of prose are joined; lists, tables, quotations, code and hard breaks keep theirs."""
    out = [group[0].rstrip()]
    kept = bool(_KEPT.match(group[0]))
    for before, line in pairwise(group):
        hard = before.endswith(("  ", "\\"))
        if kept or hard or _KEPT.match(line):
            out.append(line.rstrip())
            kept = kept or bool(_KEPT.match(line))
        else:
            out[-1] += join_lines(out[-1], line.strip()) + line.strip()
    return ["\n".join(out).strip("\n")]


def _bare(title: str) -> str:
    """A heading without its markup."""
    title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
    title = re.sub(r"\s*\{#[^}]*\}$", "", title)
    return naming.tidy_title(re.sub(r"(\*{1,3}|_{2,3}|`)(\S(?:.*?\S)?)\1", r"\2", title)) or "—"


def _title(fields: dict[str, list[str]], marks: list[Heading]) -> tuple[str, list[Heading]]:
    """The document's title; a single first-level heading at the top is that and no chapter."""
    title = naming.tidy_title(" ".join(fields.get("title", [])))
    top = [mark for mark in marks if mark.level == 1]
    if len(top) == 1 and marks[0] is top[0] and len(marks) > 1:
        title, marks = title or top[0].title, marks[1:]
    highest = min((mark.level for mark in marks), default=1)
    return title or (marks[0].title if marks else ""), [replace(m, level=m.level - highest + 1) for m in marks]
