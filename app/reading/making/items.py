"""From what a model wrote to items with their places, and many parts' items to one list. No model here.

An item: the template's properties, and ``evidence``: [{"document", "start", "end", "text"}], ranges of canonical texts
in code points with what stands there, and for most "quote", the words of it that were quoted; ``unsupported``:
numbers and names of a join that are at none of its places; ``misquoted``: what it quotes and no document says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from app.library.artefacts import StepRecord
from app.library.values import clean
from app.reading.folding import bare
from app.reading.making.errors import StepFailed
from app.reading.making.template import FROM, QUOTE, Template
from app.reading.making.units import Window, lines
from engine import schema

EVIDENCE_LIMIT = 12
ALSO_LIMIT = 4
# in a property of what was collected and nobody described
NOTHING = "–"
# behind a word or a comma a capital begins a name
_NAMES = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}")
_ENDS = ".!?。！？"
# nothing ends with a comma, or with a word that wants another
_OPEN = re.compile(
    r"(?:[,;:，；：、]|\s(?:an?|the|to|of|and|or|in|for|with|by|from|is|are|not|that|which))\Z", re.IGNORECASE
)
# of its longest length: a text of so much was cut
NEARLY = 0.85
_MARKS = " .!?:;。．！？：；"
# characters of an answer that is not by chance part of what was said to the model
PARROTED, PARROTED_WIDE = 16, 6
# and of a part of it
RUN, RUN_WIDE = 24, 10
# words of a name that is more than one
LONG_NAME = 4
_CLAUSE = re.compile(r"[,;:!?，；：！？。．、]|(?<=[a-z]{4})\.(?=\s)|--|—")
_WHOSE = re.compile(r"['’]s(?= )")
# what stands under a figure says what it shows
_CAPTION = re.compile(r"\s*[.:：．]\s*(\S.*)", re.DOTALL)
_NUMBERS = re.compile(r"(?<![^\W\d_])\d+(?:[.,]\d+)*\s?%?")


def parsed(written: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of an answer. Raises StepFailed where it is not what was asked for, or says nothing."""
    try:
        value = json.loads(clean(written))
    except ValueError:
        raise StepFailed("the answer is no JSON; this engine does not hold its answers to a structure") from None
    fault = schema.fault(schema.parse(asked), value)
    if fault is not None:
        raise StepFailed(f"the answer has another structure ({fault})")
    kept, seen, free = [], set(), _free(asked)
    for item in value["items"]:
        words = [text for name, text in item.items() if isinstance(text, str) and name not in (QUOTE, FROM)]
        mark = json.dumps({name: one for name, one in item.items() if name not in (QUOTE, FROM)}, sort_keys=True)
        if any(text.strip() in ("", schema.CUT) for text in words) or mark in seen:
            continue
        seen.add(mark)
        kept.append({name: _plain(item, name, one, free.get(name)) for name, one in item.items()})
    if not kept:
        raise StepFailed("nothing was written before its length ran out")
    return kept


def _free(asked: Mapping[str, Any]) -> dict[str, int | None]:
    """The properties in which a model writes what it likes, and how much of it."""
    known = asked["properties"]["items"]["items"]["properties"]
    return {
        n: one.get("maxLength") for n, one in known.items() if one.get("type") == "string" and not one.get("quoted")
    }


def _plain(item: Mapping[str, Any], name: str, value: Any, most: int | None) -> Any:
    """Without spaces around it, and without a sentence that was cut; a list without what it says twice, a quiz's wrong
    answers without the right one."""
    if isinstance(value, str):
        return ended(value.strip(), most)
    if not isinstance(value, list) or name == FROM:
        return value
    taken = {bare(str(item.get("answer", ""))).text} if name == "wrong" else set()
    kept = []
    for one in value:
        words = bare(str(one)).text
        if words not in taken:
            taken.add(words)
            kept.append(one.strip() if isinstance(one, str) else one)
    return kept or value[:1]


def ended(text: str, most: int | None) -> str:
    """A text that filled its length, or ends as none does, up to the last end of a sentence, or of a clause, in its
    second half."""
    if most is None or text[-1:] in _ENDS or (len(text) < NEARLY * most and not _OPEN.search(text)):
        return text
    for marks, kept in ((_ENDS, 1), (",;:，；：、", 0)):
        at = max(text.rfind(mark + ("" if ord(mark) >= 0x2E80 else " ")) for mark in marks)
        if at >= len(text) // 2:
            return text[: at + kept]
    return text


def answering(items: Sequence[dict[str, Any]], told: str, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that do not, where they are free to write, say what the model was told."""
    folded, free = bare(told).text, _free(asked)
    return [item for item in items if not any(_parrots(str(item.get(name, "")), folded) for name in free)]


def _parrots(text: str, told: str) -> bool:
    """Whether all of it, or a long run of it, is what the model was told."""
    said = bare(text.strip(_MARKS)).text
    wide = any(ord(one) >= 0x2E80 for one in said)
    least, run = (PARROTED_WIDE, RUN_WIDE) if wide else (PARROTED, RUN)
    if len(said) >= least and said in told:
        return True
    return any(said[place : place + run] in told for place in range(len(said) - run + 1))


def begun(written: str) -> list[dict[str, Any]]:
    """The items of an answer that is still being written, the last one as far as it goes; without what says where."""
    # what is open, outermost first; where the last string began, and whether it names a property
    open_marks: list[str] = []
    string, safe = False, 0
    for place, character in enumerate(written):
        if character == '"':
            string = not string
        elif not string and character in "{[":
            open_marks.append("}" if character == "{" else "]")
        elif not string and character in "}]" and open_marks:
            open_marks.pop()
        if not string and character in '{[}]"':
            safe = place + 1
    ends = "".join(reversed(open_marks))
    # a string that is begun is a value where the text with it is JSON; else only what stands before it counts
    tries = [(written + '"', ends)] if string else []
    tries += [(written[:safe], ends), (written[: written.rfind(",")], ends), (written[: written.rfind("}") + 1], "]}")]
    for text, end in tries:
        try:
            items = json.loads(text + end)["items"]
        except (ValueError, KeyError, TypeError):
            continue
        hidden = (FROM, QUOTE)
        return [
            {**{name: one for name, one in item.items() if name not in hidden}, "quote": item.get(QUOTE)}
            for item in items
            if isinstance(item, dict) and item
        ]
    return []


def named(words: str) -> str:
    """A name without words taken along with it: it ends with its clause, a longer one with whose it is."""
    cut = _CLAUSE.search(words, 2)
    words = words[: cut.start()] if cut else words
    if len(words.split()) > LONG_NAME and (whose := _WHOSE.search(words)):
        words = words[: whose.start()]
    return words.strip()


def placed(items: Sequence[dict[str, Any]], window: Window, text: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Each with the range of the sentence that it quotes, and where a name stands in other sentences of the window
    only, of the nearest one that has it. Of several sentences with the words, the one with most names counts."""
    folded = [bare(one).text for one in lines(text, window)]
    made = []
    for item in items:
        item = {**item, **{name: named(item[name]) for name in names if isinstance(item.get(name), str)}}
        quote = str(item[QUOTE]).strip()
        words = bare(quote).text
        wanted = {name: bare(str(item[name])).text for name in names}
        found = [n for n, one in enumerate(folded) if words in one]
        if not found:
            raise StepFailed(f"it quotes what the text does not say (“{quote}”)")
        at = max(found, key=lambda n: sum(bool(one) and one in folded[n] for one in wanted.values()))
        places = [{**_place(window, at, text), "quote": quote}]
        for one in wanted.values():
            near = min((n for n in range(len(folded)) if one in folded[n]), key=lambda n: abs(n - at), default=at)
            if near != at:
                places.append(_place(window, near, text))
        rest = {name: one for name, one in item.items() if name != QUOTE}
        made.append({**rest, "evidence": _united([places])})
    return made


def _place(window: Window, number: int, text: str) -> dict[str, Any]:
    unit = window.units[number]
    return {"document": window.document, "start": unit.start, "end": unit.end, "text": text[unit.start : unit.end]}


def collected(template: Template, items: Sequence[dict[str, Any]], window: Window, text: str) -> list[dict[str, Any]]:
    """The items, and one for everything in the window that the template collects and none of them names."""
    if template.collect is None or template.only is None:
        return list(items)
    made = []
    for item in items:
        # named with words that were taken along
        said = re.match(template.only, str(item.get(template.collect, "")))
        made.append({**item, template.collect: said[0].strip()} if said else item)
    for number in range(len(window.units)):
        place = _place(window, number, text)
        for found in dict.fromkeys(match[0].strip() for match in re.finditer(template.only, place["text"])):
            rest = {name: NOTHING for name in template.last["properties"]}
            caption = _CAPTION.match(place["text"][len(found) :]) if place["text"].startswith(found) else None
            for name, one in template.last["properties"].items() if caption else ():
                if name != template.collect and one.get("type") == "string":
                    rest[name] = " ".join(caption[1].split())[: one.get("maxLength", 200)]
                    break
            made.append({**rest, template.collect: found, "evidence": [{**place, "quote": found}]})
    return made


def rested(items: Sequence[dict[str, Any]], sources: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items of a join with the places of the items that they rest on, and the numbers they say that stand nowhere."""
    made = []
    for item in items:
        chosen = [sources[n - 1] for n in dict.fromkeys(item[FROM]) if 0 < n <= len(sources)] or list(sources[:1])
        evidence = _united(one["evidence"] for one in chosen)
        rest = {name: one for name, one in item.items() if name != FROM}
        words = " ".join(one for one in rest.values() if isinstance(one, str))
        shown = " ".join(one["text"] for one in evidence)
        figures = [one for one in map(str.strip, _NUMBERS.findall(words)) if one not in shown]
        known = " ".join([shown, *(str(one) for source in chosen for one in source.values())])
        figures += [name for name in _named(rest.values()) if name not in known]
        made.append(
            {**rest, "evidence": evidence, **({"unsupported": list(dict.fromkeys(figures))} if figures else {})}
        )
    return made


def _named(values: Iterable[Any]) -> list[str]:
    """Names within sentences; a title, most of whose words begin with a capital, tells none."""
    found: list[str] = []
    for one in values:
        words = re.findall(r"[^\W\d_]+", one) if isinstance(one, str) else []
        if sum(word[0].isupper() for word in words) * 2 < len(words):
            found += _NAMES.findall(one)
    return list(dict.fromkeys(found))


def joined(template: Template, parts: Iterable[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """All items in order; those that the template calls the same are one, with the places of all of them."""
    found: dict[Any, dict[str, Any]] = {}
    for number, item in enumerate(item for part in parts for item in part):
        key: Any = number
        if template.merge:
            key = tuple(bare(str(item[name])).text for name in template.merge)
        if key not in found:
            found[key] = dict(item)
            continue
        one = found[key]
        one["evidence"] = _united([one["evidence"], item["evidence"]])
        for name, value in item.items():
            if name in template.merge or not isinstance(value, str) or value in (one.get(name), NOTHING):
                continue
            if one.get(name) == NOTHING:
                one[name] = value
                continue
            also = one.setdefault("also", {}).setdefault(name, [])
            if value not in also and len(also) < ALSO_LIMIT:
                also.append(value)
    items = list(found.values())
    if template.view == "timeline":
        items.sort(key=lambda item: (item["evidence"][0]["document"], item["evidence"][0]["start"]))
    return items


def numbered(template: Template, items: Sequence[dict[str, Any]], titles: Mapping[int, str]) -> list[str]:
    """The items as lines that a join is shown, without the numbers. titles: of the documents, by their ids; of several
    each line names its own."""
    names = list(template.item["properties"])
    found = [" – ".join(" ".join(str(item[name]).split()) for name in names if name in item) for item in items]
    if len(titles) < 2:
        return found
    of = [titles.get(item["evidence"][0]["document"], "") if item["evidence"] else "" for item in items]
    return [f"({title}) {line}" if title else line for title, line in zip(of, found, strict=True)]


def alternating(numbers: Sequence[int], items: Sequence[dict[str, Any]]) -> list[int]:
    """Numbers of items, one of each document in turn."""
    rows: dict[Any, list[int]] = {}
    for number in numbers:
        evidence = items[number]["evidence"]
        rows.setdefault(evidence[0]["document"] if evidence else None, []).append(number)
    return [one for turn in zip_longest(*rows.values()) for one in turn if one is not None]


def assembled(template: Template, steps: Sequence[StepRecord]) -> dict[str, Any] | None:
    """The content that the steps done so far come to; None if there is none. Until everything is joined, the parts'."""
    final = [step for step in steps if step.kind == "join" and step.state == "done" and step.title == "all"]
    if final:
        return {"items": final[-1].result or []}
    items = joined(template, [step.result or [] for step in steps if step.kind == "part"])
    if not items:
        return None
    return {"items": items, **({"partial": True} if template.join is not None else {})}


def _united(ranges: Iterable[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    found = {(one["document"], one["start"], one["end"]): one for part in ranges for one in part}
    return list(found.values())[:EVIDENCE_LIMIT]
