"""Two versions of an artefact beside each other: what was added, removed, changed."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from app.reading.folding import bare
from app.reading.making.template import Template

# items whose text is so alike are one item that changed
ALIKE = 0.6


def compared(template: Template, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in template.last["properties"]]

    def said(item: dict[str, Any]) -> str:
        return bare(" ".join(str(item.get(name, "")) for name in names)).text

    def fields(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
        keys = dict.fromkeys([*names, *template.item["properties"]])
        changed = [name for name in keys if one.get(name) != other.get(name)]
        places = [[(e["document"], e["start"], e["end"]) for e in item["evidence"]] for item in (one, other)]
        return changed + (["evidence"] if places[0] != places[1] else [])

    # what did not change at all is nobody's other half
    left = list(before)
    new, same = [], 0
    for item in after:
        match = next((one for one in left if not fields(one, item)), None)
        if match is None:
            new.append(item)
        else:
            left.remove(match)
            same += 1
    added, changed = [], []
    for item in new:
        keyed = [one for one in left if template.merge and all(one.get(n) == item.get(n) for n in template.merge)]
        alike = [
            (SequenceMatcher(None, said(one), said(item), autojunk=False).ratio(), n) for n, one in enumerate(left)
        ]
        best = max(alike, default=(0.0, 0))
        if keyed:
            match = keyed[0]
        elif best[0] >= ALIKE:
            match = left[best[1]]
        else:
            added.append(item)
            continue
        left.remove(match)
        changed.append({"before": match, "after": item, "fields": fields(match, item)})
    return {"added": added, "removed": left, "changed": changed, "same": same}
