"""The recall gauge: how much of the far attention a choice of keys keeps, measured on sampled rows while reading."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from engine.sparsity.policy import BLOCK, LOCAL, QUERY_BLOCK, SINK, Chosen, View

# below it, on average over heads and layers, a chunk is read again with wider budgets. What loses nothing against dense
# reading measures 0.4 to 0.8 at 24,576 tokens, and less later on, since heads that need few keys get few: a bar near
# that would undo the budgets. This one catches a choice that has gone wrong
BAR = 0.15
# rows sampled of one query block, a layer and chunk: under 3 % of what attending costs
ROWS = 4
# a layer is looked at in every so many chunks
EVERY = 4


@dataclass(frozen=True, slots=True)
class Recall:
    """mean and low (5th percentile): over layers and heads, 0 to 1."""

    mean: float
    low: float


@dataclass(slots=True)
class RecallGauge:
    """Gathers recall = exp(lse of what was chosen - lse of all), a value a layer and key head.

    Sink and local keys are left out on both sides: they hold most of the mass and would hide what is missed.
    """

    found: list[float] = field(default_factory=list)

    def look(self, view: View, chosen: Chosen) -> None:
        """Measure one layer. The query block differs by layer, so that a chunk is seen in many places."""
        # the first always, so that every chunk has something measured
        if view.layer and (view.layer + view.start // 2048) % EVERY:
            return
        number = view.layer % view.query_blocks
        begin = number * QUERY_BLOCK
        end = min(view.rows, begin + QUERY_BLOCK)
        rows = torch.linspace(begin, end - 1, min(ROWS, end - begin), device=view.key.device).long()
        own = (view.start + begin) // BLOCK
        lead, near = SINK // BLOCK, max(0, own - LOCAL // BLOCK)
        if near <= lead:
            return
        dim = view.queries.shape[-1]
        starts = [*view.borders, near * BLOCK]
        for head in range(view.queries.shape[1]):
            group = view.queries.shape[2]
            logits = torch.full((group * len(rows), (near - lead) * BLOCK), float("-inf"), device=view.key.device)
            for variant in range(len(view.borders)):
                low, high = max(starts[variant], lead * BLOCK), min(starts[variant + 1], near * BLOCK)
                if low < high:
                    turned = view.queries[variant, head][:, rows].reshape(-1, dim)
                    place = slice(low - lead * BLOCK, high - lead * BLOCK)
                    logits[:, place] = (turned @ view.key[head, low:high].T).float() * view.scale
            blocks = logits.view(len(logits), -1, BLOCK)
            for empty in view.empty:
                if lead <= empty < near:
                    blocks[:, empty - lead] = float("-inf")
            for partial, length in view.partial.items():
                if lead <= partial < near:
                    blocks[:, partial - lead, length:] = float("-inf")
            kept = torch.zeros(near, dtype=torch.bool, device=view.key.device)
            listed = chosen.blocks[head, number, : int(chosen.counts[head, number])].long()
            kept[listed[listed < near]] = True
            weights = (logits - logits.amax(-1, keepdim=True)).exp_()
            held = weights @ kept[lead:].repeat_interleave(BLOCK).float()
            self.found.append(float((held / weights.sum(-1)).mean()))

    def take(self) -> Recall | None:
        """What was measured since the last call, None if nothing was."""
        if not self.found:
            return None
        values = torch.tensor(self.found)
        self.found = []
        return Recall(float(values.mean()), float(values.quantile(0.05)))
