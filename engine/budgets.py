"""How many keys each head may choose: from the checkpoint's ``sparse_attention_config.json``, or our own defaults."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import SparsityConfigBad

FILE = "sparse_attention_config.json"
# budgets that we measured for the models Lectern comes with, by the name of their folder
MEASURED = Path(__file__).parent / "sparsity" / "measured"
# where a policy is asked for and nothing was measured, in keys
UNIFORM = 2048
# budgets hold at this length and grow with its square root: a longer text has more worth looking at
LENGTH = 16384
# keys of a head that needs all there are: up to here it has them
MOST = 32768
# (position, from there on every so many rows look at every key to choose): what looking costs grows with the length and
# passes what attending to the chosen does, so farther on fewer rows speak for their query block. The default model's
# loss in the second half of 131,072 tokens of War and Peace: 3.708 with every eighth from 32,768 on, 3.714 with every
# 16th, 3.722 with every 32nd; in what is repeated there 3.08, 3.11, 3.82
STRIDES = ((524288, 32), (65536, 16), (0, 8))


def stride(position: int) -> int:
    """Rows of a query block from one that looks at every key to the next."""
    return next(rows for first, rows in STRIDES if position >= first)


@dataclass(frozen=True, slots=True)
class Budgets:
    """keys[layer][kv_head]: keys to choose, sink and local ones apart, at ``LENGTH`` tokens of context.

    most: of any head at any context, None for no such bound.
    """

    table: tuple[tuple[int, ...], ...]
    most: int | None = MOST

    @classmethod
    def uniform(cls, layers: int, kv_heads: int, keys: int = UNIFORM) -> Budgets:
        return cls(((keys,) * kv_heads,) * layers)

    def keys(self, layer: int, head: int, context: int) -> int:
        """For a query after ``context`` tokens."""
        keys = int(self.table[layer][head] * max(1.0, context / LENGTH) ** 0.5)
        return keys if self.most is None else min(keys, self.most)

    def widened(self, factor: int) -> Budgets:
        table = tuple(tuple(keys * factor for keys in row) for row in self.table)
        return Budgets(table, None if self.most is None else self.most * factor)

    def mean(self, context: int) -> float:
        """Over all heads; never more than there is."""
        every = [min(context, self.keys(layer, head, context)) for layer, row in enumerate(self.table)
                 for head in range(len(row))]  # fmt: skip
        return sum(every) / len(every)


def read_budgets(folder: Path, *, layers: int, heads: int, kv_heads: int, by_means: bool = False) -> Budgets | None:
    """The budgets beside a checkpoint, else those we measured for it, else None. Raises SparsityConfigBad.

    The file is a list, one object a layer, of {"query head": [kind, vertical, slash, score]}, as Qwen2.5-1M has it. Of
    "vertical_and_slash" both numbers are keys, and a key head takes its group's largest; in our own kind "block" the
    first are keys when reading, the second keys when decoding, which chooses by mean keys and needs more (0: as many).
    """
    path = folder / FILE
    if not path.is_file():
        path = MEASURED / f"{folder.name}.json"
    if not path.is_file():
        return None
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SparsityConfigBad(str(path), f"not JSON: {error}") from error
    if not isinstance(found, list) or len(found) != layers:
        count = len(found) if isinstance(found, list) else "no list of"
        raise SparsityConfigBad(str(path), f"it has {count} layers, the model {layers}")
    group = heads // kv_heads
    table = []
    for number, layer in enumerate(found):
        if not isinstance(layer, dict) or sorted(layer) != sorted(map(str, range(heads))):
            raise SparsityConfigBad(str(path), f"layer {number} does not list heads 0 to {heads - 1}")
        each = [_keys(path, number, head, layer[str(head)], by_means) for head in range(heads)]
        table.append(tuple(max(each[first : first + group]) for first in range(0, heads, group)))
    return Budgets(tuple(table))


def _keys(path: Path, layer: int, head: int, entry: Any, by_means: bool) -> int:
    good = isinstance(entry, list) and len(entry) >= 3 and entry[0] in ("vertical_and_slash", "block")
    if not good or not all(isinstance(number, int) and number >= 0 for number in entry[1:3]):
        raise SparsityConfigBad(
            str(path), f'head {head} of layer {layer} is {entry!r}, not ["block", keys, keys, score]'
        )
    keys = int(entry[1])
    if entry[0] == "vertical_and_slash":
        keys += int(entry[2])
    elif by_means and entry[2]:
        keys = int(entry[2])
    if keys == 0:
        raise SparsityConfigBad(str(path), f"head {head} of layer {layer} has a budget of 0 keys")
    return keys


def write_budgets(
    folder: Path,
    table: Sequence[Sequence[int]],
    by_means: Sequence[Sequence[int]],
    *,
    group: int,
    scores: Sequence[Sequence[float]],
) -> Path:
    """Write both tables ([layers][kv_heads] keys) and what was measured for each head; returns the file."""
    layers = []
    for rows in zip(table, by_means, scores, strict=True):
        layers.append(
            {
                str(head * group + member): ["block", int(keys), int(more), round(float(score), 6)]
                for head, (keys, more, score) in enumerate(zip(*rows, strict=True))
                for member in range(group)
            }
        )
    path = folder / FILE
    # a line a layer
    path.write_text("[\n" + ",\n".join(map(json.dumps, layers)) + "\n]\n", "utf-8")
    return path
