"""Which keys a prefill looks at: one policy a file, chosen by name.

A policy lists, for every query block of a chunk, the key blocks to attend to; ``kernels.sparse_attention`` does the
rest. Rows before ``CROSSOVER`` and short chunks are read with dense attention, whatever the policy.
"""

from __future__ import annotations

from engine.budgets import Budgets, read_budgets
from engine.errors import UnknownPolicy
from engine.sparsity.block import BlockPolicy
from engine.sparsity.policy import BLOCK, CROSSOVER, CROSSOVER_TILES, LEAST_ROWS, QUERY_BLOCK, Chosen, Policy, View
from engine.sparsity.vertical_slash import VerticalSlashPolicy

__all__ = [
    "BLOCK",
    "CROSSOVER",
    "CROSSOVER_TILES",
    "LEAST_ROWS",
    "NAMES",
    "QUERY_BLOCK",
    "BlockPolicy",
    "Budgets",
    "Chosen",
    "Policy",
    "VerticalSlashPolicy",
    "View",
    "make",
    "read_budgets",
]

NAMES = ("dense", "block", "vertical_slash")


def make(name: str, budgets: Budgets) -> Policy | None:
    """The policy of that name, None for dense attention. Raises UnknownPolicy."""
    if name == "dense":
        return None
    if name == "block":
        return BlockPolicy(budgets)
    if name == "vertical_slash":
        return VerticalSlashPolicy(budgets)
    raise UnknownPolicy(name, NAMES)
