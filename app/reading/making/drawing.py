"""Drawings of an artefact: relations as a graph, a timeline; and what charts (``charts``) fit it."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from app.reading.making import charts
from app.reading.making.charts import ACCENT, INK, LINE, PAPER, SOFT, WIDTH
from app.reading.making.charts import short as _short
from app.reading.making.charts import svg as _svg
from app.reading.making.charts import words as _text
from app.reading.making.desk import Shown
from app.reading.making.errors import FormatUnknown
from app.reading.making.rows import Places

NODES, EVENTS = 40, 60
# of a graph: between those who are not connected, for each person of a group, and of all of it at most
SPACE, HIGH, MOST_HIGH = 76.0, 56.0, 520.0


def fitting(shown: Shown) -> list[str]:
    """The drawings that there are of an artefact, the one that suits it best first."""
    items = (shown.content or {}).get("items", [])
    found = []
    if shown.template.view == "graph" and items and "relation" in items[0]:
        found.append("graph")
    if shown.template.view == "timeline" and items and "what" in items[0]:
        found.append("timeline")
    kind = charts.kind_of(shown)
    if kind is not None and len({str(item.get(kind)) for item in items}) > 1:
        found.append("kinds")
    return [*found, "chapters", "book"]


def draw(shown: Shown, places: Places, language: str, chart: str | None = None) -> str:
    """One of ``fitting``; the first for None. Raises FormatUnknown."""
    known = fitting(shown)
    chart = chart or known[0]
    if chart not in known:
        raise FormatUnknown(chart, known)
    items = (shown.content or {}).get("items", [])
    if chart == "graph":
        return graph(items)
    if chart == "timeline":
        return timeline(items)
    if chart == "kinds":
        return charts.kinds(shown, items, places, language)
    return charts.chapters(items, places, language) if chart == "chapters" else charts.book(items, places, language)


def graph(items: list[dict[str, Any]]) -> str:
    """People as nodes, sized by how often they are named; a relation is an arrow with its name."""
    count = Counter(name for item in items for name in (item["a"], item["b"]))
    names = [name for name, _ in count.most_common(NODES)]
    kept = [item for item in items if item["a"] in names and item["b"] in names and item["a"] != item["b"]]
    at, height = _spread(names, {(item["a"], item["b"]) for item in kept})
    out = []
    drawn: Counter[frozenset[str]] = Counter()
    for item in kept:
        (x1, y1), (x2, y2) = at[item["a"]], at[item["b"]]
        pair = frozenset((item["a"], item["b"]))
        bend = 22 * (1 + drawn[pair]) * (1 if drawn[pair] % 2 == 0 else -1)
        drawn[pair] += 1
        length = math.hypot(x2 - x1, y2 - y1) or 1.0
        nx, ny = -(y2 - y1) / length, (x2 - x1) / length
        mx, my = (x1 + x2) / 2 + nx * bend, (y1 + y2) / 2 + ny * bend
        out.append(
            f'<path d="M{x1:.1f} {y1:.1f} Q{mx:.1f} {my:.1f} {x2:.1f} {y2:.1f}" fill="none" stroke="{LINE}" '
            'stroke-width="1.4"/>'
        )
        # two thirds of the way, where the curve runs
        t = 0.62
        ax = (1 - t) ** 2 * x1 + 2 * t * (1 - t) * mx + t * t * x2
        ay = (1 - t) ** 2 * y1 + 2 * t * (1 - t) * my + t * t * y2
        turn = math.degrees(math.atan2(y2 - y1, x2 - x1))
        out.append(
            f'<path d="M-6 -4 L4 0 L-6 4 Z" fill="{SOFT}" transform="translate({ax:.1f} {ay:.1f}) rotate({turn:.1f})"/>'
        )
        lx, ly = (x1 + 2 * mx + x2) / 4, (y1 + 2 * my + y2) / 4
        out.append(_text(lx, ly - 5, _short(item["relation"], 28), 11, SOFT, "middle"))
    for name in names:
        x, y = at[name]
        size = 6 + 3 * math.sqrt(count[name])
        out.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" fill="{ACCENT}" stroke="{PAPER}" stroke-width="2"/>'
        )
        out.append(_text(x, y - size - 5, _short(name, 30), 14, INK, "middle", bold=True))
    return _svg(WIDTH, height, out)


def _spread(names: list[str], edges: set[tuple[str, str]]) -> tuple[dict[str, tuple[float, float]], float]:
    """Where each stands, and how high that is: those who are connected together, the others below them."""
    groups: list[list[str]] = []
    for name in names:
        near = [group for group in groups if any((name, one) in edges or (one, name) in edges for one in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(one for group in near for one in group), name])
    at: dict[str, tuple[float, float]] = {}
    top = SPACE
    for group in sorted(groups, key=lambda group: -len(group)):
        found = _apart(sorted(group, key=names.index), edges)
        low, high = min(y for _, y in found.values()), max(y for _, y in found.values())
        room = min(MOST_HIGH, HIGH * len(group)) if high > low else 0.0
        for name, (x, y) in found.items():
            at[name] = 90 + x * (WIDTH - 180), top + room * (y - low) / (high - low or 1.0)
        top += room + SPACE
    return at, top - SPACE / 4


def _apart(names: list[str], edges: set[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Springs and repulsion from a circle on, always the same way; coordinates in 0..1."""
    size = max(1, len(names))
    if size < 3:
        return {name: (0.25 + 0.5 * k if size == 2 else 0.5, 0.5) for k, name in enumerate(names)}
    at = {
        n: [0.5 + 0.4 * math.cos(2 * math.pi * k / size), 0.5 + 0.4 * math.sin(2 * math.pi * k / size)]
        for k, n in enumerate(names)
    }
    ideal = 0.9 / math.sqrt(size)
    for turn in range(150):
        heat = 0.08 * (1 - turn / 150)
        force = {name: [(0.5 - at[name][0]) * 0.02, (0.5 - at[name][1]) * 0.02] for name in names}
        for k, a in enumerate(names):
            for b in names[k + 1 :]:
                dx, dy = at[a][0] - at[b][0], at[a][1] - at[b][1]
                far = math.hypot(dx, dy) or 1e-3
                push = ideal * ideal / far / far
                pull = far / ideal if (a, b) in edges or (b, a) in edges else 0.0
                for name, sign in ((a, 1), (b, -1)):
                    force[name][0] += sign * dx * (push - pull) * 0.5
                    force[name][1] += sign * dy * (push - pull) * 0.5
        for name in names:
            fx, fy = force[name]
            strength = math.hypot(fx, fy) or 1e-9
            step = min(heat, strength)
            at[name][0] = min(1.0, max(0.0, at[name][0] + fx / strength * step))
            at[name][1] = min(1.0, max(0.0, at[name][1] + fy / strength * step))
    return {name: (x, y) for name, (x, y) in at.items()}


def timeline(items: list[dict[str, Any]]) -> str:
    shown, step = items[:EVENTS], 46
    height = 40 + step * len(shown)
    out = [f'<path d="M190 20 V{height - 20}" stroke="{LINE}" stroke-width="2"/>']
    for number, item in enumerate(shown):
        y = 40 + step * number
        out.append(f'<circle cx="190" cy="{y}" r="6" fill="{ACCENT}" stroke="{PAPER}" stroke-width="2"/>')
        out.append(_text(172, y + 4, _short(str(item.get("when", "–")), 24), 12, SOFT, "end"))
        out.append(_text(212, y + 5, _short(str(item["what"]), 92), 14, INK, "start"))
    return _svg(WIDTH, height, out)
