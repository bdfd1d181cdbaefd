"""Full text search: FTS5 sieves the paragraphs, the counts are made on the canonical text.

The index stands beside the text and holds none of it. A text that is not indexed yet (it came before there was an
index) is searched whole: slower, never differently.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from app.errors import DocumentNotFound
from app.library import rows
from app.library.grams import expression, fold, fold_query, pieces
from app.library.places import Places
from app.library.values import now, to_json

if TYPE_CHECKING:
    from app.library.store import Library

# a row of the index is a text's number and a paragraph's
ORDINAL_BITS = 24
LIMIT = 20
# paragraphs that may hold what is looked for: with more of them ("the") it is cheaper to count in whole texts
CANDIDATES = 10_000
# characters of folded texts that are kept for that: a shelf of a hundred novels
KEPT = 64_000_000
CONTEXT = 60
# code points between borders of paragraphs; no paragraph holds it
BORDER = "\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """``text[start:stop]`` of a document is what was looked for; the snippet is ``before + match + after``."""

    document: int
    title: str
    start: int
    stop: int
    page: int | None
    chapter: str | None
    before: str
    match: str
    after: str

    @property
    def snippet(self) -> str:
        return self.before + self.match + self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """``count``: occurrences in all documents searched; ``documents``: of each that has some, the most first."""

    count: int
    documents: tuple[tuple[int, int], ...]
    hits: tuple[Hit, ...]


@dataclass(slots=True)
class _Place:
    start: int
    text: str
    folded: str
    count: int


def index_text(db: Database, text_sha256: str, text: str) -> None:
    """Index a text that stands in ``texts``, unless it is. For use inside a write block."""
    found = list(
        db.query(
            "INSERT INTO indexed_texts (text_sha256, created) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING id",
            [text_sha256, now()],
        )
    )
    if found:
        db.conn.executemany("INSERT INTO text_pieces (rowid, pieces) VALUES (?, ?)", _rows(found[0]["id"], text))


def forget_text(db: Database, text_sha256: str, text: str) -> None:
    """Take a text out of the index. For use inside a write block."""
    for row in db.query("SELECT id FROM indexed_texts WHERE text_sha256 = ?", [text_sha256]):
        # the index holds no text: what goes must be said again
        db.conn.executemany(
            "INSERT INTO text_pieces (text_pieces, rowid, pieces) VALUES ('delete', ?, ?)", _rows(row["id"], text)
        )
    db.execute("DELETE FROM indexed_texts WHERE text_sha256 = ?", [text_sha256])


def index_pending(library: Library, most: int | None = None) -> int:
    """Index texts that came before there was an index, each in a transaction; returns how many."""
    query = "SELECT sha256, text FROM texts WHERE sha256 NOT IN (SELECT text_sha256 FROM indexed_texts) LIMIT 1"
    done = 0
    while done != most:
        with library.read() as db:
            if not list(db.query(query)):
                break
        with library.write() as db:
            for row in db.query(query):
                index_text(db, row["sha256"], row["text"])
        done += 1
    return done


def search(
    library: Library, owner_id: int, query: str, document_ids: Collection[int] | None = None, *, limit: int = LIMIT
) -> Found:
    """Where ``query`` stands, whatever its case, in an owner's documents (those named, or all on the shelf).

    The count is that of ``text.casefold().count(query.casefold())``, of the text up to where its owner has read if
    they said so, but that letters and digits of full width are found as those of half width. Hits: at most ``limit``,
    shared among the documents. Raises DocumentNotFound.
    """
    folded = fold_query(query)
    # before the look at the library: a guard whose text changed is moved, which is a change
    guards = Places(library).guards(owner_id)
    with library.read() as db:
        documents = _documents(db, owner_id, document_ids)
        if not folded:
            return Found(count=0, documents=(), hits=())
        # only what has a line break can reach from one paragraph into the next
        sieved = None if "\n" in folded else _sieve(db, folded)
        places: dict[int, list[_Place]] = {}
        for id, document in documents.items():
            if sieved is not None and document["number"] is not None and document["number"] not in sieved:
                continue
            ordinals = None if sieved is None or document["number"] is None else sieved[document["number"]]
            if counted := _counted(db, document, folded, ordinals, guards.get(id)):
                places[id] = counted
        counts = {id: sum(place.count for place in found) for id, found in places.items()}
        order = sorted(counts, key=lambda id: (-counts[id], id))
        shares = _shares([counts[id] for id in order], limit)
        hits = [
            _hit(db, documents[id], place.start, place.text, start, stop)
            for id, share in zip(order, shares, strict=True)
            for place, start, stop in _occurrences(places[id], folded, share)
        ]
    return Found(count=sum(counts.values()), documents=tuple((id, counts[id]) for id in order), hits=tuple(hits))


def _rows(number: int, text: str) -> Iterable[tuple[int, str]]:
    for ordinal, paragraph in enumerate(text.split(BORDER)):
        yield number << ORDINAL_BITS | ordinal, " ".join(pieces(fold(paragraph)))


def _documents(db: Database, owner_id: int, ids: Collection[int] | None) -> dict[int, dict[str, Any]]:
    query = """
        SELECT d.id, d.title, d.filename, d.version_id, v.text_sha256, i.id AS number FROM documents d
        JOIN versions v ON v.id = d.version_id LEFT JOIN indexed_texts i ON i.text_sha256 = v.text_sha256
        WHERE d.owner_id = ? AND d.deleted_at IS NULL ORDER BY d.id
    """
    found = {row["id"]: row for row in db.query(query, [owner_id])}
    if ids is None:
        return found
    for id in ids:
        if id not in found:
            raise DocumentNotFound(id)
    return {id: found[id] for id in ids}


def _sieve(db: Database, folded: str) -> dict[int, list[int]] | None:
    """Ordinals of the paragraphs that may hold ``folded``, by the number of their text; None for too many."""
    query = "SELECT rowid FROM text_pieces WHERE text_pieces MATCH ? LIMIT ?"
    rows = db.conn.execute(query, [expression(folded), CANDIDATES + 1]).fetchall()
    if len(rows) > CANDIDATES:
        return None
    found: dict[int, list[int]] = defaultdict(list)
    for (row,) in rows:
        found[row >> ORDINAL_BITS].append(row & ((1 << ORDINAL_BITS) - 1))
    return found


class _Texts:
    """Whole texts with their folded ones, by hash; the ones not used for longest go when there are too many."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, db: Database, sha256: str) -> tuple[str, str]:
        with self._lock:
            if (kept := self._kept.get(sha256)) is not None:
                self._kept.move_to_end(sha256)
                return kept
        text = str(rows.one(db, "SELECT text FROM texts WHERE sha256 = ?", [sha256])["text"])
        small = fold(text)
        with self._lock:
            if sha256 not in self._kept:
                self._kept[sha256] = (text, small)
                self._size += len(text) + len(small)
            while self._size > KEPT and len(self._kept) > 1:
                _, (old, folded) = self._kept.popitem(last=False)
                self._size -= len(old) + len(folded)
        return text, small


_TEXTS = _Texts()


def _counted(
    db: Database, document: dict[str, Any], folded: str, ordinals: list[int] | None, guard: int | None
) -> list[_Place]:
    if ordinals is None:
        text, small = _TEXTS.get(db, document["text_sha256"])
        if guard is not None:
            text = text[:guard]
            small = fold(text)
        count = small.count(folded)
        if not count:
            return []
        if len(small) == len(text) or "\n" in folded:
            return [_Place(0, text, small, count)]
        # of a text that folding makes longer every offset is counted out: by paragraphs, only where something stands
        return list(_in_paragraphs(text, folded))
    text = str(rows.one(db, "SELECT text FROM texts WHERE sha256 = ?", [document["text_sha256"]])["text"])[:guard]
    query = (
        'SELECT "start", "end" FROM paragraphs WHERE version_id = ? '
        "AND ordinal IN (SELECT value FROM json_each(?)) ORDER BY ordinal"
    )
    spans = db.conn.execute(query, [document["version_id"], to_json(ordinals)])
    found = []
    for start, end in spans:
        part = text[start:end]
        small = fold(part)
        if count := small.count(folded):
            found.append(_Place(start, part, small, count))
    return found


def _in_paragraphs(text: str, folded: str) -> Iterable[_Place]:
    start = 0
    for part in text.split(BORDER):
        small = fold(part)
        if count := small.count(folded):
            yield _Place(start, part, small, count)
        start += len(part) + len(BORDER)


def _shares(counts: Sequence[int], limit: int) -> list[int]:
    """How many of ``limit`` hits each document shows: as even as their counts allow, earlier ones first."""
    shares = [0] * len(counts)
    left = min(limit, sum(counts))
    while left > 0:
        open_ = [place for place, count in enumerate(counts) if shares[place] < count]
        each = max(1, left // len(open_))
        for place in open_:
            more = min(each, counts[place] - shares[place], left)
            shares[place] += more
            left -= more
    return shares


def _occurrences(places: list[_Place], folded: str, most: int) -> Iterable[tuple[_Place, int, int]]:
    """The first occurrences, as offsets into each place's own text."""
    for place in places:
        # folding never makes a text shorter: of the same length, it is the same character by character
        ends = None
        if len(place.folded) != len(place.text):
            ends = list(accumulate(len(fold(character)) for character in place.text))
        at = place.folded.find(folded)
        while at >= 0:
            if most <= 0:
                return
            most -= 1
            stop = at + len(folded)
            if ends is None:
                yield place, at, stop
            else:
                yield place, bisect_right(ends, at), bisect_right(ends, stop - 1) + 1
            at = place.folded.find(folded, stop)


def _hit(db: Database, document: dict[str, Any], shift: int, text: str, start: int, stop: int) -> Hit:
    low, high = max(0, start - CONTEXT), min(len(text), stop + CONTEXT)
    # a snippet stays in its paragraph
    low = max(low, text.rfind(BORDER, low, start) + len(BORDER)) if BORDER in text[low:start] else low
    high = text.index(BORDER, stop) if BORDER in text[stop:high] else high
    opens = low == 0 or text[max(0, low - len(BORDER)) : low] == BORDER
    closes = high == len(text) or text.startswith(BORDER, high)
    version, at = document["version_id"], shift + start
    page = (
        'SELECT number AS place FROM pages WHERE version_id = ? AND "start" <= ? AND "end" > ? ORDER BY number LIMIT 1'
    )
    # its owner's list of chapters, else the parser's
    chapter = (
        'SELECT title AS place FROM document_chapters WHERE document_id = ?4 AND "start" <= ?2 AND "end" > ?3 '
        'UNION ALL SELECT title FROM chapters WHERE version_id = ?1 AND "start" <= ?2 AND "end" > ?3 AND NOT EXISTS '
        "(SELECT 1 FROM document_chapters WHERE document_id = ?4) LIMIT 1"
    )
    return Hit(
        document=document["id"],
        title=document["title"] or document["filename"],
        start=at,
        stop=shift + stop,
        page=next((row["place"] for row in db.query(page, [version, at, at])), None),
        chapter=next((row["place"] for row in db.query(chapter, [version, at, at, document["id"]])), None),
        before=("" if opens else "…") + _flat(text[low:start]).lstrip(),
        match=_flat(text[start:stop]),
        after=_flat(text[stop:high]).rstrip() + ("" if closes else "…"),
    )


def _flat(text: str) -> str:
    return text.replace("\n", " ")
